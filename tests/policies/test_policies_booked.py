"""Bookings: coverage by hand and by brute force; booked-response is best response where nothing is overbooked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.env.setup import Setting
from ev_marl.planning.booking import booked_coverage
from ev_marl.planning.vehicles import Vehicles
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.messages.booked import BookedResponse
from ev_marl.scenario import load_scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import OptionError
from ev_marl.testing import check_policy


def bookings(simulator: Simulator, prices: np.ndarray) -> np.ndarray:
    """Power that each port books in each step to come, row 0; shape (n_ports, n_left), in plain Python."""
    sessions, step = simulator.days.stays, simulator.state.step
    booked = np.zeros((simulator.site.n_ports, len(prices)))
    for p in range(simulator.site.n_ports):
        s = simulator.state.session[0, p]
        if s < 0 or sessions["charge_kw"][s] <= 0.0:
            continue
        missing_kwh = sessions["due_kwh"][s] - simulator.state.energy_kwh[0, p]
        left_kw = missing_kwh / (sessions["charge_efficiency"][s] * simulator.days.step_h)
        usable = range(max(1, sessions["deadline_step"][s] - step))
        for t in sorted(usable, key=lambda t: (prices[t], t)):
            booked[p, t] = max(0.0, min(sessions["charge_kw"][s], left_kw))
            left_kw -= booked[p, t]
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
        coverage = booked_coverage(
            Vehicles.of(days.stays, simulator.state),
            step,
            days.step_h,
            prices,
            simulator.site,
            simulator.state.upper_kw,
        )
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


@pytest.mark.parametrize(("options", "message"), [({"factor": 0.0}, "above 0"), ({"margin_steps": -1}, "0 or more")])
def test_options_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        BookedResponse(**options)  # type: ignore[arg-type]
