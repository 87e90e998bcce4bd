"""From actions to setpoints: the action spaces, and the power that an action means.

Comes in: one action per agent, or an array for all ports. Goes out: setpoints in kW. An action that cannot be read is
an error that names the agent; at an empty port every action means zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from numbers import Integral
from operator import attrgetter, itemgetter
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from ev_marl.planning.booking import LEAST_TRUST, book
from ev_marl.planning.outlook import ComposedOutlook, Present
from ev_marl.planning.outlook import Kind as OutlookKind
from ev_marl.planning.own_plan import own_plans
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import OWN_PRICES, Worth, own_prices
from ev_marl.scenario import scenario_value
from ev_marl.scenario.schema import Action, Bid, BidOptions, Levels, Scenario
from ev_marl.scenario.schema.action import ActionName
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import ActionError

Kind = ActionName | Literal["levels"]
ActionLike = Action | int | Sequence[float] | Mapping[str, Any]
"""A kind of action as in a scenario file, or just the levels."""


@kernel
def _scale(shares: np.ndarray, up_kw: np.ndarray, down_kw: np.ndarray, out: np.ndarray) -> int:
    """out = share · up for charging, share · down for discharging; both scales >= 0, shape (n_batch or 1, n_ports).

    Returns how many shares are not finite.
    """
    n_batch, n_ports = shares.shape
    several = len(up_kw) > 1
    wrong = 0
    for b in range(n_batch):
        row = b if several else 0
        for p in range(n_ports):
            share = shares[b, p]
            wrong += not abs(share) < np.inf
            out[b, p] = max(share, 0.0) * up_kw[row, p] + min(share, 0.0) * down_kw[row, p]
    return wrong


@kernel
def _number(actions: np.ndarray, index: int, middle: float, reach: float, low: float, out: np.ndarray) -> None:
    """out = middle + reach · action, not below `low` nor, where low is 0, above 1; `index` picks the port's number."""
    n_batch, n_ports = out.shape
    n_numbers = actions.shape[1] // n_ports
    for b in range(n_batch):
        for p in range(n_ports):
            value = middle + reach * max(-1.0, min(1.0, actions[b, p * n_numbers + index]))
            out[b, p] = value if low < 0.0 else max(0.0, min(1.0, value))


@kernel
def _level_mask(levels: np.ndarray, lo_kw: np.ndarray, hi_kw: np.ndarray, out: np.ndarray) -> None:
    """out[b, p, i]: whether level i is 0 or does something at port p."""
    n_batch, n_ports, n_levels = out.shape
    for b in range(n_batch):
        for p in range(n_ports):
            for i in range(n_levels):
                level = levels[i]
                possible = level == 0.0 or (level > 0.0 and hi_kw[b, p] > 0.0) or (level < 0.0 and lo_kw[b, p] < 0.0)
                out[b, p, i] = 1 if possible else 0


@kernel
def _n_wrong(read: np.ndarray, n_levels: int) -> int:
    """Number of values that are not finite or, with levels, not a level."""
    wrong = 0
    for value in read.flat:
        wrong += not abs(value) < np.inf
        if n_levels > 0:
            wrong += not (0.0 <= value < n_levels and value == np.floor(value))
    return wrong


_DTYPE, _N_BYTES = attrgetter("dtype"), attrgetter("nbytes")


