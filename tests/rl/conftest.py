"""Ray, started once for all tests of the room, small and quiet."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_running() -> Iterator[None]:
    """A Ray of one node in this process's session; tests that need RLlib ask for it."""
    pytest.importorskip("ray")
    pytest.importorskip("torch")
    from ev_marl.rl.ray_session import ray_session  # noqa: PLC0415

    with ray_session(runners=1):
        yield


@pytest.fixture(autouse=True, scope="module")
def _tidy() -> Iterator[None]:
    """Collect rubbish before tests follow to which open sockets of Ray's are errors."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
