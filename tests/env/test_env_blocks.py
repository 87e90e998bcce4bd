"""Every shipped block passes the conformance check, and the check finds what blocks do wrong."""

from __future__ import annotations

import numpy as np
import pytest

from ev_marl.env.blocks import BLOCKS, Feature, ObservationBlock
from ev_marl.simulation.days import Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.testing import check_block

ABOUT_THE_NETWORK = {"voltage", "grid"}  # need a site with one


@pytest.mark.parametrize("name", sorted(set(BLOCKS.names()) - ABOUT_THE_NETWORK))
def test_shipped_blocks_conform(name: str) -> None:
    check_block(BLOCKS.get(name))


def test_prices_with_options_conform() -> None:
    check_block(lambda: BLOCKS.get("prices")(hours=30, scale_per_kwh=0.01, most=1.5))
    check_block(lambda: BLOCKS.get("prices")(hours=0))


class Power:
    """Power of the site, 60 kW shown as 1."""

    name = "power"
    scope = "site"
    static = False

    def bind(self, site: Site) -> tuple[Feature, ...]:
        return (Feature("power", -2, 2, "power of all vehicles over 60 kW"),)

    def load(self, days: Days) -> None:
        pass

    def fill(self, state: State, out: np.ndarray) -> None:
        out[:, 0, 0] = state.group_kw[:, 0] / 60.0


def test_a_good_block_conforms() -> None:
    check_block(Power)


class Static(Power):
    static = True


class TooNarrow(Power):
    def bind(self, site: Site) -> tuple[Feature, ...]:
        return (Feature("power", 0, 1, ""),)


class Unbounded(Power):
    def bind(self, site: Site) -> tuple[Feature, ...]:
        return (Feature("power", -np.inf, 1, ""),)


class Unwritten(Power):
    def fill(self, state: State, out: np.ndarray) -> None:
        out[0, 0, 0] = 0.0


class OverTheBatch(Power):
    def fill(self, state: State, out: np.ndarray) -> None:
        out[:, 0, 0] = state.group_kw.mean() / 60.0


class Meddling(Power):
    def fill(self, state: State, out: np.ndarray) -> None:
        out[:] = 0.0
        state.energy_kwh += 1.0


class NoScope(Power):
    scope = "vehicle"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (Static, "says it is static and changes"),
        (TooNarrow, "the bounds are 0.0 and 1.0"),
        (Unbounded, "must be finite and enclose 0"),
        (Unwritten, "not finite, or not written"),
        (OverTheBatch, "looks different alone than in a batch"),
        (Meddling, "wrote to the state's ports"),
        (NoScope, "scope is one of"),
        (object, "lacks name"),
    ],
)
def test_the_check_finds(block: type[ObservationBlock], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_block(block)
