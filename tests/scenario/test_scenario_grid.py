"""Faults of a scenario's network: each with file, line, what is wrong, and what to do; all of a kind at once."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import ev_marl
from ev_marl.checks import checked_setting
from ev_marl.cli import app
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.scenario import Scenario, ScenarioError, load_scenario, scenario_from_dict
from ev_marl.scenario.grid_checks import GRID_TERMS
from ev_marl.scenario.schema import Objective as ObjectiveModel
from ev_marl.simulation.coordinators import make_coordinator

Write = Callable[..., Path]
needs_pandapower = pytest.mark.skipif(find_spec("pandapower") is None, reason="needs pandapower")
needs_simbench = pytest.mark.skipif(
    not all(find_spec(name) for name in ("pandapower", "simbench")), reason="needs simbench"
)

GOOD = """\
name: street
start: 2023-05-15
horizon: 1 h
grid:
  network: cigre_lv
  loads: {scale: 0.5}
  generators: {scale: 1}
  pv: {peak: 5 kW, buses: [Bus R11, Bus R15]}
  limits: {voltage: [0.95, 1.05]}
  backend: auto
site:
  name: street
  bus: Bus R18
  base_load: 10 kW
  groups:
    - name: lot
      stations:
        - {type: ac, count: 3, power: 11 kW, bus: [Bus R11, Bus R15]}
    - name: rest
      stations:
        - {type: home, power: 11 kW}
