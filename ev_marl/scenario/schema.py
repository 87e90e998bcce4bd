"""What a scenario file may say: pydantic models, one attribute a key, each with its unit and meaning.

Attribute docstrings are the descriptions in the JSON Schema and in the scenario reference, so they are written for
people who write scenarios. Quantities are plain numbers in the documented unit or text with a unit ("22 kW").
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Discriminator, Field, PrivateAttr, Tag, field_validator, model_validator

from ev_marl.scenario.base import Model, choice, fault
from ev_marl.scenario.grid import Buses, BusName, Grid
from ev_marl.scenario.problems import Places
from ev_marl.scenario.sizes import MOST_LEVELS, MOST_PORTS, MOST_STEPS
from ev_marl.scenario.units import (
    NUMBER,
    WHOLE,
    Current,
    Day,
    Duration,
    Efficiency,
    Energy,
    Fraction,
    NonNegativePrice,
    PeakPrice,
    PositiveDuration,
    PositiveFraction,
    PositivePower,
    Power,
    Price,
    SignedPower,
    Voltage,
)
from ev_marl.support.registry import did_you_mean

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
TYPE_PATTERN = r"^[a-z]+$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]


class PowerByHour(Model):
    """A power for each local clock hour."""

    by_hour: Annotated[list[SignedPower], Field(min_length=24, max_length=24)]
    """24 values, local clock hours 0 to 23 [kW]."""


class LimitByHour(PowerByHour):
    """A power limit for each local clock hour."""

    by_hour: Annotated[list[Power], Field(min_length=24, max_length=24)]
    """24 values, 0 or more, local clock hours 0 to 23 [kW]."""


class PowerFile(Model):
    """A power for each step, read from a CSV file."""

    csv: str
    """CSV file, relative to the scenario file; one row per step of the horizon."""
    column: str | None = None
    """Column to read; may be left out where the file has only one."""


_SERIES = "a power such as '60 kW', {by_hour: [24 values]} or {csv: FILE}"
LimitSeries = Annotated[
    Annotated[Power, Tag("<plain>")] | Annotated[LimitByHour, Tag("<by_hour>")] | Annotated[PowerFile, Tag("<csv>")],
    choice(_SERIES, "by_hour", "csv"),
]
PowerSeries = Annotated[
    Annotated[SignedPower, Tag("<plain>")]
    | Annotated[PowerByHour, Tag("<by_hour>")]
    | Annotated[PowerFile, Tag("<csv>")],
    choice(_SERIES, "by_hour", "csv"),
]


class LoadProfile(Model):
    """An inflexible load of a typical shape."""

    profile: Literal["office", "household", "retail", "flat"]
    """Shape over the day and week."""
    peak: Power
    """Highest value of the mean profile on a weekday [kW]."""
    noise: Fraction = 0.05
    """Standard deviation of the load about its profile, as a share of the profile [-]."""


BaseLoad = Annotated[
    Annotated[SignedPower, Tag("<plain>")]
    | Annotated[PowerByHour, Tag("<by_hour>")]
    | Annotated[PowerFile, Tag("<csv>")]
    | Annotated[LoadProfile, Tag("<profile>")],
    choice(_SERIES + ", or {profile: office, peak: 120 kW}", "by_hour", "csv", "profile"),
]


class Pv(Model):
    """A photovoltaic plant."""

    peak: Power
    """Power under clear sky at noon on midsummer's day [kW]."""
    latitude: Annotated[float, Field(ge=-66, le=66), NUMBER] = 52.0
    """Latitude [degrees north]."""


