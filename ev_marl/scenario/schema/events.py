"""The key `events`: demand response, islands and outages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ev_marl.scenario.base import Model, fault
from ev_marl.scenario.units import NUMBER, Duration, NonNegativePrice, PositiveDuration, Power

EventKind = Literal["demand_response", "island", "outage"]
"""What happens: a lower import limit; no exchange above a group; ports without power."""


class Event(Model):
    """One event, on every day at one hour or at random."""

    kind: EventKind
    """`demand_response`: the import limit of a group is lowered to `limit`, or import above it costs `penalty`.
    `island`: a group can neither import nor export; what its base load lacks is not supplied, and counts as unavoidable
    overload. `outage`: ports give and take no power, while the vehicles stay connected."""
    of: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The group; of an outage also a station or `station/port`. Left out: the site. An outage of a group is one of all
    its stations; at random, each of them fails by itself."""
    at: Annotated[Duration, Field(lt=24)] | None = None
    """Local clock hour at which it begins every day: with the step that contains it [h]."""
    per_day: Annotated[float, Field(gt=0, le=100), NUMBER] | None = None
    """Instead of `at`: mean number per day, at random times (Poisson) [1/day]."""
    lasts: PositiveDuration
    """How long it lasts, rounded to steps and at least one; cut off at the end of the episode [h]."""
    limit: Power | None = None
    """Import limit of the group in the event, base load included; only of `demand_response` [kW]."""
    penalty: NonNegativePrice = 0.0
    """Price of import above `limit`; the limit is then not kept by the coordinator, only paid for (`objective:
    demand_response`). Left out: the limit is kept. Only of `demand_response` [currency/kWh]."""
    announced: Duration = 0.0
    """How long before it begins it becomes known, with its end; 0: when it begins [h]."""

    @model_validator(mode="after")
    def _check(self) -> Event:
        if (self.at is None) == (self.per_day is None):
            raise fault("at", "give either `at`, an hour of each day, or `per_day`, a mean number of random events")
        if (self.kind == "demand_response") != (self.limit is not None):
            raise fault("limit", f"`limit` belongs to `demand_response`, and only to it; the kind is {self.kind}")
        if self.penalty and self.kind != "demand_response":
            raise fault("penalty", f"`penalty` belongs to `demand_response` only; the kind is {self.kind}")
        return self