objective: {voltage_deviation: 10, grid_losses: 0.2 EUR/kWh}
observation: [identity, voltage, grid]
"""
WITHOUT = GOOD.replace(GOOD[GOOD.index("grid:") : GOOD.index("site:")], "")


def line_of(text: str, part: str) -> int:
    """Number of the only line with a part."""
    (line,) = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return line


def faults(path: Path) -> list[tuple[int, str, str]]:
    """Line, key and message of every fault that reading a scenario finds, or setting it up after that."""
    with pytest.raises(ScenarioError) as caught:
        Setting.of(load_scenario(path))
    assert all(problem.file == str(path) for problem in caught.value.problems)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


@needs_pandapower
def test_the_good_file_is_good(write: Write) -> None:
    assert Setting.of(load_scenario(write(GOOD))).site.network is not None


# what is written, what instead, key, parts of the message; the line is that of what is written instead
READ = {
    "misspelt key": ("loads:", "lods:", "grid.lods", ["unknown key", "Did you mean 'loads'?"]),
    "misspelt model": ("{scale: 0.5}", "{profle: office}", "grid.loads", ["keys profle", "Did you mean 'profile'?"]),
    "misspelt profile": ("{scale: 0.5}", "{profile: hoseholds}", "grid.loads.profile", ["Did you mean 'household'?"]),
    "a list": ("network: cigre_lv", "network: [cigre_lv]", "grid.network", ["found ['cigre_lv']; expected a name"]),
    "two kinds": (
        "network: cigre_lv",
        "network: {pandapower: a, simbench: b}",
        "grid.network.simbench",
        ["unknown key"],
    ),
    "pickle": ("network: cigre_lv", "network: {file: net.p}", "grid.network.file", ["JSON", "pickle is never opened"]),
    "no network file": ("network: cigre_lv", "network: {file: net.json}", "grid.network.file", ["there is no file"]),
    "no CSV": ("{scale: 0.5}", "{csv: loads.csv}", "grid.loads.csv", ["there is no file", "relative to the scenario"]),
    "short CSV": ("{scale: 1}", "{csv: short.csv}", "grid.generators.csv", ["has 3 rows; the horizon has 4 steps"]),
    "CSV with twins": ("{scale: 1}", "{csv: twins.csv}", "grid.generators.csv", ["two columns called 'a'"]),
    "CSV of Excel": (
        "{scale: 1}",
        "{csv: excel.csv}",
        "grid.generators.csv",
        ["columns by ';'; separate them by commas"],
    ),
    "a share": (
        "[0.95, 1.05]",
        "[0.95, 1.05], line: 0.9",
        "grid.limits.line",
        ["found 0.9; expected percent of the rating: 90 if it was a share"],
    ),
    "percent of volts": ("[0.95, 1.05]", "[95, 105]", "grid.limits.voltage", ["per unit, such as [0.95, 1.05]"]),
    "latitude": ("{scale: 1}", "{sun: 90}", "grid.generators.sun", ["66 or less"]),
    "limits": (
        "[0.95, 1.05]",
        "[1.05, 0.95]",
        "grid.limits.voltage",
        ["found [1.05, 0.95]; expected [lowest, highest]"],
    ),
    "a bus of PV": (
        "buses: [Bus R11, Bus R15]}\n",
        "buses: Bus R11}\n",
        "grid.pv.buses",
        ["found 'Bus R11'; expected a list"],
    ),
    "one limit": ("[0.95, 1.05]", "[0.95]", "grid.limits.voltage", ["found 1 values"]),
    "no bus for PV": ("[Bus R11, Bus R15]}\n  limits", "[]}\n  limits", "grid.pv.buses", ["found []; expected a list"]),
    "a number of PV": (
        "buses: [Bus R11, Bus R15]}\n",
        "buses: 2.5}\n",
        "grid.pv.buses",
        ["found 2.5; expected a list of buses"],
    ),
    "no such bus": ("bus: Bus R18", "bus: 1.5", "site.bus", ["found 1.5; expected a bus, by name or index"]),
    "true": (
        "power: 11 kW, bus: [Bus R11, Bus R15]",
        "power: 11 kW, bus: true",
        "site.groups[0].stations[0].bus",
        ["found true; expected a bus, by name or index, a list of them, or `loads`"],
    ),
    "no buses": (
        "power: 11 kW, bus: [Bus R11, Bus R15]",
        "power: 11 kW, bus: []",
        "site.groups[0].stations[0].bus",
        ["found []; expected a bus"],
    ),
    "tap band": ("  backend: auto", "  tap_control: {voltage: [1.02, 0.98]}", "grid.tap_control.voltage", ["expected"]),
    "tap transformer": (
        "  backend: auto",
        "  tap_control: {transformer: 1.5}",
        "grid.tap_control.transformer",
        ["found 1.5; expected a transformer, by name or index"],
    ),
    "reactive power twice": (
        "  backend: auto",
        "  chargers: {power_factor: 0.9, q_of_v: {}}",
        "grid.chargers.q_of_v",
        ["give either `power_factor` or `q_of_v`"],
    ),
    "droop": (
        "  backend: auto",
        "  chargers: {q_of_v: {voltages: [0.9, 1.1, 1.0, 1.2]}}",
        "grid.chargers.q_of_v.voltages",
        ["the four voltages must rise"],
    ),
    "misspelt coordinator": (
        "  backend: auto",
        "  coordinator: curtial",
        "grid.coordinator",
        ["Did you mean 'curtail'"],
    ),
}


@pytest.mark.parametrize("case", READ)
def test_one_fault_that_reading_finds(case: str, write: Write) -> None:
    """Pandapower is not asked, and need not be there."""
    written, instead, key, parts = READ[case]
    assert GOOD.count(written) == 1
    text = GOOD.replace(written, instead)
    write("a,b\n" + "1,2\n" * 3, "short.csv")
    write("a,a\n" + "1,2\n" * 4, "twins.csv")
    write("a;b\n" + "1;2\n" * 4, "excel.csv")
    path = write(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    (found,) = caught.value.problems
    assert (found.file, found.line, found.key) == (str(path), line_of(text, instead.splitlines()[0]), key)
    for part in parts:
        assert part in found.message


def test_what_needs_a_network_is_told_where_there_is_none(write: Write) -> None:
    """Every bus, term and block, all at once; a price of nothing is nothing."""
    text = WITHOUT.replace("grid_losses: 0.2 EUR/kWh", "grid_losses: 0 EUR/kWh, line_overload: 1")
    text = text.replace("[identity, voltage, grid]", "[identity, {block: voltage}, grid]")
    with pytest.raises(ScenarioError) as caught:
        checked_setting(write(text))
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (line_of(text, "Bus R18"), "site.bus"),
        (line_of(text, "Bus R11"), "site.groups[0].stations[0].bus"),
        (line_of(text, "voltage_deviation"), "objective.line_overload"),
        (line_of(text, "voltage_deviation"), "objective.voltage_deviation"),
        (line_of(text, "block: voltage"), "observation[1].block"),
        (line_of(text, "block: voltage"), "observation[2]"),
    ]
    for problem in caught.value.problems:
        assert "needs `grid`" in problem.message
        assert "add `grid: {network: ...}`, or remove it" in problem.message
    plain = WITHOUT.replace("  bus: Bus R18\n", "").replace(", bus: [Bus R11, Bus R15]", "")
    plain = plain.replace("objective: {voltage_deviation: 10, grid_losses: 0.2 EUR/kWh}\n", "")
    assert load_scenario(write(plain.replace("voltage, grid", "clock"))).grid is None


def test_the_terms_that_need_a_network_are_those_of_the_objective() -> None:
    scenario = load_scenario("tiny").model_copy(update={"carbon": 300.0})
    others = {"split", "extra", "setpoint_tracking", "transformer_ageing"}  # the last two need other keys
    for name in set(ObjectiveModel.model_fields) - others:
        priced = scenario.objective.model_copy(update={name: 1.0})
        coordinator = make_coordinator("none" if name == "overload" else "nearest")
        try:
            Objective.from_scenario(scenario.model_copy(update={"objective": priced}), coordinator)
            assert name not in GRID_TERMS
        except ev_marl.support.errors.ObjectiveError:
            assert name in GRID_TERMS


def test_what_is_connected_to_no_bus_is_named(write: Write) -> None:
    """Parents in a flat list count; `loads` is no bus for a load."""
    text = """\
