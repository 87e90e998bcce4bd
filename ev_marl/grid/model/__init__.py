"""The network as it is built, from pandapower, SimBench or a file, and its arrays."""

from ev_marl.grid.model.spec import NetworkSpec

__all__ = ["NetworkSpec"]
