"""One day drawn from a scenario: reproducible, complete, consistent, and independent of the step."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.scenario import ScenarioError
from ev_marl.scenario.schema import (
    Group,
    LimitByHour,
    PriceConstant,
    Scenario,
    Sessions,
    Stations,
    Vehicle,
    Vehicles,
)
from ev_marl.support.errors import DataError, SiteError
from ev_marl.world.hours import HourGrid
from ev_marl.world.parking import _assign_ports
from ev_marl.world.sessions import Arrivals
from ev_marl.world.track import Track
from ev_marl.world.world import World

Make = Callable[..., Scenario]

FINGERPRINT = """
import hashlib
from ev_marl.scenario.schema import Scenario
from ev_marl.world.world import World
scenario = Scenario.model_validate_json({scenario!r})
track = World(scenario).sample(11)
print(hashlib.sha256(repr([track.sessions[n].tobytes() for n in {columns}] + [
    track.buy_per_kwh.tobytes(), track.base_load_kw.tobytes()]).encode()).hexdigest())
"""
COLUMNS = ["port", "arrival_step", "departure_step", "energy_kwh", "wanted_kwh", "charge_kw"]


def fingerprint(track: Track) -> str:
    parts = [track.sessions[name].tobytes() for name in COLUMNS]
    parts += [track.buy_per_kwh.tobytes(), track.base_load_kw.tobytes()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def test_same_seed_same_day_in_another_process(residential: Scenario) -> None:
    code = FINGERPRINT.format(scenario=residential.model_dump_json(), columns=COLUMNS)
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == fingerprint(World(residential).sample(11))


def test_same_seed_same_track_and_other_seed_other_track(residential: Scenario) -> None:
    world = World(residential)
    assert world.sample(3) == World(residential).sample(3)
    assert world.sample(3) != world.sample(4)


def test_prices_do_not_change_what_else_happens(scenario: Make) -> None:
    one = World(scenario()).sample(5)
    other = World(scenario(prices=PriceConstant(constant=0.2))).sample(5)
    assert np.array_equal(one.sessions, other.sessions)
    assert np.array_equal(one.base_load_kw, other.base_load_kw)
    assert not np.array_equal(one.buy_per_kwh, other.buy_per_kwh)


def test_vehicles_do_not_change_arrivals(scenario: Make) -> None:
    small = Vehicles(mix=[Vehicle(name="only", capacity=100, ac_power=11)])
    one, other = (World(scenario(vehicles=vehicles)).sample(5) for vehicles in (Vehicles(), small))
    for name in ("port", "arrival_step", "departure_step"):
        assert np.array_equal(one.sessions[name], other.sessions[name])


def test_parked_at_the_start_and_staying_beyond_the_end(residential: Scenario) -> None:
    world = World(residential.model_copy(update={"start": date(2023, 5, 17)}))
    tracks = [world.sample(seed) for seed in range(100)]
    parked = np.array([(track.sessions["arrival_step"] == 0).sum() for track in tracks])
    outlasting = np.array([(track.sessions["departure_step"] > track.n_steps).sum() for track in tracks])
    assert parked.min() > 0
    assert outlasting.min() > 0
    # a Wednesday, and the days before are like it: as many are there at its start as at its end
    assert parked.mean() == pytest.approx(outlasting.mean(), rel=0.1)


def test_a_vehicle_there_at_the_start_has_charged_at_full_power_since_it_came(scenario: Make) -> None:
    sys.modules["tests_world_models"] = sys.modules[__name__]
    sessions = Sessions(model="tests_world_models:OneBefore")
    fleet = Vehicles(mix=[Vehicle(name="only", capacity=100, ac_power=4)], reserve=0.5)
    site = Group(name="grid", stations=[Stations(type="ac", power=11, efficiency=0.9)])
    track = World(scenario(sessions=sessions, vehicles=fleet, site=site, step=0.5)).sample(0)
    assert len(track.sessions) == 1
    # It came 6 h ago and stays 8 h, wants 40 kWh, and the last 6 h gave 6 h * 4 kW * 0.9 = 21.6 kWh.
    assert track.sessions["arrival_step"][0] == 0
    assert track.sessions["departure_step"][0] == 4
    assert track.sessions["wanted_kwh"][0] == pytest.approx(18.4, abs=1e-12)
    target = track.sessions["energy_kwh"][0] + track.sessions["wanted_kwh"][0]
    assert 70.0 <= target <= 95.0
    # It arrived with less than the reserve of 50 kWh: V2G may take it down to that again.
    assert track.sessions["reserve_kwh"][0] == pytest.approx(target - 40.0, abs=1e-12) == min(target - 40.0, 50.0)


def test_a_vehicle_there_at_the_start_had_what_the_limits_left_to_it(scenario: Make) -> None:
    """From 18 to 21, 3 kW less a base load of 1 kW: 3 h of 2 kW, then 3 h of 4 kW, at 90 %."""
    sys.modules["tests_world_models"] = sys.modules[__name__]
    limit = LimitByHour(by_hour=[3.0 if 18 <= hour < 21 else 20.0 for hour in range(24)])
    site = Group(
        name="grid", import_limit=limit, base_load=1.0, stations=[Stations(type="ac", power=11, efficiency=0.9)]
    )
    fleet = Vehicles(mix=[Vehicle(name="only", capacity=100, ac_power=4)])
    made = scenario(sessions=Sessions(model="tests_world_models:OneBefore"), vehicles=fleet, site=site, step=0.5)
    world = World(made)
    (vehicle,) = world.sample(0).sessions
    assert vehicle["wanted_kwh"] == pytest.approx(40.0 - 0.9 * 18.0)
    # An even service of the 8 h * 4 kW * 0.9 that it can get would have given 6/8 of them by now: it is behind.
    assert vehicle["ahead_kwh"] == pytest.approx(0.9 * (18.0 - 24.0))
    world.sample(0).validate(world.site)


def test_vehicles_there_at_the_start_have_shared_what_a_group_had(scenario: Make) -> None:
    """Two of 4 kW below a lot with 6 kW, a third below the site with 9 kW: (3, 3, 3) kW, 6 h long, at 90 %."""
    sys.modules["tests_world_models"] = sys.modules[__name__]
    lot = Group(name="lot", import_limit=6.0, stations=[Stations(type="ac", count=2, power=11, efficiency=0.9)])
    other = Stations(type="dc", supply="dc", power=3, efficiency=0.9)
    site = Group(name="grid", import_limit=9.0, groups=[lot], stations=[other])
    fleet = Vehicles(mix=[Vehicle(name="only", capacity=100, ac_power=4, dc_power=50)])
    made = scenario(sessions=Sessions(model="tests_world_models:ThreeBefore"), vehicles=fleet, site=site, step=0.5)
    assert World(made).sample(0).sessions["wanted_kwh"] == pytest.approx(40.0 - 6.0 * 3.0 * 0.9)


def test_a_vehicle_there_at_the_start_stopped_at_its_wish(scenario: Make) -> None:
    sys.modules["tests_world_models"] = sys.modules[__name__]
    sessions = Sessions(model="tests_world_models:OneBefore", energy_scale=0.5)
    fleet = Vehicles(mix=[Vehicle(name="only", capacity=100, ac_power=11)])
    track = World(scenario(sessions=sessions, vehicles=fleet, step=0.5)).sample(0)
    assert track.sessions["wanted_kwh"][0] == pytest.approx(0.0, abs=1e-12)
    assert 70.0 <= track.sessions["energy_kwh"][0] <= 95.0


class OneBefore:
    """A session model from outside the package: one vehicle, six hours before the start."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        return Arrivals(np.array([-6.0]), np.array([8.0]), np.array([40.0]))