name: flat
start: 2023-05-15
grid: {network: cigre_lv}
site:
  name: root
  groups:
    - {name: fed, parent: feeder, stations: [{type: ac, power: 11 kW}], base_load: 3 kW}
    - {name: feeder, bus: Bus R1}
    - name: lost
      pv: {peak: 5 kW}
      stations:
        - {type: ac, power: 11 kW}
        - {type: ac, power: 11 kW, bus: Bus R3}
    - name: turns
      bus: loads
      base_load: 4 kW
      stations: [{type: ac, power: 11 kW}]
"""
    with pytest.raises(ScenarioError) as caught:
        checked_setting(write(text))
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (9, "site.groups[2]"),
        (12, "site.groups[2].stations[0]"),
        (14, "site.groups[3]"),
    ]
    load, stations, turning = (problem.message for problem in caught.value.problems)
    assert "its load or plant is connected to no bus; give it, or a group above it, `bus: NAME`" in load
    assert "these stations are connected to no bus" in stations
    assert "`loads` is for stations" in turning


# as above, found when the network is opened
OPENED = {
    "misspelt network": ("network: cigre_lv", "network: cigre_lvv", "grid.network", ["Did you mean 'cigre_lv'?"]),
    "wrong option": (
        "network: cigre_lv",
        "network: {pandapower: cigre_mv, options: {der: 1}}",
        "grid.network",
        ["unexpected keyword argument 'der'", "Its options: with_der"],
    ),
    "wrong value of an option": (
        "network: cigre_lv",
        "network: {pandapower: cigre_mv, options: {with_der: nuclear}}",
        "grid.network",
        ["'with_der' is unknown"],
    ),
    "no network in the file": (
        "network: cigre_lv",
        "network: {file: empty.json}",
        "grid.network",
        ["empty.json: this is not a pandapower network"],
    ),
    "bus of the site": (
        "bus: Bus R18",
        "bus: Bus R81",
        "site.bus",
        ["no bus called 'Bus R81'", "Did you mean 'Bus R8'?"],
    ),
    "bus by index": (
        "bus: Bus R18",
        "bus: 99",
        "site.bus",
        ["no bus with the index 99; its indices lie between 0 and"],
    ),
    "bus for PV": (
        "buses: [Bus R11, Bus R15]}\n",
        "buses: [Bus R11, Bus X15]}\n",
        "grid.pv.buses[1]",
        ["no bus called 'Bus X15'"],
    ),
    "SimBench's loads elsewhere": (
        "{scale: 0.5}",
        "{simbench: profiles}",
        "grid.loads",
        ["'cigre_lv' is not a SimBench network", "use {profile: household}"],
    ),
    "SimBench's generators elsewhere": ("{scale: 1}", "{simbench: profiles}", "grid.generators", ["use {sun: 52}"]),
    "misspelt backend": ("backend: auto", "backend: zbuss", "grid.backend", ["Did you mean 'zbus'?", "newton"]),
    "taps of nothing": (
        "  backend: auto",
        "  tap_control: {transformer: Trafo R0-R2}",
        "grid.tap_control",
        ["Did you mean 'Trafo R0-R1'?", "0: Trafo R0-R1"],
    ),
}


@needs_pandapower
@pytest.mark.parametrize("case", OPENED)
def test_one_fault_that_opening_finds(case: str, write: Write) -> None:
    written, instead, key, parts = OPENED[case]
    assert GOOD.count(written) == 1
    text = GOOD.replace(written, instead)
    write("{}", "empty.json")
    path = write(text)
    ((line, found, message),) = faults(path)
    assert (line, found) == (line_of(text, instead.splitlines()[0]), key)
    for part in parts:
        assert part in message
    checked = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert checked.exit_code == 1
    errors = json.loads(checked.stdout)[str(path)]["errors"]
    assert errors == [{"file": str(path), "line": line, "key": key, "message": message}]


@needs_simbench
def test_misspelt_simbench_codes(write: Write) -> None:
    for choice in ("1-LV-rural9--0-sw", "{simbench: 1-LV-rural1-0-sw}"):
        ((line, key, message),) = faults(write(GOOD.replace("network: cigre_lv", f"network: {choice}")))
        assert (line, key) == (5, "grid.network")
        assert "Did you mean '1-LV-rural" in message


@needs_pandapower
def test_every_bus_that_is_missing_is_told(write: Write) -> None:
    text = GOOD.replace("Bus R15", "Bus Q15").replace("Bus R18", "Bus Q18")
    assert [(line, key) for line, key, _ in faults(write(text))] == [
        (line_of(text, "peak"), "grid.pv.buses[1]"),
        (line_of(text, "Bus Q18"), "site.bus"),
        (line_of(text, "count: 3"), "site.groups[0].stations[0].bus[1]"),
    ]


@needs_pandapower
def test_buses_and_loads_of_a_file(write: Write, tmp_path: Path) -> None:
    """A bus behind an open switch, two of one name, no load at all; the path is relative to the scenario's."""
    import pandapower  # noqa: PLC0415  the other tests of this file do without

    net = pandapower.create_empty_network()
    main, dead, *twins = (pandapower.create_bus(net, 0.4, name=name) for name in ("main", "dead", "twin", "twin"))
    pandapower.create_ext_grid(net, main)
    for bus in twins:
        pandapower.create_line_from_parameters(net, main, bus, 0.1, 0.2, 0.1, 0.0, 0.3)
    pandapower.create_switch(net, main, dead, et="b", closed=False)
    (tmp_path / "nets").mkdir()
    pandapower.to_json(net, str(tmp_path / "nets" / "mine.json"))
    text = GOOD.replace("network: cigre_lv", "network: {file: ../nets/mine.json}")
    text = text.replace("  pv: {peak: 5 kW, buses: [Bus R11, Bus R15]}\n", "  pv: {peak: 5 kW}\n")
    text = text.replace("Bus R11", "dead").replace("Bus R15", "twin").replace("Bus R18", "main")
    path = write(text, "sites/street.yaml")
    (pv, dead_bus, twin) = faults(path)
    assert pv[:2] == (8, "grid.pv.buses")
    assert "'mine' has no bus with a load in service; name buses instead of `loads`" in pv[2]
    assert dead_bus[1:] == (
        "site.groups[0].stations[0].bus[0]",
        "network 'mine': bus 'dead' has no connection to an external grid (out of service, or behind open switches), "
        "so nothing can be connected to it",
    )
    assert "2 buses called 'twin'; say which, by index or as 'twin #2', 'twin #3'" in twin[2]
    sound = text.replace("  pv: {peak: 5 kW}\n", "").replace("[dead, twin]", "['twin #2', 3]")
    network = Setting.of(load_scenario(write(sound, "sites/sound.yaml"))).site.network
    assert network is not None
    assert [network.spec.buses[bus] for bus in network.spec.charger_bus] == ["twin #2", "twin #3", "main"]


