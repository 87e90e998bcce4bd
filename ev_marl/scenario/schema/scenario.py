"""A scenario as a whole: the keys that stand alone, and those that have a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ev_marl.scenario.base import FileModel, fault
from ev_marl.scenario.clock import zone_of
from ev_marl.scenario.problems import KeyPath
from ev_marl.scenario.schema.action import Action
from ev_marl.scenario.schema.ageing import Ageing
from ev_marl.scenario.schema.coordinator import CoordinatorChoice, CoordinatorOptions
from ev_marl.scenario.schema.events import Event
from ev_marl.scenario.schema.grid import Grid
from ev_marl.scenario.schema.objective import Objective
from ev_marl.scenario.schema.observation import Block, blocks_of
from ev_marl.scenario.schema.outlook import OutlookByKind, OutlookChoice, outlooks_of
from ev_marl.scenario.schema.patterns import CURRENCY_PATTERN, Name
from ev_marl.scenario.schema.policies import PolicyText, policies_of
from ev_marl.scenario.schema.prices import PriceConstant, Prices
from ev_marl.scenario.schema.sessions import Sessions
from ev_marl.scenario.schema.signals import CarbonSeries, Weather
from ev_marl.scenario.schema.site import Group, PvSystem
from ev_marl.scenario.schema.vehicles import Vehicles
from ev_marl.scenario.units import Day, Duration, PositiveDuration
from ev_marl.support.errors import TrackError
from ev_marl.support.registry import own_code_in

Metering = Literal["site", "port"]
"""Where energy is billed: at the site's connection, or at each port by a contract of its own."""


