"""Ray during a training: started or connected to, without messages, with equal settings on all machines."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import torch

from ev_marl.rl.restart import THREADS
from ev_marl.support.errors import RunError
from ev_marl.support.ray_cluster import connect

_ATTEMPTS = 4
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no usage reports
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # no warning about a coming change of Ray
    "RAY_agent_register_timeout_ms": "120000",  # its processes start slowly on a busy machine
    "RAY_worker_register_timeout_seconds": "120",
}


@contextmanager
def ray_session(runners: int, address: str | None = None) -> Iterator[None]:
    """Start Ray on this machine, or connect to a cluster; a Ray that runs already is used and left running.

    Parameters
    ----------
    runners : int
        Processes that sample days.
    address : str, optional
        Of a cluster's head, `host:6379`, or `auto` for the one that this machine belongs to.

    Raises
    ------
    RunError
        If there is no such cluster, or if it has fewer cores than there are runners.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    threads = int(os.environ.get(THREADS[0], "1"))
    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        _ignore_warnings()
        if ray.is_initialized():
            yield
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            _start(1 + runners, quiet)
        else:
            environment = {"PYTHONHASHSEED": "0", **dict.fromkeys(THREADS, str(threads))}
            connect(address, runtime_env={"env_vars": environment}, **quiet)
        try:
            cores = int(ray.cluster_resources().get("CPU", 0))
            if address is not None and cores < runners:
                raise RunError(
                    f"the Ray cluster at '{address}' has {cores} cores, too few for `sampling: {{runners: {runners}}}`"
                )
            yield
        finally:
            ray.shutdown()


def _start(cores: int, quiet: dict[str, Any]) -> None:
    """Start Ray on this machine, with retries: it gives up after 30 s, which a busy machine may need."""
    for attempt in range(_ATTEMPTS):
        try:
            ray.init("local", num_cpus=cores, include_dashboard=False, **quiet)
        except Exception as error:  # Ray raises this very class
            ray.shutdown()
            if attempt == _ATTEMPTS - 1:
                raise RunError(f"Ray does not start on this machine, in {_ATTEMPTS} attempts: {error}") from error
        else:
            return


def _ignore_warnings() -> None:
    """Hide warnings about RLlib's use of its own and other interfaces: users of this package cannot change them."""
    for name in ("ray", "ray.rllib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for category in (DeprecationWarning, FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=r"(ray|torch|gymnasium|tensorboardX)(\..*)?$")
