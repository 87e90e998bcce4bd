"""The key `site`: groups with shared limits, their loads and plants, and the stations at them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from ev_marl.scenario.base import Model, choice, fault
from ev_marl.scenario.part_load import MOST_PAIRS, part_load_faults
from ev_marl.scenario.problems import KeyPath
from ev_marl.scenario.schema.grid import Buses, BusName
from ev_marl.scenario.schema.patterns import TYPE_PATTERN, Name
from ev_marl.scenario.schema.series import _SERIES, LimitSeries, PowerByHour, PowerFile, Profile
from ev_marl.scenario.schema.sessions import Sessions
from ev_marl.scenario.sizes import MOST_PORTS
from ev_marl.scenario.units import (
    NUMBER,
    WHOLE,
    ApparentPower,
    Current,
    Efficiency,
    Energy,
    Fraction,
    NonNegativePrice,
    PositiveFraction,
    PositivePower,
    Power,
    PowerFactor,
    SignedPower,
    Voltage,
)


class LoadProfile(Model):
    """An inflexible load of a typical shape."""

    profile: Profile
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


class PvSystem(Model):
    """A photovoltaic plant with its place and its modules, computed by pvlib (extra `pv`)."""

    kwp: Power
    """Rated power under standard test conditions (1000 W/m², 25 °C) [kW]."""
    latitude: Annotated[float, Field(ge=-90, le=90), NUMBER]
    """Latitude [degrees north]."""
    longitude: Annotated[float, Field(ge=-180, le=180), NUMBER]
    """Longitude [degrees east]."""
    tilt: Annotated[float, Field(ge=0, le=90), NUMBER] = 30.0
    """Slope of the modules, 0 lying flat [degrees]."""
    azimuth: Annotated[float, Field(ge=0, le=360), NUMBER] = 180.0
    """Direction that they face, 90 east, 180 south, 270 west [degrees]."""
    losses: Fraction = 0.14
    """Share of the power that is lost in cables, inverter, shadow and dirt; 14 % is the default of PVWatts [-]."""


Plant = Annotated[
    Annotated[Pv, Tag("<peak>")] | Annotated[PvSystem, Tag("<kwp>")],
    choice("{peak: 80 kW}, or {kwp: 80 kW, latitude: 52.1, longitude: 5.2, tilt: 30, azimuth: 180}", "peak", "kwp"),
]
Conductors = Literal["L1", "L2", "L3", "L1-L2", "L2-L3", "L3-L1", "L1-L2-L3"]
"""What a port is connected to: a phase and neutral, two phases (line to line), or all three."""
Phases = Annotated[
    Annotated[Literal[1, 2, 3] | Conductors, Tag("<plain>")]
    | Annotated[Annotated[list[Conductors], Field(min_length=1)], Tag("<list>")],
    choice("1, 2 or 3, or conductors such as L1 or L1-L2, or a list of them that the stations take in turn", "list"),
]


class Battery(Model):
    """A stationary battery, which stands at a station from before the episode until after it."""

    energy: Energy
    """Usable capacity [kWh]."""
    reserve: Fraction = 0.1
    """Share of the capacity below which it is never discharged [-]."""
    start: Fraction = 0.5
    """Share of the capacity that is in it when an episode starts [-]."""
    wear: NonNegativePrice = 0.0
    """What each kWh metered in or out wears it [currency/kWh]; the objective's `battery_wear` is that of vehicles."""


StationId = Annotated[str, Field(min_length=1, max_length=100)]