class Scenario(FileModel):
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
    ageing: Ageing | None = None
    """How batteries age, and what their capacity costs. `compare` measures it (extra `ageing`), and `objective:
    {battery_ageing: 1}` prices it, with or without this key; the table of a comparison shows it where either is
    there."""
    tracks: str | None = None
    """Folder of recorded days, such as `ev-marl track import` writes, that are played instead of drawn ones: with the
    folders `train`, `validation` and `test`, see `ev-marl track split`. Sessions, prices, loads and limits are then
    those of the tracks, and expectations are made from the training days."""
    prices: Prices = PriceConstant(constant=0.25)
    """Energy prices."""
    carbon: CarbonSeries | None = None
    """Carbon intensity of what the site draws from the grid [g/kWh]; known to the end of the episode. `compare` adds up
    the CO2, the block `carbon` shows the intensity, and `objective: {carbon: 80 EUR/t}` prices it."""
    weather: Weather = Weather()
    """The weather."""
    events: Annotated[list[Event], Field(max_length=100)] = []
    """Demand response, islands and outages, with the time at which each becomes known. Who plans knows those that are
    announced, and does not expect others; the optimum knows all."""
    metering: Metering | None = None
    """Where energy is billed. `site`: at the grid connection, on base load, PV and vehicles together; the vehicles pay
    the difference that they make to the bill. `port`: each port by itself, as with contracts of its own. Left out:
    `site` where a group has base load or PV, else `port`."""
    grid: Grid | None = None
    """The network above the site; left out: the grid connection is ideal."""
    coordinator: CoordinatorChoice = "nearest"
    """Who gets power when there is not enough: `none`, `proportional`, `priority`, `round-robin`, `nearest`, or
    module:Class."""
    objective: Objective = Objective()
    """What counts."""
    observation: Annotated[list[Block], Field(min_length=1)] = ["identity", "clock", "ports", "prices", "headroom"]
    """What each agent sees, block by block: `identity`, `clock`, `calendar`, `ports`, `prices`, `headroom`,
    `demand`, `neighbours`, `plans`, `booking`, `site_price`, `carbon`, `events`, with `grid:` also `voltage`
    and `grid`, or your own."""
    action: Action = "continuous"
    """`continuous`: share of the port's rated power; `fraction`: share of what is possible this step; `bid`: a price
    added to the vehicle's own plan; or discrete levels."""
    outlook: OutlookChoice = OutlookByKind()
    """What observations, plans and policies expect of the rest of an episode: `known` (the truth), `present` (no
    change), `expected` (from the scenario's models), `forecast` (the truth with an error that grows with lead time), or
    module:Class; one for all kinds of values, or by kind. Default: prices are as published, all other kinds are
    expected."""
    policies: Annotated[list[PolicyText], Field(min_length=1)] | None = None
    """Policies that `ev-marl compare` runs if the command names none: names, `name(option=...)`, or module:Class;
    default: the usual ones."""

    def plug_ins(self) -> Iterator[tuple[KeyPath, object]]:
        """Everything in it that can name code: plug-ins with their options, and the key of each."""
        yield ("sessions", "model"), self.sessions.model
        yield from (((*path, "model"), sessions.model) for path, sessions in self.site.own_sessions())
        yield ("coordinator",), self.coordinator
        yield from ((("objective", "extra", name), {name: options}) for name, options in self.objective.extra.items())
        yield from blocks_of(self.observation)
        yield from outlooks_of(self.outlook)
        yield from policies_of(("policies",), self.policies or ())
        if self.grid is not None:
            yield ("grid", "backend"), self.grid.backend

    def with_coordinator(self, chosen: str | CoordinatorOptions) -> Scenario:
        """The same scenario under another coordinator, one that the caller chose and so agreed to.

        Raises
        ------
        ScenarioError
            If the scenario names custom code and is not trusted.
        """
        self.check_trust()
        options = CoordinatorOptions(name=chosen) if isinstance(chosen, str) else chosen
        trust = self.trusted or any(own_code_in(options))
        return self.model_copy(update={"coordinator": options}).read_from(self.places, trust=trust)

    def with_tracks(self, folder: Path) -> Scenario:
        """The same scenario with recorded days, see `tracks`.

        Raises
        ------
        TrackError
            If there is no such folder.
        """
        if not folder.is_dir():
            raise TrackError(f"{folder}: there is no such folder")
        found = self.model_copy(update={"tracks": str(folder.absolute())})
        return found.read_from(self.places, trust=self.trusted)

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str) -> str:
        zone_of(timezone)
        return timezone

    @model_validator(mode="after")
    def _check(self) -> Scenario:
        steps = self.horizon / self.step
        if abs(steps - round(steps)) > 1e-9 or round(steps) == 0:
            raise fault(
                "horizon",
                f"found {self.horizon:g} h, which is {steps:.4g} steps of {self.step:.4g} h; make it a whole number",
            )
        plants = [group.pv for group in self.site.all_groups()]
        if self.weather.irradiance is not None and not any(isinstance(plant, PvSystem) for plant in plants):
            raise fault("weather", "found `irradiance`, and no plant that uses it; give a group `pv: {kwp: ...}`")
        if self.until is not None and self.until < self.start:
            raise fault("until", f"found {self.until}, which lies before `start`, {self.start}")
        if self.until is not None and self.days != "all" and (self.until - self.start).days < 6:
            drawn = {(self.start + timedelta(days=k)).weekday() >= 5 for k in range((self.until - self.start).days + 1)}
            if (self.days == "weekends") not in drawn:
                raise fault("days", f"there are no {self.days} between {self.start} and {self.until}")
        return self

    @property
    def billed_at(self) -> Metering:
        """Where energy is billed, by `metering` or by what stands behind the connection."""
        behind = any(
            group.base_load is not None or group.pv is not None or any(one.standby for one in group.stations)
            for group in self.site.all_groups()
        )
        return self.metering or ("site" if behind or self.site.batteries else "port")

    @property
    def laws(self) -> Ageing:
        """What ageing is computed from: the key `ageing`, or its defaults."""
        return self.ageing or Ageing()

    @property
    def n_steps(self) -> int:
        """Steps of an episode."""
        return round(self.horizon / self.step)
