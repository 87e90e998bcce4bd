"""Days on a Ray cluster: what is missing comes in, one file a day goes out.

The days are computed by Ray tasks anywhere in the cluster and come back as JSON text, so that machines need share no
folder: only this process writes files.
"""

from __future__ import annotations

import logging
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from ev_marl.compare.bundle import Bundle, package_digest, unpacked
from ev_marl.compare.day import Work, run_day
from ev_marl.compare.folder import day_failure, day_path
from ev_marl.support.errors import RunError
from ev_marl.support.files import write_atomically
from ev_marl.support.package import __version__
from ev_marl.support.ray_cluster import connect

_LOOK_S = 0.5  # how often to look whether somebody wants to stop


def run_days_on_ray(
    folder: Path, work: Work, missing: Sequence[tuple[int, int]], address: str, advance: Callable[[], None]
) -> None:
    """Run the missing days of a run on a Ray cluster.

    Every day is a task of one core. Data files, learned policies and plug-in code travel with the tasks; this package
    itself must be installed everywhere, the same version. A machine that is lost is made up for by the others.

    Parameters
    ----------
    folder : Path
        Folder of the run, on this machine; each day's file appears there as soon as the day is finished.
    work : Work
        Scenario and policies.
    missing : sequence of (int, int)
        Index and seed of each day.
    address : str
        Of the cluster's head, `host:6379`, or `auto` for the one that this machine belongs to. Where this process is
        connected to a cluster already, that one is used.
    advance : callable
        Called when a day is finished.

    Raises
    ------
    RunError
        If there is no such cluster, or if a day fails; the message says how to repeat it.
    """
    if not missing:
        return
    with _cluster(address), _interrupts() as stopped:
        bundle, asking = ray.put(Bundle.of(work)), (platform.node(), __version__, package_digest())
        days = {_DAY.remote(bundle, asking, index, seed): (index, seed) for index, seed in missing}
        try:
            while days:
                finished, _ = ray.wait(list(days), timeout=_LOOK_S)
                for day in finished:
                    index, seed = days.pop(day)
                    write_atomically(day_path(folder, index), _result(day, folder, work, index, seed))
                    advance()
                if stopped.is_set():
                    raise KeyboardInterrupt
        finally:
            for day in days:
                ray.cancel(day, force=True)


def _day(bundle: Bundle, asking: tuple[str, str, str], index: int, seed: int) -> str:
    """A day's result as JSON; `asking` is the name, version and source digest of the machine that wants it."""
    machine, version, digest = asking
    if machine != platform.node() and digest != package_digest():
        raise RunError(
            f"the code of ev_marl on machine {platform.node()} (version {__version__}) is not that of the "
            f"machine that asks, {machine} (version {version}); install the same on both"
        )
    return run_day(unpacked(bundle), index, seed).model_dump_json()


_DAY = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(_day)


def _result(day: Any, folder: Path, work: Work, index: int, seed: int) -> str:
    try:
        text: str = ray.get(day)
    except RayTaskError as error:
        raise day_failure(folder, work, index, seed, error.cause) from error
    except RayError as error:
        raise RunError(
            f"the cluster could not run day {index} (seed {seed}): {error}\n"
            f"Finished days are kept in {folder}; the same command goes on from there."
        ) from error
    return text


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """A connection to the cluster, quiet, and given up at the end if it was made here."""
    if ray.is_initialized():
        yield
        return
    connect(address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        if ray.cluster_resources().get("CPU", 0.0) < 1.0:
            raise RunError(f"the Ray cluster at '{address}' has no core to run days on")
        yield
    finally:
        ray.shutdown()


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn Ctrl-C into a flag, so that it never hits Ray in the middle of something."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = signal.signal(signal.SIGINT, lambda signum, frame: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
