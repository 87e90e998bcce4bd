"""The network that a site hangs on: what is built, before anything flows."""

from ev_marl.grid.model.spec import NetworkSpec

__all__ = ["NetworkSpec"]
