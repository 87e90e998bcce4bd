"""What is built: the coupling graph and its compiled arrays, stations and ports, the vehicle catalogue."""

from ev_marl.site.arrays import SiteArrays
from ev_marl.site.site import Site

__all__ = ["Site", "SiteArrays"]