class Stations(Model):
    """Charging stations, or stationary batteries, of one kind; each is an agent."""

    type: Annotated[str, Field(pattern=TYPE_PATTERN, max_length=64)]
    """Letters that the agents of this kind are called by: `ac` gives `ac_0`, `ac_1`, ..."""
    count: Annotated[int, Field(ge=1, le=MOST_PORTS), WHOLE] = 1
    """How many of them."""
    ids: Annotated[list[StationId], Field(min_length=1)] | None = None
    """What each of them is called in the operator's data, one name for each station."""
    ports: Annotated[int, Field(ge=1, le=MOST_PORTS), WHOLE] = 1
    """Ports (connectors) of each station."""
    supply: Literal["ac", "dc"] | None = None
    """Whether the port feeds the vehicle's on-board charger (`ac`) or its battery (`dc`). Left out: `dc` for type
    `dc`, else `ac`."""
    power: Power | None = None
    """Highest charging power of each port [kW]. Give this, or `current` and `phases`."""
    current: Current | None = None
    """Highest current of each port and phase [A]; with `phases` and `voltage` it gives the power."""
    phases: Phases | None = None
    """Phases of each port; needed with `current`. A number of phases, or the conductors: `L1` is a phase and neutral,
    `L1-L2` stands between two phases; of a list, one after the other for one station after the other, from the start
    again at the end. Without conductors, a port draws from all three phases alike."""
    voltage: Voltage | None = None
    """Phase-to-neutral voltage of the ports [V]; left out: the group's."""
    power_factor: PowerFactor | None = None
    """Power factor of the ports, with lagging current [-]: counts where currents have limits, and in the power that
    `current` gives. Left out: 1. In the network above the site, that of `grid: chargers` counts."""
    least_current: Current | None = None
    """Least current that a port can offer, besides none at all [A]; 6 A for AC charging (IEC 61851-1). Needs `phases`.
    A vehicle whose battery takes less draws less."""
    current_step: Current | None = None
    """Distance of the currents that a port can offer, from `least_current` on [A]: `least_current: 6 A, current_step: 1
    A` gives 0, 6, 7, 8, ... A up to the port's power. Left out: any current from the least one on."""
    least_power: PositivePower | None = None
    """The same as `least_current` as a power [kW]."""
    power_step: PositivePower | None = None
    """The same as `current_step` as a power [kW]."""
    station_power: Power | None = None
    """Highest charging power of the whole station [kW], where its ports share less than the sum of theirs."""
    v2g: bool = False
    """Whether the ports can discharge vehicles."""
    battery: Battery | None = None
    """A stationary battery stands here instead of vehicles; `power` is what it charges and discharges with."""
    discharge_power: Power | None = None
    """Highest discharging power of each port [kW]; left out: as charging. Needs `v2g: true` or `battery`."""
    efficiency: Efficiency = 0.93
    """Share of the metered power that reaches the battery [-]."""
    discharge_efficiency: Efficiency | None = None
    """Share of the battery's power that reaches the meter [-]; left out: as `efficiency`."""
    part_load: Annotated[list[tuple[PositiveFraction, Efficiency]], Field(max_length=MOST_PAIRS)] = []
    """Efficiency of charging by the power, instead of `efficiency`: rising shares of the port's power up to 100 %, each
    with its efficiency. Between them the power into the battery is linear; below the first, the efficiency is that of
    the first. Left out: `efficiency` at any power."""
    standby: Power = 0.0
    """What each station draws at all times besides charging, as part of the base load [kW]."""
    bus: Buses | None = None
    """Bus of the network, by name or index, or one bus after the other for one station after the other, from the start
    again at the end of the list; `loads`: the buses with loads. Left out: the group's. Needs `grid`."""
    sessions: Sessions | None = None
    """Arrivals, stays and wishes at these stations, instead of the group's; its vehicles stand nowhere else."""

    @model_validator(mode="after")
    def _check(self) -> Stations:
        if self.power is None and (self.current is None or self.phases is None):
            raise fault("power", "is missing; give `power`, or both `current` and `phases`")
        if self.power is not None and (self.current is not None or isinstance(self.phases, int)):
            raise fault("power", "give either `power`, or `current` and `phases`, not both")
        if self.ids is not None and len(self.ids) != self.count:
            raise fault("ids", f"found {len(self.ids)} names for {self.count} stations; give one for each")
        if self.power == 0:
            raise fault("power", "found 0 kW; the power of a port must be above 0")
        for current, power in (("least_current", "least_power"), ("current_step", "power_step")):
            if getattr(self, current) is not None and getattr(self, power) is not None:
                raise fault(power, f"give either `{current}` or `{power}`, not both")
            if getattr(self, current) is not None and self.phases is None:
                raise fault(current, f"needs `phases`, to know the power of a current; or give `{power}`")
        if self.discharge_power is not None and not self.discharges:
            raise fault("discharge_power", "a port discharges only with `v2g: true`; add that, or remove this key")
        self._check_part_load()
        needless = {"v2g": self.v2g, "ports": self.ports != 1, "sessions": self.sessions is not None}
        if self.battery is not None and any(needless.values()):
            key = next(key for key, given in needless.items() if given)
            raise fault(key, "a station with a `battery` has one port, and no vehicle comes to it; remove this key")
        return self

    def _check_part_load(self) -> None:
        if not self.part_load:
            return
        if (found := part_load_faults(self.part_load)) is not None:
            raise fault("part_load", f"the table {found}")
        given = self.efficiency != type(self).model_fields["efficiency"].default  # a saved scenario names every key
        if given and (not self.discharges or self.discharge_efficiency is not None):
            raise fault("efficiency", "`part_load` says the efficiency of charging; remove one of these keys")
        levels = {"least_current": self.least_current, "least_power": self.least_power}
        if any(value is not None for value in levels.values()):
            raise fault("part_load", "not there together with a least current or power; remove one of these keys")

    @property
    def charge_efficiency(self) -> float:
        """Highest efficiency of charging [-]."""
        return max((efficiency for _, efficiency in self.part_load), default=self.efficiency)

    @property
    def discharges(self) -> bool:
        """Whether power can flow back through the ports."""
        return self.v2g or self.battery is not None

    @property
    def feeds(self) -> Literal["ac", "dc"]:
        """Whether the ports feed the vehicle's on-board charger or its battery, given as such or by the type."""
        return self.supply or ("dc" if self.type == "dc" else "ac")

    @property
    def conductors(self) -> list[Conductors]:
        """What the stations' ports are connected to, in turn; empty where no conductors are named."""
        if self.phases is None or isinstance(self.phases, int):
            return []
        return self.phases if isinstance(self.phases, list) else [self.phases]

    def port_powers_kw(self, group_voltage_v: float) -> list[float]:
        """Highest charging power of a port of each station [kW], given as such or by current, phases and voltage.

        Parameters
        ----------
        group_voltage_v : float
            Phase-to-neutral voltage below the group [V].
        """
        if self.power is not None:
            return [self.power] * self.count
        assert self.current is not None  # the check above asks for power, or current and phases
        return self._powers_kw(self.current, group_voltage_v)

    def port_levels_kw(self, group_voltage_v: float) -> list[tuple[float, float]]:
        """Least power and distance of the levels of a port of each station, 0 where there are none [kW].

        Parameters
        ----------
        group_voltage_v : float
            As for `port_powers_kw`.
        """
        least, step = (
            [power or 0.0] * self.count if current is None else self._powers_kw(current, group_voltage_v)
            for current, power in ((self.least_current, self.least_power), (self.current_step, self.power_step))
        )
        return list(zip(least, step, strict=True))

    def _powers_kw(self, current_a: float, group_voltage_v: float) -> list[float]:
        """Power of a current in each phase of a port of each station [kW]."""
        volts = (self.voltage or group_voltage_v) * (self.power_factor or 1.0)
        if isinstance(self.phases, int):
            return [volts * current_a * self.phases / 1000.0] * self.count
        times = [_TIMES[name.count("L")] for name in self.conductors]
        return [volts * current_a * times[i % len(times)] / 1000.0 for i in range(self.count)]