@needs_pandapower
@pytest.mark.parametrize("part", ["loads", "generators"])
def test_series_of_the_wrong_elements(part: str, write: Write) -> None:
    """Rows and twins are seen by reading, elements once the network is there; other columns are let be."""
    text = GOOD.replace("network: cigre_lv", "network: {pandapower: cigre_mv, options: {with_der: pv_wind}}")
    text = text.replace("Bus R11", "Bus 3").replace("Bus R15", "Bus 4").replace("Bus R18", "Bus 5")
    text = text.replace({"loads": "{scale: 0.5}", "generators": "{scale: 1}"}[part], "{csv: powers.csv, scale: 2}")
    network = Setting.of(load_scenario(write(text.replace("{csv: powers.csv, scale: 2}", "{scale: 1}")))).site.network
    assert network is not None
    spec = network.spec
    names = spec.loads[: network.n_own_loads] if part == "loads" else spec.generators[: network.n_own_generators]
    path = write(text)

    def told(columns: list[str], value: str = "1") -> str:
        write(",".join(columns) + "\n" + (",".join([value] * len(columns)) + "\n") * 4, "powers.csv")
        ((line, key, message),) = faults(path)
        assert (line, key) == (line_of(text, "powers.csv"), f"grid.{part}")
        assert str(path.parent / "powers.csv") in message
        return message

    misspelt = [f"{names[0]}s", *names[1:]]
    assert f"has no column '{names[0]}'. Did you mean '{names[0]}s'?" in told(misspelt)
    assert f"Each of the {len(names)} elements needs one, by name; 1 are missing" in told(misspelt)
    assert f"column '{names[0]}', row 2: found 'much'; expected a number" in told([*names], "much")
    assert f"column '{names[0]}', row 2: found 'nan'; expected a number" in told([*names], "nan")
    assert f"columns that belong to no element: {names[0]}s" in told(misspelt)
    assert f"Did you mean '{names[1]}.kvar'?" in told([*names, f"{names[1]}.kvr"])
    near = f"has the column '{names[1]}s.kvar', and there is no such element. Did you mean '{names[1]}.kvar'?"
    assert near in told([*names, f"{names[1]}s.kvar"])
    other = spec.loads[0] if part == "generators" else spec.generators[0]
    write(",".join(["time", *names, f"{other}.kvar"]) + "\n" + ("x," + "3," * len(names) + "\n") * 4, "powers.csv")
    day = Setting.of(load_scenario(path)).world.sample(0).grid
    assert day is not None
    drawn = day.load_kw if part == "loads" else day.generator_kw[:, : len(names)]
    assert (drawn == 6.0).all()