class ThreeBefore(OneBefore):
    """Three like it."""

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        return Arrivals(np.full(3, -6.0), np.full(3, 8.0), np.full(3, 40.0))


class Crowd(OneBefore):
    """Five vehicles at once."""

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        return Arrivals(np.full(5, 3.0), np.full(5, 2.0), np.full(5, 200.0))


def test_who_finds_no_port_is_turned_away(scenario: Make) -> None:
    sys.modules["tests_world_models"] = sys.modules[__name__]
    site = Group(name="grid", stations=[Stations(type="ac", count=2, power=11)])
    track = World(scenario(sessions=Sessions(model="tests_world_models:Crowd"), site=site)).sample(0)
    assert len(track.sessions) == 2
    assert track.turned_away == 3
    assert sorted(track.sessions["port"]) == [0, 1]
    # a wish of 200 kWh is cut to what the largest battery takes between 5 and 95 %
    assert track.sessions["wanted_kwh"] == pytest.approx(0.9 * 80.7)


class Faulty(OneBefore):
    """Arrivals that no track can be made of."""

    drawn: Arrivals

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        return self.drawn


@pytest.mark.parametrize(
    ("arrival_h", "stay_h", "wanted_kwh", "message"),
    [
        ([2.0, 1.0], [1.0, 1.0], [5.0, 5.0], "arrivals that are not in order of time"),
        ([1.0, 2.0], [1.0], [5.0, 5.0], "2 arrivals, 1 stays and 2 wishes"),
        ([1.0], [0.0], [5.0], "a stay that is not above 0 h"),
        ([1.0], [1.0], [np.nan], "a wish below 0 kWh or without a value"),
    ],
)
def test_a_faulty_session_model_is_named(
    scenario: Make, arrival_h: list[float], stay_h: list[float], wanted_kwh: list[float], message: str
) -> None:
    sys.modules["tests_world_models"] = sys.modules[__name__]
    Faulty.drawn = Arrivals(np.array(arrival_h), np.array(stay_h), np.array(wanted_kwh))
    with pytest.raises(DataError, match=f"session model 'tests_world_models:Faulty' gave {message}"):
        World(scenario(sessions=Sessions(model="tests_world_models:Faulty"))).sample(0)


