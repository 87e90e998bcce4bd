"""Model predictive control: a central operator plans the rest of the day anew in every step.

What the site knows now and expects of later comes in; the first step of the cheapest plan goes out. The programme
behind it, `ev_marl.planning.programme.receding`, loads HiGHS, and is therefore only loaded when an episode starts.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.planning.outlook.ahead import ExpectedOutlook, KnownOutlook, Outlook, PresentOutlook, look_ahead
from ev_marl.planning.outlook.loads import ExpectedLoads, KnownLoads, Loads, PresentLoads
from ev_marl.planning.programme.check import check_expressions
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, site_view
from ev_marl.policies.mpc.grid import GridAhead
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import OptionError, PolicyError, SolverError
from ev_marl.world.world import World


class _Control:
    """What both controllers share: look ahead, solve, take the first step."""

    name: str
    information: Information

    def __init__(
        self, horizon_h: float | None, waiting_per_kwh_h: float = 0.0, trust: float = 1.0, *, grid: bool = True
    ) -> None:
        if horizon_h is not None and not horizon_h > 0.0:
            raise OptionError(f"policy '{self.name}': horizon_h must be above 0, got {horizon_h}")
        if not 0.0 <= waiting_per_kwh_h < np.inf:
            raise OptionError(f"policy '{self.name}': waiting_per_kwh_h must be 0 or more, got {waiting_per_kwh_h}")
        if not 0.0 < trust <= 1.0:
            raise OptionError(f"policy '{self.name}': trust is a share above 0, at most 1, got {trust}")
        self.grid = bool(grid)
        self.trust = float(trust)
        self.horizon_h = None if horizon_h is None else float(horizon_h)
        self.waiting_per_kwh_h = float(waiting_per_kwh_h)
        self._outlook: Outlook = PresentOutlook()

    def check_objective(self, objective: Objective, site: SiteArrays) -> None:
        """Refuse an objective with a term that no plan can be made with."""
        check_expressions(objective, site, f"policy '{self.name}'")

    def reset(self, episode: Episode) -> None:
        """Start an episode: what counts, and what is expected."""
        self._objective = episode.objective
        if episode.objective is not None:
            self.check_objective(episode.objective, episode.site)
        from ev_marl.planning.programme.receding import Program  # noqa: PLC0415  with HiGHS, which takes a while

        self._solver = Program
        self._outlook = self._outlook_of(episode)
        loop = episode.grid
        self._grid = None
        if loop is not None and loop.curtails and self.grid:
            self._grid = GridAhead(
                loop,
                self._loads_of(episode),
                episode.site,
                fleets=self.information != "future",
                trust=self.trust,
            )
        self._n_steps = episode.n_steps
        if self.horizon_h is not None:
            self._n_steps = max(1, round(self.horizon_h / episode.step_h))

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        seen = site_view(view)
        objective = what_the_view_tells(view) if self._objective is None else self._objective
        setpoint_kw = np.zeros(view.energy_kwh.shape)
        for row in np.flatnonzero(view.connected.any(axis=1)).tolist():
            ahead = look_ahead(seen, int(row), self._outlook, self._n_steps, trust=self.trust)
            grid = None if self._grid is None else self._grid.rows(int(row), seen, ahead)
            try:
                program = self._solver(seen.site, ahead, objective, waiting_per_kwh_h=self.waiting_per_kwh_h, grid=grid)
            except SolverError as error:
                raise PolicyError(f"policy '{self.name}', step {view.step}, row {row}: {error}") from error
            setpoint_kw[row, view.connected[row]] = program.decision().power_kw
        return setpoint_kw

    def _outlook_of(self, episode: Episode) -> Outlook:
        raise NotImplementedError

    def _loads_of(self, episode: Episode) -> Loads:
        raise NotImplementedError


def what_the_view_tells(view: StationView) -> Objective:
    """The prices that every view tells as an objective, for a policy that is not given one; limits are hard."""
    worth = view.worth
    terms = (BatteryWear(worth.wear_per_kwh), UnmetEnergy(worth.unmet_per_kwh), DriverTariff(worth.tariff_per_kwh))
    return Objective([EnergyCost(worth.energy_weight), *terms])


@POLICIES.register("mpc")
class Mpc(_Control):
    """Receding horizon: in every step, the cheapest plan for all vehicles together, of which the first step is done.

    It knows what an operator of the site would: published prices, vehicles that are there with their departures and
    wishes, limits and base load of this step; on a network, its model, loads and generators of this step. Of later
    steps it expects what the scenario's models say: limits and loads given the present ones, and arrivals as a stream
    of mean vehicles. Without models, it expects nobody, and that limits and loads stay. The plan is a linear programme,
    that of the optimum.

    Parameters
    ----------
    horizon_h : float, optional
        How far it looks ahead; left out, to the end of the episode [h].
    expected_days : int
        Days from which the vehicles to come are drawn; 0: nobody is expected.
    waiting_per_kwh_h : float
        What it takes to be worth putting off a kWh by an hour: hedges against vehicles that nobody expected
        [currency/(kWh·h)].
    trust : float
        Share of the import limits of later steps, and of what the network's leave, that is planned with; less than 1
        hedges, too [-].
    grid : bool
        Whether it plans with the limits of the network above the site, where a coordinator keeps them.
    """

    name = "mpc"
    information: Information = "site"
    TUNABLE: ClassVar = {"waiting_per_kwh_h": (0.0, 0.01), "trust": (0.6, 1.0)}

    def __init__(
        self,
        horizon_h: float | None = None,
        expected_days: int = 30,
        waiting_per_kwh_h: float = 0.001,
        trust: float = 1.0,
        grid: bool = True,
    ) -> None:
        super().__init__(horizon_h, waiting_per_kwh_h, trust, grid=grid)
        if expected_days < 0:
            raise OptionError(f"policy 'mpc': expected_days must be 0 or more, got {expected_days}")
        self.expected_days = int(expected_days)
        self._world: World | None = None
        self._loads_world: World | None = None

    def _outlook_of(self, episode: Episode) -> Outlook:
        if episode.world is None:
            return PresentOutlook()
        if self._world is not episode.world:
            self._expected, self._world = ExpectedOutlook(episode.world, self.expected_days), episode.world
        return self._expected

    def _loads_of(self, episode: Episode) -> Loads:
        if episode.world is None or episode.world.site.network is None:
            return PresentLoads()
        if self._loads_world is not episode.world:
            self._loads, self._loads_world = ExpectedLoads(episode.world), episode.world
        return self._loads


@POLICIES.register("mpc-perfect")
class MpcPerfect(_Control):
    """Receding horizon with the truth: the same controller, told all sessions, loads and limits in advance.

    Parameters
    ----------
    horizon_h : float, optional
        How far it looks ahead; left out, to the end of the episode [h].
    grid : bool
        Whether it plans with the limits of the network above the site, where a coordinator keeps them.
    """

    name = "mpc-perfect"
    information: Information = "future"

    def __init__(self, horizon_h: float | None = None, grid: bool = True) -> None:
        super().__init__(horizon_h, grid=grid)

    def _outlook_of(self, episode: Episode) -> Outlook:
        if episode.tracks is None:
            raise PolicyError("policy 'mpc-perfect' needs the tracks of the episode")
        return KnownOutlook(episode.site, episode.tracks)

    def _loads_of(self, episode: Episode) -> Loads:
        assert episode.grid is not None  # or nobody would ask
        assert episode.tracks is not None
        return KnownLoads(episode.grid.site, episode.tracks)
