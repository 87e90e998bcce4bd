"""What policies do to the network: metrics worked by hand, and where they show."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from builders import random_site, random_track
from grid_cases import chain_day, chain_loop, chain_site
from network_cases import quiet_flow
from rich.console import Console

from ev_marl.compare import Comparison, compare
from ev_marl.compare.day import DayResult, Recorder
from ev_marl.compare.figure import draw_report
from ev_marl.compare.folder import named_files
from ev_marl.compare.grid_metrics import GridRecorder, GridSummary
from ev_marl.compare.grid_notes import formulations_table
from ev_marl.compare.records import FormulationValue, OnGrid, OptimumOnGrid
from ev_marl.compare.report import report_markdown, results_table, summary_csv, summary_rows
from ev_marl.compare.table import columns, grid_columns, markdown_table, notes, print_table
from ev_marl.compare.text import number
from ev_marl.env.setup import Setting
from ev_marl.scenario.schema.grid import GridLimits
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator

GRID = {"network": "cigre_lv", "limits": {"voltage": [0.95, 1.05], "transformer": 80.0}, "coordinator": "curtail"}
STEPS = 24


def recorded(n_batch: int = 1) -> GridRecorder:
    """Two steps of half an hour."""
    recorder = GridRecorder(n_batch, 2)
    first = {
        "vm_pu": [1.0, 0.99, 0.89, 0.9 - 0.5e-6],  # one below, one within the tolerance
        "line_percent": [120.0, 100.0005],
        "losses_kw": 3.0,
        "curtailed_kw": 4.0,
        "hot_spot_c": 71.0,
        "cut": True,
    }
    second = {
        "vm_pu": [1.0, 1.02, 1.12, 0.95],
        "line_percent": [130.0, 90.0],
        "line_limit_percent": [131.0, 100.0],  # without charging it is 131 %
        "transformer_percent": 104.0,
        "losses_kw": 1.0,
        "hot_spot_c": 88.0,
        "tap_moved": True,
        "failed": True,
    }
    for step, changes in enumerate((first, second)):
        recorder.watch(quiet_flow(n_batch, **changes), step, 0.5)
    return recorder


def test_a_day_worked_by_hand() -> None:
    measured = recorded().measured(0)
    assert measured == OnGrid(
        violations=4,  # a low bus and a line; a high bus and the transformer
        lowest_pu=(0.89, 0.95),
        highest_pu=(1.0, 1.12),
        transformer_percent=(0.0, 104.0),
        line_percent=130.0,
        losses_kwh=2.0,
        curtailed_kwh=2.0,
        tap_moves=1,
        failed_steps=1,
        cut_steps=1,
        hot_spot_c=88.0,
    )
    assert all(recorded(3).measured(row) == measured for row in range(3))


def test_days_summed_up_by_hand() -> None:
    day = recorded().measured(0)
    calm = day.model_copy(
        update={
            "violations": 0,
            "lowest_pu": (0.97, 0.97),
            "highest_pu": (1.0, 1.0),
            "transformer_percent": (10.0, 20.0),
            "losses_kwh": 1.0,
            "curtailed_kwh": 0.0,
            "tap_moves": 0,
            "hot_spot_c": None,
        }
    )
    summary = GridSummary.of([day, calm], (0.9, 1.1), 0.5)
    assert summary.violations_per_h == 2.0  # 4 in 2 h
    assert (summary.lowest_pu, summary.highest_pu, summary.worst_pu) == (0.89, 1.12, 1.12)
    assert (summary.transformer_percent, summary.line_percent, summary.hot_spot_c) == (104.0, 130.0, 88.0)
    assert (summary.losses_kwh_per_day, summary.curtailed_kwh_per_day, summary.tap_moves_per_day) == (1.5, 1.0, 0.5)
    assert (summary.failed_steps, summary.cut_steps) == (2, 2)
    assert GridSummary.of([calm], (0.9, 1.1), 0.5).worst_pu == 0.97
    assert np.isnan(GridSummary.of([calm], (0.9, 1.1), 0.5).hot_spot_c)


def test_the_recorder_takes_the_network_where_there_is_one() -> None:
    setting = Setting.of("tiny")
    simulator = Simulator(setting.site.arrays, make_coordinator("nearest"), [setting.world.sample(0)])
    for network in (False, True):
        simulator.reset()
        recorder = Recorder(simulator)
        while not simulator.done:
            flow = simulator.step(np.zeros((1, setting.site.arrays.n_ports)))
            flow.grid = quiet_flow(losses_kw=2.0) if network else None
            recorder.watch(flow, np.zeros(0), np.zeros(0))
        found = recorder.measured().grid
        assert found is None if not network else found is not None and found.losses_kwh == pytest.approx(48.0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two days of the smallest scenario, which has no network."""
    folder = tmp_path_factory.mktemp("network") / "run"
    return compare("tiny", ["edf", "idle"], 2, out=folder, workers=1, report=False)


