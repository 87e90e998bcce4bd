"""Ray, started once for all tests of the room, small and quiet; what needs it runs one after the other."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

NEEDS_RAY = {"ray_running", "address"}  # fixtures


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with Ray go to the same process, whichever that is: many Rays at once take each other's cores.

    What Ray leaves open is found whenever rubbish is collected, in any of them.
    """
    for item in items:
        here = Path(__file__).parent in item.path.parents
        if here and NEEDS_RAY & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("ray"))
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))


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
