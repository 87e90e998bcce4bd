"""Events: drawn by a scenario, kept by tracks and files; what they do to limits, ports, plans and the bound."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.planning.outlook import Present, Truth, make_outlook
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import Scenario, scenario_from_dict
from ev_marl.scenario.problems import ScenarioError
from ev_marl.scenario.schema import Sessions
from ev_marl.simulation.days import Days
from ev_marl.simulation.flow import Flow
from ev_marl.support.errors import TrackError
from ev_marl.world.track import Track
from ev_marl.world.world import World

DEMAND_RESPONSE = {"kind": "demand_response", "at": "18 h", "lasts": "2 h", "limit": "5 kW", "announced": "3 h"}
PORTS = {"type": "ac", "count": 2, "power": "10 kW", "efficiency": "100 %"}


def scenario(*events: dict[str, Any], ports: dict[str, Any] = PORTS) -> Scenario:
    """Two stations of 10 kW behind one connection without a limit of its own."""
    return scenario_from_dict(
        {
            "name": "street",
            "start": "2023-05-15",
            "step": "1 h",
            "site": {"name": "connection", "stations": [ports]},
            "sessions": {"model": "elaadnl/public", "per_port_per_day": 0},
            "prices": {"constant": 0.25},
            "objective": {"unmet_energy": 5},
            "observation": ["ports", "events"],
            "events": list(events),
        }
    )


def test_a_scenario_without_the_key_has_none() -> None:
    track = World(scenario()).sample(0)
    assert len(track.events) == 0
    assert track.limits_kw[0] is track.import_limit_kw
    assert track.out_ports is None


def test_demand_response_lowers_the_import_limit() -> None:
    """From 18 h to 20 h, base load included; known from 15 h on."""
    world = World(scenario(DEMAND_RESPONSE))
    track = world.sample(0)
    assert track.events["announced_step"].tolist() == [15]
    assert np.isinf(track.import_limit_kw).all()
    assert np.flatnonzero(np.isfinite(track.upper_kw[:, 0])).tolist() == [18, 19]
    base_load_kw = np.full((24, 1), 2.0)
    assert track.replace(base_load_kw=base_load_kw).upper_kw[18, 0] == 3.0  # 5 − 2
    assert track.replace(base_load_kw=3 * base_load_kw).upper_kw[18, 0] == 0.0
    assert track.replace(base_load_kw=3 * base_load_kw).unavoidable_overload_kw[18, 0] == 1.0  # 6 − 5


def test_an_island_exchanges_nothing() -> None:
    """Vehicles may take what the sun gives beyond the load, and give what the load lacks."""
    track = World(scenario({"kind": "island", "at": 0, "lasts": 2})).sample(0)
    track = track.replace(base_load_kw=np.array([[-7.0], [4.0]] + [[0.0]] * 22))
    assert track.upper_kw[:3, 0].tolist() == [7.0, 0.0, np.inf]
    assert track.lower_kw[:3, 0].tolist() == [0.0, -4.0, -np.inf]
    assert track.unavoidable_overload_kw[:3, 0].tolist() == [7.0, 4.0, 0.0]


def test_random_events_come_at_the_stated_rate() -> None:
    """400 days of 2 stations that fail 0.5 times a day: 400 outages, standard deviation 20."""
    world = World(scenario({"kind": "outage", "per_day": 0.5, "lasts": 3}))
    days = [world.sample(seed).events for seed in range(400)]
    assert sum(map(len, days)) == pytest.approx(400, abs=70)
    every = np.concatenate(days)
    assert set(every["of"]) == {"ac_0", "ac_1"}
    assert ((every["end_step"] - every["first_step"] == 3) | (every["end_step"] == 24)).all()
    assert (every["announced_step"] == every["first_step"]).all()
    assert world.sample(3) == world.sample(3)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"kind": "island", "lasts": 1}, "give either `at`"),
        ({"kind": "island", "at": 3, "per_day": 1, "lasts": 1}, "give either `at`"),
        ({"kind": "demand_response", "at": 3, "lasts": 1}, "`limit` belongs to `demand_response`"),
        ({"kind": "outage", "at": 3, "lasts": 1, "limit": 3}, "`limit` belongs to `demand_response`"),
        ({"kind": "island", "at": 3, "lasts": 1, "penalty": 3}, "`penalty` belongs to `demand_response`"),
        (
            {"kind": "island", "of": "lot", "at": 3, "lasts": 1},
            "no group with a limit 'lot'; there are connection",
        ),
        (
            {"kind": "outage", "of": "dc_1", "at": 3, "lasts": 1},
            "no group, station or port 'dc_1'; there are ac_0",
        ),
    ],
)
def test_what_is_wrong_with_an_event_is_said(event: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message.replace("'", ".")):
        World(scenario(event))


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_files_keep_events(tmp_path: Path, suffix: str) -> None:
    track = World(scenario(DEMAND_RESPONSE)).sample(0)
    read = Track.load(track.save(tmp_path / f"day.{suffix}"))
    assert read == track
    assert "edited" not in read.source
    assert track.with_events([]) != track


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "flood"}, "kind 'flood' is unknown"),
        ({"of": "lot"}, "there is no such group"),
        ({"end_step": 99}, "must lie within 0 to 24"),
        ({"announced_step": 20}, "after it has begun"),
        ({"limit_kw": -1.0}, "limit_kw is -1.0"),
        ({"penalty_per_kwh": -1.0}, "penalty_per_kwh is -1.0"),
        ({"kind": "island", "penalty_per_kwh": 1.0}, "0 but for demand_response"),
        ({"first_step": "noon"}, "first_step is 'noon'"),
        ({"extra": 1}, "missing or unknown: extra"),
    ],
)
def test_faults_of_files_are_said(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = World(scenario(DEMAND_RESPONSE)).sample(0).save(tmp_path / "day.json")
    stored = json.loads(path.read_text())
    stored["events"][0] |= change
    path.write_text(json.dumps(stored))
    with pytest.raises(TrackError, match=message):
        Track.load(path)


Make = Callable[..., Track]


@pytest.fixture
def setting() -> Setting:
    """The street, set up."""
    return Setting.of(scenario())


@pytest.fixture
def made(setting: Setting) -> Make:
    """Makes a day of four hours; a vehicle comes to the first station at once and wants 20 kWh by the end."""

    def make(events: list[dict[str, Any]], **changes: Any) -> Track:
        vehicle = {"port": "ac_0/0", "arrival": 0, "departure": 4, "wanted_kwh": 20, "energy_kwh": 20}
        buy = [0.1, 0.25, 0.2, 0.3]
        entries = {"step_h": 1.0, "n_steps": 4, "sessions": [vehicle], "buy": buy, "events": events, **changes}
        return Track.build(setting.site, **entries)

    return make


OUTAGE = {"kind": "outage", "of": "ac_0", "first_step": 2, "end_step": 3}
LIMIT = {"kind": "demand_response", "of": "connection", "first_step": 2, "end_step": 3, "limit_kw": 4.0}


def powers(setting: Setting, track: Track, policy: str) -> list[float]:
    """What a policy does at the first station."""
    done: list[float] = []
    rollout(
        setting.simulator([track]),
        setting.objective,
        make_policy(policy),
        [track],
        watch=lambda flow, *_: done.append(round(float(flow.granted_kw[0, 0]), 6)),
    )
    return done


def announced(event: dict[str, Any]) -> dict[str, Any]:
    """The same event, known from the start on."""
    return {**event, "announced_step": 0}


@pytest.mark.parametrize(
    ("events", "expected", "cost"),
    [
        ([], [10, 0, 10, 0], 3.0),
        ([OUTAGE], [10, 0, 0, 10], 4.0),
        ([announced(OUTAGE)], [10, 10, 0, 0], 3.5),
        ([LIMIT], [10, 0, 4, 6], 1.0 + 0.8 + 1.8),
        ([announced(LIMIT)], [10, 6, 4, 0], 1.0 + 1.5 + 0.8),
    ],
)
def test_plans_know_what_is_announced(
    setting: Setting, made: Make, events: list[dict[str, Any]], expected: list[float], cost: float
) -> None:
    """The cheapest hours are the first and the third; who learns too late of the third pays for the last one."""
    track = made(events)
    done = powers(setting, track, "mpc")
    assert done == expected
    assert np.dot(done, track.buy_per_kwh) == pytest.approx(cost)
    best = ev_marl.solve(setting.site, track, setting.objective)
    least = {OUTAGE["kind"]: 3.5, LIMIT["kind"]: 3.3}[events[0]["kind"]] if events else 3.0
    assert best.bound == pytest.approx(-least)
    assert best.achieved == pytest.approx(-least)
    assert best.certificate.exact
    assert powers(setting, track, "mpc-perfect") == powers(setting, made([announced(event) for event in events]), "mpc")


def request(penalty: float, **changes: Any) -> dict[str, Any]:
    """The same limit, asked for at a price."""
    return {**LIMIT, "penalty_per_kwh": penalty, **changes}


@pytest.fixture
def priced() -> Setting:
    """The street, with a request that costs something where it is not followed."""
    return Setting.of(scenario({**DEMAND_RESPONSE, "penalty": "0.20 EUR/kWh"}))


@pytest.mark.parametrize(
    ("event", "expected", "cost"),
    [
        (announced(request(0.02)), [10, 0, 10, 0], 1.0 + 2.0 + 6 * 0.02),  # another hour costs 0.05 more
        (announced(request(0.2)), [10, 6, 4, 0], 1.0 + 1.5 + 0.8),
        (request(0.2), [10, 0, 4, 6], 1.0 + 0.8 + 1.8),
        (request(0.05), [10, 0, 10, 0], 1.0 + 2.0 + 6 * 0.05),  # the last hour costs 0.1 more
    ],
)
def test_a_request_is_followed_where_its_penalty_is_dearer(
    priced: Setting, made: Make, event: dict[str, Any], expected: list[float], cost: float
) -> None:
    track = made([event])
    assert np.isinf(track.upper_kw).all()  # nothing is forbidden
    result = rollout(priced.simulator([track]), priced.objective, make_policy("mpc"), [track])
    assert powers(priced, track, "mpc") == expected
    assert -result.team[0] == pytest.approx(cost)
    best = ev_marl.solve(priced.site, track, priced.objective)
    assert best.certificate.exact
    assert best.bound == pytest.approx(-min(3.0 + 6 * event["penalty_per_kwh"], 3.3))
    assert best.achieved == pytest.approx(best.bound)


def test_whoever_exceeds_the_request_pays_with_the_base_load(priced: Setting, made: Make) -> None:
    """6 kW of base load and 10 kW of a vehicle above 4 kW, for an hour at 0.20; without vehicles, 2 kWh."""
    track = made([request(0.2)]).replace(base_load_kw=np.full((4, 1), 6.0))
    paid: list[float] = []
    names = [term.name for term in priced.objective.terms]
    for policy in ("uncontrolled", "idle"):
        rollout(
            priced.simulator([track]),
            priced.objective,
            make_policy(policy),
            [track.replace(sessions=track.sessions)],
            watch=lambda flow, rewards, costs: paid.append(float(costs[names.index("demand_response")].sum())),
        )
    assert paid == pytest.approx([0, 0, 0.2 * 2, 0] * 2)


def test_requests_add_up_in_the_bound_of_drawn_days() -> None:
    """Requests at random hours, with and without a penalty; no policy is above the bound, and the plan reaches it."""
    drawn = [
        {"kind": "demand_response", "per_day": 3, "lasts": 3, "limit": 4, "penalty": "0.30 EUR/kWh", "announced": 2},
        {"kind": "demand_response", "per_day": 2, "lasts": 2, "limit": 1, "penalty": "0.05 EUR/kWh"},
        {"kind": "demand_response", "at": 18, "lasts": 2, "limit": 12, "announced": 3},
    ]
    ports = {**PORTS, "type": "bidi", "v2g": True}
    sessions = Sessions(model="elaadnl/private", per_port_per_day=2)
    setting = Setting.of(scenario(*drawn, ports=ports).model_copy(update={"sessions": sessions}))
    tracks = [setting.world.sample(seed).replace(base_load_kw=np.full((24, 1), 2.5)) for seed in range(6)]
    best = [ev_marl.solve(setting.site, track, setting.objective) for track in tracks]
    free = Objective([term for term in setting.objective.terms if term.name != "demand_response"], limits_are_hard=True)
    bounds = [ev_marl.solve(setting.site, track, free).bound for track in tracks]
    assert sum(solution.bound for solution in best) < sum(bounds) - 0.5
    simulator = setting.simulator(tracks)
    gap = {}
    for name in ("uncontrolled", "mpc", "mpc-perfect", "mpc(block_h=2)", "best-response", "dual-prices"):
        result = rollout(simulator, setting.objective, make_policy(name), tracks, world=setting.world)
        for solution, reached in zip(best, result.team, strict=True):
            assert reached <= solution.bound + 1e-6
            assert solution.achieved == pytest.approx(solution.bound, abs=1e-6)
            if name == "mpc-perfect":
                assert reached == pytest.approx(solution.bound, abs=2e-3)
        gap[name] = sum(solution.bound for solution in best) - result.team.sum()
    assert gap["dual-prices"] < 0.5 * gap["best-response"]


@pytest.mark.parametrize("policy", ["best-response", "dual-prices", "selfish", "booked-response", "llf"])
@pytest.mark.parametrize("event", [OUTAGE, LIMIT])
def test_all_policies_keep_them(setting: Setting, made: Make, policy: str, event: dict[str, Any]) -> None:
    done = powers(setting, made([event], buy=[0.4, 0.4, 0.1, 0.5]), policy)
    assert done[2] <= event.get("limit_kw", 0.0) + 1e-9
    assert sum(done) == pytest.approx(20.0)


def test_a_port_that_discharges_stops_too() -> None:
    ports = {**PORTS, "type": "bidi", "v2g": True, "count": 1}
    setting = Setting.of(scenario(ports=ports))
    vehicle = {"port": "bidi_0/0", "arrival": 0, "departure": 4, "wanted_kwh": 0, "energy_kwh": 50}
    prices = {"step_h": 1.0, "n_steps": 4, "buy": [0.1, 0.1, 0.9, 0.1]}
    event = {"kind": "outage", "of": "bidi_0/0", "first_step": 2, "end_step": 3, "announced_step": 0}
    free, cut = (Track.build(setting.site, sessions=[vehicle], events=e, **prices) for e in ([], [event]))
    assert ev_marl.solve(setting.site, free, setting.objective).bound > 5.0  # sold at 0.9, bought at 0.1
    assert ev_marl.solve(setting.site, cut, setting.objective).bound == pytest.approx(0.0, abs=1e-9)


def test_an_announcement_is_seen_by_those_concerned(setting: Setting, made: Make) -> None:
    """Demand response of both stations is 2 h ahead; the outage of one is not known before it begins."""
    env = ev_marl.parallel_env(scenario())
    track = made([announced(LIMIT), OUTAGE], n_steps=24, buy=0.2)
    seen, _ = env.reset(options={"track": track})
    ahead = np.array([2 / 24, 3 / 24, 1.0, 0.0, 4 / 20], dtype=np.float32)
    assert seen["ac_0"][-5:] == pytest.approx(ahead)
    assert seen["ac_1"][-5:] == pytest.approx(ahead)
    still = {agent: np.zeros(1, dtype=np.float32) for agent in env.agents}
    for _ in range(2):
        seen, *_ = env.step(still)
    now = np.array([0.0, 1 / 24, 0.0, 1 / 24, 4 / 20], dtype=np.float32)
    assert seen["ac_0"][-5:] == pytest.approx(now)
    assert seen["ac_1"][-5:] == pytest.approx([*now[:2], 1.0, 0.0, now[4]])


def test_expected_limits_are_those_without_events_that_are_not_announced() -> None:
    """The sample of days has the event on each day; who expects does not take it for known before 15 h."""
    setting = Setting.of(scenario(DEMAND_RESPONSE))
    track = setting.world.sample(1)
    assert np.isinf(setting.world.surroundings(0).ordinary_bounds_kw[1]).all()
    outlook = make_outlook("expected")
    outlook.begin(Truth(setting.site.arrays, [track], Days.stack(setting.site.arrays, [track])), setting.world)
    for step, known in ((14, False), (15, True), (18, True), (20, False)):
        rows = (values[step : step + 1] for values in (track.lower_kw, track.upper_kw, track.base_load_kw))
        _, upper_kw = outlook.limits_kw(Present(step, 24, slice(None), *rows))
        expected = np.full(24 - step, np.inf)
        if known:
            expected[max(0, 18 - step) : 20 - step] = 5.0
        assert upper_kw[0, :, 0].tolist() == expected.tolist()


def test_no_policy_is_above_the_bound_on_days_of_many_events() -> None:
    """Four days together, each with its own events: limits and outages hold, and the bound is reached by its plan."""
    drawn = [
        {"kind": "demand_response", "at": 18, "lasts": 2, "limit": 6, "announced": 3},
        {"kind": "island", "per_day": 2, "lasts": 3},
        {"kind": "outage", "per_day": 1, "lasts": 4, "announced": 1},
    ]
    ports = {**PORTS, "type": "bidi", "v2g": True}
    made = scenario(*drawn, ports=ports).model_copy(
        update={"sessions": Sessions(model="elaadnl/private", per_port_per_day=2)}
    )
    setting = Setting.of(made)
    tracks = [setting.world.sample(seed) for seed in range(4)]
    works = np.stack([np.ones((24, 2)) if track.out_ports is None else ~track.out_ports for track in tracks])
    assert 0.0 in works
    solutions = [ev_marl.solve(setting.site, track, setting.objective) for track in tracks]

    def watch(flow: Flow, *_: np.ndarray) -> None:
        assert (flow.granted_kw[works[:, flow.step] == 0.0] == 0.0).all()
        for k, track in enumerate(tracks):
            assert track.lower_kw[flow.step, 0] - 1e-9 <= flow.group_kw[k, 0] <= track.upper_kw[flow.step, 0] + 1e-9

    for name in ("uncontrolled", "best-response", "mpc-perfect"):
        result = rollout(
            setting.simulator(tracks), setting.objective, make_policy(name), tracks, watch=watch, world=setting.world
        )
        for solution, reached in zip(solutions, result.team, strict=True):
            assert reached <= solution.bound + 1e-6
            assert solution.achieved == pytest.approx(solution.bound, abs=1e-6)