def test_a_world_can_be_sent_to_another_process(residential: Scenario) -> None:
    world = World(residential)
    assert pickle.loads(pickle.dumps(world)).sample(2) == world.sample(2)


def test_unknown_session_model_is_named(scenario: Make) -> None:
    with pytest.raises(ScenarioError, match=r"sessions\.model: .*Did you mean 'elaadnl/private'"):
        World(scenario(sessions=Sessions(model="elaadnl/privat")))


def test_dc_ports_take_only_vehicles_that_charge_at_dc(scenario: Make) -> None:
    fleet = [
        Vehicle(name="hybrid", capacity=40, ac_power=3.7),
        Vehicle(name="car", capacity=70, ac_power=11, dc_power=150),
    ]
    mixed = Group(
        name="grid", stations=[Stations(type="ac", count=4, power=22), Stations(type="dc", count=4, power=150)]
    )
    options = {"vehicles": Vehicles(mix=fleet), "sessions": Sessions(model="acn/jpl", per_port_per_day=4)}
    world = World(scenario(site=mixed, **options))
    names = set()
    for seed in range(10):
        sessions = world.sample(seed).sessions
        is_dc = world.site.arrays.port_is_dc[sessions["port"]]
        assert {sessions["vehicle"][k] for k in np.flatnonzero(is_dc)} <= {"car"}
        assert np.all(sessions["charge_kw"][is_dc] == 150.0)
        assert np.all(sessions["charge_kw"][~is_dc] <= 11.0)
        names |= set(sessions["vehicle"])
    assert names == {"hybrid", "car"}

    only_dc = Group(name="grid", stations=[Stations(type="dc", count=4, power=150)])
    track = World(scenario(site=only_dc, **options)).sample(0)
    assert set(track.sessions["vehicle"]) == {"car"}
    with pytest.raises(SiteError, match="every port of the site is DC"):
        World(scenario(site=only_dc, vehicles=Vehicles(mix=fleet[:1])))