def proof(bound: float, violation_pu: float = 0.0) -> OptimumOnGrid:
    """A bound in two steps, an estimate, and a plan half a euro below."""
    values = (("loose", "bound", 1.0), ("cones", "bound", 0.0), ("tangents", "estimate", -0.1), ("plan", "plan", -0.5))
    return OptimumOnGrid(
        formulations=tuple(
            FormulationValue.model_validate({"name": name, "kind": kind, "value": bound + more, "seconds": 2.0})
            for name, kind, more in values
        ),
        steps=7,
        voltage_violation_pu=0.0,
        loading_violation_percent=0.0,
        checked_steps=8,
        checked_voltage_violation_pu=violation_pu,
        checked_loading_violation_percent=0.0,
        curtailed_kwh=0.0,
    )


@pytest.fixture(scope="module")
def on_network(plain: Comparison) -> Comparison:
    """The same days, as if there were a network: idle leaves it alone, the others break its limits."""

    def network(policy: str) -> OnGrid:
        calm = policy in ("idle", "optimum")
        return OnGrid(
            violations=0 if calm else 36,
            lowest_pu=(0.96 if calm else 0.931,) * STEPS,
            highest_pu=(1.01,) * STEPS,
            transformer_percent=(40.0 if calm else 123.0,) * STEPS,
            line_percent=30.0,
            losses_kwh=5.0,
            curtailed_kwh=7.5,
            tap_moves=0,
            failed_steps=0,
            cut_steps=0 if calm else 3,
            hot_spot_c=64.0,
        )

    days = [
        day.model_copy(
            update={
                "policies": tuple(entry.model_copy(update={"grid": network(entry.policy)}) for entry in day.policies),
                "achieved": day.bound - 0.5,
                "exact": False,
                "grid": proof(day.bound),
            }
        )
        for day in plain.days
    ]
    manifest = plain.manifest.model_copy(update={"scenario": {**plain.manifest.scenario, "grid": GRID}})
    return Comparison(plain.folder, manifest, tuple(days), plain.limits)