class Stations(Model):
    """Charging stations of one kind; each is an agent."""

    type: Annotated[str, Field(pattern=TYPE_PATTERN, max_length=64)]
    """Letters that the agents of this kind are called by: `ac` gives `ac_0`, `ac_1`, ..."""
    count: Annotated[int, Field(ge=1, le=MOST_PORTS), WHOLE] = 1
    """How many of them."""
    ports: Annotated[int, Field(ge=1, le=MOST_PORTS), WHOLE] = 1
    """Ports (connectors) of each station."""
    supply: Literal["ac", "dc"] | None = None
    """Whether the port feeds the vehicle's on-board charger (`ac`) or its battery (`dc`). Left out: `dc` for type
    `dc`, else `ac`."""
    power: Power | None = None
    """Highest charging power of each port [kW]. Give this, or `current` and `phases`."""
    current: Current | None = None
    """Highest current of each port and phase [A]; with `phases` and `voltage` it gives the power."""
    phases: Literal[1, 2, 3] | None = None
    """Phases of each port; needed with `current`."""
    voltage: Voltage = 230.0
    """Phase-to-neutral voltage that turns current into power [V]."""
    station_power: Power | None = None
    """Highest charging power of the whole station [kW], where its ports share less than the sum of theirs."""
    v2g: bool = False
    """Whether the ports can discharge vehicles."""
    discharge_power: Power | None = None
    """Highest discharging power of each port [kW]; left out: as charging. Needs `v2g: true`."""
    efficiency: Efficiency = 0.93
    """Share of the metered power that reaches the battery [-]."""
    discharge_efficiency: Efficiency | None = None
    """Share of the battery's power that reaches the meter [-]; left out: as `efficiency`."""
    bus: Buses | None = None
    """Bus of the network, by name or index, or one bus after the other for one station after the other, from the start
    again at the end of the list; `loads`: the buses with loads. Left out: the group's. Needs `grid`."""

    @model_validator(mode="after")
    def _check(self) -> Stations:
        if self.power is None and (self.current is None or self.phases is None):
            raise fault("power", "is missing; give `power`, or both `current` and `phases`")
        if self.power is not None and (self.current is not None or self.phases is not None):
            raise fault("power", "give either `power`, or `current` and `phases`, not both")
        if self.power == 0:
            raise fault("power", "found 0 kW; the power of a port must be above 0")
        if self.discharge_power is not None and not self.v2g:
            raise fault("discharge_power", "a port discharges only with `v2g: true`; add that, or remove this key")
        return self

    @property
    def port_power_kw(self) -> float:
        """Highest charging power of each port [kW], given as such or by current, phases and voltage."""
        if self.power is not None:
            return self.power
        assert self.current is not None  # the check above asks for power, or current and phases
        assert self.phases is not None
        return self.voltage * self.current * self.phases / 1000.0


class Group(Model):
    """A part of the site with a shared power limit: parking lot, building, feeder, transformer."""

    name: Name
    """Name of the group, unique in the site."""
    kind: Literal["grid", "transformer", "building", "parking_lot", "feeder"] | None = None
    """What the group is; left out: `grid` for the root, `parking_lot` where stations stand, else `building`."""
    parent: Name | None = None
    """Group that feeds this one, where the tree is written as a flat list; nested groups need no `parent`."""
    import_limit: LimitSeries | None = None
    """Highest power drawn from above, base load included [kW]; left out: no limit."""
    export_limit: LimitSeries | None = None
    """Highest power fed upwards, PV included [kW]; left out: no limit."""
    base_load: BaseLoad | None = None
    """Inflexible load directly at this group [kW]."""
    pv: Pv | None = None
    """Photovoltaic plant directly at this group."""
    bus: BusName | None = None
    """Bus of the network that feeds this group, by name or index; left out: that of the group above. Needs `grid`."""
    groups: list[Group] = []
    """Groups fed by this one."""
    stations: list[Stations] = []
    """Charging stations fed directly by this group."""


class Sessions(Model):
    """When vehicles come, how long they stay, what they need."""

    model: str = "elaadnl/workplace"
    """`elaadnl/workplace`, `elaadnl/private`, `elaadnl/public`, `acn/caltech`, `acn/jpl`, `highway`, or
    module:Class."""
    per_port_per_day: Annotated[float, Field(ge=0, le=1000), NUMBER] = 1.0
    """Mean number of vehicles that come per port and weekday [1/day]."""
    weekend_factor: Annotated[float, Field(ge=0, le=1000), NUMBER] | None = None
    """Arrivals on a weekend day over those on a weekday [-]; left out: as the model says."""
    energy_scale: Annotated[float, Field(gt=0, le=1000), NUMBER] = 1.0
    """Factor on the energy wanted [-]."""
    stay_scale: Annotated[float, Field(gt=0, le=1000), NUMBER] = 1.0
    """Factor on the length of stay [-]."""


class Vehicle(Model):
    """A vehicle model."""

    name: Name
    """Name of the vehicle."""
    share: Annotated[float, Field(gt=0), NUMBER] = 1.0
    """Weight of this model among the arriving vehicles."""
    capacity: Energy
    """Usable battery capacity [kWh]."""
    ac_power: PositivePower
    """Highest power of the on-board charger [kW]."""
    dc_power: Power = 0.0
    """Highest DC charging power [kW]; 0: cannot charge at DC stations."""
    taper_start: Annotated[PositiveFraction, Field(le=0.999)] = 0.8
    """State of charge from which charging slows down [-]."""


