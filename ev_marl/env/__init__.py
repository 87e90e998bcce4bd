"""The environments: PettingZoo parallel and AEC, one central agent (Gymnasium), batches of arrays.

A scenario comes in, an environment goes out. Nothing is loaded before it is used. PettingZoo's convention is that a
package has functions `env` and `parallel_env`; since this room is called `env` too, `ev_marl.env(...)` calls the room,
and the room calls its function.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_MODULES = {
    "BatchedEnv": "batched",
    "CentralEnv": "central",
    "ChargingEnv": "parallel",
    "Setting": "setup",
    "central_env": "central",
    "parallel_env": "parallel",
}


class _Room(ModuleType):
    """A package that can be called: it makes the AEC environment."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("ev_marl.env.aec").env(*args, **kwargs)


def __getattr__(name: str) -> Any:
    """Load a face on first use."""
    if name == "env":
        return importlib.import_module("ev_marl.env.aec").env
    if name not in _MODULES:
        raise AttributeError(f"module 'ev_marl.env' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ev_marl.env.{_MODULES[name]}"), name)


sys.modules[__name__].__class__ = _Room
