"""Whether a term of the objective prices every step, and whether its expression is the same cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import highspy
import numpy as np

from ev_marl.objective import Objective
from ev_marl.objective.base import DayModel, Expression, Seldom, Term
from ev_marl.planning.outlook import Present, Truth, make_outlook
from ev_marl.planning.outlook.ahead import Ahead, shifted
from ev_marl.planning.programme.arrays import ArrayDay
from ev_marl.simulation.coordinators.none import NoCoordinator
from ev_marl.simulation.days import vehicles_at
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ConformanceError
from ev_marl.support.highs import make_highs, pass_linear_program
from ev_marl.testing.asserting import calling, loaded_days, require, require_same, require_unchanged
from ev_marl.testing.cases import small_site
from ev_marl.world.track import Track

RELATIVE = 1e-6  # largest difference between expression and cost, relative to the costs of the day [-]
MOST_ROUNDS = 100  # of adding tangents
MARK = 12345.0  # stands in a row of `out` that belongs to no day


@dataclass
class _Played:
    """A batch of days that was played with random setpoints; B rows, T steps, P ports."""

    costs: np.ndarray  # float64 (T, B, P)  [currency]
    granted_kw: np.ndarray  # float64 (T, B, P)
    energy_kwh: np.ndarray  # float64 (T, B, P)  at the end of the step
    rests: dict[int, list[Ahead]]  # step -> the rest of each row's day, known without error


def check_term(factory: Callable[[], Term], *, exact: bool = True, n_batch: int = 3, seed: int = 0) -> None:
    """Check a term of the objective on days of a small site, with random setpoints and no coordinator.

    `cost` must write only to `out`, which comes in as zeros, and only finite numbers; give the same costs for the same
    step again, and for a day alone as for the day in a batch. `expression`, if it is not None, must be accepted by both
    implementations of `DayModel`, for the whole day and for the rest of a day. Its value for the powers that were
    played must be the sum of `cost` over the same steps, within 1e-6 of the costs of the day. The site has no network,
    so a term that reads `flow.grid` cannot be checked.

    Parameters
    ----------
    factory : callable
        Makes a new term, `lambda: MyTerm(...)`.
    exact : bool
        Whether the expression is the cost. If False, it may be lower, but never higher.
    n_batch : int
        Batch rows; row b plays `small_day(seed + b)` with base load and PV.
    seed : int
        Of days and setpoints.

    Raises
    ------
    ConformanceError
        If the term breaks a rule; the message says which, at which step, row and port, and what to do.
    """
    with calling("the term's constructor"):
        term = factory()
    require(isinstance(term, Term), f"{term!r} lacks name, cost or expression; a term has all three")
    require(isinstance(term.name, str) and bool(term.name), f"the name of a term is a str, got {term.name!r}")
    who = f"term '{term.name}'"
    tracks = loaded_days(n_batch, seed)
    played = _play(term, who, tracks, seed)
    for row, track in enumerate(tracks):
        with calling("the term's constructor"):
            again = factory()
        alone = _play(again, f"{who}, day {row} alone", [track], seed, row)
        for step, (one, together) in enumerate(zip(alone.costs[:, 0], played.costs[:, row], strict=True)):
            where = f"{who}, step {step}: the cost of day {row} alone differs from that in a batch"
            require_same(
                one, together, f"{where}; use only the row's own values and keep nothing between steps", "port"
            )
    _check_expression(term, who, played, exact=exact)


def _play(term: Term, who: str, tracks: list[Track], seed: int, row: int | None = None) -> _Played:
    """Play days with random setpoints; `row` picks the setpoints of one row of a larger batch."""
    site = small_site().arrays
    simulator = Simulator(site, NoCoordinator(), tracks)
    simulator.reset(np.arange(len(tracks)))
    costs, granted_kw, energy_kwh, rests = [], [], [], dict[int, list[Ahead]]()
    while not simulator.done:
        step = simulator.state.step
        if step % 7 == 0:
            rests[step] = [_rest(simulator, site, tracks, b) for b in range(len(tracks))]
        rows = range(len(tracks)) if row is None else [row]
        draws = [np.random.default_rng((seed, step, b)) for b in rows]
        flow = simulator.step(np.stack([rng.uniform(-11.0, 11.0, site.n_ports) for rng in draws]))
        costs.append(_cost(term, flow, f"{who}, step {step}"))
        granted_kw.append(flow.granted_kw.copy())
        energy_kwh.append(flow.energy_kwh.copy())
    return _Played(np.stack(costs), np.stack(granted_kw), np.stack(energy_kwh), rests)


def _cost(term: Term, flow: Flow, where: str) -> np.ndarray:
    """The term's cost of a step, asked twice."""
    names = [field.name for field in fields(Flow) if isinstance(getattr(flow, field.name), np.ndarray)]
    before = [getattr(flow, name).copy() for name in names]
    if isinstance(term, Seldom):
        with calling(f"{where}, due"):
            due = term.due(flow)
        require(isinstance(due, bool | np.bool_), f"{where}: due must return True or False, got {due!r}")
        if not due:
            return np.zeros(flow.granted_kw.shape)
    answers = []
    for _ in range(2):
        spare = np.zeros((len(flow.granted_kw) + 1, flow.granted_kw.shape[1]))
        spare[-1] = MARK
        out = spare[:-1]
        with calling(f"{where}, cost"):
            returned = term.cost(flow, out)  # type: ignore[func-returns-value]  # of anybody's code
        require(returned is None, f"{where}: cost returned {type(returned).__name__}; write the costs to out")
        require(bool((spare[-1] == MARK).all()), f"{where}: cost wrote beyond out")
        fine = np.isfinite(out)
        if not fine.all():
            place = tuple(int(i) for i in np.argwhere(~fine)[0])
            raise ConformanceError(f"{where}: cost at (row, port) = {place} is {out[place]}; it must be finite")
        answers.append(out.copy())
    after = [getattr(flow, name) for name in names]
    require_unchanged(before, after, [f"flow.{name}" for name in names], f"{where}: cost")
    require_same(answers[1], answers[0], f"{where}: the same step costs something else when asked again", "(row, port)")
    return answers[0]