class Vehicles(Model):
    """Which vehicles come."""

    mix: Annotated[
        Annotated[Literal["eu"], Tag("<plain>")] | Annotated[list[Vehicle], Field(min_length=1), Tag("<list>")],
        choice("`eu`, or a list of vehicles", "list"),
    ] = "eu"
    """A named mix of the catalogue, or a list of vehicles with their shares."""
    v2g_share: Fraction = 1.0
    """Share of the vehicles that can discharge at a station with V2G [-]."""
    reserve: Fraction = 0.3
    """State of charge below which nobody discharges a vehicle [-]."""


class PriceModel(Model):
    """Day-ahead prices drawn from a fitted model."""

    model: Literal["nl/2019", "nl/2022", "nl/2023"]
    """Country and year the model was fitted to."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price|: what is left for energy fed back [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


class PriceConstant(Model):
    """One price for the whole day."""

    constant: Price
    """Price [currency/kWh]."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


class PriceByHour(Model):
    """A price for each local clock hour, the same every day."""

    by_hour: Annotated[list[Price], Field(min_length=24, max_length=24)]
    """24 prices, local clock hours 0 to 23 [currency/kWh]."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


class PriceFile(Model):
    """Real day-ahead prices; each track starts on a day of the file."""

    csv: str
    """ENTSO-E or Ember day-ahead file, relative to the scenario file; the format is detected."""
    area: str | None = None
    """Bidding zone or country, where the file has several."""
    fill: Literal["previous_day", "interpolate"] | None = None
    """What to do where the file lacks a price: take that of 24 hours before, or the straight line between its
    neighbours; left out: an error."""
    feed_in: Fraction = 1.0
    """Selling price = price − (1 − feed_in)·|price| [-]."""
    markup: Price = 0.0
    """Added to every buying price: taxes and fees [currency/kWh]."""


Prices = Annotated[
    Annotated[PriceModel, Tag("<model>")]
    | Annotated[PriceConstant, Tag("<constant>")]
    | Annotated[PriceByHour, Tag("<by_hour>")]
    | Annotated[PriceFile, Tag("<csv>")],
    choice(
        "one of {model: nl/2023}, {constant: 0.25 EUR/kWh}, {by_hour: [24 prices]}, {csv: FILE}",
        "model",
        "constant",
        "by_hour",
        "csv",
    ),
]


class CoordinatorOptions(Model):
    """A coordinator with options, or one of your own."""

    name: str
    """`none`, `proportional`, `priority`, `nearest`, or module:Class."""
    options: dict[str, Any] = {}
    """Keyword arguments of the coordinator."""


CoordinatorChoice = Annotated[
    Annotated[str, Tag("<plain>")] | Annotated[CoordinatorOptions, Tag("<name>")],
    choice("a name such as `nearest`, or {name: NAME, options: {...}}", "name"),
]


class SetpointTracking(Model):
    """Follow a given charging power."""

    weight: Annotated[float, Field(ge=0), NUMBER]
    """Cost of one kW off the target for one hour, squared [currency/(kW²·h)]."""
    target: PowerSeries
    """Charging power that the site should draw [kW]."""


class Objective(Model):
    """What the team pays; rewards are its negative. A term left out has its default, and one of 0 costs nothing."""

    energy_cost: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Weight of what the site pays for energy, less what it earns [-]."""
    unmet_energy: NonNegativePrice = 0.40
    """Cost of energy that was wanted, could have been delivered, and was not in the battery at departure
    [currency/kWh]."""
    battery_wear: NonNegativePrice = 0.0
    """Cost of throughput: each kWh metered in or out of a vehicle [currency/kWh]."""
    overload: NonNegativePrice | None = None
    """Cost of power beyond a limit [currency/kWh of overload]; needed with coordinator `none`, useless with others."""
    setpoint_tracking: SetpointTracking | None = None
    """Quadratic cost of deviating from a charging power."""
    voltage_deviation: Annotated[float, Field(ge=0), NUMBER] = 0.0
    """Cost of one p.u. beyond the voltage band at one bus for one hour [currency/(p.u.·h)]; needs `grid`."""
    line_overload: NonNegativePrice = 0.0
    """Cost of each kVA that a line carries beyond its limit for one hour [currency/kWh]; needs `grid`."""
    transformer_overload: NonNegativePrice = 0.0
    """Cost of each kVA that a transformer of the network carries beyond its limit for one hour [currency/kWh]; needs
    `grid`."""
    grid_losses: NonNegativePrice = 0.0
    """Cost of the energy that the network loses [currency/kWh]; needs `grid`."""
    peak_power: PeakPrice = 0.0
    """Cost of the highest power that the site draws in the episode, base load included [currency/kW]."""
    split: Literal["equal", "responsibility"] = "responsibility"
    """How shared terms (overload, tracking, peak) are split among the agents: evenly, or by who caused them."""
    extra: dict[str, dict[str, Any]] = {}
    """Terms of your own: module:Class and its keyword arguments."""

    @model_validator(mode="after")
    def _check(self) -> Objective:
        weights = (self.energy_cost, self.unmet_energy, self.battery_wear, self.peak_power)
        if not any(weights) and self.overload is None and self.setpoint_tracking is None and not self.extra:
            raise ValueError("nothing counts; give at least one term a weight above 0")
        return self


