"""The network above the site: its model, the solvers of its power flow, its part in a step, studies of it."""

from ev_marl.grid.solvers.base import BACKENDS, GridBackend, Injections, PowerFlow

__all__ = ["BACKENDS", "GridBackend", "Injections", "PowerFlow"]
