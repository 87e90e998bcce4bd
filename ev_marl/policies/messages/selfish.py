"""Selfish stations: each plans for its own costs within the room that the plans of the others leave, in turn.

Plans are announced to the groups, and groups announce the room that is left; a plan keeps its room. If no plan changes
any more, it is an equilibrium of the game in which the limits are shared and have no price.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import Kind, OutlookLike, by_group, checked
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, count_option, site_view
from ev_marl.policies.messages.plan import plan_in_turn

MOST_SWEEPS = 1000
"""Turns in a step; plans settle after a few."""


@POLICIES.register("selfish")
class Selfish:
    """Each vehicle's own cheapest plan in the room that the others leave: first come, first served.

    The game: a vehicle chooses powers for all steps to its deadline and pays for its own energy, wear and unmet
    energy only, and counts what it has at the end where it stays. Behind a site's meter, its energy costs what it
    changes in the site's bill, the plans of the others being as they are. Its powers must fit beside the announced
    plans of all others into the limits of the groups above it, as far as those limits are known or expected. In every
    step, vehicles choose in a random order, `sweeps` times round. A vehicle keeps the room of its plan until it chooses
    another plan; it does not give way to a vehicle with a greater need, and does not consider vehicles to come.

    A state in which no vehicle changes its plan is a generalised Nash equilibrium. A choice changes what others may do,
    and the bill by just what the vehicle pays, so no turn increases the sum of all costs, and the turns converge. There
    are many such equilibria; the order of arrival determines which one is found. It is not the variational equilibrium,
    in which all have the same price for the same limit: that one is the optimum itself, and `dual-prices` searches for
    it.

    Parameters
    ----------
    sweeps : int
        Number of times that each vehicle may change its plan in a step.
    outlook : str or mapping, optional
        Outlook of the groups on later limits and base load, as the scenario's key `outlook`; keys that it does not have
        are those of the scenario.
    """

    name = "selfish"
    information: Information = "messages"
    looks_at: ClassVar[tuple[Kind, ...]] = ("prices", "limits", "base_load")

    def __init__(self, sweeps: int = 2, outlook: OutlookLike | None = None) -> None:
        self.sweeps = count_option("selfish", "sweeps", sweeps, 1, MOST_SWEEPS)
        self.outlook = checked(outlook)

    def reset(self, episode: Episode) -> None:
        """Start without plans."""
        self._outlook = episode.outlook
        self._site = episode.site
        self._rng = episode.rng
        self._plan_kw = np.zeros((episode.n_batch, episode.site.n_ports, episode.n_steps))

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        site = self._site
        present = site_view(view).present()
        limits_kw = np.stack([by_group(limit) for limit in self._outlook.limits_kw(present)])
        base_load_kw = self._outlook.base_load_kw(present)[:, :, 0]
        ports = np.arange(site.n_ports)[None, :]
        for _ in range(self.sweeps):
            # The same order in all rows, so that a day is the same alone and in a batch.
            order = np.repeat(self._rng.permuted(ports, axis=1), len(view.connected), axis=0)
            plan_in_turn(view, order, site, limits_kw, base_load_kw, self._plan_kw)
        return self._plan_kw[:, :, view.step].copy()