class PricesBlock(Model):
    """The price now and ahead, one number per hour."""

    prices: Duration
    """How far ahead [h]."""


class BlockOptions(Model):
    """An observation block with options, or one of your own."""

    block: str
    """Name of the block, or module:Class."""
    options: dict[str, Any] = {}
    """Keyword arguments of the block."""


Block = Annotated[
    Annotated[str, Tag("<plain>")] | Annotated[PricesBlock, Tag("<prices>")] | Annotated[BlockOptions, Tag("<block>")],
    choice("a block's name, {prices: 12 h}, or {block: NAME, options: {...}}", "prices", "block"),
]


class Levels(Model):
    """Discrete actions."""

    levels: Annotated[
        Annotated[int, Field(ge=3, le=MOST_LEVELS), WHOLE, Tag("<plain>")]
        | Annotated[list[Annotated[float, Field(ge=-1, le=1), NUMBER]], Field(max_length=MOST_LEVELS), Tag("<list>")],
        choice("an odd number such as 5, or a list such as [-1, 0, 0.5, 1]", "list"),
    ]
    """How many evenly spaced levels (odd: from −100 % to 100 % through 0), or the levels themselves as shares of the
    rated power."""

    @field_validator("levels")
    @classmethod
    def _check(cls, levels: int | list[float]) -> int | list[float]:
        if isinstance(levels, int) and levels % 2 == 0:
            raise ValueError(f"found {levels}; an even number of levels has none at 0: take {levels + 1}")
        if isinstance(levels, list) and (0.0 not in levels or sorted(set(levels)) != levels or len(levels) < 2):
            raise ValueError(f"found {levels}; levels must rise and include 0, such as [-1, 0, 0.5, 1]")
        return levels


_TRUST = Discriminator(
    lambda value: "<booked>" if value == "booked" else "<plain>",
    custom_error_type="choice",
    custom_error_message="expected a share such as 0.8, or `booked`",
)


class BidOptions(Model):
    """What an agent says about each of its vehicles' own plans. An action of 0 means the middle, ±1 the middle ± the
    range."""

    says: Annotated[list[Literal["adder", "trust", "share"]], Field(min_length=1)] = ["adder", "trust"]
    """`adder`: added to this step's price, so that below 0 the vehicle pays more to charge now; `trust`: share of its
    power that the plan counts on in later steps; `share`: how much of the plan's power is asked for."""
    adder: Price = 0.0
    """Middle of the adder [currency/kWh]."""
    adder_range: Annotated[NonNegativePrice, Field(gt=0)] = 0.2
    """How far an action moves the adder [currency/kWh]."""
    trust: Annotated[Annotated[Fraction, Tag("<plain>")] | Annotated[Literal["booked"], Tag("<booked>")], _TRUST] = 1.0
    """Middle of the trust, between 0 and 1 [-]; `booked`: each vehicle's coverage after all have announced what they
    would book."""
    trust_range: PositiveFraction = 0.5
    """How far an action moves the trust [-]."""
    margin_steps: Annotated[int, Field(ge=0, le=MOST_STEPS), WHOLE] = 0
    """The plan ends so many steps before the deadline."""
    hold_steps: Annotated[int, Field(ge=1, le=MOST_STEPS), WHOLE] = 1
    """A bid stands for so many steps; what is said in between is not heard."""
    share: Fraction = 1.0
    """Middle of the share, between 0 and 1 [-]."""
    share_range: PositiveFraction = 1.0
    """How far an action moves the share [-]."""

    @field_validator("says")
    @classmethod
    def _check(cls, says: list[str]) -> list[str]:
        if len(set(says)) < len(says):
            raise ValueError(f"found {says}; each of adder, trust, share at most once")
        return says


