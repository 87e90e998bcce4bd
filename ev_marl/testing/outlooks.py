"""Whether an outlook tells values that policies can plan with, and leaves the truth as it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ev_marl.planning.outlook import Coming, Outlook, Present, Truth
from ev_marl.planning.outlook.base import KINDS, Kind, Rows
from ev_marl.planning.outlook.make import METHODS
from ev_marl.simulation.coordinators.none import NoCoordinator
from ev_marl.simulation.days import STAY
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import ConformanceError
from ev_marl.testing.asserting import calling, loaded_days, require, require_array, require_same, require_unchanged
from ev_marl.testing.cases import small_site
from ev_marl.world.world import World

PLAYED = ("prices", "limits", "base_load", "vehicles")  # kinds that the small site has
DRAWN_DAYS = 2


def check_outlook(factory: Callable[[], Outlook], *, n_batch: int = 3, seed: int = 0) -> None:
    """Check an outlook on days of a small site.

    It must have `foresees`, `begin` and a method for at least one kind of value. In every step, prices, limits and base
    load must be float64 of the stated shapes and finite (limits may be infinite). Values of the present step must be
    the measured ones, and limits must enclose 0. If `foresees` is True, all values must be true. Vehicles to come must
    arrive after the present step, at a port of the site, and keep their places from step to step. Answers must be the
    same when asked again, for rows given as an array or as a slice, and for a day alone as in a batch. The outlook must
    not change the days or the present values. `begin` gets no world, and the site has no network: `grid_loads` is not
    checked.

    Parameters
    ----------
    factory : callable
        Makes a new outlook, `lambda: MyOutlook(...)`.
    n_batch : int
        Days; day k is `small_day(seed + k)` with base load and PV.
    seed : int
        Of the days.

    Raises
    ------
    ConformanceError
        If the outlook breaks a rule; the message says which, at which step and place, and what to do.
    """
    with calling("the outlook's constructor"):
        outlook = factory()
    who = f"outlook {type(outlook).__name__}"
    require(callable(getattr(outlook, "begin", None)), f"{who} has no method begin(truth, world)")
    kinds = [kind for kind in KINDS if callable(getattr(outlook, METHODS[kind], None))]
    methods = ", ".join(METHODS.values())
    require(bool(kinds), f"{who} covers no kind of value: give it at least one of the methods {methods}")
    site = small_site().arrays
    simulator = Simulator(site, NoCoordinator(), loaded_days(n_batch, seed))
    truth = Truth.of(simulator)
    days = simulator.days
    named = {"stays": days.stays, "by_step": days.by_step, "by_group": days.by_group, "truth.stays": truth.stays}
    before = [array.copy() for array in named.values()]
    _begin(outlook, truth, None, who)
    foresees = getattr(outlook, "foresees", None)
    require(isinstance(foresees, bool), f"{who}: foresees must be True or False, got {foresees!r}")
    assert isinstance(foresees, bool)
    simulator.reset(np.arange(n_batch))
    places: int | None = None
    while not simulator.done:
        step = simulator.state.step
        where = f"{who}, step {step}"
        answers = _answers(outlook, simulator, np.arange(n_batch), kinds, where)
        _check_values(answers, simulator, where, foresees=foresees)
        if "vehicles" in answers:
            places = _check_coming(answers["vehicles"][0], simulator, where, places)
        for said, again in (
            ("when asked again", _answers(outlook, simulator, np.arange(n_batch), kinds, where)),
            ("where `day` is a slice", _answers(outlook, simulator, slice(0, n_batch), kinds, where)),
        ):
            _require_equal(again, answers, slice(None), f"{where}: other values {said}")
        one = n_batch - 1
        alone = _answers(outlook, simulator, slice(one, one + 1), kinds, where)
        _require_equal(
            alone, answers, slice(one, one + 1), f"{where}: other values for day {one} alone than in a batch"
        )
        require_unchanged(before, list(named.values()), [f"the days' {name}" for name in named], where)
        simulator.step(np.full((n_batch, site.n_ports), 3.0))


def _begin(outlook: Outlook, truth: Truth, world: World | None, who: str) -> None:
    with calling(f"{who}, begin"):
        outlook.begin(truth, world)


def _answers(
    outlook: Outlook, simulator: Simulator, day: Rows, kinds: list[Kind], where: str
) -> dict[Kind, tuple[object, ...]]:
    """What the outlook tells of each kind, for some of the rows."""
    state, n_steps = simulator.state, simulator.days.n_steps
    tables = [state.lower_kw[day].copy(), state.upper_kw[day].copy(), state.base_load_kw[day].copy()]
    present = Present(state.step, n_steps, day, *tables)
    given = [table.copy() for table in tables]
    told: dict[Kind, tuple[object, ...]] = {}
    for kind in kinds:
        if kind not in PLAYED:
            continue
        method = METHODS[kind]
        with calling(f"{where}, {method}"):
            if kind == "prices":
                answer: object = outlook.prices(day, state.step)
            elif kind == "limits":
                answer = outlook.limits_kw(present)
            elif kind == "base_load":
                answer = (outlook.base_load_kw(present),)
            else:
                answer = (outlook.vehicles(present, DRAWN_DAYS),)
        n_parts = 2 if kind in ("prices", "limits") else 1
        pair = isinstance(answer, tuple) and len(answer) == n_parts
        require(pair, f"{where}: {method} must return a tuple of two arrays, got {type(answer).__name__}")
        assert isinstance(answer, tuple)
        told[kind] = answer
        names = ("lower_kw", "upper_kw", "base_load_kw")
        require_unchanged(given, tables, [f"present.{name}" for name in names], f"{where}: {method}")
    return told


def _check_values(answers: dict[Kind, tuple[object, ...]], simulator: Simulator, where: str, *, foresees: bool) -> None:
    """Shapes, finite numbers, and the values of the present step."""
    days, step = simulator.days, simulator.state.step
    n_batch, n_left = days.n_days, days.n_steps - step
    true: dict[Kind, list[tuple[str, np.ndarray]]] = {
        "prices": [("buying price", days.buy_per_kwh), ("selling price", days.sell_per_kwh)],
        "limits": [("lowest power", days.lower_kw), ("highest power", days.upper_kw)],
        "base_load": [("base load", days.base_load_kw)],
    }
    for kind, parts in true.items():
        if kind not in answers:
            continue
        axes = "(row, steps ahead)" if kind == "prices" else "(row, steps ahead, group)"
        for values, (name, table) in zip(answers[kind], parts, strict=True):
            what = f"{where}, {METHODS[kind]}: {name}"
            require_array(values, (n_batch, n_left, *table.shape[2:]), what)
            assert isinstance(values, np.ndarray)
            wild = np.isnan(values) if kind == "limits" else ~np.isfinite(values)
            if wild.any():
                place = tuple(int(i) for i in np.argwhere(wild)[0])
                raise ConformanceError(f"{what} at {axes} = {place} is {values[place]}; give a number")
            now = f"{what}: of the present step, it must be the measured value"
            require_same(
                values[:, 0], table[:, step], now, axes.replace("steps ahead, ", "").replace(", steps ahead", "")
            )
            if foresees:
                meant = (
                    f"{what}: foresees is True, so it must be the true value; if it has an error, set foresees to False"
                )
                require_same(values, table[:, step:], meant, axes)
    if "limits" in answers:
        lower, upper = answers["limits"]
        assert isinstance(lower, np.ndarray)
        assert isinstance(upper, np.ndarray)
        outside = (lower > 0.0) | (upper < 0.0)
        if outside.any():
            place = tuple(int(i) for i in np.argwhere(outside)[0])
            raise ConformanceError(
                f"{where}, limits_kw: limits at (row, steps ahead, group) = {place} are {lower[place]} and "
                f"{upper[place]} kW; clamp them, so that lowest <= 0 <= highest"
            )


def _check_coming(coming: object, simulator: Simulator, where: str, places: int | None) -> int:
    """Whether vehicles to come can be planned for; the number of their places."""
    what = f"{where}, vehicles"
    require(isinstance(coming, Coming), f"{what}: expected a Coming, got {type(coming).__name__}")
    assert isinstance(coming, Coming)
    stays, step = coming.stays, simulator.state.step
    stays_fit = isinstance(stays, np.ndarray) and stays.dtype == STAY and stays.ndim == 1
    require(stays_fit, f"{what}: stays must be a one-dimensional array of the dtype STAY (ev_marl.simulation.days)")
    require_array(coming.expected, (simulator.n_batch, len(stays)), f"{what}: expected", "bool")
    require(0.0 < coming.weight <= 1.0, f"{what}: weight must be above 0 and at most 1, got {coming.weight}")
    kept = places is None or places == len(stays)
    require(kept, f"{what}: {len(stays)} stays, {places} before; stays keep their places, so mark with `expected`")
    chosen = stays[coming.expected.any(axis=0)]
    for name, fine, needed in (
        ("port", (chosen["port"] >= 0) & (chosen["port"] < simulator.site.n_ports), "a port of the site"),
        ("arrival_step", chosen["arrival_step"] > step, "after the present step"),
        ("departure_step", chosen["departure_step"] > chosen["arrival_step"], "after the arrival"),
        ("capacity_kwh", np.isfinite(chosen["capacity_kwh"]) & (chosen["capacity_kwh"] > 0.0), "above 0 kWh"),
        ("energy_kwh", (chosen["energy_kwh"] >= 0) & (chosen["energy_kwh"] <= chosen["capacity_kwh"]), "0 to capacity"),
        ("due_kwh", (chosen["due_kwh"] >= 0) & (chosen["due_kwh"] <= chosen["capacity_kwh"] + 1e-9), "0 to capacity"),
    ):
        if not fine.all():
            found = chosen[name][np.flatnonzero(~fine)[0]]
            raise ConformanceError(f"{what}: {name} of an expected stay is {found}; it must be {needed}")
    return len(stays)


def _require_equal(
    answers: dict[Kind, tuple[object, ...]], expected: dict[Kind, tuple[object, ...]], rows: slice, where: str
) -> None:
    """Compare answers with some rows of others."""
    for kind, parts in answers.items():
        for part, other in zip(parts, expected[kind], strict=True):
            if isinstance(part, Coming) and isinstance(other, Coming):
                same = part.stays.tobytes() == other.stays.tobytes() and part.weight == other.weight
                same = same and np.array_equal(part.expected, other.expected[rows])
                require(same, f"{where} ({METHODS[kind]})")
            else:
                one, whole = np.asarray(part), np.asarray(other)[rows]
                require(one.shape == whole.shape, f"{where} ({METHODS[kind]}): shape {one.shape}, not {whole.shape}")
                require_same(one, whole, f"{where} ({METHODS[kind]})", "(row, steps ahead, ...)")
