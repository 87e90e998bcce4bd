"""The end of the horizon: by hand, against another optimum, in two halves, and on the shipped scenarios."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import playable_scenarios
from cut_track import at_the_end, cut_track
from hypothesis import given, settings
from hypothesis import strategies as st
from optimum_cases import money, one_port_day, random_day, reference_bound

from ev_marl import solve_day
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.objective.terminal import TerminalValue
from ev_marl.optimum import solve
from ev_marl.policies import Policy, make_policy, rollout
from ev_marl.policies.plan import PlanPolicy
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track


def with_end(objective: Objective, price: float | str = "auto") -> Objective:
    """The objective, and what vehicles hold at the end."""
    return Objective([*objective.terms, TerminalValue.beside(objective.terms, price)])


def costs_of(site: Site, track: Track, objective: Objective, power_kw: list[float]) -> list[float]:
    """What the term costs in each step, under given setpoints of one port."""
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    term = objective.terms[objective.names.index("terminal_value")]
    costs, out = [], np.empty((1, 1))
    for power in power_kw:
        term.cost(simulator.step(np.array([[power]])), out)
        costs.append(float(out[0, 0]))
    return costs


# 20 of 100 kWh, 16 wanted in a stay of 8 hours, of which the episode has 4: 28 kWh by an even service. Efficiency 0.8;
# at 0.40 the kWh at the meter, a kWh in the battery is worth 0.50.
BY_HAND = {
    "nothing charged": ([0.0, 0.0, 0.0, 0.0], 8 * 0.50),
    "evenly": ([2.5, 2.5, 2.5, 2.5], 0.0),
    "at once": ([10.0, 10.0, 0.0, 0.0], -8 * 0.50),
    "beyond the wish, which nobody asked for": ([10.0, 10.0, 10.0, 0.0], -8 * 0.50),
    "fed back": ([-8.0, 0.0, 0.0, 0.0], 18 * 0.50),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_is_left_by_hand(name: str) -> None:
    power_kw, expected = BY_HAND[name]
    site, track = one_port_day([0.2] * 4, wanted_kwh=16.0, stay=(0, 8), efficiency=0.8, discharge_kw=10.0)
    costs = costs_of(site, track, with_end(money(), 0.40), power_kw)
    assert costs == pytest.approx([0.0, 0.0, 0.0, expected])


def test_what_cannot_be_delivered_any_more_is_unmet_and_not_bought() -> None:
    """50 kWh wanted in 6 hours of 10 kW: 30 more are due after 4. With 10, 20 are unmet, and what is due is counted."""
    site, track = one_port_day([0.2] * 4, wanted_kwh=50.0, stay=(0, 6))
    objective = with_end(money(unmet=1.0), 0.40)
    even, due = 20.0 + 50.0 * 4 / 6, 50.0
    assert costs_of(site, track, objective, [10.0, 0.0, 0.0, 0.0])[-1] == pytest.approx(0.40 * (even - due))
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    for power in (10.0, 0.0, 0.0, 0.0):
        flow = simulator.step(np.array([[power]]))
    assert flow.unmet_kwh[0, 0] == pytest.approx(20.0)


def test_what_a_vehicle_brings_along_is_debited_with_the_first_step() -> None:
    """It came before the start and is 6 kWh ahead: worth 3.00, and the even service goes on from 6 kWh less."""
    site, track = one_port_day([0.2] * 4, wanted_kwh=16.0, stay=(0, 8), efficiency=0.8)
    sessions = track.sessions.copy()
    sessions["ahead_kwh"] = 6.0
    costs = costs_of(site, replace(track, sessions=sessions), with_end(money(), 0.40), [0.0] * 4)
    assert costs == pytest.approx([6 * 0.50, 0.0, 0.0, (25.0 - 20.0) * 0.50])


def test_the_worth_of_a_kwh_counts_wear_tariff_and_unmet_energy() -> None:
    terms = money(wear=0.03, unmet=0.30).terms
    efficiency = np.array([0.9, 0.5])
    worth = TerminalValue.beside(terms).worth_per_kwh(0.20, efficiency)
    assert worth.tolist() == pytest.approx([0.23 / 0.9, 0.30])  # a kWh that costs more than it is missed stays unmet
    assert TerminalValue.beside(terms, 0.06).worth_per_kwh(0.20, efficiency).tolist() == pytest.approx([0.1, 0.18])
    assert TerminalValue.beside(terms).worth_per_kwh(-0.50, efficiency).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("hours", [24, 30])
def test_nothing_is_to_be_had_from_a_vehicle_that_stays(hours: int) -> None:
    """11 kW of V2G at 0.30 and 0.27, no wish, 50 of 60 kWh: whether it stays 24 of 24 hours or 30, it earns nothing."""
    site, track = one_port_day(
        [0.30] * 24,
        sell=[0.27] * 24,
        stay=(0, hours),
        energy_kwh=50.0,
        wanted_kwh=0.0,
        capacity_kwh=60.0,
        discharge_kw=11.0,
        efficiency=0.93,
    )
    solution = solve(site, track, with_end(money(unmet=0.40)))
    assert solution.bound == pytest.approx(0.0, abs=1e-9)
    assert solution.achieved == pytest.approx(0.0, abs=1e-9)
    if hours > 24:
        assert solve(site, track, money(unmet=0.40)).bound > 5.0  # where the end counts for nothing


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("seed", range(16))
def test_the_bound_agrees_with_another_optimum(seed: int) -> None:
    site, track = random_day(seed, n_steps=7, negative_prices=seed % 2 == 0)
    wear, later = 0.02 * (seed % 3), float(track.buy_per_kwh.mean())
    solution = solve(site, track, with_end(money(wear=wear, unmet=0.5)))
    assert solution.certificate.exact
    reference = reference_bound(site, track, wear=wear, unmet=0.5, later=later)
    assert solution.bound == pytest.approx(reference, rel=2e-6, abs=2e-6)


@settings(max_examples=30)
@given(seeds, st.sampled_from([0.05, 0.5]))
def test_no_policy_beats_the_bound_and_the_plan_earns_it(seed: int, unmet: float) -> None:
    """Also where unmet energy is cheaper than a kWh, so that an optimum refuses service."""
    site, track = random_day(seed)
    objective, rng = with_end(money(wear=0.01, unmet=unmet)), np.random.default_rng(seed)
    solution = solve(site, track, objective)
    assert solution.certificate.exact
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    policies: list[Policy] = [make_policy(name) for name in ("uncontrolled", "random", "best-response", "mpc-perfect")]
    noisy = solution.plan.energy_kwh + rng.normal(0.0, 2.0, solution.plan.energy_kwh.shape)
    policies += [PlanPolicy(solution.plan), PlanPolicy(replace(solution.plan, energy_kwh=noisy))]
    for policy in policies:
        earned = float(rollout(simulator, objective, policy, [track]).team[0])
        assert earned <= solution.bound + 1e-9 * max(1.0, abs(solution.bound)), policy.name


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mpc_with_the_truth_earns_the_bound(seed: int) -> None:
    site, track = random_day(seed, negative_prices=False)
    objective = with_end(money(wear=0.01, unmet=0.6))
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    earned = rollout(simulator, objective, make_policy("mpc-perfect"), [track]).team[0]
    assert earned == pytest.approx(solve(site, track, objective).bound, rel=1e-3, abs=2e-3)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_plan_that_ends_before_the_episode_gives_no_energy_away(seed: int) -> None:
    setting = Setting.of("residential-v2g")
    tracks = [setting.world.sample(seed)]

    def played(spec: str) -> tuple[float, float]:
        """Team return, and energy fed back [kWh]."""
        back_kwh: list[float] = []
        result = rollout(
            setting.simulator(tracks),
            setting.objective,
            make_policy(spec),
            tracks,
            watch=lambda flow, _, __: back_kwh.append(-float(np.minimum(0.0, flow.granted_kw).sum()) * flow.step_h),
        )
        return float(result.team[0]), sum(back_kwh)

    whole, whole_kwh = played("mpc-perfect")
    uncontrolled, _ = played("uncontrolled")
    for horizon_h in (4, 1):
        earned, back_kwh = played(f"mpc-perfect(horizon_h={horizon_h})")
        assert back_kwh < whole_kwh + 5.0
        assert uncontrolled < earned <= whole + 1e-6
        assert earned > whole + 0.15 * (uncontrolled - whole)


@pytest.mark.parametrize("name", playable_scenarios())
def test_the_optimum_takes_next_to_nothing_out_of_vehicles_that_stay(name: str) -> None:
    """Energy below that at the start or arrival, at the mean price, is under 2 % of what the optimum gains."""
    setting = Setting.of(name)
    taken = gain = 0.0
    for seed in range(1 if setting.grid is not None else 3):
        track = setting.world.sample(seed)
        solution = solve_day(setting, track)
        stays = stays_of(setting.site.arrays, track)
        stays = stays[stays["is_battery"] == 0]
        here = stays[(stays["departure_step"] > track.n_steps) & (stays["arrival_step"] < track.n_steps)]
        out_kwh = np.maximum(0.0, here["energy_kwh"] - solution.plan.energy_kwh[-1, here["port"]])
        taken += float(out_kwh.sum() * track.buy_per_kwh.mean())
        uncontrolled = at_the_end(setting.simulator([track]), setting.objective, make_policy("uncontrolled"))[0]
        gain += solution.achieved - uncontrolled
    assert taken < 0.02 * gain


@pytest.mark.parametrize(
    ("name", "n_pairs"), [("residential-v2g", 4), ("workplace", 4), ("depot-100", 6), ("highway", 4), ("tiny", 4)]
)
def test_two_episodes_of_a_day_cost_what_one_of_two_days_costs(name: str, n_pairs: int) -> None:
    """Within 3 % over all pairs of days; a single pair of `depot-100` differs by up to 11 %."""
    longer = load_scenario(name).model_dump(exclude_unset=True) | {"horizon": 48.0}
    both, day = Setting.of(Scenario.model_validate(longer)), Setting.of(name)
    no_energy = np.zeros(day.site.arrays.n_ports)
    totals = {"optimum": np.zeros(2), "uncontrolled": np.zeros(2)}
    for seed in range(n_pairs):
        track = both.world.sample(seed)
        for who, total in totals.items():

            def played(setting: Setting, track: Track, who=who) -> tuple[float, np.ndarray, np.ndarray]:
                optimal = PlanPolicy(solve_day(setting, track).plan) if who == "optimum" else make_policy(who)
                return at_the_end(setting.simulator([track]), setting.objective, optimal)

            first = cut_track(track, day.scenario.n_steps, no_energy, no_energy)[0]
            cost, held_kwh, ahead_kwh = played(day, first)
            second = cut_track(track, day.scenario.n_steps, held_kwh, ahead_kwh)[1]
            total += played(both, track)[0], cost + played(day, second)[0]
    for whole, parts in totals.values():
        assert parts == pytest.approx(whole, rel=0.03)