def test_loadings_may_be_written_with_their_unit(write: Write) -> None:
    grid = load_scenario(write(GOOD.replace("[0.95, 1.05]", "[0.95, 1.05], line: 90 %, transformer: 120"))).grid
    assert grid is not None
    assert (grid.limits.line, grid.limits.transformer) == (90.0, 120.0)


def test_a_variant_takes_another_network(write: Write) -> None:
    """The file that names a path is the one it is relative to, and another kind replaces the inherited one."""
    write("{}", "nets/mine.json")
    base = write(GOOD.replace("network: cigre_lv", "network: {file: mine.json}"), "nets/base.yaml")
    text = "extends: nets/base.yaml\nname: variant\n"
    choice = load_scenario(write(text)).grid.network  # type: ignore[union-attr]
    assert choice.file == str(base.parent / "mine.json")  # type: ignore[union-attr]
    for other in ({"simbench": "1-LV-rural1--0-sw"}, {"pandapower": "cigre_mv", "options": {"with_der": "pv_wind"}}):
        changed = load_scenario(write(f"{text}grid: {{network: {json.dumps(other)}}}"))
        assert changed.grid.network.model_dump() == {"options": {}, **other} if "pandapower" in other else other  # type: ignore[union-attr]
    for parts in ("loads: {profile: office}", "loads: {simbench: profiles}", "generators: {sun: 50}"):
        csv = write("extends: variant.yaml\ngrid: {loads: {csv: a.csv}, generators: {csv: a.csv}}", "csv.yaml")
        write(text, "variant.yaml")
        write("a\n1\n1\n1\n1\n", "a.csv")
        kind, _, said = parts.partition(": ")
        grid = load_scenario(write(f"extends: {csv.name}\ngrid: {{{parts}}}")).grid
        assert yaml.safe_load(said).items() <= getattr(grid, kind).model_dump().items()
    for parts in ("{power_factor: 0.9}", "{q_of_v: {share: 0.2}}"):
        inherited = "{q_of_v: {}}" if "factor" in parts else "{power_factor: 0.8}"
        write(f"extends: variant.yaml\ngrid: {{chargers: {inherited}}}", "chargers.yaml")
        assert load_scenario(write(f"extends: chargers.yaml\ngrid: {{chargers: {parts}}}")).grid is not None


