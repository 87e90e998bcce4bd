"""The key `action`: what each agent says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from ev_marl.scenario.base import Model, choice
from ev_marl.scenario.sizes import MOST_LEVELS, MOST_STEPS
from ev_marl.scenario.units import NUMBER, WHOLE, Fraction, NonNegativePrice, PositiveFraction, Price

ActionName = Literal["continuous", "fraction", "bid"]


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
    power that the plan counts on in later steps; `share`: the share of the plan's power that is the setpoint."""
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
    """A bid holds for so many steps; bids in between are ignored."""
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
    Annotated[ActionName, Tag("<plain>")] | Annotated[Levels, Tag("<levels>")] | Annotated[Bid, Tag("<bid>")],
    choice("`continuous`, `fraction`, `bid`, {levels: 5}, or {bid: {says: [adder]}}", "levels", "bid"),
]
