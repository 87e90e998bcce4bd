"""Own plans behind a site's meter: a station plans on the site's marginal prices, and learns of no other vehicle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import one_port_day, staying_vehicle

from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.terminal import TerminalValue
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import solve
from ev_marl.planning.worth import Worth
from ev_marl.policies import BestResponse, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track

AT_PORT = Objective([EnergyCost(1.0, "port"), UnmetEnergy(0.40)])
AT_SITE = Objective([EnergyCost(1.0, "site"), UnmetEnergy(0.40)])
FORESEEING = BestResponse(outlook="known")


def with_base_load(day: tuple[Site, Track], base_kw: list[float]) -> tuple[Site, Track]:
    site, track = day
    base = np.repeat(np.array(base_kw)[:, None], track.base_load_kw.shape[1], axis=1)
    limits = np.full(base.shape, np.inf)
    return site, track.replace(base_load_kw=base, import_limit_kw=limits, export_limit_kw=limits)


def earned(day: tuple[Site, Track], objective: Objective, policy: BestResponse) -> float:
    site, track = day
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    return float(rollout(simulator, objective, policy, [track]).team[0])


def test_a_vehicle_waits_for_the_sun() -> None:
    """10 kWh: bought at 0.20 now, or later taken from PV, whose power would earn 0.08."""
    day = with_base_load(one_port_day([0.20, 0.20], sell=[0.08, 0.08], wanted_kwh=10.0), [5.0, -30.0])
    assert earned(day, AT_SITE, FORESEEING) == pytest.approx(-0.80)
    assert earned(day, AT_SITE, BestResponse()) == pytest.approx(-2.00)  # nothing tells it that the sun will come
    assert earned(day, AT_PORT, FORESEEING) == pytest.approx(-2.00)


def test_a_vehicle_feeds_the_building() -> None:
    """10 kWh save buying at 0.32 and are bought again at 0.12; sold at 0.08, they would stay in the battery."""
    day = one_port_day(
        [0.32, 0.12], sell=[0.08, 0.08], energy_kwh=50.0, wanted_kwh=0.0, discharge_kw=10.0, capacity_kwh=100.0
    )
    wished = with_base_load(day, [20.0, 20.0])
    assert earned(wished, AT_SITE, FORESEEING) > earned(wished, AT_PORT, FORESEEING) + 1.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_where_one_vehicle_cannot_turn_the_site_the_own_plan_is_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    buy = rng.uniform(0.1, 0.5, 8)
    day = one_port_day(
        buy.tolist(),
        sell=(buy * rng.uniform(0.2, 1.0)).tolist(),
        wanted_kwh=float(rng.uniform(0, 40)),
        discharge_kw=float(rng.choice([0.0, 8.0])),
        efficiency=0.95,
        taper_start=0.99,
    )
    day = with_base_load(day, (rng.choice([-1.0, 1.0], 8) * rng.uniform(15.0, 40.0, 8)).tolist())
    assert earned(day, AT_SITE, FORESEEING) == pytest.approx(solve(*day, AT_SITE).bound, abs=2e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_vehicle_that_stays_plans_as_the_optimum_does(seed: int) -> None:
    """It leaves after the end: what it then lacks is bought at the terminal price, what it is ahead is credited."""
    day = staying_vehicle(np.random.default_rng(seed))
    terms = (EnergyCost(), UnmetEnergy(0.40))
    objective = Objective([*terms, TerminalValue.beside(terms)])
    bound = solve(*day, objective).bound
    assert earned(day, objective, BestResponse()) == pytest.approx(bound, abs=2e-3)


def test_the_objective_says_where_energy_is_billed() -> None:
    assert Worth.of(AT_SITE).metering == "site"
    assert Worth.of(AT_PORT).metering == "port"
    assert Worth.of(Setting.of("workplace").objective).metering == "site"
