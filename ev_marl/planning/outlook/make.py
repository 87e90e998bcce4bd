"""Makes an outlook from what a user writes: one name for all kinds, or names by kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.outlook.announced import Announced
from ev_marl.planning.outlook.base import KINDS, OUTLOOKS, Coming, Kind, Outlook, Present, Rows, Truth
from ev_marl.planning.outlook.known import KnownOutlook
from ev_marl.planning.outlook.published import PublishedOutlook
from ev_marl.scenario import Scenario, scenario_value
from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.schema import OutlookByKind, OutlookOptions
from ev_marl.scenario.schema.outlook import outlooks_of
from ev_marl.support.errors import EvMarlError, OptionError
from ev_marl.support.values import shown
from ev_marl.world.world import World

OutlookLike = str | OutlookOptions | OutlookByKind | Mapping[str, Any] | Outlook
"""A name ("forecast"), a mapping as in a scenario ({"prices": "forecast", "vehicles": "present"}), or an outlook."""

EXPECTED = "expected"
METHODS: dict[Kind, str] = {
    "prices": "prices",
    "limits": "limits_kw",
    "base_load": "base_load_kw",
    "vehicles": "vehicles",
    "grid": "grid_loads",
}

USUAL = OutlookByKind(prices="published", **{kind: EXPECTED for kind in KINDS if kind != "prices"})


class ComposedOutlook:
    """One outlook for each kind.

    Parameters
    ----------
    of : mapping of kind to Outlook
        The outlook of each kind; one outlook may be used for several kinds.
    """

    def __init__(self, of: Mapping[Kind, Outlook]) -> None:
        self.of = dict(of)

    @property
    def foresees(self) -> bool:
        """Whether the true future of anything besides prices is known without error; prices may be published."""
        return self.foresees_any(kind for kind in KINDS if kind != "prices")

    def foresees_any(self, kinds: Iterable[Kind]) -> bool:
        """Whether the true future of one of these kinds is known without error."""
        return any(self.of[kind].foresees for kind in kinds)

    def knows(self, kind: Kind) -> bool:
        """Whether a kind is known, so that the value expected of a step never changes."""
        outlook = self.of[kind]
        return isinstance(outlook, KnownOutlook) or (isinstance(outlook, PublishedOutlook) and outlook.to_the_end)

    def begin(self, truth: Truth, world: World | None) -> None:
        """Prepare all outlooks for other days."""
        self._days, self._carbon = truth.days, truth.days.carbon_kg_per_kwh
        self._announced = Announced(truth) if truth.days.events else None
        for outlook in {id(one): one for one in self.of.values()}.values():
            outlook.begin(truth, world)

    def stays(self, step: int) -> np.ndarray:
        """Stays as they are known at a step, STAY, in the order of `Days.stays`; not to be written.

        The attribute `stays` of the outlook for vehicles, where it has one; the true ones where it foresees vehicles;
        else as they are believed to be, in an array that changes with the step.
        """
        vehicles = self.of["vehicles"]
        told: np.ndarray | None = getattr(vehicles, "stays", None)
        if told is not None:
            return told
        return self._days.stays if vehicles.foresees else self._days.believed(step)

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """From the outlook for prices."""
        return self.of["prices"].prices(day, step)

    def carbon_kg_per_kwh(self, day: Rows, step: int) -> np.ndarray | None:
        """Carbon intensity from a step on, shape (n_batch, K) [kg/kWh]; None: not known. It is published in advance."""
        return None if self._carbon is None else self._carbon[day, step:]

    def limits_kw(self, present: Present) -> tuple[np.ndarray, np.ndarray]:
        """From the outlook for limits, with the events that are announced."""
        limits, announced = self.of["limits"], self._announced
        if announced is None or limits.foresees:
            return limits.limits_kw(present)
        ordinary_kw = limits.limits_kw(announced.without(present))
        return announced.limits_kw(present, ordinary_kw, self.base_load_kw(present))

    def out(self, day: Rows, step: int) -> np.ndarray | None:
        """Ports that are known to be out of order from a step on, bool, shape (n_batch, K, n_ports); None: none are.

        Outages are known when they are announced, or all of them if the limits are.
        """
        if self._announced is None:
            return None
        return self._announced.out(day, step, all_known=self.of["limits"].foresees)

    def requests(self, day: Rows, step: int) -> np.ndarray | None:
        """Requests with a penalty that are known, float64, shape (n_batch, K, 2, n_groups); None: there are none.

        As with outages, those that are announced, or all of them if the limits are known.
        """
        if self._days.requests is None or self._announced is None:
            return None
        return self._announced.requests(day, step, all_known=self.of["limits"].foresees)

    def base_load_kw(self, present: Present) -> np.ndarray:
        """From the outlook for base load."""
        return self.of["base_load"].base_load_kw(present)

    def vehicles(self, present: Present, n_days: int) -> Coming:
        """From the outlook for vehicles."""
        return self.of["vehicles"].vehicles(present, n_days)

    def grid_loads(self, present: Present, n_steps: int) -> Injections:
        """From the outlook for the grid."""
        return self.of["grid"].grid_loads(present, n_steps)


def make_outlook(*choices: OutlookLike | None, trust: bool = True) -> ComposedOutlook:
    """Make an outlook.

    By default prices are as published and all other kinds are expected. Later choices replace earlier ones, kind by
    kind; None changes nothing.

    Parameters
    ----------
    *choices : str, mapping or Outlook
        A registered name or `module:Class`, which is imported, with options as
        `{name: forecast, options: {price_error: 0.05}}`, for every kind that it covers; or a mapping from kinds to
        these.
    trust : bool
        Whether custom code that the choices name may be imported; false if they come from a file that is not trusted.

    Raises
    ------
    UnknownNameError
        If there is no such outlook; the message lists those that exist.
    OptionError
        If a choice is no outlook, does not have these options, or does not cover a kind for which it is named.
    ScenarioError
        If a mapping is not allowed in a scenario file.
    TrustError
        If it names custom code, and `trust` is false.
    """
    named = [_read(choice) for choice in (USUAL, *choices)]
    tracks = [choice.tracks for choice in named if isinstance(choice, OutlookByKind) and choice.tracks is not None]
    made: dict[int, Outlook] = {}

    def make(source: str | OutlookOptions | Outlook) -> Outlook:
        if id(source) not in made:
            made[id(source)] = _construct(source, tracks[-1] if tracks else None, trust)
        return made[id(source)]

    of: dict[Kind, Outlook] = {}
    for choice in named:
        if isinstance(choice, OutlookByKind):
            asked: dict[Kind, Outlook] = {kind: make(source) for kind in KINDS if (source := getattr(choice, kind))}
            for kind, outlook in asked.items():
                if not hasattr(outlook, METHODS[kind]):
                    raise OptionError(f"{_called(choice, kind)} does not cover {kind}: it has no `{METHODS[kind]}`")
            of.update(asked)
        else:
            of.update({kind: make(choice) for kind in KINDS if hasattr(make(choice), METHODS[kind])})
    return ComposedOutlook(of)


def checked(choice: OutlookLike | None) -> OutlookLike | None:
    """The same choice, checked: raises an error if `make_outlook` could not make it."""
    make_outlook(choice)
    return choice


def outlook_problems(scenario: Scenario) -> Iterator[Problem]:
    """What is wrong with the outlooks of a scenario and their options, each at its key."""
    chosen: list[tuple[KeyPath, OutlookLike]] = [
        (path, OutlookByKind.model_validate({path[1]: source}) if len(path) > 1 else source)
        for path, source in outlooks_of(scenario.outlook)
    ]
    if isinstance(scenario.outlook, OutlookByKind) and scenario.outlook.tracks is not None:
        options = {"tracks": scenario.outlook.tracks}
        chosen.append((("outlook", "tracks"), OutlookOptions(name=EXPECTED, options=options)))
    for path, choice in chosen:
        try:
            make_outlook(choice, trust=scenario.trusted)
        except EvMarlError as error:
            yield scenario.places.problem(path, str(error))


def _called(choice: OutlookByKind, kind: Kind) -> str:
    source = getattr(choice, kind)
    return f"outlook '{source if isinstance(source, str) else source.name}'"


def _read(choice: OutlookLike | None) -> str | OutlookOptions | OutlookByKind | Outlook:
    if choice is None:
        return OutlookByKind()
    if isinstance(choice, Mapping):
        read: str | OutlookOptions | OutlookByKind = scenario_value("outlook", dict(choice))
        return read
    return choice


def _construct(source: str | OutlookOptions | Outlook, tracks: str | None, trust: bool) -> Outlook:
    if isinstance(source, str | OutlookOptions):
        name, options = (source, {}) if isinstance(source, str) else (source.name, dict(source.options))
        if name == EXPECTED and tracks is not None:
            options.setdefault("tracks", tracks)
        what, made = f"outlook {shown(name)}", OUTLOOKS.make(name, options=options, trust=trust)
    else:
        what, made = f"outlook {shown(source)}", source
    methods = [*METHODS.values()]
    if not all(hasattr(made, needed) for needed in ("begin", "foresees")) or not any(hasattr(made, m) for m in methods):
        raise OptionError(
            f"{what} is not a valid outlook: write a name such as 'forecast' or a mapping as of the scenario's key "
            f"`outlook`, or give an object with `begin`, `foresees` and at least one of {', '.join(methods)}"
        )
    return made
