"""The command `ev-marl`: what it prints, what it refuses, what it returns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import ev_marl
from ev_marl.cli import app
from ev_marl.cli.app import COMMANDS
from ev_marl.policies import POLICIES, Plan
from ev_marl.scenario import load_scenario, shipped_scenarios
from ev_marl.simulation.coordinators import COORDINATORS
from ev_marl.world import Track, World
from ev_marl.world.seeds import SPLITS


def run(*arguments: object) -> Result:
    """Run a command as from a wide terminal."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160", "TERM": "dumb"})


def test_a_real_process_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ev_marl"]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.strip() == f"ev-marl {ev_marl.__version__}"
    wrong = subprocess.run([*command, "check", tmp_path / "no_such.yaml"], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert "no_such.yaml" in wrong.stderr
    assert "Traceback" not in wrong.stderr


EVERY_COMMAND = [[*filter(None, [group]), name] for group in COMMANDS for name in COMMANDS[group]]
HEAVY = (
    *("numba", "scipy", "pyomo", "highspy", "pandas", "pyarrow", "matplotlib", "networkx", "pandapower"),
    *("ev_marl.scenario.schema", "ev_marl.support.registry"),
)
ANSWER = """
import sys
import ev_marl.cli
from typer.testing import CliRunner

for arguments, exit_code in {cases}:
    result = CliRunner().invoke(ev_marl.cli.app, arguments)
    assert result.exit_code == exit_code, (arguments, result.output)
    loaded = [name for name in {heavy} if name in sys.modules]
    assert not loaded, (arguments, loaded)
"""
COMPLETE = """
import atexit
import sys
import ev_marl.cli

atexit.register(lambda: print([name for name in {heavy} if name in sys.modules]))
ev_marl.cli.app(prog_name="ev-marl")
"""


def test_help_and_errors_of_usage_load_nothing_heavy() -> None:
    """What a command works with is loaded when it works."""
    cases: list[tuple[list[str], int]] = [(["--version"], 0), (["compare", "--no-such"], 2), (["compare"], 2)]
    cases += [([*words, "--help"], 0) for words in ([], ["track"], ["grid"], *EVERY_COMMAND)]
    code = ANSWER.format(cases=cases, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_completion_loads_nothing_heavy() -> None:
    """The shell asks by variables of the environment."""
    asked = {"_EV_MARL_COMPLETE": "complete_bash", "COMP_WORDS": "ev-marl com", "COMP_CWORD": "1"}
    code = COMPLETE.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked})
    assert done.stdout.split() == ["compare", "[]"], done.stderr


@pytest.mark.parametrize("command", EVERY_COMMAND)
def test_every_command_shows_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"$ ev-marl {' '.join(command)}" in result.output


def test_help_lists_every_command_with_its_first_line() -> None:
    shown = " ".join(run("--help").output.split())
    for name in COMMANDS[""]:
        first = run(name, "--help").output.strip().splitlines()[2].strip()
        assert first.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        assert first[:40] in shown


def test_choices_are_those_of_the_rooms() -> None:
    """What an option takes is written once, in the room that uses it."""
    shown = " ".join(run("compare", "--help").output.split())
    assert f"<{'|'.join(SPLITS)}>" in shown
    assert f"{', '.join(COORDINATORS)}, or module:Class." in shown
    assert "'tset' is not one of" in " ".join(run("compare", "tiny", "--split", "tset").output.split())


def test_check_accepts_shipped_scenarios() -> None:
    """Some of them; `tests/checks` has the findings of all."""
    some = ("tiny", "island-microgrid", "acn-office")
    result = run("check", *some)
    assert result.exit_code == 0
    assert result.output.count("sound") == len(some)


def test_check_lists_every_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\nstart: 2023-05-15\nhorizn: 24 h\nsite:\n  name: yard\n  import_limit: -5 kW\n"
        "  stations:\n    - {type: ac, count: 2, power: 11 kW}\n"
    )
    result = run("check", file, "tiny")
    assert result.exit_code == 1
    assert f"{file}:3: horizn" in result.stderr
    assert "horizon" in result.stderr
    assert f"{file}:6: site.import_limit" in result.stderr
    as_json = run("check", file, "--json")
    assert as_json.exit_code == 1
    assert [problem["line"] for problem in json.loads(as_json.stdout)[str(file)]["errors"]] == [3, 6]


