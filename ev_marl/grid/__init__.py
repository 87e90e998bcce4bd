"""What the network feels: one protocol, pandapower as the reference, fast backends that agree with it."""

from ev_marl.grid.solvers.base import BACKENDS, GridBackend, Injections, PowerFlow

__all__ = ["BACKENDS", "GridBackend", "Injections", "PowerFlow"]
