"""EV charging stations as agents: a multi-agent environment, its policies, and the proven cooperative optimum.

Importing the package is cheap: every name below is loaded from its own room when it is first used. The PettingZoo and
Gymnasium environments are registered here, since neither registry looks for plug-ins by itself.
"""

from __future__ import annotations

import os
import sys

_STARTED = sys.argv[:1] == ["-m"] and bool({"ev_marl", "-mev_marl"} & set(sys.orig_argv))
if _STARTED and not sys.flags.safe_path and __path__[0] != os.path.join(sys.path[0], "ev_marl"):
    del sys.path[0]  # `python -m ev_marl`: the current folder, which may be a stranger's

import importlib
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register as _register_gymnasium
from gymnasium.envs.registration import registry as _gymnasium_registry

from ev_marl.support.package import __version__

try:
    from pettingzoo.env_registry import registration as _pettingzoo
except ImportError:  # older versions of PettingZoo have no registry
    _pettingzoo = None

if TYPE_CHECKING:
    from ev_marl.env.aec import env
    from ev_marl.env.batched import BatchedEnv
    from ev_marl.env.central import CentralEnv, central_env
    from ev_marl.env.parallel import ChargingEnv, parallel_env
    from ev_marl.objective import Objective
    from ev_marl.optimum.solution import Solution
    from ev_marl.optimum.solve import solve, solve_day
    from ev_marl.policies.make import make_policy
    from ev_marl.policies.plan import Plan
    from ev_marl.policies.rollout import rollout
    from ev_marl.scenario import Scenario, load_scenario
    from ev_marl.simulation.coordinators import make_coordinator
    from ev_marl.simulation.simulator import Simulator
    from ev_marl.site import Site
    from ev_marl.world import Track, World

__all__ = [
    "BatchedEnv",
    "CentralEnv",
    "ChargingEnv",
    "Objective",
    "Plan",
    "Scenario",
    "Simulator",
    "Site",
    "Solution",
    "Track",
    "World",
    "__version__",
    "central_env",
    "env",
    "load_scenario",
    "make_coordinator",
    "make_policy",
    "parallel_env",
    "rollout",
    "solve",
    "solve_day",
]

_ROOMS = {
    "BatchedEnv": "ev_marl.env.batched",
    "CentralEnv": "ev_marl.env.central",
    "ChargingEnv": "ev_marl.env.parallel",
    "Objective": "ev_marl.objective",
    "Plan": "ev_marl.policies.plan",
    "Scenario": "ev_marl.scenario",
    "Simulator": "ev_marl.simulation.simulator",
    "Site": "ev_marl.site",
    "Solution": "ev_marl.optimum.solution",
    "Track": "ev_marl.world",
    "World": "ev_marl.world",
    "central_env": "ev_marl.env.central",
    "load_scenario": "ev_marl.scenario",
    "make_coordinator": "ev_marl.simulation.coordinators",
    "make_policy": "ev_marl.policies.make",
    "parallel_env": "ev_marl.env.parallel",
    "rollout": "ev_marl.policies.rollout",
    "solve": "ev_marl.optimum.solve",
    "solve_day": "ev_marl.optimum.solve",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its room on first use."""
    if name == "env":  # the room itself, which can be called like the function of that name in it
        return importlib.import_module("ev_marl.env")
    if name not in _ROOMS:
        raise AttributeError(f"module 'ev_marl' has no attribute '{name}'")
    value = getattr(importlib.import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if _pettingzoo is not None and "ev_marl/charging-v0" not in _pettingzoo.parallel_registry:
    _pettingzoo.register("parallel", "ev_marl/charging-v0", "ev_marl.env.parallel:parallel_env")
    _pettingzoo.register("aec", "ev_marl/charging-v0", "ev_marl.env.aec:env")
if "ev_marl/central-v0" not in _gymnasium_registry:
    _register_gymnasium("ev_marl/central-v0", entry_point="ev_marl.env.central:CentralEnv")