class ActionCoder:
    """Action spaces of all agents, and what their actions mean.

    - `continuous`: Box in [−1, 1] for each port, share of its rated power: of the charging power above 0, of the
      discharging power below. Without V2G, what is below 0 means 0.
    - `fraction`: Box in [−1, 1] for each port, share of what the port can do in this step.
    - `bid`: Box in [−1, 1], for each port the numbers that the bid says (an adder to this step's price, a trust in
      later power, a share of the plan's power); the setpoint is the first step of the vehicle's own plan with them.
    - levels: `Discrete` for a station with one port, `MultiDiscrete` with several; shares of the rated power, the same
      for all stations. An odd number of levels gives evenly spaced ones from −100 % through 0 to 100 %. A mask tells
      which levels do something: those above 0 where a vehicle can charge, those below 0 where one can discharge (so
      never without V2G), and always 0.

    Parameters
    ----------
    site : Site
        The site.
    kind : {"continuous", "fraction", "bid"}, int, sequence of float, mapping, Levels or Bid
        What agents answer.
    worth : Worth, optional
        What the objective charges; bids need it.

    Attributes
    ----------
    numbers : tuple of str
        The numbers of an action for each port.
    """

    def __init__(self, site: Site, kind: ActionLike, worth: Worth | None = None) -> None:
        model = _kind(kind)
        arrays = self._site = site.arrays
        self.agents = site.agents
        self.numbers: tuple[str, ...] = ("level",) if isinstance(model, Levels) else ("power",)
        self.bid: BidOptions | None = None
        if isinstance(model, Bid):
            if worth is None:
                raise ValueError("bids need to know what the objective charges: give `worth`")
            self.bid, self._worth = model.bid, worth
            self.numbers = tuple(model.bid.says)
            self._held = np.empty((0, 0))
        self._first = arrays.station_first_port * len(self.numbers)
        self._counts = np.diff(self._first).tolist()
        # One call for all agents takes a third of the time of a comprehension.
        self._pick = itemgetter(*self.agents)
        self._up_kw, self._down_kw = arrays.port_charge_kw[None, :], arrays.port_discharge_kw[None, :]
        self.kind: Kind
        self.levels: np.ndarray | None = None  # float64 (n_levels,)  shares of the rated power
        if isinstance(model, Levels):
            self.kind = "levels"
            self.levels = (
                np.linspace(-1.0, 1.0, model.levels) if isinstance(model.levels, int) else np.array(model.levels)
            )
        else:
            self.kind = "bid" if isinstance(model, Bid) else model
        of_count = {count: self._space(count) for count in set(self._counts)}
        self.spaces: dict[str, spaces.Space[Any]] = {  # copied, since making one takes as long as making fifty copies
            agent: copy(of_count[count]) for agent, count in zip(self.agents, self._counts, strict=True)
        }
        dtype = np.dtype(np.float32 if self.levels is None else np.int64)
        self._dtypes = [dtype] * len(self._counts)
        self._n_bytes = [count * dtype.itemsize for count in self._counts]
        single: Any = np.ndarray.item if self.levels is None else np.generic.item
        self._number = single if set(self._counts) == {1} else None
        self._out = np.empty((1, arrays.n_ports))

    @classmethod
    def from_scenario(
        cls, scenario: Scenario, site: Site, kind: ActionLike | None = None, worth: Worth | None = None
    ) -> ActionCoder:
        """The actions that a scenario asks for, or `kind` instead."""
        return cls(site, scenario.action if kind is None else kind, worth)

    @property
    def looks_at(self) -> set[OutlookKind]:
        """Kinds of later values that the power of an answer depends on: those of own plans, for bids."""
        return set(OWN_PRICES) if self.kind == "bid" else set()

    def look(self, outlook: ComposedOutlook) -> None:
        """Keep the outlook that own plans ask for prices."""
        self._outlook = outlook

    @property
    def joint_space(self) -> spaces.Space[Any]:
        """The actions of all ports as one: Box or MultiDiscrete over the ports, port by port."""
        return self._space(sum(self._counts), joint=True)

    def read(self, actions: Mapping[str, Any], state: State, days: Days) -> np.ndarray:
        """Power that the actions of all agents ask for, in the first row.

        Parameters
        ----------
        actions : mapping of str to array_like
            One action for every agent.
        state : State
            At the start of the step.
        days : Days
            The loaded days.

        Returns
        -------
        float64, shape (1, n_ports)
            Setpoints [kW]; reused by the next call.

        Raises
        ------
        ActionError
            If an action is missing, has the wrong shape or type, is not finite, or is no level.
        """
        try:
            values = self._pick(actions) if len(self._counts) > 1 else (self._pick(actions),)
            joined = self._joined(values)
            if joined is None:
                if self.levels is not None:
                    values = [np.atleast_1d(value) for value in values]
                if list(map(len, values)) != self._counts:
                    raise ActionError(self._fault(actions))
                joined = np.asarray(np.concatenate(values), dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ActionError(self._fault(actions)) from error
        if not self._set(joined.reshape(1, -1), state, days):
            raise ActionError(self._fault(actions))
        return self._out

    def _joined(self, values: Sequence[Any]) -> np.ndarray | None:
        """All values in a row if they are of the type that the action space samples and of the right size, else None.

        Single numbers are taken out of their arrays, else the bytes of the arrays joined: both take less than half of
        the time of `np.concatenate`.
        """
        try:
            if self._number is not None:
                return np.fromiter(map(self._number, values), np.float64, len(values))
            if list(map(_DTYPE, values)) != self._dtypes or list(map(_N_BYTES, values)) != self._n_bytes:
                return None
            return np.frombuffer(bytearray().join(values), self._dtypes[0])
        except (AttributeError, TypeError, ValueError, BufferError):  # other values, or not contiguous
            return None

    def setpoints(self, actions: np.ndarray, state: State, days: Days) -> np.ndarray:
        """Power that the actions of all ports ask for.

        Parameters
        ----------
        actions : array_like, shape (n_batch, n_ports · numbers of a port)
            Shares or level numbers.
        state : State
            At the start of the step.
        days : Days
            The loaded days.

        Returns
        -------
        float64, shape (n_batch, n_ports)
            Setpoints [kW]; reused by the next call.

        Raises
        ------
        ActionError
            If the shape is wrong, or a value is not finite or no level; the message names the agent.
        """
        try:
            read = np.asarray(actions, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ActionError(f"actions must be an array of numbers, got {type(actions).__name__}") from error
        n_batch, width = state.n_batch, sum(self._counts)
        if read.shape != (n_batch, width):
            meaning = "n_ports" if len(self.numbers) == 1 else f"n_ports · {len(self.numbers)}"
            raise ActionError(
                f"actions have shape {read.shape}, allowed is (n_batch, {meaning}) = ({n_batch}, {width})"
            )
        if not self._set(read, state, days):
            b, p = np.argwhere(~self._fine(read))[0]
            a = int(np.searchsorted(self._first, p, side="right")) - 1
            raise ActionError(
                f"action of agent '{self.agents[a]}', row {b}, port {(p - self._first[a]) // len(self.numbers)}, "
                f"is {read[b, p]}; "
                f"allowed is {self._allowed()}"
            )
        return self._out

    def _set(self, actions: np.ndarray, state: State, days: Days) -> bool:
        """Write the setpoints; False if a number of the actions, shape (n_batch, n_numbers), has no meaning."""
        if self._out.shape != state.lo_kw.shape:
            self._out = np.empty(state.lo_kw.shape)
        if self.kind == "continuous":
            return _scale(actions, self._up_kw, self._down_kw, self._out) == 0
        if self.kind == "fraction":
            return _scale(actions, state.hi_kw, np.negative(state.lo_kw), self._out) == 0
        actions = actions.astype(np.float64)
        if _n_wrong(actions, 0 if self.levels is None else len(self.levels)):
            return False
        if self.bid is not None:
            self._plan(actions, state, days, self.bid)
        else:
            assert self.levels is not None
            _scale(self.levels[actions.astype(np.int64)], self._up_kw, self._down_kw, self._out)
        return True

    def _plan(self, actions: np.ndarray, state: State, days: Days, bid: BidOptions) -> None:
        """Write the power of the own plans with the numbers of the bids."""
        if state.step % bid.hold_steps == 0 or self._held.shape != actions.shape:
            self._held = actions.copy()
        actions = self._held
        booked = bid.trust == "booked"
        said = {"adder": bid.adder, "trust": 0.0 if bid.trust == "booked" else bid.trust, "share": bid.share}
        reach = {"adder": bid.adder_range, "trust": bid.trust_range, "share": bid.share_range}
        values: dict[str, np.ndarray | float] = dict(said)
        for index, name in enumerate(self.numbers):
            number = np.empty(self._out.shape)
            free = name == "adder" or (name == "trust" and booked)
            _number(actions, index, said[name], reach[name], -1.0 if free else 0.0, number)
            values[name] = number
        step, vehicles = state.step, Vehicles.of(self._outlook.stays(state.step), state)
        worth, end_per_kwh = self._worth, self._worth.end_per_kwh(days.later_per_kwh[state.rows])
        energy_per_kwh = worth.energy_per_kwh(*own_prices(self._outlook, Present.of(state, days.n_steps), worth))
        if booked:
            rates = worth.rates(end_per_kwh)
            found = book(vehicles, step, days.step_h, energy_per_kwh, rates, self._site, state.upper_kw)
            values["trust"] = np.clip(found.coverage + values["trust"], LEAST_TRUST, 1.0)
        own_plans(
            vehicles,
            step,
            days.step_h,
            energy_per_kwh,
            worth,
            end_per_kwh=end_per_kwh,
            adder_per_kwh=values["adder"],
            trust=values["trust"],
            margin_steps=bid.margin_steps,
            power_kw=self._out,
        )
        self._out *= values["share"]

    def level_mask(self, state: State) -> np.ndarray:
        """Which levels have an effect in the coming step, int8, shape (n_batch, n_ports, n_levels)."""
        if self.levels is None:
            raise ActionError(f"actions of kind '{self.kind}' have no mask; only levels have")
        mask = np.empty((*state.lo_kw.shape, len(self.levels)), dtype=np.int8)
        _level_mask(self.levels, state.lo_kw, state.hi_kw, mask)
        return mask

    def masks(self, state: State) -> list[np.ndarray | tuple[np.ndarray, ...]]:
        """Each agent's mask for the first row, in the form that its space's `sample(mask)` takes."""
        rows = self.level_mask(state)[0]
        return [
            rows[first] if count == 1 else tuple(rows[first : first + count])
            for first, count in zip(self._first[:-1].tolist(), self._counts, strict=True)
        ]

    def _space(self, n_ports: int, joint: bool = False) -> spaces.Space[Any]:
        if self.levels is None:
            return spaces.Box(-1.0, 1.0, (n_ports,), np.float32)
        n_levels = len(self.levels)
        if n_ports == 1 and not joint:
            return spaces.Discrete(n_levels)
        return spaces.MultiDiscrete([n_levels] * n_ports)

    def _fine(self, read: np.ndarray) -> np.ndarray:
        fine: np.ndarray
        if self.levels is None:
            fine = np.isfinite(read)
            return fine
        fine = (read >= 0) & (read < len(self.levels)) & (read == np.floor(read))
        return fine

    def _allowed(self) -> str:
        if self.levels is not None:
            return f"a level from 0 to {len(self.levels) - 1}"
        return "a finite number; from −1 to 1 is meaningful"

    def _fault(self, actions: object) -> str:
        """Message about the first action that cannot be read."""
        if not isinstance(actions, Mapping):
            return f"actions must be a dict with one action for each agent, got {type(actions).__name__}"
        for agent, count in zip(self.agents, self._counts, strict=True):
            if agent not in actions:
                return f"agent '{agent}' has no action; every agent must act in every step"
            each = "for each port" if len(self.numbers) == 1 else f"for each port's {' and '.join(self.numbers)}"
            allowed = f"allowed is an array of shape ({count},), {self._allowed()} {each}"
            if self.levels is not None and count == 1:
                allowed = f"allowed is {self._allowed()}"
            try:
                value = np.asarray(actions[agent], dtype=np.float64)
            except (TypeError, ValueError):
                return f"action of agent '{agent}' is {actions[agent]!r}; {allowed}"
            scalar = self.levels is not None and count == 1 and value.shape == ()
            if value.shape != (count,) and not scalar:
                return f"action of agent '{agent}' has shape {value.shape}; {allowed}"
            if not self._fine(value).all():
                return f"action of agent '{agent}' is {value}; {allowed}"
        return f"actions cannot be read: {actions!r}"


def _kind(kind: ActionLike) -> Action:
    if isinstance(kind, Levels | Bid):
        return kind
    levels = isinstance(kind, Integral) or (isinstance(kind, Sequence) and not isinstance(kind, str))
    checked: Action = scenario_value("action", {"levels": kind} if levels else kind)
    return Bid(bid=BidOptions()) if checked == "bid" else checked
