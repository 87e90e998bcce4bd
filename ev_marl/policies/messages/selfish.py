"""Selfish stations: each plans for its own bill within the room that the others' plans leave, in turn.

Plans are announced to the groups, groups tell what room is left; a plan that stands keeps its room. Where nobody
changes his plan any more, it is an equilibrium of the game in which the limits are shared and nobody pays for them.
"""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook.expected import ExpectedRoom, room_ahead
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, site_view
from ev_marl.policies.messages.plan import plan_in_turn
from ev_marl.support.errors import OptionError
from ev_marl.world.world import World


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
    """

    name = "selfish"
    information: Information = "messages"

    def __init__(self, sweeps: int = 2) -> None:
        if sweeps < 1:
            raise OptionError(f"policy 'selfish': sweeps must be 1 or more, got {sweeps}")
        self.sweeps = int(sweeps)
        self._world: World | None = None
        self._room: ExpectedRoom | None = None

    def reset(self, episode: Episode) -> None:
        """Start without plans; what is expected of limits is drawn once for each world."""
        if episode.world is not self._world:
            self._world = episode.world
            self._room = None if episode.world is None else ExpectedRoom.of(episode.world)
        self._site = episode.site
        self._rng = episode.rng
        self._plan_kw = np.zeros((episode.n_batch, episode.site.n_ports, episode.n_steps))

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        site = self._site
        lower_kw, upper_kw = room_ahead(self._room, site_view(view))
        vehicles = view.vehicles
        ports = np.tile(np.arange(site.n_ports), (len(view.connected), 1))
        for _ in range(self.sweeps):
            order = self._rng.permuted(ports, axis=1)
            plan_in_turn(view, vehicles, order, site, lower_kw, upper_kw, self._plan_kw)
        return self._plan_kw[:, :, view.step].copy()
