"""What is built: the tree of limits and its arrays, stations and ports, the catalogue of vehicles, the charge curve."""

from ev_marl.site.arrays import SiteArrays
from ev_marl.site.site import Site

__all__ = ["Site", "SiteArrays"]
