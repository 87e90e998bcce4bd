"""Settings of the whole suite."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Kernels compile on their first call, so a first example may take seconds: no deadline. Each run at a desk tries other
# examples; a pull request is judged on the same ones every time.
settings.register_profile("ev_marl", deadline=None, max_examples=60, derandomize="CI" in os.environ)
settings.load_profile("ev_marl")

# Tests with Ray run in one process, one after the other: every Ray starts processes for all cores.
WITH_RAY = ("cluster", "dqn", "grid", "learning", "multi_agent_env", "training_runs")


class OneRay(LoadScopeScheduling):  # type: ignore[misc]
    """Deals tests out one by one, and those with Ray together, first of all."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "ray" if file.endswith(tuple(f"test_rl_{room}.py" for room in WITH_RAY)) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneRay(config, log)