class Bid(Model):
    """Bids on own plans."""

    bid: BidOptions
    """What an agent says, and how far it reaches."""


Action = Annotated[
    Annotated[Literal["continuous", "fraction", "bid"], Tag("<plain>")]
    | Annotated[Levels, Tag("<levels>")]
    | Annotated[Bid, Tag("<bid>")],
    choice("`continuous`, `fraction`, `bid`, {levels: 5}, or {bid: {says: [adder]}}", "levels", "bid"),
]


class Scenario(Model):
    """One scenario: a site, what happens there, and what counts."""

    name: Name
    """Short name."""
    about: str = ""
    """What it is, in a sentence or two."""
    start: Day
    """First day; an episode starts at local midnight or at `start_hour`."""
    until: Day | None = None
    """Last day: given this, each track starts on a day drawn from start to until."""
    days: Literal["all", "weekdays", "weekends"] = "all"
    """Which days are drawn between start and until."""
    start_hour: Annotated[Duration, Field(lt=24)] = 0.0
    """Local clock hour at which an episode starts [h]."""
    timezone: str = "Europe/Amsterdam"
    """IANA time zone; arrivals, profiles and prices follow its local clock."""
    step: PositiveDuration = 0.25
    """Length of a step [h]."""
    horizon: PositiveDuration = 24.0
    """Length of an episode [h]; a whole number of steps."""
    currency: Annotated[str, Field(pattern=CURRENCY_PATTERN)] = "EUR"
    """Currency of every price and cost, in three letters."""
    site: Group
    """The site: its root is the grid connection."""
    sessions: Sessions = Sessions()
    """Arrivals, stays and wishes."""
    vehicles: Vehicles = Vehicles()
    """Vehicle mix."""
    prices: Prices = PriceConstant(constant=0.25)
    """Energy prices."""
    grid: Grid | None = None
    """The network above the site; left out: the grid connection is ideal."""
    coordinator: CoordinatorChoice = "nearest"
    """Who gets power when there is not enough: `none`, `proportional`, `priority`, `nearest`, or module:Class."""
    objective: Objective = Objective()
    """What counts."""
    observation: list[Block] = ["identity", "clock", "ports", "prices", "headroom"]
    """What each agent sees, block by block: `identity`, `clock`, `calendar`, `ports`, `prices`, `headroom`,
    `demand`, `neighbours`, `plans`, `booking`, with `grid:` also `voltage` and `network`, or your own."""
    action: Action = "continuous"
    """`continuous`: share of the port's rated power; `fraction`: share of what is possible this step; `bid`: a price
    added to the vehicle's own plan; or discrete levels."""
    policies: Annotated[list[str], Field(min_length=1)] | None = None
    """Policies that `ev-marl compare` runs where none are named: names, `name(option=...)`, or module:Class; left out,
    the usual ones."""

    _places: Places = PrivateAttr(default_factory=Places)

    @property
    def places(self) -> Places:
        """Where its keys stand, for messages; empty for a scenario that was not read from a file."""
        return self._places

    def read_from(self, places: Places) -> Scenario:
        """The same scenario, which knows where its keys stand."""
        self._places = places
        return self

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `Europe` is a folder of zones
            near = did_you_mean(timezone, sorted(available_timezones()))
            message = f"found '{timezone}'; expected an IANA time zone such as Europe/Amsterdam.{near}"
            raise ValueError(message) from error
        return timezone

    @model_validator(mode="after")
    def _check(self) -> Scenario:
        steps = self.horizon / self.step
        if abs(steps - round(steps)) > 1e-9 or round(steps) == 0:
            raise fault(
                "horizon",
                f"found {self.horizon:g} h, which is {steps:.4g} steps of {self.step:.4g} h; make it a whole number",
            )
        if self.until is not None and self.until < self.start:
            raise fault("until", f"found {self.until}, which lies before `start`, {self.start}")
        if self.until is not None and self.days != "all" and (self.until - self.start).days < 6:
            drawn = {(self.start + timedelta(days=k)).weekday() >= 5 for k in range((self.until - self.start).days + 1)}
            if (self.days == "weekends") not in drawn:
                raise fault("days", f"there are no {self.days} between {self.start} and {self.until}")
        return self

    @property
    def n_steps(self) -> int:
        """Steps of an episode."""
        return round(self.horizon / self.step)
