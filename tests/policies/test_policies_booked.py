"""Bookings: coverage by hand and by brute force; booked-response is best response where nothing is overbooked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_cases import make_station_view, two_lots

from ev_marl.env.setup import Setting
from ev_marl.objective.terminal import TerminalValue
from ev_marl.planning.booking import book
from ev_marl.planning.vehicles import Vehicles
from ev_marl.planning.worth import Worth
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.messages.booked import BookedResponse
from ev_marl.scenario import load_scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError
from ev_marl.testing import check_policy

WORTH, LATER_PER_KWH = Worth(1.0, 0.02, 0.4, terminal=TerminalValue(0.25)), 0.25


def bookings(simulator: Simulator, prices: np.ndarray) -> np.ndarray:
    """Power that each port books in each step to come, row 0; shape (n_ports, n_left), in plain Python."""
    sessions, step, step_h = simulator.days.stays, simulator.state.step, simulator.days.step_h
    booked = np.zeros((simulator.site.n_ports, len(prices)))
    for p in range(simulator.site.n_ports):
        s = simulator.state.session[0, p]
        if s < 0 or sessions["charge_kw"][s] <= 0.0:
            continue
        stay, energy, eta = sessions[s], simulator.state.energy_kwh[0, p], sessions["charge_efficiency"][s]
        for t in sorted(range(max(1, stay["deadline_step"] - step)), key=lambda t: (prices[t], t)):
            later = stay["departure_step"] > stay["deadline_step"]
            # A kWh at the meter is worth 0.25 later, and never more than unmet energy; wear comes with charging it.
            wanted = "wish_kwh" if later and prices[t] + 0.02 < min(LATER_PER_KWH, 0.4 * eta) else "due_kwh"
            missing_kw = max(0.0, stay[wanted] - energy) / (eta * step_h)
            booked[p, t] = min(stay["charge_kw"], missing_kw)
            energy += booked[p, t] * eta * step_h
    return booked


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_coverage_is_what_the_limits_above_leave_of_the_bookings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    track = random_track(rng, site, n_steps=12, step_h=0.5)
    simulator = Simulator(site.arrays, make_coordinator("proportional"), [track])
    simulator.reset()
    while not simulator.done:
        step, days = simulator.state.step, simulator.days
        prices = days.buy_per_kwh[:, step:]
        vehicles, bill = Vehicles.of(days.stays, simulator.state), np.stack([prices, prices])
        rates = WORTH.rates(np.full((2, 1), LATER_PER_KWH))
        found = book(vehicles, step, days.step_h, bill, rates, simulator.site, simulator.state.upper_kw)
        coverage = found.coverage
        np.testing.assert_array_equal(found.price_per_kwh, bill[:, :, None])
        booked = bookings(simulator, prices[0])
        arrays = site.arrays
        for p in range(arrays.n_ports):
            got = 0.0
            for t in np.flatnonzero(booked[p]):
                share = 1.0
                for g in (g for g in site.ancestors[arrays.port_group[p]] if g >= 0):
                    load = booked[arrays.group_first_port[g] : arrays.group_end_port[g], t].sum()
                    upper = max(0.0, simulator.state.upper_kw[0, g])
                    share = min(share, upper / load if load > upper else 1.0)
                got += share * booked[p, t]
            expected = got / booked[p].sum() if booked[p].sum() > 0.0 else 1.0
            assert coverage[0, p] == pytest.approx(expected, abs=1e-9)
        simulator.step(rng.uniform(-5.0, 11.0, (1, arrays.n_ports)))


def test_who_books_later_finds_less_of_the_sun() -> None:
    """12 kW are left in each of two hours, to be sold at 0.10 and 0.11; buying costs 0.30."""
    site = two_lots((2, 1)).arrays
    view = make_station_view(
        buy=[0.30, 0.30], sell=[0.10, 0.11], energy=[20, 20, 20], due=[30, 30, 30], deadline=2, metering="site"
    )
    energy = view.worth.energy_per_kwh(view.buy_per_kwh, view.sell_per_kwh)
    bill = np.concatenate([energy, np.full((1, 1, 2), -12.0)])
    upper = np.full((1, 3), 20.0)
    found = book(view.vehicles, 0, 1.0, bill, view.worth.rates(view.end_per_kwh), site, upper)
    first, second, third = found.price_per_kwh[0, 0]
    assert first == pytest.approx([0.10, 0.11])
    # 10 kW are taken from the first hour: 2 of the next 10 kW at 0.10, 8 at 0.30. So the second takes the other hour.
    assert second == pytest.approx([0.26, 0.11])
    assert third == pytest.approx([0.26, 0.2 * 0.11 + 0.8 * 0.30])
    assert found.coverage == pytest.approx(np.ones((1, 3)))
    # The third takes the first hour too: 20 kW are booked there, and the limit allows 15.
    found = book(view.vehicles, 0, 1.0, bill, view.worth.rates(view.end_per_kwh), site, np.full((1, 3), 15.0))
    assert found.coverage == pytest.approx(np.array([[0.75, 1.0, 0.75]]))


def test_without_limits_it_is_best_response() -> None:
    scenario = load_scenario("tiny")
    loose = scenario.site.model_dump(exclude_unset=True)
    _drop_limits(loose)
    setting = Setting.of(scenario.model_copy(update={"site": type(scenario.site).model_validate(loose)}))
    tracks = [setting.world.sample(seed) for seed in range(10)]
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    booked, plain = (
        rollout(simulator, setting.objective, make_policy(name), tracks).team
        for name in ("booked-response", "best-response")
    )
    np.testing.assert_array_equal(booked, plain)


def _drop_limits(node: dict[str, Any]) -> None:
    node.pop("import_limit", None)
    for inner in node.get("groups", []):
        _drop_limits(inner)


def test_it_hedges_where_limits_are_tight() -> None:
    setting = Setting.of("workplace", coordinator="priority")
    tracks = [setting.world.sample(seed) for seed in range(20)]
    simulator = Simulator(setting.site.arrays, setting.coordinator, tracks)
    booked, plain = (
        rollout(simulator, setting.objective, make_policy(name), tracks).team.mean()
        for name in ("booked-response", "best-response")
    )
    assert booked > plain


def test_it_conforms() -> None:
    check_policy(lambda: BookedResponse(factor=0.9, adder_per_kwh=-0.01, margin_steps=1))


@pytest.mark.parametrize(
    ("options", "message"), [({"factor": 0.0}, "above 0"), ({"margin_steps": -1}, "from 0 to 600,000")]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BookedResponse(**options)  # type: ignore[arg-type]
