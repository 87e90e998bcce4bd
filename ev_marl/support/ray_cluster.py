"""The connection to a Ray cluster: an address comes in; Ray is connected, or an error is raised soon.

Without this check, Ray waits for minutes for a head node that does not exist.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import ray

from ev_marl.support.errors import RunError

_PATIENCE_S = 10.0  # for a head node that is starting, or far away
_PAUSE_S = 0.5


def connect(address: str, **options: Any) -> None:
    """Connect to a cluster.

    Parameters
    ----------
    address : str
        Of the cluster's head node, `host:6379`, or `auto` for the cluster that this machine belongs to.
    **options
        As for `ray.init`.

    Raises
    ------
    RunError
        If there is no such cluster.
    """
    try:
        _reach(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        ray.init(address, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise RunError(
            f"there is no Ray cluster at '{address}': {error}\n"
            "`ray start --head` starts one on this machine, `ray status` shows whether it runs."
        ) from error


def _reach(address: str) -> None:
    """Wait until `host:port` accepts a connection; other forms of address are left to Ray.

    Raises
    ------
    OSError
        If there is no connection in time.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S):
                return
        except socket.gaierror:
            raise
        except OSError as error:
            if time.monotonic() + _PAUSE_S > give_up:
                raise type(error)(f"nothing answers in {_PATIENCE_S:.0f} s ({error})") from error
        time.sleep(_PAUSE_S)
