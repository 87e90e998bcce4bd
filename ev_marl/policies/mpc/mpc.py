"""Model predictive control: a central operator plans the rest of the day again in every step.

The view of the site and an outlook come in; the first step of the cheapest plan goes out. The programme behind it,
`ev_marl.planning.programme.receding`, needs HiGHS, and is therefore imported when an episode starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.tariff import DriverTariff
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.planning.outlook import KINDS, Kind, OutlookLike, checked
from ev_marl.planning.outlook.fleets import fleets
from ev_marl.planning.programme.check import check_expressions
from ev_marl.policies.base import (
    MOST_EXPECTED_DAYS,
    POLICIES,
    Episode,
    Information,
    SiteView,
    StationView,
    count_option,
    site_view,
)
from ev_marl.policies.mpc.ahead import look_ahead
from ev_marl.policies.mpc.grid import GridAhead
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import OptionError, PolicyError, SolverError

if TYPE_CHECKING:
    from ev_marl.planning.programme.receding import Program, Start


class _Control:
    """Base of both controllers: look ahead, solve, take the first step."""

    name: str
    information: Information
    looks_at: ClassVar[tuple[Kind, ...]] = KINDS

    def __init__(
        self,
        horizon_h: float | None,
        waiting_per_kwh_h: float = 0.0,
        trust: float = 1.0,
        expected_days: int = 1,
        outlook: OutlookLike | None = None,
        *,
        grid: bool = True,
        keep_plan: bool = False,
        block_h: float = 0.0,
        share_peak: bool = False,
    ) -> None:
        if not 0.0 <= block_h < np.inf:
            raise OptionError(f"policy '{self.name}': block_h must be 0 or more, got {block_h}")
        if horizon_h is not None and not horizon_h > 0.0:
            raise OptionError(f"policy '{self.name}': horizon_h must be above 0, got {horizon_h}")
        if not 0.0 <= waiting_per_kwh_h < np.inf:
            raise OptionError(f"policy '{self.name}': waiting_per_kwh_h must be 0 or more, got {waiting_per_kwh_h}")
        if not 0.0 < trust <= 1.0:
            raise OptionError(f"policy '{self.name}': trust is a share above 0, at most 1, got {trust}")
        self.expected_days = count_option(self.name, "expected_days", expected_days, 0, MOST_EXPECTED_DAYS)
        self.outlook = checked(outlook)
        self.grid = bool(grid)
        self.keep_plan, self.block_h, self.share_peak = bool(keep_plan), float(block_h), bool(share_peak)
        self.trust = float(trust)
        self.horizon_h = None if horizon_h is None else float(horizon_h)
        self.waiting_per_kwh_h = float(waiting_per_kwh_h)
        self._grouped: tuple[np.ndarray, np.ndarray] | None = None  # vehicles of drawn days, and their fleets

    def check_objective(self, objective: Objective, site: SiteArrays, *, with_grid: bool) -> None:
        """Refuse an objective with a term that cannot be planned with."""
        check_expressions(objective, site, f"policy '{self.name}'", with_grid=with_grid and self.grid)

    def reset(self, episode: Episode) -> None:
        """Start an episode: take over objective and outlook."""
        self._objective = episode.objective
        if episode.objective is not None:
            self.check_objective(episode.objective, episode.site, with_grid=episode.grid is not None)
        from ev_marl.planning.programme.receding import Program  # noqa: PLC0415  with HiGHS, which takes a while

        self._solver = Program
        self._outlook = episode.outlook
        loop = episode.grid
        self._grid = None
        if loop is not None and self.grid:
            self._grid = GridAhead(loop, episode.outlook, episode.site, trust=self.trust)
        self._starts: dict[int, Start | None] = {}  # of each row
        self._plans: dict[int, Program] = {}  # of each row, where plans are kept
        self._n_steps = episode.n_steps
        self._block_steps = max(1, round(self.block_h / episode.step_h))
        if self.horizon_h is not None:
            self._n_steps = max(1, round(self.horizon_h / episode.step_h))

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        seen = site_view(view)
        objective = what_the_view_tells(view) if self._objective is None else self._objective
        setpoint_kw = np.zeros(view.energy_kwh.shape)
        for row in np.flatnonzero(view.connected.any(axis=1)).tolist():
            coming, are_fleets = self._coming(seen, row)
            ahead = look_ahead(
                seen, row, self._outlook, coming, self._n_steps, trust=self.trust, share_peak=self.share_peak
            )
            if row in self._plans:
                later_kw = self._plans[row].later(ahead)
                if later_kw is not None:
                    setpoint_kw[row, view.connected[row]] = later_kw
                    continue
                self._starts[row] = self._plans[row].start()
            grid = None if self._grid is None else self._grid.rows(row, seen, ahead, fleets=are_fleets)
            try:
                program = self._solver(
                    seen.site,
                    ahead,
                    objective,
                    waiting_per_kwh_h=self.waiting_per_kwh_h,
                    grid=grid,
                    start=self._starts.get(row),
                    block_steps=self._block_steps,
                )
            except SolverError as error:
                raise PolicyError(f"policy '{self.name}', step {view.step}, row {row}: {error}") from error
            if self.keep_plan:
                self._plans[row] = program
            else:
                self._starts[row] = program.start()
            setpoint_kw[row, view.connected[row]] = program.decision().power_kw
        return setpoint_kw

    def _coming(self, view: SiteView, row: int) -> tuple[np.ndarray, bool]:
        """Vehicles that arrive later, and whether they are fleets: means over several days."""
        told = self._outlook.vehicles(view.present(row), self.expected_days)
        if told.weight == 1.0:
            return told.stays[told.expected[0]], False
        if self._grouped is None or self._grouped[0] is not told.stays:
            self._grouped = told.stays, fleets(told.stays, told.weight, view.site, view.n_steps, view.step_h)
        grouped = self._grouped[1]
        return grouped[grouped["arrival_step"] > view.step], True


def what_the_view_tells(view: StationView) -> Objective:
    """An objective from the prices in the view, for a policy that is not given one; limits are hard."""
    worth = view.worth
    terms = (BatteryWear(worth.wear_per_kwh), UnmetEnergy(worth.unmet_per_kwh), DriverTariff(worth.tariff_per_kwh))
    further = [term for term in (worth.terminal, worth.ageing) if term is not None]
    return Objective([EnergyCost(worth.energy_weight, worth.metering), *terms, *further])


@POLICIES.register("mpc")
class Mpc(_Control):
    """Receding horizon: in every step, the first step of the cheapest plan for all vehicles together.

    It knows what an operator of the site would know: published prices, the connected vehicles with their departures and
    wishes, limits and base load of this step; on a network, its model, loads and generators of this step. Later steps
    are those of its outlook: by default the expectation of the scenario's models, with limits and loads given the
    present ones, and arrivals as a stream of mean vehicles; without models, no vehicles come, and limits and loads stay
    as they are. The plan is a linear programme, that of the optimum.

    Parameters
    ----------
    horizon_h : float, optional
        Length of the plan; by default to the end of the episode [h].
    expected_days : int
        Most days whose vehicles are combined into the vehicles to come, up to 1000; 0: no vehicles to come.
    waiting_per_kwh_h : float
        Saving that is needed to delay a kWh by an hour: a margin for vehicles that come unexpectedly
        [currency/(kWh·h)].
    trust : float
        Share of the import limits of later steps, and of the room below current limits and on the network, that plans
        use; less than 1 is a margin, too [-].
    grid : bool
        Whether it plans with the network above the site: with its limits, where a coordinator keeps them, and with what
        the objective prices there. Without it, an objective that prices the network is refused.
    outlook : str or mapping, optional
        Its outlook, as the scenario's key `outlook`; keys that it does not have are those of the scenario.
    keep_plan : bool
        Whether a plan is kept until something comes otherwise than it expected: a vehicle, a price, a limit, or less
        energy. This saves most of the time where no vehicles are expected (`expected_days` = 0), and never holds with
        expected vehicles or a network. The rest of a cheapest plan is the cheapest plan of the rest, but delay counts
        from when it was made.
    block_h : float
        Steps that are further ahead than this are planned in blocks of this length, in which a vehicle charges with
        constant power and current limits are kept as in the first step; 0: each step by itself [h]. It makes long plans
        of short steps several times faster, and their later part coarser.
    share_peak : bool
        Whether a plan that ends before the episode pays for a higher peak (`peak_power`) only the share that its steps
        have of those that are left: as if the others could use the rise as well. Of a month's demand charge, a plan of
        24 hours pays a thirtieth on the first day, and all on the last.
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
        outlook: OutlookLike | None = None,
        keep_plan: bool = False,
        block_h: float = 0.0,
        share_peak: bool = False,
    ) -> None:
        super().__init__(
            horizon_h,
            waiting_per_kwh_h,
            trust,
            expected_days,
            outlook,
            grid=grid,
            keep_plan=keep_plan,
            block_h=block_h,
            share_peak=share_peak,
        )


@POLICIES.register("mpc-perfect")
class MpcPerfect(_Control):
    """Receding horizon with perfect foresight: the same controller, with all sessions, loads and limits known.

    Parameters
    ----------
    horizon_h : float, optional
        Length of the plan; by default to the end of the episode [h].
    grid : bool
        Whether it plans with the network above the site: with its limits, where a coordinator keeps them, and with what
        the objective prices there. Without it, an objective that prices the network is refused.
    """

    name = "mpc-perfect"
    information: Information = "future"

    def __init__(self, horizon_h: float | None = None, grid: bool = True) -> None:
        super().__init__(horizon_h, outlook="known", grid=grid)
