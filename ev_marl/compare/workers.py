"""Days in parallel processes: what is missing comes in, one file a day goes out.

Ctrl-C, an error or the end of the parent process leaves no process behind and no half-written file.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ev_marl.compare.day import Work, run_day
from ev_marl.compare.folder import day_path
from ev_marl.scenario.schema.policies import policy_name
from ev_marl.support.errors import RunError
from ev_marl.support.files import write_atomically
from ev_marl.support.registry import is_own_code

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
START_SECONDS = 3.0  # that a process takes to load the libraries, Pyomo above all


def run_days(
    folder: Path, work: Work, missing: Sequence[tuple[int, int]], workers: int, advance: Callable[[], None]
) -> None:
    """Run the missing days of a run.

    The first two run in this process, so that kernels are compiled once and a mistake shows early. The second tells
    how long a day takes: processes only start where they save more time than they need to load the libraries.

    Parameters
    ----------
    folder : Path
        Folder of the run; each day's file appears there as soon as the day is finished.
    work : Work
        Scenario and policies.
    missing : sequence of (int, int)
        Index and seed of each day.
    workers : int
        Most processes; with 1, everything runs in this one.
    advance : callable
        Called when a day is finished.

    Raises
    ------
    RunError
        If a day fails; the message says how to repeat it.
    """
    for done, (index, seed) in enumerate(missing):
        begin = time.perf_counter()
        try:
            _finish_day(folder, work, index, seed)
        except Exception as error:
            raise day_failure(folder, work, index, seed, error) from error
        advance()
        left = missing[done + 1 :]
        saved_s = (time.perf_counter() - begin) * len(left) * (1.0 - 1.0 / workers)
        if done == 1 and left and saved_s > START_SECONDS:
            _run_parallel(folder, work, left, workers, advance)
            return


def _run_parallel(
    folder: Path, work: Work, missing: Sequence[tuple[int, int]], workers: int, advance: Callable[[], None]
) -> None:
    """Run days in processes, a few handed over at a time, and raise KeyboardInterrupt where that is safe."""
    finished: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
    to_do = iter(missing)
    days: dict[Future[None], tuple[int, int]] = {}

    def hand_over(pool: ProcessPoolExecutor, count: int) -> None:
        for index, seed in islice(to_do, count):
            with _interrupts_blocked():  # processes start here, and inherit that
                future = pool.submit(_finish_day, folder, work, index, seed)
            days[future] = (index, seed)
            future.add_done_callback(finished.put)

    with _interrupts_to(finished), _processes(min(workers, len(missing))) as pool:
        hand_over(pool, 2 * workers)
        while days:
            future = finished.get()
            if future is None:
                raise KeyboardInterrupt
            index, seed = days.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise RunError(
                    "a worker process ended unexpectedly: out of memory, or a script that calls `compare` without "
                    '`if __name__ == "__main__":`. Finished days are kept; --workers 1 runs without processes.'
                ) from error
            if error is not None:
                raise day_failure(folder, work, index, seed, error) from error
            advance()
            hand_over(pool, 1)


@contextmanager
def _interrupts_to(finished: queue.SimpleQueue[Future[None] | None]) -> Iterator[None]:
    """Turn Ctrl-C into an entry of the queue.

    As an exception it could hit the pool while it holds a lock, and the pool would then wait for that lock forever.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda signum, frame: finished.put(None))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Hold back Ctrl-C, so that it only ever reaches this process and not the workers that start meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finish_day(folder: Path, work: Work, index: int, seed: int) -> None:
    """Run a day and keep it."""
    write_atomically(day_path(folder, index), run_day(work, index, seed).model_dump_json())


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes with one thread for numerics each; they end on exit, also after an error.

    They are spawned, so that they share no locks or threads with this process, and leave Ctrl-C to it. Ending one in
    the middle of a day is safe: a day's file appears complete or not at all.
    """
    before = set(multiprocessing.active_children())
    with _single_threaded():
        pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let processes that start now use one thread each: numerical libraries read the environment when they load."""
    kept = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    """Leave Ctrl-C to the parent process (on Windows too), and end with it, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def day_failure(folder: Path, work: Work, index: int, seed: int, error: BaseException) -> RunError:
    """Why a run stops when a day fails, and how to repeat that day."""
    own = work.trusted or any(is_own_code(policy_name(policy)) for policy in work.policies)
    trust = ", trust=True" if own else ""
    return RunError(
        f"day {index} (seed {seed}) failed: {type(error).__name__}: {error}\n"
        f"Finished days are kept in {folder}. To see this day fail by itself:\n"
        f'  python -c "from ev_marl.compare import rerun_day; rerun_day({str(folder)!r}, {index}{trust})"'
    )