def test_places_make_no_difference(write: Write) -> None:
    """Two files that say the same are the same scenario, and a scenario travels with its places."""
    one, other = load_scenario(write(GOOD, "one.yaml")), load_scenario(write("# more\n" + GOOD, "other.yaml"))
    assert one == other
    assert one == scenario_from_dict(yaml.safe_load(GOOD.replace("2023-05-15", "'2023-05-15'")))
    assert one != load_scenario(write(GOOD.replace("count: 3", "count: 4")))
    again = pickle.loads(pickle.dumps(other))
    assert again == one
    for scenario in (other, again, other.model_copy(update={"name": "else"})):
        assert scenario.places.of(("grid", "network"))[1] == 6
    assert Scenario.model_validate_json(one.model_dump_json()).places.of(("grid", "network")) == ("", 0)


BLOCKED = """
import sys
sys.modules["pandapower"] = None
import ev_marl
from ev_marl.cli import main
assert ev_marl.load_scenario({file!r}).grid is not None
sys.argv = ["ev-marl", "check", {file!r}]
main()
"""


def test_without_pandapower_it_is_told_what_to_install(write: Write) -> None:
    """One line with file, line, and what to install; reading a scenario does not need it."""
    path = write(GOOD)
    done = subprocess.run([sys.executable, "-c", BLOCKED.format(file=str(path))], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith(f"{path}:4: grid: ")
    assert 'needs pandapower: pip install "ev-marl[grid]"' in line


@needs_pandapower
def test_without_simbench_it_is_told_what_to_install(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "simbench", None)
    monkeypatch.setenv("EV_MARL_CACHE", str(tmp_path))  # where no network is kept yet
    ((line, key, message),) = faults(write(GOOD.replace("cigre_lv", "1-LV-rural3--1-sw")))
    assert (line, key) == (5, "grid.network")
    assert 'needs simbench: pip install "ev-marl[grid]"' in message


def test_a_new_scenario_brings_the_files_that_it_names(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD.replace("network: cigre_lv", "network: {file: nets/mine.json}").replace("{scale: 0.5}", "{csv: a.csv}")
    shipped = {"street": write(text, "shipped/street.yaml")}
    write("{}", "shipped/nets/mine.json")
    write("a\n1\n1\n1\n1\n", "shipped/a.csv")
    monkeypatch.setattr("ev_marl.scenario.shipped_scenarios", lambda: shipped)

    def new(name: str) -> Any:
        return CliRunner().invoke(app, ["new", name, "--from", "street", "--folder", str(tmp_path / "mine")])

    assert new("own").exit_code == 0
    grid = load_scenario(tmp_path / "mine" / "own.yaml").grid
    assert grid is not None
    assert grid.network.file == str(tmp_path / "mine" / "nets" / "mine.json")  # type: ignore[union-attr]
    assert new("second").exit_code == 0  # the files are there, and the same
    (tmp_path / "mine" / "a.csv").write_text("b\n1\n", encoding="utf-8")
    third = new("third")
    assert third.exit_code == 1
    assert f"{tmp_path / 'mine' / 'a.csv'} exists, and is not the file of street" in third.stderr
    assert not (tmp_path / "mine" / "third.yaml").exists()
    assert (tmp_path / "mine" / "a.csv").read_text() == "b\n1\n"