def printed(comparison: Comparison, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    print_table(comparison, console)
    return console.export_text()


def test_columns_appear_only_with_a_network(plain: Comparison, on_network: Comparison) -> None:
    headings = {column.heading for column in grid_columns()}
    assert not headings & {column.heading for column in columns(plain)}
    assert headings < {column.heading for column in columns(on_network)}
    assert not [name for name in results_table(plain).column_names if name.startswith("grid")]
    assert not [name for name in summary_rows(plain)[0] if name.startswith("grid")]
    assert "network" not in notes(plain).lower()


def test_the_table_tells_what_happened(on_network: Comparison) -> None:
    lines = markdown_table(on_network).splitlines()
    cells = {line.split(" | ")[0].strip("| "): [cell.strip() for cell in line.strip("|").split("|")] for line in lines}
    at = {name: place for place, name in enumerate(cells["policy"])}
    # 36 a day over 24 h
    assert [cells["uncontrolled"][at[name]] for name in ("network viol./h", "worst p.u.", "transf. %")] == [
        "1.50",
        "0.931",
        "123",
    ]
    assert [cells["idle"][at[name]] for name in ("network viol./h", "worst p.u.", "no flow or cut")] == [
        "0.00",
        "0.960",
        "0",
    ]
    text = notes(on_network)
    assert "Network cigre_lv: 0.95 to 1.05 p.u., lines up to 100 %, transformers up to 80 %" in text
    assert "enforced by curtailing" in text
    assert (
        "per hour): edf (1.50), uncontrolled (1.50)." in text or "per hour): uncontrolled (1.50), edf (1.50)." in text
    )
    assert "uncontrolled (0 and 6)" in text
    for width in (80, 120, 300):
        assert max(map(len, printed(on_network, width).splitlines())) <= width


def test_bound_and_plan_are_told_apart(plain: Comparison, on_network: Comparison) -> None:
    assert "| bound |" not in markdown_table(plain)
    assert "\nbound " not in printed(plain, 200)
    bound = next(line for line in markdown_table(on_network).splitlines() if line.startswith("| bound |"))
    cells = [cell.strip() for cell in bound.strip("|").split("|")]
    assert cells[:3] == ["bound", "", "100.0 %"]
    assert f"{-on_network.bound.mean():.2f}" in cells
    assert len({line.count("|") for line in markdown_table(on_network).splitlines()}) == 1
    lines = printed(on_network, 200).splitlines()
    place = next(k for k, line in enumerate(lines) if line.startswith("bound "))
    assert lines[place + 1].startswith("optimum ")
    assert "| bound |" not in markdown_table(on_network, on_network.table()[1:])


def test_what_bound_and_plan_are_worth_is_said(plain: Comparison, on_network: Comparison) -> None:
    text = notes(on_network)
    share = 100 * 0.5 / max(1.0, abs(on_network.bound).mean())
    assert f"Difference of bound and plan: 0.5000 EUR/day ({share:.4f} % of the bound)." in text
    plan = "keeps every limit of the network in the exact power flow, 16 of its steps nearest to a limit also solved"
    assert plan in text
    broken = [day.model_copy(update={"grid": proof(day.bound, 3e-5)}) for day in on_network.days]
    assert "exceeds limits by at most 3.0e-05 p.u. and 0.0e+00" in notes(replace(on_network, days=tuple(broken)))
    table = formulations_table(on_network).splitlines()[2:]
    mean = on_network.bound.mean()
    assert [line.split(" | ")[0] for line in table] == ["| loose", "| cones", "| tangents", "| plan"]
    assert "a bound: nobody earns more" in table[1]
    assert f"| {number(mean - 0.5, 4)} | 2.0 | 2 |" in table[3]
    assert formulations_table(plain) == ""
    assert "The optimum and the network" in report_markdown(on_network)
    assert "The optimum and the network" not in report_markdown(plain)


def test_files_hold_every_number(on_network: Comparison) -> None:
    table = results_table(on_network)
    assert table["grid_lowest_pu"].to_pylist()[:4] == [0.96, 0.931, 0.931, 0.96]
    assert set(table["grid_violations"].to_pylist()) == {0, 36}
    rows = {row["policy"]: row for row in csv.DictReader(io.StringIO(summary_csv(on_network)))}
    for field in fields(GridSummary):
        assert f"grid_{field.name}" in rows["idle"]
    assert float(rows["edf"]["grid_violations_per_h"]) == 1.5
    report = report_markdown(on_network)
    assert "Network violations: buses outside the voltage band" in report
    assert "\n\n## Run it again" in report


def test_a_day_with_a_network_survives_its_file(on_network: Comparison) -> None:
    day = on_network.days[0]
    assert DayResult.model_validate_json(day.model_dump_json()) == day


def test_the_picture_has_a_panel_more(plain: Comparison, on_network: Comparison) -> None:
    picture = draw_report(on_network)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > len(draw_report(plain))


def test_runs_from_before_networks_are_read_and_go_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = compare("tiny", ["edf"], 1, out=out, workers=1, report=False)
    manifest = json.loads((out / "manifest.json").read_text())
    del manifest["scenario"]["grid"]
    for name in ("voltage_deviation", "line_overload", "transformer_overload", "grid_losses"):
        del manifest["scenario"]["objective"][name]
    (out / "manifest.json").write_text(json.dumps(manifest))
    for path in (out / "days").iterdir():
        day = json.loads(path.read_text())
        del day["grid"]
        for entry in day["policies"]:
            del entry["grid"]
        path.write_text(json.dumps(day))
    again = compare("tiny", ["edf"], 2, out=out, workers=1, report=False)
    assert again.days[0] == first.days[0]
    assert len(again.days) == 2


def test_the_network_file_is_one_of_the_data_files(on_network: Comparison) -> None:
    scenario = {
        **on_network.manifest.scenario,
        "grid": {"network": {"file": "/net.json"}, "loads": {"csv": "/loads.csv"}},
    }
    assert sorted(named_files(scenario)) == ["/loads.csv", "/net.json"]
    assert list(named_files({"extra": {"my:Term": {"file": "not ours"}}})) == []


def test_summaries_stay_what_they_were(plain: Comparison, on_network: Comparison) -> None:
    for before, after in zip(plain.table(), on_network.table(), strict=True):
        np.testing.assert_equal(replace(after, grid=None), before)


def test_in_the_loop_the_recorder_agrees_with_the_flows() -> None:
    rng = np.random.default_rng(2)
    site = chain_site(random_site(rng))
    track = replace(random_track(rng, site), grid=chain_day(12, load_kw=4.0))
    limits = GridLimits(voltage=[0.99, 1.001], line=12.0, transformer=10.0)
    simulator = Simulator(site.arrays, make_coordinator("none"), [track], chain_loop(site, limits=limits))
    simulator.reset([0, 0])
    recorder = Recorder(simulator)
    broken, losses_kwh, lowest = 0, 0.0, []
    while not simulator.done:
        flow = simulator.step(rng.normal(10, 30, (2, site.arrays.n_ports)))
        recorder.watch(flow, np.zeros(0), np.zeros(0))
        grid = flow.grid
        assert grid is not None
        broken += int(
            (grid.vm_pu[1] < grid.lowest_pu[1] - 1e-6).sum() + (grid.vm_pu[1] > grid.highest_pu[1] + 1e-6).sum()
        )
        broken += int((grid.line_percent[1] > grid.line_limit_percent[1] + 1e-3).sum())
        broken += int((grid.transformer_percent[1] > grid.transformer_limit_percent[1] + 1e-3).sum())
        losses_kwh += flow.step_h * grid.losses_kw[1]
        lowest.append(grid.vm_pu[1].min())
    network = recorder.measured(1).grid
    assert network is not None
    assert network.violations == broken > 0
    assert network.losses_kwh == pytest.approx(losses_kwh)
    np.testing.assert_allclose(network.lowest_pu, lowest)
    assert network.curtailed_kwh == 0.0


STREET = """
extends: tiny
name: street
about: Vehicles at the far end of a street, more than it can charge at once.
site:
  name: street
  import_limit: null
  export_limit: null
  groups:
    - name: homes
      bus: Bus R1
      stations:
        - {type: ac, count: 8, power: 22 kW, bus: [Bus R11, Bus R15, Bus R16, Bus R17, Bus R18]}
grid:
  network: cigre_lv
  loads: {profile: household, scale: 0.8}
  limits: {voltage: [0.93, 1.05]}
  coordinator: COORDINATOR
sessions: {model: elaadnl/private, per_port_per_day: 1.6}
vehicles:
  mix:
    - {name: large, capacity: 80 kWh, ac_power: 22 kW}
objective: {energy_cost: 1, unmet_energy: 0.60 EUR/kWh, voltage_deviation: 10}
"""


@pytest.mark.parametrize("coordinator", ["curtail", "none"])
def test_policies_on_a_real_network(coordinator: str, tmp_path: Path) -> None:
    pytest.importorskip("pandapower")
    (tmp_path / "street.yaml").write_text(STREET.replace("COORDINATOR", coordinator))
    run = compare(tmp_path / "street.yaml", ["idle"], 2, seed=1, out=tmp_path / "run", workers=1)
    rows = {row.policy: row.grid for row in run.table()}
    optimum, uncontrolled, idle = rows["optimum"], rows["uncontrolled"], rows["idle"]
    assert optimum is not None
    assert uncontrolled is not None
    assert idle is not None
    assert idle.violations_per_h == 0.0
    assert (uncontrolled.violations_per_h > 0.0) == (coordinator == "none")
    assert (uncontrolled.curtailed_kwh_per_day > 0.0) == (coordinator == "curtail")
    assert uncontrolled.losses_kwh_per_day > idle.losses_kwh_per_day > 0.0
    assert uncontrolled.worst_pu <= idle.worst_pu < 0.93  # the households alone
    assert idle.hot_spot_c > 20.0
    for day in run.days:
        for entry in day.policies:
            assert entry.team_return <= day.bound + 1e-6 * max(1.0, abs(day.bound))
        assert day.grid is not None
        kinds = [entry.kind for entry in day.grid.formulations]
        assert (kinds[0], kinds[-1]) == ("bound", "plan")
        assert (day.grid.voltage_violation_pu == 0.0) or coordinator == "none"  # there it has a price
    assert "| replayed plan |" in (tmp_path / "run" / "report.md").read_text()