def _rest(simulator: Simulator, site: SiteArrays, tracks: list[Track], row: int) -> Ahead:
    """The rest of a row's day from the present step on, as a plan with full knowledge has it."""
    state, days, step = simulator.state, simulator.days, simulator.state.step
    if step == 0:
        return Ahead.of_day(site, tracks[row])
    outlook = make_outlook("known")
    outlook.begin(Truth.of(simulator), None)
    here = vehicles_at(days.stays, state.session, state.energy_kwh, step)[row, state.session[row] >= 0]
    here["arrival_step"] = step
    here["floor_kwh"] = np.minimum(here["floor_kwh"], here["energy_kwh"])
    coming = outlook.vehicles(Present.of(state, days.n_steps), 0)
    later = coming.stays[coming.expected[row]]
    return Ahead(
        step=step,
        step_h=days.step_h,
        n_here=len(here),
        stays=shifted(np.concatenate([here, later]), step),
        buy_per_kwh=days.buy_per_kwh[row, step:],
        sell_per_kwh=days.sell_per_kwh[row, step:],
        lower_kw=days.lower_kw[row, step:],
        upper_kw=days.upper_kw[row, step:],
        base_load_kw=days.base_load_kw[row, step:],
        currents=days.by_current[:, row, step:],
        local_hour=days.local_hour[row, step:],
        peak_kw=float(state.peak_kw[row]),
        later_per_kwh=float(days.later_per_kwh[row]),
        ends=True,
        carbon_kg_per_kwh=None if days.carbon_kg_per_kwh is None else days.carbon_kg_per_kwh[row, step:],
        temperature_c=None if days.temperature_c is None else days.temperature_c[row, step:],
        requests=None if days.requests is None else days.requests[row, step:],
        oil_k=state.oil_k[row],
    )


