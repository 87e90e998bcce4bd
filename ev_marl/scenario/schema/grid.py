"""What a scenario may say about the network above its site: pydantic models, one attribute a key.

The network itself stays where it is (pandapower, SimBench, a file); a scenario names it and says what happens on it,
what its limits are, and who keeps them.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag, field_validator, model_validator

from ev_marl.scenario.base import Model, choice, fault
from ev_marl.scenario.choices import GridCoordinator
from ev_marl.scenario.schema.series import Profile
from ev_marl.scenario.units import NUMBER, Fraction, Loading, PositiveFraction, Power, PowerFactor
from ev_marl.support.values import shown


def _named(what: str, lists: Literal["no", "too", "only"] = "no") -> BeforeValidator:
    """Takes a name or an index, or a list of them, or only that or `loads`, and says so of anything else."""

    def check(value: object) -> object:
        if lists == "only" and value != "loads" and not isinstance(value, list):
            raise ValueError(f"found {shown(value)}; expected {what}")
        for one in value if lists != "no" and isinstance(value, list) and value else [value]:
            if isinstance(one, bool) or not isinstance(one, int | str):
                raise ValueError(f"found {shown(one)}; expected {what}")
        return value

    return BeforeValidator(check)


BusName = Annotated[int | str, _named("a bus, by name or index")]
"""A bus of the network: its name, or its index in pandapower's `net.bus`."""
Buses = Annotated[
    int | str | Annotated[list[int | str], Field(min_length=1)],
    _named("a bus, by name or index, a list of them, or `loads`", lists="too"),
]
"""One bus, or several in turn."""


class PandapowerNetwork(Model):
    """A network that is part of pandapower."""

    pandapower: str
    """A function of `pandapower.networks` (`create_cigre_network_lv`) or its short name (`cigre_lv`)."""
    options: dict[str, Any] = {}
    """Keyword arguments of the function."""


class SimbenchNetwork(Model):
    """A SimBench network."""

    simbench: str
    """SimBench code, such as `1-LV-rural1--2-sw`; the digit after `--` is the year: 0 today, 1 2024, 2 2034."""


class NetworkFile(Model):
    """A network saved by pandapower."""

    file: str
    """JSON file that `pandapower.to_json` wrote, relative to the scenario file."""


NetworkChoice = Annotated[
    Annotated[str, Tag("<plain>")]
    | Annotated[PandapowerNetwork, Tag("<pandapower>")]
    | Annotated[SimbenchNetwork, Tag("<simbench>")]
    | Annotated[NetworkFile, Tag("<file>")],
    choice(
        "a name such as `cigre_lv`, {pandapower: FUNCTION, options: {...}}, {simbench: CODE}, or {file: FILE.json}",
        "pandapower",
        "simbench",
        "file",
    ),
]


class GridProfile(Model):
    """A typical shape; the network's own values are its peak."""

    profile: Profile
    """Shape over the day and week."""
    noise: Fraction = 0.1
    """Standard deviation of each load about its profile, as a share of the profile [-]."""
    scale: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Factor on the network's own values [-]."""


class GridSimbench(Model):
    """The time series that a SimBench network comes with: those of 2016, by date and local clock time."""

    simbench: Literal["profiles"]
    """`profiles`: those of the network's own elements."""
    without: list[str] = []
    """Patterns of profiles, such as `HLS_*` for SimBench's own charging stations at home; loads with these draw
    nothing."""
    scale: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Factor on all values [-]."""


class GridCsv(Model):
    """Time series from a CSV file."""

    csv: str
    """CSV file, relative to the scenario file: one row per step of the horizon, one column per element, by name [kW].
    A column `NAME.kvar` gives reactive power; without it the ratio of the network's own values stays."""
    time: str | None = None
    """Column of times, the start of each row such as `2023-05-01 08:15`, with or without an offset from UTC: a file of
    a year, of which each day takes its rows, whatever their distance."""
    timezone: str | None = None
    """IANA time zone of times without an offset; left out: that of the scenario."""
    scale: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Factor on all values [-]."""


class GridConstant(Model):
    """The network's own values, all day."""

    scale: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Factor on them [-]."""


class GridSun(Model):
    """Photovoltaics under a common sky; the network's own values are the power under clear sky at noon in midsummer."""

    sun: Annotated[float, Field(ge=-66, le=66), NUMBER]
    """Latitude [degrees north]."""
    scale: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Factor on the network's own values [-]."""


GridLoads = Annotated[
    Annotated[GridProfile, Tag("<profile>")]
    | Annotated[GridSimbench, Tag("<simbench>")]
    | Annotated[GridCsv, Tag("<csv>")]
    | Annotated[GridConstant, Tag("<scale>")],
    choice(
        "one of {profile: household}, {simbench: profiles}, {csv: FILE}, {scale: 0.5}",
        "profile",
        "simbench",
        "csv",
        "scale",
    ),
]

GridGenerators = Annotated[
    Annotated[GridSun, Tag("<sun>")]
    | Annotated[GridSimbench, Tag("<simbench>")]
    | Annotated[GridCsv, Tag("<csv>")]
    | Annotated[GridConstant, Tag("<scale>")],
    choice(
        "one of {sun: 52}, {simbench: profiles}, {csv: FILE}, {scale: 0.5}",
        "sun",
        "simbench",
        "csv",
        "scale",
    ),
]


