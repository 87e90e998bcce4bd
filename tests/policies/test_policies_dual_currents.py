"""Prices of current limits: plans at them keep the limits, and cost what the optimum costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from current_cases import mixed_phase_day
from optimum_cases import money, one_port_day

from ev_marl.optimum import solve
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.messages.dual import DualPrices
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.currents import line_currents
from ev_marl.world.track import Track


def three_cars(limit_a: float, base_kw: float = 0.0) -> tuple[SiteArrays, Track]:
    """Three cars on L1, L1-L2 and L3-L1 that want 15 kWh in three hours, and a limit of the current in L1."""
    site, track = one_port_day([0.1, 0.2, 0.3], wanted_kwh=15.0, n_vehicles=3)
    weight = np.array([line_currents(name, 230.0)[0] for name in ("L1", "L1-L2", "L3-L1")])
    arrays = replace(
        site.arrays,
        current_weight=np.stack([weight.real, weight.imag])[None],
        current_limit_a=np.array([limit_a]),
        current_group=np.zeros(1, dtype=np.int64),
        current_base_weight=np.array([[1000.0 / 690.0, 0.0]]),
    )
    return arrays, replace(track, base_load_kw=np.full((3, arrays.n_groups), base_kw))


@pytest.mark.parametrize(("limit_a", "base_kw"), [(60.0, 0.0), (60.0, 6.9), (80.0, 6.9)])
def test_with_many_rounds_it_earns_the_optimum_without_the_coordinator(limit_a: float, base_kw: float) -> None:
    site, track = three_cars(limit_a, base_kw)
    objective = money(unmet=1.0)
    bound = solve(site, track, objective).bound
    assert bound < solve(*three_cars(1000.0), objective).bound - 0.1
    currents = []

    def watch(flow, _rewards, _costs):
        currents.append(float(flow.current_a[0, 0]))

    simulator = Simulator(site, make_coordinator("none"), [track])
    earned = rollout(simulator, objective, make_policy("dual-prices(rounds=2000)"), [track], watch=watch).team[0]
    assert max(currents) <= 1.01 * limit_a
    assert earned == pytest.approx(bound, rel=0.02)


def test_a_price_is_zero_where_the_current_has_room() -> None:
    site, track = three_cars(1000.0)
    policy = make_policy("dual-prices(rounds=50)")
    rollout(Simulator(site, make_coordinator("nearest"), [track]), money(unmet=1.0), policy, [track])
    assert not policy.current_prices.price_per_kwh.any()


def test_prices_bring_days_of_mixed_phases_nearer_to_the_optimum() -> None:
    """Limits above each other, limits without ports, base loads and V2G."""
    objective, gaps = money(wear=0.02, unmet=0.5), []
    for seed in range(12):
        site, track = mixed_phase_day(seed)
        bound, simulator = solve(site, track, objective).bound, Simulator(site, make_coordinator("nearest"), [track])
        policies = (DualPrices(rounds=50), _WithoutCurrents(rounds=50))
        gaps.append([bound - rollout(simulator, objective, policy, [track]).team[0] for policy in policies])
    with_prices, without = np.mean(gaps, axis=0)
    assert with_prices < 0.8 * without


class _WithoutCurrents(DualPrices):
    """Leaves current limits to the coordinator."""

    def reset(self, episode):
        super().reset(episode)
        self._nodes, self._port_place = [], episode.site.port_group
