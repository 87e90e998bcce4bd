"""The commands `ev-marl grid ...`: what they print, what they leave, what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("pandapower")

from ev_marl.cli import app
from ev_marl.env.setup import Setting
from ev_marl.grid.studies import year
from ev_marl.grid.studies.unbalanced_day import PlayedDay, drawn_kva, port_phases, unbalanced_day
from ev_marl.grid.studies.year_files import FILES
from ev_marl.scenario.schema.grid import Chargers


def run(*arguments: object) -> Result:
    """Run a command as from a wide terminal."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "180", "TERM": "dumb"})


def test_describe_shows_what_was_built(tmp_path: Path) -> None:
    picture = tmp_path / "net.png"
    result = run("grid", "describe", "street-lv", "--plot", picture)
    assert result.exit_code == 0, result.output
    for expected in ("44, 0 of them dead", "Trafo R0-R1", "500", "0.95 to 1.05 p.u.", "zbus", "Bus R15", "40 ports"):
        assert expected in result.stdout
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "exists" in run("grid", "describe", "street-lv", "--plot", picture).stderr
    facts = json.loads(run("grid", "describe", "street-lv", "--json").stdout)
    assert facts["agreement"]["voltage_pu"] < 1e-6
    buses = {bus["bus"]: bus for bus in facts["charger_buses"]}
    assert sum(bus["ports"] for bus in buses.values()) == 40
    assert buses["Bus R15"]["sensitivity_pu_per_kw"] < buses["Bus R11"]["sensitivity_pu_per_kw"] < 0.0
    assert [one["kva"] for one in facts["transformers"]] == [500.0, 150.0, 300.0]


def test_year_leaves_its_files_and_never_overwrites(tmp_path: Path) -> None:
    out = tmp_path / "year"
    arguments = ("grid", "year", "street-lv", "--days", 2, "--start", "2023-01-17", "--samples", 2, "--out", out)
    result = run(*arguments, "--grid-coordinator", "none")
    assert result.exit_code == 0, result.output
    for expected in (
        "2 days of 96 steps from 2023-01-17 12:00",
        "lowest voltage",
        "h without EVs",
        "7 steps solved",
    ):
        assert expected in result.stdout
    assert {path.name for path in out.iterdir()} == set(FILES)
    numbers = json.loads((out / "summary.json").read_text())
    assert numbers["check"]["agrees"]
    assert numbers["hours_beyond"]["voltage below"]["with_vehicles"] > 0.0
    again = run(*arguments)
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert "has no network" in run("grid", "year", "tiny").stderr


def test_a_year_that_pandapower_does_not_confirm_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year, "VOLTAGE_PU", 0.0)
    result = run("grid", "year", "street-lv", "--days", 1, "--samples", 0)
    assert result.exit_code == 1
    assert "lowest voltage" in result.stdout
    assert "pandapower gives other results" in result.stderr


def test_unbalanced_puts_both_side_by_side(tmp_path: Path) -> None:
    result = run("grid", "unbalanced", "street-lv", "--seed", 3, "--day", "2023-01-18", "--connection", "same")
    assert result.exit_code == 0, result.output
    for expected in ("Worst", "EN 50160", "all ports take phase a", "neutral", "balanced; generators balanced"):
        assert expected in " ".join(result.stdout.split())
    phases = tmp_path / "phases.csv"
    phases.write_text("station,phase\nhome_0,x\n")
    assert "not one of a, b, c" in run("grid", "unbalanced", "street-lv", "--phases", phases).stderr
    phases.write_text("station,phase\nhomme_0,a\n")
    assert "Did you mean 'home_0'" in run("grid", "unbalanced", "street-lv", "--phases", phases).stderr


def test_all_on_three_phases_is_the_balanced_day() -> None:
    """Every station on a, b and c: the day on three phases is the day as it was played; on one, it is worse."""
    setting = Setting.of("street-lv")
    everyone = dict.fromkeys(setting.site.agents, "abc")
    alike = unbalanced_day(setting, seed=3, phases=everyone)
    assert alike.one_phase_sessions == 0
    for step in alike.steps:
        assert step.phase_lowest_pu == pytest.approx(step.lowest_pu, abs=1e-6)
        assert max(step.phase_transformer_percent) == pytest.approx(step.transformer_percent, abs=1e-3)
        assert step.phase_line_percent == pytest.approx(step.line_percent, abs=1e-3)
    one = unbalanced_day(setting, seed=3, phases=dict.fromkeys(setting.site.agents, "a"))
    assert one.one_phase_sessions == len(one.track.sessions)
    for step in one.steps:
        assert step.phase_lowest_pu < step.lowest_pu
        assert step.charging_kw[1:] == (0.0, 0.0)
        assert step.charging_kw[0] > 0.0
    unequal = unbalanced_day(setting, seed=3, phases=everyone, loads="one-phase")
    assert max(step.unbalance_percent for step in unequal.steps) > 0.1


