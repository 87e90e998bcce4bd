"""Selfish stations: each plans for its own bill within the room that the others' plans leave, in turn.

Plans are announced to the groups, groups tell what room is left; a plan that stands keeps its room. Where nobody
changes his plan any more, it is an equilibrium of the game in which the limits are shared and nobody pays for them.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook import OutlookLike, by_group, checked
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, site_view
from ev_marl.policies.messages.plan import plan_in_turn
from ev_marl.support.errors import OptionError


@POLICIES.register("selfish")
class Selfish:
    """Each vehicle's own cheapest plan in the room that the others leave: first come, first served.

    The game: a vehicle chooses powers for all steps to its deadline and pays for its own energy, wear and unmet
    energy only; its powers must fit beside the announced plans of all others into the limits of the groups above it,
    as far as those limits are known or expected. In every step, vehicles choose in a random order, `sweeps` times
    round. Whoever was there before keeps the room that its plan takes until it prefers another plan; nobody makes way
    for a vehicle that needs it more, and nobody thinks of those who are still to come.

    A state in which nobody changes is a generalised Nash equilibrium. A vehicle's choice changes what others may do
    but not what their plans cost, so no turn makes the sum of all costs higher, and turns settle. There are many such
    equilibria; which of them is found depends on who came first. It is not one of the variational kind, in which all
    face the same price for the same limit: that one is the optimum itself, and `dual-prices` looks for it.

    Parameters
    ----------
    sweeps : int
        How often in every step each vehicle may change its plan.
    outlook : str or mapping, optional
        What groups think of limits at later steps, as the scenario's key `outlook`; what it leaves out is as the
        scenario says.
    """

    name = "selfish"
    information: Information = "messages"

    def __init__(self, sweeps: int = 2, outlook: OutlookLike | None = None) -> None:
        if sweeps < 1:
            raise OptionError(f"policy 'selfish': sweeps must be 1 or more, got {sweeps}")
        self.sweeps = int(sweeps)
        self.outlook = checked(outlook)

    def reset(self, episode: Episode) -> None:
        """Start without plans."""
        self._limits_kw = episode.outlook.limits_kw
        self._site = episode.site
        self._rng = episode.rng
        self._plan_kw = np.zeros((episode.n_batch, episode.site.n_ports, episode.n_steps))

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        site = self._site
        lower_kw, upper_kw = map(by_group, self._limits_kw(site_view(view).present()))
        vehicles = view.vehicles
        ports = np.tile(np.arange(site.n_ports), (len(view.connected), 1))
        for _ in range(self.sweeps):
            order = self._rng.permuted(ports, axis=1)
            plan_in_turn(view, vehicles, order, site, lower_kw, upper_kw, self._plan_kw)
        return self._plan_kw[:, :, view.step].copy()