class AddedPv(Model):
    """Photovoltaic plants that the network file does not have."""

    buses: Annotated[
        Literal["loads"] | Annotated[list[int | str], Field(min_length=1)],
        _named("a list of buses, by name or index, or `loads`", lists="only"),
    ] = "loads"
    """Buses that get one each; `loads`: every bus with a load."""
    peak: Power
    """Power of each under clear sky at noon in midsummer [kW]."""


class VoltageDroop(Model):
    """Q(V) of the chargers: reactive power that follows the voltage at the bus."""

    voltages: Annotated[list[Annotated[float, NUMBER]], Field(min_length=4, max_length=4)] = [0.94, 0.97, 1.03, 1.06]
    """Rising corners [p.u.]: full feeding of reactive power up to the first, none between the second and third, full
    drawing from the fourth on. Default: the shape of VDE-AR-N 4105's Q(U) curve."""
    share: PositiveFraction = 0.3287
    """Full reactive power as a share of the active power at the bus [-]; the default is cos φ = 0.95."""

    @field_validator("voltages")
    @classmethod
    def _check(cls, voltages: list[float]) -> list[float]:
        if sorted(set(voltages)) != voltages:
            raise ValueError(f"found {voltages}; the four voltages must rise")
        return voltages


class Chargers(Model):
    """Reactive power of the chargers."""

    power_factor: PowerFactor = 1.0
    """cos φ of charging; reactive power is drawn with the active power, in proportion [-]."""
    q_of_v: VoltageDroop | None = None
    """Reactive power by the voltage at the bus, instead of a power factor."""

    @model_validator(mode="after")
    def _check(self) -> Chargers:
        if self.q_of_v is not None and self.power_factor != 1.0:
            raise fault("q_of_v", "give either `power_factor` or `q_of_v`, not both")
        return self

    @property
    def kvar_per_kw(self) -> float:
        """Reactive power drawn with each kW, where it does not follow the voltage: tan φ [-]."""
        return math.sqrt(1.0 - self.power_factor**2) / self.power_factor


LEAST_PERCENT = 2.0
"""A lower limit of loading is taken for a share that was meant in percent."""


class GridLimits(Model):
    """Voltage band and highest loadings of the network."""

    voltage: Annotated[list[Annotated[float, NUMBER]], Field(min_length=2, max_length=2)] = [0.90, 1.10]
    """Lowest and highest voltage [p.u.]; EN 50160 allows ±10 %."""
    line: Loading = 100.0
    """Highest loading of lines [%]."""
    transformer: Loading = 100.0
    """Highest loading of transformers [%]."""

    @field_validator("voltage")
    @classmethod
    def _check(cls, voltage: list[float]) -> list[float]:
        if not 0.7 < voltage[0] < voltage[1] < 1.5:
            raise ValueError(f"found {voltage}; expected [lowest, highest] per unit, such as [0.95, 1.05], above 0.7")
        return voltage

    @field_validator("line", "transformer")
    @classmethod
    def _check_loading(cls, percent: float) -> float:
        if percent < LEAST_PERCENT:
            raise ValueError(f"found {percent:g}; expected percent of the rating: {100 * percent:g} if it was a share")
        return percent


class TapControl(Model):
    """An on-load tap changer that keeps the voltage on the low side of a transformer."""

    transformer: Annotated[int | str, _named("a transformer, by name or index")] = 0
    """Name or index of the transformer in the network."""
    voltage: Annotated[list[Annotated[float, NUMBER]], Field(min_length=2, max_length=2)] = [0.98, 1.02]
    """Band within which it does not move [p.u.]."""

    @field_validator("voltage")
    @classmethod
    def _check(cls, voltage: list[float]) -> list[float]:
        if not 0.7 < voltage[0] < voltage[1] < 1.5:
            raise ValueError(f"found {voltage}; expected [lowest, highest], such as [0.98, 1.02]")
        return voltage


class Grid(Model):
    """The network above the site."""

    network: NetworkChoice
    """A name of `pandapower.networks` (`cigre_lv`, `cigre_mv`, `create_kerber_vorstadtnetz_kabel_1`), a SimBench code,
    or a file."""
    loads: GridLoads = GridConstant(scale=1.0)
    """What the network's loads draw over the day; left out: their own values, all day."""
    generators: GridGenerators = GridConstant(scale=1.0)
    """What the network's static generators feed in over the day; left out: their own values, all day."""
    pv: AddedPv | None = None
    """Photovoltaic plants on top of the network's own generators."""
    chargers: Chargers = Chargers()
    """Reactive power of the chargers; left out: none."""
    limits: GridLimits = GridLimits()
    """Voltage band and highest loadings."""
    coordinator: GridCoordinator = "none"
    """`curtail`: takes power back, after the site's coordinator, until the network's limits hold; `none`: changes
    nothing, so that the objective can price what is beyond them."""
    tap_control: TapControl | None = None
    """On-load tap changer; left out: taps stay."""
    backend: str = "auto"
    """What solves the power flow: `auto`, a registered name such as `pandapower`, `zbus`, `newton`, or module:Class."""
    safe_fraction: Fraction = 0.5
    """Where the power flow has no solution, all charging is cut to this share and solved again, then to none [-]."""