def test_charging_draws_and_discharging_feeds_reactive_power_on_its_own_phase() -> None:
    site = Setting.of("street-lv").site
    bus = np.flatnonzero(site.port_charger == 0)[:2]
    granted_kw = np.zeros((1, site.arrays.n_ports))
    granted_kw[0, bus] = 10.0, -4.0
    phase = np.zeros(site.arrays.n_ports, dtype=np.int64)
    phase[bus[1]] = 1
    spec = site.network.spec
    quiet = [np.zeros((1, size)) for size in (spec.n_loads, spec.n_loads, spec.n_generators, spec.n_generators)]
    per_bus = np.zeros((1, spec.n_charger_buses))
    per_bus[0, 0] = 6.0
    none = np.zeros(1)
    played = PlayedDay(granted_kw, per_bus, 0.75 * per_bus, none, none, none, none, none)
    drawn = drawn_kva(site, quiet, played, phase, 0, "balanced", Chargers(power_factor=0.8))
    assert drawn[spec.charger_bus[0]].tolist() == pytest.approx([10.0 + 7.5j, -4.0 - 3.0j, 0.0])


def test_ports_take_phases_in_turn_in_each_group() -> None:
    site = Setting.of("town-mv").site
    phase = port_phases(site, {})
    assert phase[:6].tolist() == [0, 1, 2, 0, 1, 2]
    first = [int(site.arrays.group_first_port[site.groups.index(name)]) for name in ("north", "mill", "harbour")]
    assert phase[first].tolist() == [0, 0, 0]
    assert port_phases(site, {site.agents[1]: "abc"}, "same")[:3].tolist() == [0, 3, 0]


def test_a_network_that_its_loads_overload_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "heavy.yaml"
    file.write_text(
        "extends: street-lv\nname: heavy\nstart_hour: 16 h\nhorizon: 8 h\nstep: 1 h\n"
        "grid: {loads: {profile: household, scale: 3}}\n"
    )
    result = run("check", file)
    assert result.exit_code == 0
    assert re.search(
        r"warning: network 'cigre_lv': the power flow has no solution in \d+ of 8 steps of a day", result.stderr
    )
    assert "the power flow has no solution in" in run("grid", "describe", file).stdout
    assert "the power flow has a solution in all 96 steps" in run("grid", "describe", "street-lv").stdout
    compared = run("compare", file, "--days", 1, "--policies", "uncontrolled", "--out", tmp_path / "compared")
    assert compared.exit_code == 0, compared.output
    told = " ".join(compared.stdout.split())
    assert re.search(r"exact power flow in \d+ of 8 steps; the others have no solution", told)
    assert "No policy exceeded a limit of the network in the steps with a power flow." in told


@pytest.mark.parametrize(
    ("command", "pieces"),
    [
        (("describe", "--top", "1"), ("Trafo R0-R1", "kVA: 500", "transformer: Trafo")),
        (("year", "--days", "1", "--start", "2023-01-17"), ("when: 2023-01-1", "limit: 0.95", "h without EVs: 0.00")),
        (("unbalanced", "--day", "2023-01-17"), ("chargers kW a/b/c: ", "where: Bus R", "line % fullest phase: ")),
    ],
)
def test_a_narrow_terminal_loses_nothing(command: tuple[str, ...], pieces: tuple[str, ...]) -> None:
    arguments = ["grid", command[0], "street-lv", *command[1:]]
    narrow = CliRunner().invoke(app, arguments, env={"COLUMNS": "60", "TERM": "dumb"})
    assert narrow.exit_code == 0, narrow.output
    assert max(map(len, narrow.stdout.splitlines())) <= 60
    told = " ".join(narrow.stdout.split())
    for piece in pieces:
        assert piece in told


def test_hints_name_what_the_user_typed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: street-lv\nname: street\n")
    described = CliRunner().invoke(app, ["describe", str(file)], env={"COLUMNS": "500", "TERM": "dumb"})
    assert f"ev-marl grid describe {file}" in described.stdout
    picture = tmp_path / "net.png"
    picture.write_bytes(b"")
    assert "add --overwrite" in run("grid", "describe", file, "--plot", picture).stderr
    assert run("grid", "describe", file, "--plot", picture, "--overwrite").exit_code == 0