def test_v2g_share_and_reserve(residential: Scenario) -> None:
    world = World(residential.model_copy(update={"vehicles": Vehicles(v2g_share=0.25, reserve=0.4)}))
    tracks = [world.sample(seed).sessions for seed in range(60)]
    share = np.concatenate([sessions["discharge_kw"] > 0 for sessions in tracks]).mean()
    assert share == pytest.approx(0.25, abs=0.04)
    for sessions in tracks:
        later = sessions["arrival_step"] > 0
        assert np.array_equal(sessions["reserve_kwh"][later], 0.4 * sessions["capacity_kwh"][later])


def test_days_between_start_and_until(scenario: Make) -> None:
    entries = {"start": date(2023, 5, 13), "until": date(2023, 5, 21)}
    world = World(scenario(days="weekends", **entries))
    assert world.days == (date(2023, 5, 13), date(2023, 5, 14), date(2023, 5, 20), date(2023, 5, 21))
    assert {world.sample(seed).start.date() for seed in range(40)} == set(world.days)
    with pytest.raises(DataError, match="leaves no day"):
        World(
            scenario(**entries).model_copy(
                update={"start": date(2023, 5, 22), "until": date(2023, 5, 26), "days": "weekends"}
            )
        )


def test_nobody_comes_to_the_workplace_at_the_weekend(scenario: Make) -> None:
    entries = {"start": date(2023, 5, 14), "sessions": Sessions(per_port_per_day=1.0)}
    assert all((World(scenario(**entries)).sample(seed).sessions["arrival_step"] == 0).all() for seed in range(5))
    entries["sessions"] = Sessions(per_port_per_day=1.0, weekend_factor=1.0)
    assert (World(scenario(**entries)).sample(0).sessions["arrival_step"] > 0).any()


@pytest.mark.parametrize(("day", "hours", "twos"), [(date(2023, 3, 26), 23, 0), (date(2023, 10, 29), 25, 2)])
def test_arrivals_follow_the_local_clock_on_days_of_23_and_25_hours(
    scenario: Make, day: date, hours: int, twos: int
) -> None:
    options = Sessions(model="elaadnl/public", per_port_per_day=0.5)
    world = World(scenario(start=day, sessions=options, horizon=float(hours), step=0.25))
    counts = np.zeros(24)
    n_tracks = 1500
    for seed in range(n_tracks):
        track = world.sample(seed)
        local = track.clock.local_hour
        came = track.sessions["arrival_step"][track.sessions["arrival_step"] > 0]
        counts += np.bincount(local[came].astype(int), minlength=24)
    assert track.start.isoformat().startswith(f"{day}T00:00")
    assert local[0] == 0.0
    assert local[-1] == 23.75
    # a Sunday; the hour from 2 to 3 is absent or comes twice (rounding to steps moves a little between hours)
    expected = 0.0064 * twos * 0.5 * 16 * n_tracks
    assert counts[2] == pytest.approx(expected, abs=5.0 * np.sqrt(expected))
    assert counts[14] == pytest.approx(0.0846 * 0.5 * 16 * n_tracks, rel=0.1)


def test_start_hour(scenario: Make) -> None:
    track = World(scenario(start_hour=7.5)).sample(0)
    assert track.start.isoformat() == "2023-05-15T07:30:00+02:00"