def _check_expression(term: Term, who: str, played: _Played, *, exact: bool) -> None:
    """Compare the expression's value for the played powers with the sum of the costs."""
    from ev_marl.optimum.model import PyomoDay  # noqa: PLC0415  Pyomo is slow to import

    site = small_site().arrays
    objective = Objective([term], limits_are_hard=False)
    with calling(f"{who}, expression"):
        if term.expression(ArrayDay(site, Ahead.empty(site, 1, 0.5), Objective([_Nothing()]))) is None:
            return
    with calling(f"{who}, expression as a Pyomo model (the optimum)"):
        PyomoDay(site, loaded_days(1, 0)[0], objective)
    for step, rests in played.rests.items():
        for row, ahead in enumerate(rests):
            where = f"{who}, expression of day {row} from step {step} on"
            with calling(where):
                day = ArrayDay(site, ahead, objective)
            value = _value(day, played, row, where)
            costs = played.costs[step:, row]
            cost, allowed = float(costs.sum()), RELATIVE * max(1e-3, float(np.abs(costs).sum()))
            found = f"{where}: its value for the powers that were played is {value:.9g}, `cost` sums to {cost:.9g}"
            higher = value > cost + allowed
            require(not higher, f"{found}; it must not be higher: the optimum would be no bound")
            lower = exact and value < cost - allowed
            require(not lower, f"{found}; state the same cost, or check with exact=False if it is meant to be lower")


class _Nothing:
    """A term without a cost."""

    name = "nothing"

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """Nothing."""

    def expression(self, day: DayModel) -> Expression:
        """0."""
        return day.linear(day.charge, np.zeros(len(day.charge)))


def _value(day: ArrayDay, played: _Played, row: int, where: str) -> float:
    """The least value of a programme's cost for powers that were played; the term's own variables are free."""
    x_lower, x_upper = day.lower.copy(), day.upper.copy()
    step, port, out = day.first_step + day.pair_step, day.pairs.port, day.discharge_pairs
    power_kw, energy_kwh = played.granted_kw[step, row, port], played.energy_kwh[step, row, port]
    owed = day.owed_sessions
    shortfall_kwh = np.maximum(0.0, day.sessions["due_kwh"][owed] - energy_kwh[day.last_pair[owed]])
    for columns, values in (
        (day.charge_column, np.maximum(0.0, power_kw)),
        (day.discharge_column, np.maximum(0.0, -power_kw[out])),
        (day.energy_column, energy_kwh),
        (day.shortfall_column, shortfall_kwh),
    ):
        x_lower[columns] = x_upper[columns] = values
    if not np.isfinite(day.cost).all() or not np.isfinite(day.offset):
        raise ConformanceError(f"{where}: a coefficient or the constant is not finite")
    if not day.n_columns:
        return day.offset
    highs = make_highs(presolve="off")
    rows = day.rows
    entries = rows.starts, rows.columns, rows.values
    pass_linear_program(highs, day.cost, (x_lower, x_upper), (rows.lower, rows.upper), entries)
    for _ in range(MOST_ROUNDS):
        highs.run()
        status = highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            said = highs.modelStatusToString(status).lower()
            raise ConformanceError(
                f"{where}: its constraints exclude the powers that were played (HiGHS: {said}); a constraint of a term "
                "may only tie the term's own variables to the powers"
            )
        x = np.array(highs.getSolution().col_value)
        further = day.convex.broken(x, 1e-2 * RELATIVE / max(1, len(day.convex)))
        if not len(further):
            break
        highs.addRows(
            len(further),
            further.lower,
            further.upper,
            len(further.values),
            further.starts[:-1].astype(np.int32),
            further.columns.astype(np.int32),
            further.values,
        )
    return float(day.cost @ x) + day.offset
