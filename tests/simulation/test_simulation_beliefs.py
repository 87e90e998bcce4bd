"""Departures as drivers declare them: what is believed of a stay, and that whoever decides knows nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ev_marl.env.observations import Observer
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.planning.outlook import Truth, make_outlook
from ev_marl.policies import POLICIES, make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import TrackError
from ev_marl.world.track import Track

PORT_KW, WANTED_KWH, ARRIVAL_KWH = 11.0, 20.0, 10.0


YARD = """
extends: tiny
name: yard
site:
  groups:
    - {name: yard, import_limit: 12 kW, stations: [{type: ac, count: 3, power: 11 kW, efficiency: 100 %}]}
"""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """Three ports of 11 kW without losses behind 12 kW, hourly steps, 0.60 per unmet kWh."""
    file = tmp_path_factory.mktemp("yard") / "yard.yaml"
    file.write_text(YARD)
    return Setting.of(file)


def day(setting: Setting, *rows: dict[str, object], n_steps: int = 6) -> Track:
    """Vehicles of 60 kWh that come with 10 and want 20 kWh more, at 0.30 per kWh."""
    usual = {"arrival": 0, "wanted_kwh": WANTED_KWH, "energy_kwh": ARRIVAL_KWH, "taper_start": 0.999}
    rows = tuple({"port": port, **usual, **row} for port, row in enumerate(rows))
    return Track.build(setting.site, step_h=1.0, n_steps=n_steps, sessions=rows, buy=0.3, sell=0.2)


def granted(setting: Setting, track: Track, policy: str, coordinator: str = "nearest") -> np.ndarray:
    """What a policy is granted, shape (T, P) [kW]."""
    simulator = Simulator(setting.site.arrays, make_coordinator(coordinator), [track])
    powers: list[np.ndarray] = []
    rollout(
        simulator,
        setting.objective,
        make_policy(policy),
        [track],
        watch=lambda flow, rewards, costs: powers.append(flow.granted_kw[0].copy()),
    )
    return np.array(powers)


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        ({"departure": 4}, [4, 4, 4, 4]),  # the truth
        ({"departure": 4, "declared": 6}, [6, 6, 6, 6]),  # leaves early: nobody knows before
        ({"departure": 4, "declared": 2}, [2, 2, 3, 4]),  # leaves late: from hour to hour
        ({"departure": 4, "declared": 5, "revised_at_step": 2, "revised_step": 3}, [5, 5, 3, 4]),
        ({"departure": 4, "declared": 2, "revised_at_step": 1}, [2, 4, 4, 4]),  # tells the truth in the end
    ],
)
def test_a_departure_is_believed_until_it_has_passed(yard: Setting, said: dict[str, int], believed: list[int]) -> None:
    simulator = Simulator(yard.site.arrays, make_coordinator("nearest"), [day(yard, said)])
    simulator.reset()
    first = simulator.state.copy()
    seen = []
    for step in range(4):
        stay = simulator.days.believed(step)[0]
        seen.append(int(stay["departure_step"]))
        left_h, needed_h = seen[-1] - step, (stay["due_kwh"] - ARRIVAL_KWH) / PORT_KW
        assert stay["due_kwh"] == pytest.approx(ARRIVAL_KWH + min(WANTED_KWH, PORT_KW * seen[-1]))
        assert simulator.state.laxity_h[0, 0] == pytest.approx(left_h - needed_h)
        simulator.step_from(first, np.zeros((1, 3)))  # trying another state changes nothing
        simulator.step(np.zeros((1, 3)))
    assert seen == believed
    assert simulator.state.session[0, 0] == -1
    assert simulator.days.stays["departure_step"][0] == 4


def test_an_early_and_a_late_leaver_worked_by_hand(yard: Setting) -> None:
    """20 kWh at 11 kW take 1.82 h. Who said hour 5 is charged from hour 3 on, and leaves at 2 with nothing."""
    early, late = {"departure": 2, "declared": 5}, {"departure": 5, "declared": 2}
    unmet = {}
    for name, row in (("early", early), ("late", late)):
        track = day(yard, row)
        simulator = Simulator(yard.site.arrays, make_coordinator("nearest"), [track])
        for policy in ("as-late-as-possible", "uncontrolled"):
            costs = rollout(simulator, yard.objective, make_policy(policy), [track]).costs
            unmet[name, policy] = costs["unmet_energy"][0] / 0.60
    assert unmet["early", "as-late-as-possible"] == pytest.approx(20.0)
    assert unmet["early", "uncontrolled"] == pytest.approx(0.0, abs=1e-9)
    assert unmet["late", "as-late-as-possible"] == pytest.approx(0.0, abs=1e-9)
    # Who said hour 2 is charged in hours 0 and 1, although there was time until 5.
    np.testing.assert_allclose(granted(yard, day(yard, late), "as-late-as-possible")[:, 0], [9, 11, 0, 0, 0, 0])


@pytest.mark.parametrize(("over_kwh", "by_belief", "unmet_kwh"), [(10.0, 30.0, 0.0), (-10.0, 10.0, 10.0)])
def test_a_wish_is_believed_as_it_was_said(
    yard: Setting, tmp_path: Path, over_kwh: float, by_belief: float, unmet_kwh: float
) -> None:
    """20 kWh are wanted. Who says 30 gets and pays 30; who says 10 gets 10 and misses 10; the optimum knows."""
    track = day(yard, {"departure": 5, "overstated_kwh": over_kwh})
    assert Track.load(track.save(tmp_path / "day.parquet")) == track
    for policy in ("uncontrolled", "edf", "llf", "best-response", "dual-prices", "selfish", "booked-response", "mpc"):
        simulator = Simulator(yard.site.arrays, make_coordinator("nearest"), [track])
        costs = rollout(simulator, yard.objective, make_policy(policy), [track]).costs
        assert costs["energy_cost"][0] / 0.30 == pytest.approx(by_belief, abs=1e-6), policy
        assert costs["unmet_energy"][0] / 0.60 == pytest.approx(unmet_kwh, abs=1e-6), policy
    solution = solve_day(yard, track)
    assert solution.bound == pytest.approx(-20.0 * (0.30 + 0.02))  # with wear
    assert solution.achieved == pytest.approx(solution.bound)
    assert granted(yard, track, "mpc-perfect").sum() == pytest.approx(20.0)


def test_a_wish_that_the_battery_cannot_take_is_refused(yard: Setting) -> None:
    for over_kwh in (45.0, -21.0):
        with pytest.raises(TrackError, match="must be 0 to what the battery takes"):
            day(yard, {"departure": 5, "overstated_kwh": over_kwh})


def test_the_first_to_leave_is_the_one_who_said_so(yard: Setting) -> None:
    """12 kW for two: 11 go to the one who is believed to leave first, in the coordinator as in the policy."""
    rows = {"departure": 5, "declared": 4}, {"departure": 4, "declared": 5}
    track = day(yard, *rows)
    for policy, coordinator in (("edf", "nearest"), ("llf", "nearest"), ("uncontrolled", "priority")):
        assert granted(yard, track, policy, coordinator)[0, :2] == pytest.approx([11.0, 1.0])
    sessions = track.sessions.copy()
    sessions["declared_step"] = 0
    truth = track.with_sessions(sessions)
    assert granted(yard, truth, "edf")[0, :2] == pytest.approx([1.0, 11.0])


BY_BELIEF = sorted(set(POLICIES.names()) - {"plan", "learned", "mpc-perfect", "random"})


@pytest.mark.parametrize("policy", BY_BELIEF)
def test_nobody_decides_by_what_is_not_said(yard: Setting, policy: str) -> None:
    """Two days that differ in true departures only are played alike until somebody leaves in one of them; and no policy
    is above the bound, which knows the truth."""
    days = []
    for true in (4, 7):
        row = {"declared": 5, "wanted_kwh": 25.0}
        rows = ({"departure": true, **row}, {"departure": true + 1, **row}, {"departure": 8, **row, "declared": 7})
        days.append(day(yard, *rows, n_steps=8))
    for coordinator in ("nearest", "priority"):
        one, other = (granted(yard, track, policy, coordinator) for track in days)
        np.testing.assert_array_equal(one[:4], other[:4])
    for track in days:
        simulator = Simulator(yard.site.arrays, yard.coordinator, [track])
        solution = solve_day(yard, track)
        played = rollout(simulator, yard.objective, make_policy(policy), [track])
        assert played.team[0] <= solution.bound + 1e-6


@pytest.mark.parametrize(
    ("departure", "declared", "by_belief", "by_truth"), [(2, 4, 20 * 0.60, 20 * 0.30), (4, 2, 20 * 0.30, 20 * 0.10)]
)
def test_the_example_of_the_documentation(
    yard: Setting, departure: int, declared: int, by_belief: float, by_truth: float
) -> None:
    """Two dear and two cheap hours; who knows the day knows the departures."""
    track = day(yard, {"departure": departure, "declared": declared}, n_steps=4).with_prices([0.3, 0.3, 0.1, 0.1])
    for policy, expected in (("mpc", by_belief), ("best-response", by_belief), ("mpc-perfect", by_truth)):
        simulator = Simulator(yard.site.arrays, make_coordinator("nearest"), [track])
        costs = rollout(simulator, yard.objective, make_policy(policy), [track]).costs
        assert costs["energy_cost"][0] + costs["unmet_energy"][0] == pytest.approx(expected)
    solution = solve_day(yard, track)
    assert solution.achieved == pytest.approx(solution.bound, abs=1e-6)


def test_observations_show_what_is_believed(yard: Setting) -> None:
    track = day(yard, {"departure": 4, "declared": 2})
    simulator = Simulator(yard.site.arrays, make_coordinator("nearest"), [track])
    simulator.reset()
    seen = {}
    for choice in ("expected", "known"):
        outlook = make_outlook({"vehicles": choice} if choice == "known" else None)
        outlook.begin(Truth.of(simulator), None)
        observer = Observer.from_scenario(yard.scenario, yard.site, ["ports"])
        observer.load(simulator.days, outlook, None)
        seen[choice] = observer
    left: dict[str, list[float]] = {"expected": [], "known": []}
    while simulator.state.session[0, 0] >= 0:
        for choice, observer in seen.items():
            observer.fill(simulator.state)
            out = np.zeros((1, 3, observer.width), dtype=np.float32)
            observer.observe(out)
            time_left = observer.labels(yard.site.agents[0]).index("ports.0.time_left")
            left[choice].append(float(out[0, 0, time_left]) * simulator.days.n_steps)
        simulator.step(np.zeros((1, 3)))
    assert left["expected"] == pytest.approx([2, 1, 1, 1])
    assert left["known"] == pytest.approx([4, 3, 2, 1])


def test_tracks_keep_what_is_said(yard: Setting, tmp_path: Path) -> None:
    said = day(yard, {"departure": 4, "declared": 5, "revised_at_step": 2, "revised_step": 3}, {"departure": 3})
    silent = day(yard, {"departure": 4}, {"departure": 3})
    for suffix in (".json", ".parquet"):
        for name, track in (("said", said), ("silent", silent)):
            file = tmp_path / f"{name}{suffix}"
            track.save(file)
            again = Track.load(file)
            assert again == track
            assert "edited" not in again.source
            assert (b"declared_step" in file.read_bytes()) == (name == "said")
    with pytest.raises(TrackError, match=r"declared_step 1 is not after arrival(.|\n)*revised_step 3 is not after"):
        day(yard, {"arrival": 1, "departure": 4, "declared": 1, "revised_at_step": 3, "revised_step": 3})