def test_halving_the_step_changes_no_statistics(scenario: Make) -> None:
    def figures(step: float) -> np.ndarray:
        world = World(scenario(step=step, sessions=Sessions(model="elaadnl/public", per_port_per_day=2.0)))
        rows = []
        for seed in range(400):
            track = world.sample(seed)
            came = track.sessions["arrival_step"] > 0
            stay_h = (track.sessions["departure_step"] - track.sessions["arrival_step"])[came] * step
            arrival_h = track.sessions["arrival_step"][came] * step
            rows.append(
                [
                    came.sum(),
                    arrival_h.sum(),
                    stay_h.sum(),
                    track.sessions["wanted_kwh"][came].sum(),
                    track.turned_away,
                    (~came).sum(),
                ]
            )
        return np.array(rows).mean(axis=0)

    coarse, fine, finest = (figures(step) for step in (0.25, 0.125, 0.025))
    assert coarse[0] > 15
    # arrivals, their times, stays, energies; turned away; parked at the start
    tolerance = np.array([0.02, 0.02, 0.02, 0.02, 0.06, 0.03])
    assert np.all(np.abs(fine / coarse - 1.0) < tolerance)
    assert np.all(np.abs(finest / fine - 1.0) < tolerance)


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(
        ["elaadnl/workplace", "elaadnl/private", "elaadnl/public", "acn/caltech", "acn/jpl", "highway", "bus-depot"]
    ),
    per_port=st.just(0.0) | st.floats(1e-6, 12.0),
    ports=st.integers(1, 3),
    count=st.integers(1, 6),
    step=st.sampled_from([1 / 12, 0.25, 0.5, 1.0, 2.0]),
    start_hour=st.sampled_from([0.0, 6.0, 13.5]),
    seed=st.integers(0, 2**32),
)
def test_every_track_is_sound(
    model: str, per_port: float, ports: int, count: int, step: float, start_hour: float, seed: int
) -> None:
    """No overlaps on a port, everything within its range: what `validate` checks."""
    scenario = Scenario(
        name="any",
        start=date(2023, 3, 25),
        until=date(2023, 3, 28),
        step=step,
        start_hour=start_hour,
        site=Group(
            name="grid",
            stations=[Stations(type="ac", count=count, ports=ports, power=22), Stations(type="dc", power=100)],
        ),
        sessions=Sessions(model=model, per_port_per_day=per_port),
    )
    world = World(scenario)
    track = world.sample(seed)
    track.validate(world.site)
    sessions = track.sessions
    assert np.all(sessions["energy_kwh"] + sessions["wanted_kwh"] <= 0.951 * sessions["capacity_kwh"])
    assert np.all(np.lexsort((sessions["port"], sessions["arrival_step"])) == np.arange(len(sessions)))


def assigned(
    arrival: np.ndarray, departure: np.ndarray, dc: np.ndarray, wish: np.ndarray, choice: np.ndarray, is_dc: np.ndarray
) -> list[int]:
    """Ports as the rule says, looked for one by one."""
    busy_until, ports = np.full(len(is_dc), -(10**9)), []
    for i in range(len(arrival)):
        free = [p for p in range(len(is_dc)) if busy_until[p] <= arrival[i] and (dc[i] or not is_dc[p])]
        port = wish[i] if wish[i] in free else free[int(choice[i] * len(free))] if free else -1
        if port >= 0:
            busy_until[port] = departure[i]
        ports.append(int(port))
    return ports


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 2**32))
def test_vehicles_take_a_random_free_port(n_ports: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.integers(-5, 15, n))
    departure = arrival + rng.integers(1, 12, n)
    dc, wish, choice = rng.random(n) < 0.6, rng.integers(-1, n_ports, n), rng.random(n)
    is_dc, port = rng.random(n_ports) < 0.4, np.empty(n, dtype=np.int64)
    _assign_ports(arrival, departure, dc, wish, choice, is_dc, np.zeros_like(is_dc), port)
    assert port.tolist() == assigned(arrival, departure, dc, wish, choice, is_dc)


def test_a_mix_by_registrations_brings_its_models_and_curves(scenario: Make) -> None:
    world = World(scenario(vehicles={"mix": "nl-2023"}))
    track = world.sample(3)
    names = set(track.sessions["vehicle"].tolist())
    assert names <= set(track.curves)
    assert len(names) > 3
    track.validate(world.site)
    leaf = ["nissan-leaf-40", "vw-id4-77"]  # the models of the mix with V2G
    discharging = track.sessions["discharge_kw"] > 0.0
    assert (np.isin(track.sessions["vehicle"], leaf) == discharging).all()
