"""The network above the site: its model, the solvers of its power flow, its part in a step, studies of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ev_marl.support.lazy import on_first_use

if TYPE_CHECKING:
    from ev_marl.grid.solvers.base import BACKENDS, GridBackend, Injections, PowerFlow

__all__ = ["BACKENDS", "GridBackend", "Injections", "PowerFlow"]

__getattr__, __dir__ = on_first_use(__name__, dict.fromkeys(__all__, "solvers.base"))
