"""Dual prices on a network: prices worked by hand, against the optimum and the blind twin, what may be known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pandapower")

from builders import random_site, random_track
from grid_cases import ChainBackend, chain_day, chain_loop, chain_site
from optimum_cases import money
from policies_cases import day, outlook_on, two_lots
from policies_grid_cases import another_future, weak_street

from ev_marl.env.setup import Setting
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.policies import DualPrices, MpcPerfect, Policy, make_view, rollout
from ev_marl.policies.base import Episode
from ev_marl.scenario.schema.grid import GridLimits
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.testing import check_policy
from ev_marl.world.seeds import day_seeds
from ev_marl.world.track import Track

MONEY = money(wear=0.02, unmet=0.6)
BUY = [0.30, 0.28, 0.20, 0.10, 0.12, 0.22, 0.26, 0.32]


def earned(
    site: Site, loop: GridLoop | None, tracks: Sequence[Track], policy: Policy, **options: object
) -> SimpleNamespace:
    """Returns of a policy's days, what the network's coordinator took back [kWh], setpoints (B, T, P)."""
    taken, asked = [0.0], []

    def watch(flow, rewards, costs):
        taken[0] += 0.0 if flow.grid is None else float(flow.grid.curtailed_kw.sum()) * flow.step_h
        asked.append(flow.setpoint_kw.copy())

    simulator = Simulator(site.arrays, make_coordinator("nearest"), tracks, loop)
    team = rollout(simulator, MONEY, policy, tracks, watch=watch, **options).team
    return SimpleNamespace(team=team, taken_kwh=taken[0], asked_kw=np.stack(asked, axis=1))


def rush(limits: GridLimits) -> tuple[Site, Track, GridLoop]:
    """Four vehicles alike that want 80 kWh in eight hours; ports 0 and 2 near, 1 and 3 far, the same loads all day."""
    site = chain_site(two_lots((4, 1)))
    track = day(site, [(p, 0, 8, 20.0, 20.0, 100.0, 10.0) for p in range(4)], BUY)
    return site, track.replace(grid=chain_day(8)), chain_loop(site, limits=limits, curtails=True)


def first_answer(site: Site, track: Track, loop: GridLoop, rounds: int) -> tuple[DualPrices, np.ndarray]:
    """The policy after the first step of a day, and the plans of its ports (P, T)."""
    policy = DualPrices(rounds=rounds)
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track], loop)
    simulator.reset()
    rng = np.random.default_rng(0)
    policy.reset(Episode(site.arrays, 1, track.n_steps, track.step_h, rng, None, grid=replace(loop)))
    policy.act(make_view(simulator, MONEY, policy, outlook_on(simulator)))
    return policy, policy._plan_kw[0]


def most_beyond(site: Site, track: Track, loop: GridLoop, plan_kw: np.ndarray) -> float:
    """Highest loading of a plan beyond 100 %, or lowest voltage below the band in percent, by the exact power flow."""
    loop.load([track])
    day, no_tap, worst = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), -np.inf
    for t, kw in enumerate(plan_kw.T):
        charger_kw = np.array([[kw[site.port_charger == bus].sum() for bus in (0, 1)]])
        flow = loop.flow_of(loop.days.injections(day, t, charger_kw, charger_kw), no_tap)
        band = 100.0 * (loop.limits.voltage[0] - flow.vm_pu.min())
        worst = max(worst, float((flow.transformer_percent - loop.limits.transformer).max()), band)
    return worst


def test_it_is_a_policy() -> None:
    check_policy(lambda: DualPrices(grid=False))


def test_prices_of_a_transformer_worked_by_hand() -> None:
    # Loads and losses leave 15 kW of 36 %, so the sixth cheapest step, at 0.28, is needed for what is left.
    site, track, loop = rush(GridLimits(transformer=36.0, voltage=[0.8, 1.2]))
    policy, plan_kw = first_answer(site, track, loop, rounds=600)
    assert policy.grid_prices is not None
    assert plan_kw.sum(axis=1)[:4] == pytest.approx(20.0, abs=0.05)  # all get what they want
    assert (plan_kw.sum(axis=0) > 1.0).tolist() == [False, True, True, True, True, True, True, False]
    # Whoever charges in two steps pays the same in both: the price is what a step is cheaper than the dearest in use.
    prices = policy.grid_prices.bus_prices()[0]
    assert prices.mean(axis=0) == pytest.approx(np.maximum(0.0, 0.28 - np.array(BUY)), abs=0.015)
    assert (prices[1] >= prices[0]).all()  # losses: the far bus weighs more
    assert most_beyond(site, track, loop, plan_kw) < 0.1
    assert most_beyond(site, track, loop, first_answer(site, track, replace(loop, curtails=False), 600)[1]) > 20.0


def test_a_voltage_limit_costs_the_far_bus_twice() -> None:
    site, track, loop = rush(GridLimits(voltage=[0.968, 1.2], line=1000.0, transformer=1000.0))
    policy, plan_kw = first_answer(site, track, loop, rounds=600)
    assert policy.grid_prices is not None
    near, far = policy.grid_prices.bus_prices()[0]
    # The dearest step that the far vehicles need is that at 0.22. They share both lines, one of them with the near
    # vehicles, which charge at full power in the two cheapest steps.
    assert far == pytest.approx(np.maximum(0.0, 0.22 - np.array(BUY)), abs=0.005)
    np.testing.assert_allclose(near[far > 0.01], 0.5 * far[far > 0.01], rtol=0.05)
    np.testing.assert_allclose(plan_kw[[0, 2], 3:5], 10.0, atol=0.05)
    assert most_beyond(site, track, loop, plan_kw) < 0.01


@pytest.mark.parametrize("limits", [GridLimits(transformer=36.0, voltage=[0.8, 1.2]), GridLimits(voltage=[0.968, 1.2])])
def test_a_few_rounds_a_step_come_near_the_optimum(limits: GridLimits) -> None:
    site, track, loop = rush(limits)
    (best,) = earned(site, loop, [track], MpcPerfect()).team  # the optimum, as its own tests say
    (told,) = earned(site, loop, [track], DualPrices()).team
    (blind,) = earned(site, loop, [track], DualPrices(grid=False)).team
    assert abs(told - best) < 0.05 * abs(best)
    assert blind < best - 0.08 * abs(best)


@pytest.fixture(scope="module")
def weak() -> Setting:
    """The weak street, set up."""
    return Setting.of(weak_street())


def test_it_earns_more_than_if_it_were_blind(weak: Setting) -> None:
    tracks = [weak.world.sample(seed) for seed in day_seeds(3, 4, "train")]
    told = earned(weak.site, weak.grid, tracks, DualPrices(), world=weak.world)
    blind = earned(weak.site, weak.grid, tracks, DualPrices(grid=False), world=weak.world)
    assert told.team.sum() > blind.team.sum() + 0.01 * abs(blind.team.sum())
    assert told.taken_kwh < 0.2 * blind.taken_kwh


def test_what_is_still_to_come_has_no_say(weak: Setting) -> None:
    track = weak.world.sample(7)
    t, other = another_future(track)
    before = earned(weak.site, weak.grid, [track], DualPrices(), world=weak.world).asked_kw[0]
    after = earned(weak.site, weak.grid, [other], DualPrices(), world=weak.world).asked_kw[0]
    assert np.abs(before[: t + 1]).max() > 0.0
    np.testing.assert_array_equal(before[: t + 1], after[: t + 1])
    assert np.abs(before[t + 1 :] - after[t + 1 :]).max() > 0.0


def test_rows_of_a_batch_are_days_of_their_own_and_a_policy_starts_anew(weak: Setting) -> None:
    tracks, policy = [weak.world.sample(seed) for seed in (1, 2)], DualPrices()
    together = earned(weak.site, weak.grid, tracks, policy, world=weak.world).asked_kw
    for k, track in enumerate(tracks):
        alone = earned(weak.site, weak.grid, [track], policy, world=weak.world).asked_kw
        np.testing.assert_allclose(together[k], alone[0], atol=1e-9)


@pytest.mark.parametrize("why", ["wide limits", "nobody keeps them"])
def test_a_network_that_takes_nothing_back_changes_nothing(why: str, weak: Setting) -> None:
    assert weak.grid is not None
    wide = GridLimits(voltage=[0.75, 1.25], line=1000.0, transformer=1000.0)
    loop = replace(weak.grid, limits=wide) if why == "wide limits" else replace(weak.grid, curtails=False)
    track = weak.world.sample(4)
    told = earned(weak.site, loop, [track], DualPrices(), world=weak.world).asked_kw
    blind = earned(weak.site, loop, [track], DualPrices(grid=False), world=weak.world).asked_kw
    np.testing.assert_array_equal(told, blind)


@pytest.mark.parametrize("load_kw", [75.0, 600.0])
def test_where_the_loads_alone_break_limits_or_the_power_flow_it_still_decides(load_kw: float) -> None:
    rng = np.random.default_rng(1)
    site = chain_site(random_site(rng))
    track = random_track(rng, site, n_steps=8)
    loads, step = chain_day(8, 5.0), np.arange(8)[:, None]
    loads = replace(loads, load_kw=np.where((step >= 3) & (step < 6), load_kw, loads.load_kw))
    track = track.replace(grid=loads)
    loop = chain_loop(site, limits=GridLimits(voltage=[0.97, 1.02], line=60.0), curtails=True)
    dark = []

    class Looking(DualPrices):
        def act(self, view):
            setpoint_kw = super().act(view)
            network = self.grid_prices
            assert (network.most_kw >= 0.0).all()  # no row forbids to charge nothing
            assert (network.price_per_kwh >= 0.0).all()
            assert np.isfinite(network.bus_prices()).all()
            dark.append(bool((network.limit[0, view.step] == network._n_limits).any()))
            return setpoint_kw

    told = earned(site, loop, [track], Looking())
    assert dark == [load_kw == 600.0 and t in (3, 4, 5) for t in range(8)]
    assert np.abs(told.asked_kw).max() > 1.0
    assert told.taken_kwh <= earned(site, loop, [track], DualPrices(grid=False)).taken_kwh


def test_plans_without_a_power_flow_are_brought_back() -> None:
    site, track, loop = rush(GridLimits(transformer=60.0, voltage=[0.8, 1.2]))
    lost = replace(loop, backend=ChainBackend(blind_above_kw=35.0))  # the first plans of 40 kW have none
    policy, plan_kw = first_answer(site, track, lost, rounds=200)
    assert policy.grid_prices is not None
    assert policy.grid_prices.price_per_kwh.max() > 0.05
    assert most_beyond(site, track, loop, plan_kw) < 0.5


def test_without_a_network_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys; sys.modules['pandapower'] = None\n"
        "from ev_marl.env.setup import Setting; from ev_marl.policies import DualPrices, rollout\n"
        "setting = Setting.of('tiny'); track = setting.world.sample(1); policy = DualPrices()\n"
        "rollout(setting.simulator([track]), setting.objective, policy, [track], world=setting.world)\n"
        "assert policy.grid_prices is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
