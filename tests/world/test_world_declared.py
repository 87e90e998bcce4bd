"""What drivers say of their departure: drawn, fitted, read from data sets, and in the steps of a track."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.support.errors import DataError
from ev_marl.world.acn_sim import sessions_to_track
from ev_marl.world.declared import MeasuredSayings, Said
from ev_marl.world.fitting import Recorded, fit_sessions, how_well_declared
from ev_marl.world.importing import sessions_to_tracks
from ev_marl.world.parking import declarations
from ev_marl.world.readers.acn import read_acn
from ev_marl.world.readers.records import SessionRecord, SessionRecords
from ev_marl.world.readers.session_csv import read_session_csv
from ev_marl.world.session_table import last_said
from ev_marl.world.world import World

SITE = """
name: yard
start: 2023-05-15
timezone: America/Los_Angeles
step: STEP
site:
  name: grid
  stations:
    - {type: ac, count: 400, power: 11 kW}
sessions: {model: acn/caltech-2019, per_port_per_day: 1SAID}
"""
SILENT = ("declared_step", "revised_at_step", "revised_step")


def world(folder: Path, said: str, step: str = "15 min") -> World:
    path = folder / "yard.yaml"
    path.write_text(SITE.replace("STEP", step).replace("SAID", f", declared: {said}" if said else ""))
    return World(load_scenario(path))


def late_h(sessions: np.ndarray, step_h: float) -> np.ndarray:
    return (sessions["departure_step"] - last_said(sessions)) * step_h


def test_days_are_those_without_declarations_and_shares_are_those_of_the_file(tmp_path: Path) -> None:
    silent = world(tmp_path, "").sample(1).sessions
    said = world(tmp_path, "{early: {share: 20 %, by: 1 h}, late: {share: 30 %, by: 30 min}}").sample(1).sessions
    rest = [name for name in said.dtype.names if name not in SILENT]
    np.testing.assert_array_equal(said[rest], silent[rest])
    assert not any(silent[name].any() for name in SILENT)
    late = late_h(said, 0.25)
    n = len(said)
    # A seventh of the early ones is so by less than half a step, and counts as true: exp(−0.125 / 1) = 0.88.
    assert (late < 0).sum() / n == pytest.approx(0.20 * 0.88, abs=3 * (0.16 / n) ** 0.5)
    assert (late > 0).sum() / n == pytest.approx(0.30 * np.exp(-0.25), abs=3 * (0.21 / n) ** 0.5)
    assert -late[late < 0].mean() == pytest.approx(1.12, abs=0.25)


def test_wishes_are_said_by_shares_and_days_stay_the_same(tmp_path: Path) -> None:
    """A fifth says 8 kWh more on average, as far as the battery takes it, 30 % 4 kWh less; departures are as before."""
    late = "late: {share: 30 %, by: 30 min}"
    before = world(tmp_path, f"{{{late}}}").sample(1).sessions
    energy = "energy: {more: {share: 20 %, by: 8 kWh}, less: {share: 30 %, by: 4 kWh}}"
    said = world(tmp_path, f"{{{late}, {energy}}}").sample(1).sessions
    come = said["arrival_step"] > 0
    for name in set(said.dtype.names) - {"overstated_kwh"}:
        np.testing.assert_array_equal(said[name][come], before[name][come])
    over, n = said["overstated_kwh"], len(said)
    assert (over > 0).sum() / n == pytest.approx(0.20, abs=3 * (0.16 / n) ** 0.5)
    assert (over < 0).sum() / n == pytest.approx(0.30, abs=3 * (0.21 / n) ** 0.5)
    assert 4.0 < over[over > 0].mean() < 8.5
    assert -over[over < 0].mean() == pytest.approx(3.2, abs=0.8)  # some want less than 4 kWh
    assert (said["wanted_kwh"] + over >= -1e-9).all()
    alone = world(tmp_path, f"{{{energy}}}").sample(1).sessions
    assert not alone["declared_step"].any()
    assert alone["overstated_kwh"].any()


def test_before_the_start_vehicles_charge_to_what_was_said(tmp_path: Path) -> None:
    """Ports are enough for all, so only the wish ends charging: who said more holds more, and wants nothing further."""
    silent = world(tmp_path, "").sample(2).sessions
    said = world(tmp_path, "{energy: {more: {share: 100 %, by: 5 kWh}}}").sample(2).sessions
    full = (said["arrival_step"] == 0) & (silent["wanted_kwh"] == 0.0)
    assert full.sum() > 5
    more_kwh = (said["energy_kwh"] - silent["energy_kwh"])[full]
    assert (more_kwh > 0.0).all()
    assert not said["wanted_kwh"][full].any()
    assert (said["overstated_kwh"][full] >= 0.0).all()


def test_drivers_at_caltech_say_what_they_said(tmp_path: Path) -> None:
    """22 % of 5,657 left more than half an hour early, 54 % late (ACN-Data, May to December 2019)."""
    many = [world(tmp_path, "{model: acn/caltech-2019}").sample(seed).sessions for seed in (1, 2, 3)]
    late = np.concatenate([late_h(sessions[sessions["arrival_step"] > 0], 0.25) for sessions in many])
    assert (late < -0.5).mean() == pytest.approx(0.22, abs=0.04)
    assert (late > 0.5).mean() == pytest.approx(0.54, abs=0.04)


def test_steps_do_not_matter(tmp_path: Path) -> None:
    """The same drivers say the same, in steps of any length."""
    said = "{model: acn/jpl-2019, revised: {share: 40 %, ahead: 1 h}}"
    hours = {}
    for step, step_h in (("5 min", 1 / 12), ("60 min", 1.0)):
        sessions = world(tmp_path, said, step).sample(3).sessions
        declared = np.where(sessions["declared_step"] > 0, sessions["declared_step"], sessions["departure_step"])
        hours[step] = sessions["arrival_step"] * step_h, declared * step_h
        assert (sessions["revised_at_step"] > 0).mean() > 0.1
    fine, coarse = hours["5 min"], hours["60 min"]
    assert len(fine[0]) == pytest.approx(len(coarse[0]), abs=6)
    assert fine[1].mean() == pytest.approx(coarse[1].mean(), abs=0.25)


def test_what_was_said_before_the_start_counts_at_the_start() -> None:
    """Step 0 is the start. Who said to be gone by then, and is there, is expected to leave after one step; who has
    said the truth before is believed."""
    arrival, departure = np.array([0, 0, 2, 2]), np.array([5, 5, 9, 9])
    never = np.iinfo(np.int64).min
    said = np.array([[-3, 8, 6, 6], [never, -1, 4, 9], [never, never, 7, never]])
    columns = declarations(arrival, departure, said)
    assert columns["declared_step"].tolist() == [1, 0, 6, 6]
    assert columns["revised_at_step"].tolist() == [0, 0, 4, 0]
    assert columns["revised_step"].tolist() == [0, 0, 7, 0]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{}", "give one of `model`, `file`, and `early`"),
        ("{model: acn/caltech-2019, late: {share: 1, by: 1 h}}", "give one of `model`, `file`, and `early`"),
        ("{early: {share: 60 %, by: 1 h}, late: {share: 60 %, by: 1 h}}", "more than 1 together"),
        ("{model: acn/caltec}", "acn/caltech-2019"),
        ("{early: {share: 1, by: 0 h}}", "by"),
        ("{energy: {}}", "give `more`, `less` or both"),
        ("{energy: {more: {share: 60 %, by: 1 kWh}, less: {share: 60 %, by: 1 kWh}}}", "more than 1 together"),
        ("{energy: {more: {share: 1, by: 1 kWh}}, revised: {share: 1}}", "give one of `model`, `file`, and `early`"),
    ],
)
def test_faults_say_where(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        world(tmp_path, said)
    assert "yard.yaml:10" in str(caught.value)


def record(number: int, stay_h: float, said_h: float | None) -> SessionRecord:
    arrival = datetime(2023, 5, 15, 8, tzinfo=UTC) + timedelta(days=number % 40, minutes=number)
    declared = None if said_h is None else arrival + timedelta(hours=said_h)
    return SessionRecord("A", arrival, arrival + timedelta(hours=stay_h), 5.0, declared=declared)


def test_a_known_habit_is_fitted(tmp_path: Path) -> None:
    """Half of the drivers say a time that is a quarter too short, the others one that is half too long."""
    rng = np.random.default_rng(5)
    stays = rng.uniform(1.0, 9.0, 800)
    records = [record(k, stay, stay * (0.75 if k % 2 else 1.5)) for k, stay in enumerate(stays.tolist())]
    recorded = Recorded.of([SessionRecords("file", "UTC", tuple(records))])
    measured = fit_sessions(recorded, "by hand")
    assert measured.declared is not None
    assert [len(measured.declared), measured.declared[0].said[0], measured.declared[-1].said[-1]] == [10, 0.75, 1.5]
    distance = how_well_declared(recorded, measured)
    assert distance is not None
    assert distance < 0.05
    silent = Recorded.of([SessionRecords("file", "UTC", tuple(record(k, 2.0, None) for k in range(60)))])
    without = fit_sessions(silent, "by hand")
    assert without.declared is None
    with pytest.raises(DataError, match="has no `declared`"):
        MeasuredSayings(without)


def test_readers_keep_what_drivers_said(tmp_path: Path) -> None:
    table = tmp_path / "acn.csv"
    header = "arrival,departure,delivered_energy (kWh),station_id,estimated_departure,claimed\n"
    row = "2019-05-01 08:00:00-07:00,2019-05-01 16:00:00-07:00,5,A,2019-05-01 17:00:00-07:00,"
    table.write_text(f"{header}{row}True\n{row}False\n")
    said, made_up = read_acn(table).records
    assert said.declared is not None
    assert said.declared - said.departure == timedelta(hours=1)
    assert made_up.declared is None  # nobody said it
    own = tmp_path / "own.csv"
    own.write_text(
        "station,arrival,departure,energy_kwh,declared_departure\n"
        "A,2023-05-01 08:00,2023-05-01 10:00,5,2023-05-01 09:00\n"
        "A,2023-05-01 18:00,2023-05-01 20:00,5,\n"
    )
    first, second = read_session_csv(own, timezone="Europe/Amsterdam").records
    assert first.declared == first.departure - timedelta(hours=1)
    assert second.declared is None
    inputs = [
        {"requestedDeparture": "2019-05-01T10:00Z", "modifiedAt": "2019-05-01T08:01Z"},
        {"requestedDeparture": "2019-05-01T12:00Z", "modifiedAt": "2019-05-01T08:05Z"},
        {"requestedDeparture": "2019-05-01T13:00Z", "modifiedAt": "2019-05-01T09:00Z"},
    ]
    times = {"connectionTime": "2019-05-01T08:00Z", "disconnectTime": "2019-05-01T14:00Z", "kWhDelivered": 5}
    api = tmp_path / "acn.json"
    api.write_text(json.dumps({"_items": [{**times, "stationID": "A", "userInputs": inputs}]}))
    (one,) = read_acn(api).records
    hours = [(time - one.arrival) / timedelta(hours=1) for time in (one.declared, one.revised_at, one.revised) if time]
    assert hours == [4.0, 1.0, 5.0]  # what is said in the first minutes counts as said on arrival


def test_imported_days_have_what_drivers_said(tmp_path: Path) -> None:
    path = tmp_path / "yard.yaml"
    path.write_text(SITE.replace("STEP", "1 h").replace("SAID", "").replace("count: 400", "count: 2"))
    scenario = load_scenario(path)
    records = SessionRecords("file", "UTC", (record(0, 3.0, 5.0), record(60, 4.0, None)))
    day = sessions_to_tracks(records, scenario)[0]
    assert (day.sessions["departure_step"][0], day.sessions["declared_step"][0]) == (11, 13)
    assert day.source["departures"] == "as 1 of 2 drivers said; those of the others are true"
    silent = sessions_to_tracks(records, scenario, departures="true")[0]
    assert not silent.sessions["declared_step"].any()
    month = load_scenario(path).model_copy(update={"start": records.records[0].arrival.date()})
    for departures, declared in (("declared", 13), ("true", 0)):
        track = sessions_to_track(records, month, departures=departures)
        assert track.sessions["declared_step"][0] == declared
    assert Said.truth(np.ones(2)).stay_h.tolist() == [1.0, 1.0]


def test_describe_and_show_say_what_drivers_say(tmp_path: Path) -> None:
    energy = "energy: {less: {share: 100 %, by: 6 kWh}}"
    drawn = world(tmp_path, f"{{late: {{share: 30 %, by: 1 h}}, revised: {{share: 20 %}}, {energy}}}")
    output = CliRunner().invoke(app, ["describe", str(tmp_path / "yard.yaml")]).output
    described = " ".join(output.replace("│", "").split())
    assert (
        "what drivers declare: 30% leave after the time they say, by 60 min on average, 20% say the truth" in described
    )
    assert "100% say that they want less, by 6 kWh on average" in described
    drawn.sample(1).save(tmp_path / "day.json")
    shown = " ".join(CliRunner().invoke(app, ["track", "show", str(tmp_path / "day.json")]).output.split())
    assert "Declared 0 leave more than half an hour before they say, at most 0.0 h;" in shown
    assert "Declared energy 0 kWh more than they want, " in shown
