"""The same work for many days, in this process or in parallel ones.

A function of a day's index and seed comes in, and is called for each day. Ctrl-C, an error or the end of the parent
process leaves no process behind.
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

from ev_marl.support.errors import RunError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
START_SECONDS = 3.0  # that a process takes to load the libraries, Pyomo above all


def run_all(
    work: Callable[[int, int], None], days: Sequence[tuple[int, int]], workers: int, advance: Callable[[], None]
) -> None:
    """Do the work of every day.

    The first two run in this process, so that kernels are compiled once and a mistake shows early. The second tells
    how long a day takes: processes only start where they save more time than they need to load the libraries.

    Parameters
    ----------
    work : callable
        Called with index and seed of a day; it must be one that can be pickled, and what it writes must appear complete
        or not at all.
    days : sequence of (int, int)
        Index and seed of each day.
    workers : int
        Most processes; with 1, everything runs in this one.
    advance : callable
        Called when a day is finished.

    Raises
    ------
    RunError
        If a process ends unexpectedly; errors of the work come as they are.
    """
    for done, (index, seed) in enumerate(days):
        begin = time.perf_counter()
        work(index, seed)
        advance()
        left = days[done + 1 :]
        saved_s = (time.perf_counter() - begin) * len(left) * (1.0 - 1.0 / workers)
        if done == 1 and left and saved_s > START_SECONDS:
            _run_parallel(work, left, workers, advance)
            return


def _run_parallel(
    work: Callable[[int, int], None], days: Sequence[tuple[int, int]], workers: int, advance: Callable[[], None]
) -> None:
    """Run days in processes, a few handed over at a time, and raise KeyboardInterrupt where that is safe."""
    finished: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
    to_do = iter(days)
    running: set[Future[None]] = set()

    def hand_over(pool: ProcessPoolExecutor, count: int) -> None:
        for index, seed in islice(to_do, count):
            with _interrupts_blocked():  # processes start here, and inherit that
                future = pool.submit(work, index, seed)
            running.add(future)
            future.add_done_callback(finished.put)

    with _interrupts_to(finished), _processes(min(workers, len(days))) as pool:
        hand_over(pool, 2 * workers)
        while running:
            future = finished.get()
            if future is None:
                raise KeyboardInterrupt
            running.remove(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                raise RunError(
                    "a worker process ended unexpectedly: out of memory, or a script that calls `compare` without "
                    '`if __name__ == "__main__":`. Finished days are kept; --workers 1 runs without processes.'
                ) from error
            if error is not None:
                raise error
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
    """Let processes that start now use one thread each: numerical libraries read the environment when they load.

    Nor do they import modules of the current folder in place of those of Python.
    """
    names = (*_THREAD_VARIABLES, "PYTHONSAFEPATH")
    kept = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
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
