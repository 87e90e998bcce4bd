"""Many days of recorded sessions as one track, by the rules of ACN-Sim."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ev_marl.objective import Objective
from ev_marl.policies.make import make_policy
from ev_marl.policies.rollout import rollout
from ev_marl.scenario.schema import Group, Scenario, Stations
from ev_marl.simulation.coordinators.nearest import Nearest
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError
from ev_marl.world.acn_sim import sessions_to_track, two_stage_battery
from ev_marl.world.choices import Battery
from ev_marl.world.importing import sessions_to_tracks
from ev_marl.world.readers.acn import read_acn
from ev_marl.world.readers.records import SessionRecord, SessionRecords

Make = Callable[..., Scenario]
ZONE = ZoneInfo("America/Los_Angeles")
START = datetime(2018, 9, 1, tzinfo=ZONE)


def of(*rows: tuple[str, float, float, float]) -> SessionRecords:
    """Sessions from station, arrival and departure [min since the start], and delivered energy [kWh]."""
    records = [
        SessionRecord(station, START + timedelta(minutes=arrival), START + timedelta(minutes=departure), kwh)
        for station, arrival, departure, kwh in rows
    ]
    return SessionRecords("rows.csv", ZONE.key, tuple(records))


@pytest.fixture
def garage(scenario: Make) -> Scenario:
    """Two stations of 6.656 kW, and one with two ports, for three days in steps of 5 minutes."""
    return scenario(
        start=START.date(),
        horizon=72.0,
        step=1 / 12,
        timezone=ZONE.key,
        site=Group(
            name="garage",
            stations=[
                Stations(type="ac", count=2, power=6.656, efficiency=1.0, ids=["CA-1", "CA-2"]),
                Stations(type="twin", ports=2, power=6.656, efficiency=1.0, ids=["CA-3"]),
            ],
        ),
    )


def test_times_are_rounded_down_and_stays_are_cut(garage: Scenario) -> None:
    track = sessions_to_track(
        of(("CA-2", 4.9, 65.1, 5.0), ("CA-1", 600.0, 600.0 + 25 * 60, 9.0), ("CA-2", 4319.0, 4500.0, 2.0)), garage
    )
    sessions = track.sessions
    assert (track.n_steps, track.start) == (864, START)
    assert sessions["port"].tolist() == [1, 0, 1]
    assert sessions["arrival_step"].tolist() == [0, 120, 863]
    assert sessions["departure_step"].tolist() == [13, 120 + 144, 900]
    assert sessions["wanted_kwh"].tolist() == [5.0, 9.0, 2.0]
    track.validate(Site.from_scenario(garage))


def test_a_wish_is_cut_to_full_power_over_the_stay(garage: Scenario) -> None:
    track = sessions_to_track(of(("CA-1", 2.0, 32.0, 5.0), ("CA-2", 2.0, 62.0, 6.656)), garage)
    assert track.sessions["wanted_kwh"].tolist() == [6.656 / 2, 6.656]
    assert "1 wishes cut" in track.source["imputed"]
    lossy = garage.model_copy(
        update={"site": Group(name="garage", stations=[Stations(type="ac", count=2, power=6.0, efficiency=0.9)])}
    )
    assert sessions_to_track(of(("A", 0.0, 60.0, 8.0)), lossy).sessions["wanted_kwh"] == pytest.approx([5.4])


def test_sessions_of_other_days_and_stays_of_no_step_are_left_out(garage: Scenario) -> None:
    track = sessions_to_track(
        of(
            ("CA-1", -10.0, 90.0, 5.0),
            ("CA-1", 101.0, 104.0, 0.3),
            ("CA-1", 110.0, 170.0, 4.0),
            ("CA-2", 4320.0, 4400, 1),
        ),
        garage,
    )
    assert track.sessions["wanted_kwh"].tolist() == [4.0]
    assert track.turned_away == 0
    assert "1 stays of no step left out" in track.source["imputed"]


def test_stations_are_found_by_their_ids(garage: Scenario) -> None:
    data = of(("CA-3", 0, 60, 2), ("CA-3", 1, 90, 2), ("CA-3", 2, 90, 2), ("CA-9", 5, 90, 2), ("CA-2", 61, 120, 2))
    track = sessions_to_track(data, garage)
    assert track.sessions["port"].tolist() == [2, 3, 1]  # both ports of CA-3 are taken when the third comes
    assert track.turned_away == 2
    assert track.source["ports"] == "2 of 3 stations by their ids"
    (day,) = sessions_to_tracks(of(("CA-2", 1, 61, 2), ("CA-9", 5, 90, 2)), garage.model_copy(update={"horizon": 24.0}))
    assert day.sessions["port"][0] == 1
    assert len(day.sessions) == 2  # at any free port
    with pytest.raises(
        DataError, match=r"rows.csv: its stations \(A, ...\) are not among the `ids` .* \(CA-1, CA-2, CA-3"
    ):
        sessions_to_track(of(("A", 0, 60, 2)), garage)


def test_without_ids_stations_are_ports_in_order_of_first_use(scenario: Make, data: Path) -> None:
    track = sessions_to_track(read_acn(data / "acn_api.csv"), scenario(start=date(2019, 5, 1), horizon=48.0))
    assert track.sessions["port"].tolist() == [0, 1, 0, 1]
    assert track.sessions["arrival_step"].tolist() == [32, 36, 84, 96 + 42]
    assert track.start.isoformat() == "2019-05-01T00:00:00-07:00"  # on the clock of the data
    with pytest.raises(
        DataError, match=r"no session begins from 2018-05-01 .* of 4 sessions, the first begins at 2019"
    ):
        sessions_to_track(read_acn(data / "acn.csv"), scenario(start=date(2018, 5, 1)))
    with pytest.raises(DataError, match=r"no battery is called 'lead'\. Known: ideal, two_stage"):
        sessions_to_track(read_acn(data / "acn.csv"), scenario(), battery="lead")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="holds no session"):
        sessions_to_track(of(), scenario())


# Wish [kWh], stay [steps of 5 min], capacity and energy on arrival [kWh] of acnportal 0.3.3's `batt_cap_fn` at 208 V.
BATTERIES = [
    (1.937, 14, 8.0, 6.04744),
    (5.0, 144, 8.0, 3.0),
    (7.5, 20, 8.0, 0.43512),
    (7.9, 15, 24.0, 13.0383),
    (13.079, 26, 24.0, 8.8774),
    (22.0, 40, 40.0, 11.60606),
    (30.0, 70, 40.0, 8.87637),
    (69.373, 144, 85.0, 11.26921),
    (1.0, 6, 8.0, 8 * 0.85715),  # above 80 %: acnportal gives the state of charge
]


def test_two_stage_batteries_are_those_of_acnportal() -> None:
    wish, steps, capacity, energy = np.array(BATTERIES).T
    found = two_stage_battery(wish, steps / 12, np.full(len(wish), 6.656))
    assert found[0].tolist() == capacity.tolist()
    assert found[1] == pytest.approx(energy, abs=1e-4)
    assert found[2].tolist() == wish.tolist()


def test_the_largest_battery_takes_what_it_can() -> None:
    capacity, energy, wish = two_stage_battery(np.array([150.0]), np.array([12.0]), np.array([22.0]))
    assert capacity == [100.0]
    assert energy == pytest.approx([0.0], abs=1e-6)
    # 80 kWh take 3.64 h; then the room shrinks with the time constant 20 kWh / 22 kW
    assert wish == pytest.approx([100.0 - 20.0 * np.exp(-(12.0 - 80.0 / 22.0) * 22.0 / 20.0)])


@pytest.mark.parametrize("battery", ["ideal", "two_stage"])
def test_full_power_just_delivers_every_wish(garage: Scenario, battery: Battery) -> None:
    rows = [("CA-1", 0, 30, 3.328), ("CA-2", 3, 400, 0.9), ("CA-3", 7, 131, 12.9), ("CA-1", 1430, 2000, 30.0)]
    track = sessions_to_track(of(*rows), garage, battery=battery)
    sessions = track.sessions
    assert len(sessions) == 4
    delivered, energy = np.zeros(len(sessions)), []

    def watch(flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
        energy.append(flow.granted_kw[0] * flow.step_h)

    simulator = Simulator(Site.from_scenario(garage).arrays, Nearest(), [track])
    rollout(simulator, Objective.from_scenario(garage, Nearest()), make_policy("uncontrolled"), [track], watch=watch)
    for k, stay in enumerate(sessions):
        delivered[k] = np.array(energy)[stay["arrival_step"] : stay["departure_step"], stay["port"]].sum()
    assert delivered == pytest.approx(sessions["wanted_kwh"], abs=1e-6)
    first_step = np.array(energy)[sessions["arrival_step"], sessions["port"]]
    slow = first_step < 6.656 / 12 - 1e-3
    assert slow.tolist() == [False, battery == "two_stage", False, False]  # 0.9 kWh end in the taper