_TIMES = {1: 1.0, 2: math.sqrt(3.0), 3: 3.0}
"""Power over phase-to-neutral voltage and current, by how many conductors a port is connected to [-]."""


class Transformer(Model):
    """A transformer between a group and what is above it; its ratings limit the currents of each phase."""

    rating: ApparentPower
    """Rated apparent power [kVA]: the currents of the secondary windings are at most rating/(√3·secondary), those of
    the primary's lines at most rating/(√3·primary)."""
    secondary: Voltage
    """Line-to-line voltage of the side that feeds the group [V]."""
    primary: Voltage | None = None
    """Line-to-line voltage of the side above [V]; left out: currents above the transformer are not looked at."""
    vector_group: Literal["Dyn1", "Dyn5", "Dyn7", "Dyn11", "YNyn0", "Yyn0"] | None = None
    """Connection of the windings; needed with `primary`."""

    @model_validator(mode="after")
    def _check(self) -> Transformer:
        if (self.primary is None) != (self.vector_group is None):
            missing = "primary" if self.primary is None else "vector_group"
            raise fault(missing, "is missing; give both `primary` and `vector_group`, or neither")
        return self


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
    current_limit: Current | None = None
    """Highest current in each phase of the line that feeds the group, base load included [A]; left out: no limit."""
    unbalance_limit: Current | None = None
    """How much the currents in any two phases of the line that feeds the group may differ [A]; left out: no limit. 20 A
    are 4.6 kVA at 230 V, the most that VDE-AR-N 4100 allows in Germany. Counted as the difference of their phasors,
    each turned by the angle of its voltage: for stations on one phase that of the currents, for others at least that.
    """
    voltage: Voltage | None = None
    """Phase-to-neutral voltage of the line that feeds the group, and of everything below [V]; with `transformer`, only
    of what is below. Left out: the transformer's secondary, or that of the group above; 230 V where nothing says."""
    transformer: Transformer | None = None
    """Transformer that feeds the group."""
    base_load_power_factor: PowerFactor | None = None
    """Power factor of the base load here and below, net of PV, with lagging current [-]: counts where currents have
    limits. Left out: that of the group above, and 1 where nothing says."""
    base_load: BaseLoad | None = None
    """Inflexible load directly at this group [kW]."""
    pv: Plant | None = None
    """Photovoltaic plant directly at this group."""
    bus: BusName | None = None
    """Bus of the network that feeds this group, by name or index; left out: that of the group above. Needs `grid`."""
    sessions: Sessions | None = None
    """Arrivals, stays and wishes at the stations of this group and below, as in the key `sessions` of the scenario; its
    vehicles stand nowhere else. Keys that it leaves out have their defaults. Left out: those of the group above, of the
    root those of the scenario."""
    groups: list[Group] = []
    """Groups fed by this one."""
    stations: list[Stations] = []
    """Charging stations fed directly by this group."""

    def all_groups(self) -> Iterator[Group]:
        """This group and all below it."""
        yield from (group for _, group in self.with_paths())

    def with_paths(self, path: KeyPath = ("site",)) -> Iterator[tuple[KeyPath, Group]]:
        """This group and all below it in the file, each with its key."""
        yield path, self
        for i, group in enumerate(self.groups):
            yield from group.with_paths((*path, "groups", i))

    def own_sessions(self) -> Iterator[tuple[KeyPath, Sessions]]:
        """Sessions that a group or an entry of stations has of its own, each with its key, in the order of the file."""
        for path, group in self.with_paths():
            if group.sessions is not None:
                yield (*path, "sessions"), group.sessions
            for i, stations in enumerate(group.stations):
                if stations.sessions is not None:
                    yield (*path, "stations", i, "sessions"), stations.sessions

    @property
    def batteries(self) -> list[Battery]:
        """The stationary batteries of this group and all below it, each kind once."""
        listed = (stations.battery for group in self.all_groups() for stations in group.stations)
        return [battery for battery in listed if battery is not None]
