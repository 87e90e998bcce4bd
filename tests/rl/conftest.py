"""Ray, started once for all tests of the room, small and quiet."""

from __future__ import annotations

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
