"""Dated CSV files: each day takes its rows; clock changes, units, missing rows; errors with file, line and column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ev_marl.scenario import load_scenario
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.dated import read_dated
from ev_marl.scenario.problems import ScenarioError
from ev_marl.scenario.units import power
from ev_marl.site.site import Site
from ev_marl.support.errors import DataError
from ev_marl.world.world import World

Write = Callable[..., Path]
ZONE = "Europe/Amsterdam"
SCENARIO = """
name: dated
start: 2023-03-24
until: 2023-03-28
horizon: 24 h
step: 30 min
site:
  name: grid
  import_limit: {csv: year.csv, time: when, column: limit_kw}
  base_load: {csv: year.csv, time: when, column: "load [MW]"}
  stations: [{type: ac, power: 11 kW}]
sessions: {per_port_per_day: 0}
"""


def local_hours(first: str, n: int) -> list[str]:
    """Clock times of `n` hours in a row, as a logger on local time writes them."""
    begin = datetime.fromisoformat(first).replace(tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
    return [f"{(begin + timedelta(hours=k)).astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}" for k in range(n)]


def read(path: Path, **keys: str) -> np.ndarray:
    known = {"column": None, "time": "when", "timezone": ZONE, "quantity": power}
    series = read_dated(path, **{**known, **keys})  # type: ignore[arg-type]
    return np.array(series.values)


def table(times: list[str], *columns: list[float], names: str = "load_kw") -> str:
    rows = [",".join([time, *map(str, values)]) for time, *values in zip(times, *columns, strict=True)]
    return "\n".join([f"when,{names}", *rows]) + "\n"


def test_a_day_takes_its_rows_also_where_the_clock_changes(write: Write) -> None:
    """Row k of the file is k kW of limit and k W·1000 of load, from 23 March 2023 on; 26 March has 23 hours."""
    times = local_hours("2023-03-23", 6 * 24 - 1)
    hours = [float(k) for k in range(len(times))]
    write(table(times, hours, [k / 1000 for k in hours], names="limit_kw,load [MW]"), "year.csv")
    world = World(load_scenario(write(SCENARIO)))
    for day, first in ((24, 24), (26, 72), (27, 72 + 23)):
        track = world.sample(0, datetime(2023, 3, day).date())
        assert track.import_limit_kw[:, 0].tolist() == [first + k // 2 for k in range(48)]
        assert track.base_load_kw[:, 0] == pytest.approx(track.import_limit_kw[:, 0])


def test_an_hour_that_comes_twice_is_in_the_file_twice(write: Write) -> None:
    times = local_hours("2023-10-29", 25)
    assert times[2:4] == ["2023-10-29 02:00"] * 2
    assert read(write(table(times, [float(k) for k in range(25)]), "x.csv")).tolist() == list(range(25))
    once = write(table(times[:3] + times[4:], [1.0] * 24), "once.csv")
    with pytest.raises(
        DataError, match=r"once.csv, column 'load_kw': no value for 1 of 25 intervals: 2023-10-29 01:00 UT"
    ):
        read(once)


def test_quarters_of_an_hour_are_averaged_over_a_step(write: Write) -> None:
    quarters = [f"2023-05-01T{k // 4:02}:{15 * (k % 4):02}+00:00" for k in range(96)]
    series = read_dated(
        write(table(quarters, [float(k) for k in range(96)]), "q.csv"),
        column=None,
        time="when",
        timezone=ZONE,
        quantity=power,
    )
    clock = Clock(datetime(2023, 5, 1, 3, tzinfo=UTC), ZONE, 1.0, 2)
    assert series.at(clock).tolist() == [13.5, 17.5]  # rows 12 to 15, and 16 to 19
    before = clock.before(24)  # the file lacks all but three of these hours: those of the next day stand for them
    assert series.at(before).tolist() == [4 * k + 1.5 for k in range(3, 24)] + [95.0] * 3


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        (
            "when,kw\n2023-03-26 02:30,1\n",
            {},
            r"line 2, column 'when': '2023-03-26 02:30' does not exist in Europe/Ams",
        ),
        ("when,kw\n26/03/2023,1\n", {}, r"line 2, column 'when': found '26/03/2023'; expected a time such as"),
        ("when,kw\n2023-01-01,x\n", {}, r"line 2, column 'kw': found 'x'; expected a number"),
        ("when,kw\n2023-01-01,1\n2023-01-01,2\n", {"timezone": "UTC"}, r"year.csv, column 'kw':3: a second value for"),
        ("when,kw\n2023-01-01 00:00,1\n2023-01-01 01:00,1\n2023-01-01 03:00,1\n", {}, r"no value for 1 of 4 intervals"),
        (
            "when,kw\n2023-01-01 00:00,1\n2023-01-01 01:00,1\n2023-01-01 02:30,1\n",
            {},
            r":4: 2023-01-01 01:30:00 UTC is no whole number of intervals of 60 min",
        ),
        ("when,load [°C]\n2023-01-01,1\n", {}, r"line 1, column 'load \[°C\]': the unit '°C'; allowed: kW, W, MW"),
        (
            "when,load_mw\n2023-01-01,1\n",
            {"unit": "kW"},
            r"line 1, column 'load_mw': the header says MW, the key `unit`",
        ),
        ("when,load\n2023-01-01,1\n", {"unit": "kWh"}, r"the unit 'kWh'; allowed: kW, W, MW"),
        ("time,kw\n2023-01-01,1\n", {}, r"has no column 'when' \(key `time`\); it has time, kw"),
        ("when,a,b\n2023-01-01,1,1\n", {}, r"has the columns a, b; say which with `column:`"),
        ("when,kw\n2023-01-01 00:00,1\n2023-01-01 00:01,1\n2043-01-01 00:02,1\n", {}, r"Is a time mistyped\?"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_column(
    write: Write, text: str, keys: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(write(text, "year.csv"), **keys)


def test_units_of_key_and_header(write: Write) -> None:
    for header, unit, expected in (("load (W)", None, 2.0), ("load", "MW", 2e6), ("load_kw", None, 2e3)):
        path = write(f"when,{header}\n2023-01-01,2000\n", f"{expected}.csv")
        assert read(path, **({"unit": unit} if unit else {})).tolist() == [expected]


def test_missing_rows_are_filled_where_that_is_asked_for(write: Write) -> None:
    path = write("when,kw\n2023-01-01 00:00,1\n2023-01-01 01:00,2\n2023-01-01 03:00,8\n", "gap.csv")
    assert read(path, fill="interpolate").tolist() == [1.0, 2.0, 5.0, 8.0]


def test_a_scenario_says_what_is_wrong_at_the_key(write: Write) -> None:
    times = local_hours("2023-03-23", 48)
    write(table(times, [-1.0] * 48, [0.1] * 48, names="limit_kw,load [MW]"), "year.csv")
    with pytest.raises(ScenarioError, match=r"yaml:9: site.import_limit.csv: .*found -1; a limit cannot be below zero"):
        load_scenario(write(SCENARIO))
    write(table(times, [1.0] * 48, [0.1] * 48, names="limit_kw,load [MW]"), "year.csv")
    with pytest.raises(
        DataError, match=r"year.csv, column 'limit_kw': no values for the whole episode that starts at 2"
    ):
        World(load_scenario(write(SCENARIO)))
    target = SCENARIO + "objective: {setpoint_tracking: {weight: 1, target: {csv: year.csv, time: when}}}\n"
    with pytest.raises(ScenarioError, match=r"target: a target has no dates"):
        load_scenario(write(target))
    with pytest.raises(ScenarioError, match=r"unit: is of a file with dates; give `time`"):
        load_scenario(write(SCENARIO.replace("time: when, column: limit_kw", "unit: MW")))


def test_a_graph_keeps_the_dates(write: Write, tmp_path: Path) -> None:
    times = local_hours("2023-03-23", 6 * 24 - 1)
    hours = [float(k) for k in range(len(times))]
    write(table(times, hours, hours, names="limit_kw,load [MW]"), "year.csv")
    site = Site.from_scenario(load_scenario(write(SCENARIO)))
    site.write_graphml(tmp_path / "site.graphml")
    assert Site.read_graphml(tmp_path / "site.graphml").dated == site.dated