def test_check_warns_of_what_is_no_error_and_seldom_meant(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: tiny\nname: mine\nobjective: {unmet_energy: 0.25 EUR/kWh}\n")
    result = run("check", file)
    assert result.exit_code == 0
    assert f"{file}:3: objective.unmet_energy: warning: 0.25 EUR/kWh is less than" in result.stderr
    assert "sound" in result.stdout
    assert "At 00:00, when an episode starts, 0.0 vehicles are there" in result.stdout
    found = json.loads(run("check", file, "--json").stdout)[str(file)]
    assert found["errors"] == []
    assert [warning["check"] for warning in found["warnings"]] == ["refusal"]
    assert found["warnings"][0]["numbers"]["unmet_per_kwh"] == 0.25
    assert found["start"]["n_days"] == 20


def test_describe_shows_the_tree() -> None:
    result = run("describe", "workplace")
    assert result.exit_code == 0
    for expected in ("transformer", "lot_north", "lot_south", "bidi", "250"):
        assert expected in result.stdout


def test_schema_goes_to_stdout_or_a_new_file(tmp_path: Path) -> None:
    printed = run("schema")
    assert json.loads(printed.stdout)["title"] == "ev_marl scenario"
    file = tmp_path / "schema.json"
    assert run("schema", "--out", file).exit_code == 0
    assert file.read_text() == printed.stdout
    again = run("schema", "--out", file)
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert run("schema", "--out", file, "--overwrite").exit_code == 0
    assert run("schema", "--reference").stdout.startswith("# Scenario files")


def test_list_names_every_plugin() -> None:
    everything = run("list")
    for expected in (*shipped_scenarios(), *POLICIES, "proportional", "unmet_energy", "headroom", "acn/caltech"):
        assert expected in everything.stdout
    policies = json.loads(run("list", "policies", "--json").stdout)["policies"]
    knows = {entry["name"]: entry["knows"] for entry in policies}
    assert (knows["llf"], knows["uncontrolled"], knows["plan"]) == ("whole site", "own station", "whole future")
    assert all(entry["about"] for entry in policies)
    backends, trainings = (
        {entry["name"]: entry["about"] for entry in json.loads(run("list", kind, "--json").stdout)[kind]}
        for kind in ("backends", "trainings")
    )
    assert {"zbus", "newton", "pandapower"} <= set(backends) or "pip install" in backends["none"]
    assert "every station runs" in trainings["ippo"]
    wrong = run("list", "polices")
    assert wrong.exit_code == 1
    assert "Did you mean 'policies'" in wrong.stderr


def test_new_copies_and_never_overwrites(tmp_path: Path) -> None:
    assert run("new", "mine", "--from", "tiny", "--folder", tmp_path).exit_code == 0
    file = tmp_path / "mine.yaml"
    scenario = load_scenario(file)
    assert scenario.name == "mine"
    assert scenario.site == load_scenario("tiny").site
    file.write_text("edited")
    again = run("new", "mine", "--folder", tmp_path)
    assert again.exit_code == 1
    assert "exists and was not changed" in again.stderr
    assert file.read_text() == "edited"
    assert "Did you mean 'tiny'" in run("new", "other", "--from", "tinny", "--folder", tmp_path).stderr
    assert "not a valid name" in run("new", "../escape", "--folder", tmp_path).stderr


def test_new_writes_what_is_wished_or_nothing(tmp_path: Path) -> None:
    done = run("new", "mine", "--stations", 4, "--power", "22 kW", "--limit", "60 kW", "--v2g", "--folder", tmp_path)
    assert done.exit_code == 0
    scenario = load_scenario(tmp_path / "mine.yaml")
    assert (scenario.site.import_limit, scenario.site.stations[0].count) == (60.0, 4)
    wrong = run("new", "bad", "--power", "22 kwh", "--folder", tmp_path)
    assert wrong.exit_code == 1
    assert re.search(r"nothing was written: bad\.yaml:\d+: site\.stations\[0\]\.power: found '22 kwh'", wrong.stderr)
    assert not (tmp_path / "bad.yaml").exists()
    both = run("new", "both", "--from", "tiny", "--stations", 4, "--folder", tmp_path)
    assert "--from copies a scenario as it is" in both.stderr


def test_tracks_are_parted_by_date(tmp_path: Path) -> None:
    world = World(load_scenario("tiny"))
    for k in range(10):
        world.sample(k, date(2024, 3, 4) + timedelta(days=k)).save(tmp_path / "days" / f"{k}.json")
    done = run("track", "split", tmp_path / "days", "--out", tmp_path / "parted", "--validation", 20, "--test", 30)
    assert done.exit_code == 0, done.stderr
    assert re.findall(r"(\w+): (\d+) days", done.stderr) == [("train", "5"), ("validation", "2"), ("test", "3")]
    one = run("track", "split", tmp_path / "days", "--out", tmp_path / "more", "--test-from", "2024-03-10")
    assert "give both --validation-from and --test-from" in one.stderr
    tuned = run("tune", "price-threshold", "tiny", "--tracks", tmp_path / "parted", "--days", 2, "--json")
    assert tuned.exit_code == 0, tuned.stderr
    found = json.loads(tuned.stdout)
    assert (found["training_days"], found["validation"]["days"]) == (2, 2)


def test_tracks_are_sampled_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "day.parquet"
    assert run("track", "sample", "tiny", "--seed", 3, "--out", file).exit_code == 0
    assert Track.load(file) == World(load_scenario("tiny")).sample(3)
    again = run("track", "sample", "tiny", "--seed", 3, "--out", file)
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert run("track", "sample", "tiny", "--seed", 3, "--days", 2, "--out", tmp_path / "days").exit_code == 0
    assert Track.load(tmp_path / "days" / "tiny-3.parquet") == Track.load(file)
    shown = run("track", "show", file)
    assert shown.exit_code == 0
    assert "Buying price" in shown.stdout
    facts = json.loads(run("track", "show", file, "--json").stdout)
    assert facts["sessions"] == len(Track.load(file).sessions)
    missing = run("track", "show", tmp_path / "none.parquet")
    assert missing.exit_code == 1
    assert "there is no such file" in missing.stderr


def test_a_track_shows_limits_that_change_and_what_was_edited(tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    by_hour = [12] * 8 + [6.5] * 12 + [9] * 4
    limits.write_text(f"extends: tiny\nsite: {{import_limit: {{by_hour: {by_hour}}}}}\n")
    track = World(load_scenario(limits)).sample(0)
    file = track.with_prices(0.3).save(tmp_path / "edited.json")
    shown = run("track", "show", file).stdout
    assert "import limit 6.5 kW to 12 kW, export limit 10 kW" in shown
    assert "import limit 12 kW, export limit none" in shown  # of the yard
    assert "Edited" in shown
    assert "buy_per_kwh, sell_per_kwh" in shown
    facts = json.loads(run("track", "show", file, "--json").stdout)
    connection, yard = facts["groups"]["connection"], facts["groups"]["yard"]
    assert connection["import_limit_kw"] == {"lowest": 6.5, "mean": sum(by_hour) / 24, "highest": 12.0}
    assert yard["export_limit_kw"] == {"lowest": None, "mean": None, "highest": None}  # JSON has no infinity
    assert facts["source"]["edited"] == "buy_per_kwh, sell_per_kwh"


def test_tracks_are_imported(tmp_path: Path) -> None:
    file = tmp_path / "acn.json"
    session = {
        "connectionTime": "Mon, 07 Jan 2019 16:00:00 GMT",
        "disconnectTime": "Mon, 07 Jan 2019 22:00:00 GMT",
        "kWhDelivered": 9.5,
        "sessionID": "1",
        "stationID": "2-39-78-362",
        "spaceID": "CA-496",
        "timezone": "America/Los_Angeles",
    }
    file.write_text(json.dumps({"_items": [session]}))
    out = tmp_path / "tracks"
    result = run("track", "import", "acn", file, "--site", "tiny", "--out", out)
    assert result.exit_code == 0, result.output
    assert "1, 2019-01-07 to 2019-01-07, 1 stays; 0 more found no free port" in " ".join(result.stderr.split())
    track = Track.load(out / "2019-01-07.parquet")
    assert track.sessions["wanted_kwh"].tolist() == [9.5]
    wrong = run("track", "import", "elaadnl", file, "--site", "tiny", "--out", out)
    assert wrong.exit_code == 1
    assert "Traceback" not in wrong.output


def test_solve_proves_a_day_and_writes_its_plan(tmp_path: Path) -> None:
    plan, day = tmp_path / "plan.parquet", tmp_path / "day.json"
    run("track", "sample", "tiny", "--seed", 1, "--out", day)
    result = run("solve", "tiny", "--track", day, "--out", plan)
    assert result.exit_code == 0, result.output
    for expected in ("Bound", "Achieved", "Gap", "proven", "EUR"):
        assert expected in result.stdout
    assert Plan.load(plan).power_kw.shape == (24, 3)
    assert "Where one more kW" in run("solve", "tiny", "--seed", 3).stdout
    as_json = json.loads(run("solve", "tiny", "--seed", 3, "--json").stdout)
    assert as_json["bound"] == pytest.approx(as_json["achieved"], rel=1e-6)
    assert as_json["exact"]
    prices = [row["price_per_kw"] for row in as_json["shadow_prices"]]
    assert prices
    assert prices == sorted(prices, reverse=True)
    assert "exists" in run("solve", "tiny", "--out", plan).stderr
    foreign = run("solve", "workplace", "--track", day)
    assert foreign.exit_code == 1
    assert "Traceback" not in foreign.output
    dollars = Track.load(day).replace(currency="USD").save(tmp_path / "dollars.json")
    assert "its prices are in USD, the scenario counts in EUR" in run("solve", "tiny", "--track", dollars).stderr
    assert run("solve", "tiny", "--solver", "no_such_solver").exit_code == 1


def test_solve_says_how_loose_the_bound_is_for_discrete_actions(tmp_path: Path) -> None:
    file = tmp_path / "coarse.yaml"
    file.write_text("extends: tiny\nname: coarse\naction: {levels: 3}\n")
    result = run("solve", file, "--seed", 2)
    assert result.exit_code == 0, result.output
    assert "agents have discrete action levels, at most" in " ".join(result.stdout.split())


def test_levels_of_ports_are_exact_in_solve_and_compare(tmp_path: Path) -> None:
    file, folder = tmp_path / "coarse.yaml", tmp_path / "run"
    station = "{type: ac, count: 2, power: 11 kW, least_power: 4 kW, power_step: 3.5 kW}"
    file.write_text(f"extends: tiny\nname: coarse\nsite: {{name: lot, import_limit: 11 kW, stations: [{station}]}}\n")
    options = ("--levels", "exact", "--time-limit", 60, "--json")
    solved = json.loads(run("solve", file, "--seed", 1, *options).stdout)
    assert solved["achieved"] <= solved["bound"] + 1e-9
    assert solved["bound"] < solved["any_power_bound"] - 1e-3
    assert solved["level_pairs"] > 0
    arguments = ("compare", file, "--policies", "edf", "--days", 1, "--workers", 1, "--out", folder)
    assert run(*arguments, *options).exit_code == 0
    assert "--levels exact --time-limit 60" in (folder / "report.md").read_text()
    assert "exact_levels" in run(*arguments).stderr


def test_compare_prints_the_table_and_leaves_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ("compare", "tiny", "--policies", "edf, best-response(trust=0.9)", "--days", 2, "--out", folder)
    result = run(*arguments, "--workers", 1)
    assert result.exit_code == 0, result.output
    for expected in ("tiny: 2 days", "optimum", "best-response(trust=0.9)", "uncontrolled", "whole future"):
        assert expected in result.stdout
    assert "report.png" in result.stderr
    names = {path.name for path in folder.iterdir()}
    assert names == {"manifest.json", "days", "results.parquet", "summary.csv", "report.md", "report.png"}
    assert pq.read_table(folder / "results.parquet").num_rows == 2 * 4
    as_json = json.loads(run(*arguments, "--workers", 1, "--json").stdout)
    assert as_json["days"] == 2
    assert as_json["policies"][0]["policy"] == "optimum"
    other = run(*arguments, "--seed", 1)
    assert other.exit_code == 1
    assert "belongs to another run" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "tiny", "--policies", "eddf"), "Did you mean 'edf'"),
        (("compare", "tinny"), "Did you mean 'tiny'"),
        (("compare", "tiny", "--coordinator", "neerest"), "Did you mean 'nearest'"),
        (("solve", "tinny"), "Did you mean 'tiny'"),
        (("describe", "no_such.yaml"), "no_such.yaml"),
    ],
)
def test_mistakes_are_messages(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_what_the_system_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, where a folder should go")
    result = run("compare", "tiny", "--days", "2", "--out", str(tmp_path / "taken" / "here"))
    assert result.exit_code == 1
    assert f"the system refuses a file or connection: {tmp_path / 'taken' / 'here'}: Not a directory" in result.stderr


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("observation: []", 2, "at least 1"),
        ("observation: [clock, 'nowhere:Block']", 2, "'nowhere:Block' is custom code"),
        ("observation: [clock, {block: prices, options: {hous: 3}}]", 2, "Did you mean 'hours'?"),
        ("observation: [clock, {block: demand, options: {hours: -1}}]", 2, "hours must be above 0"),
        ("coordinator: {name: nearest, options: {weight: [1]}}", 2, "Did you mean 'weights'?"),
        ("coordinator: {name: nearest, options: {weights: [a]}}", 2, "coordinator 'nearest': could not convert"),
        ("coordinator: {name: none, options: {x: 1}}\nobjective: {overload: 1}", 2, "It takes no options"),
    ],
)
def test_check_makes_what_an_environment_is_made_of(tmp_path: Path, text: str, line: int, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: tiny\n{text}\n")
    result = run("check", str(file))
    assert result.exit_code == 1
    assert f"{file}:{line}: " in result.stderr
    assert said in result.stderr


def test_a_place_in_line_100_is_no_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("extends: tiny\n" + "#\n" * 98 + "horizon: 7 min\n")
    assert f"{file}:100: horizon" in run("check", str(file)).stderr
