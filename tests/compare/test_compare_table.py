"""Table, Markdown, CSV and picture of a run."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ev_marl.compare import Comparison, compare
from ev_marl.compare.day import DayResult
from ev_marl.compare.figure import draw_report
from ev_marl.compare.report import command_of, report_markdown, summary_csv, write_report
from ev_marl.compare.table import columns, prices_table, print_table
from ev_marl.compare.text import number, percent


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three days of the smallest scenario."""
    folder = tmp_path_factory.mktemp("table") / "run"
    return compare("tiny", ["edf", "as-late-as-possible", "idle"], 3, out=folder, workers=1, report=False)


def _printed(comparison: Comparison, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    print_table(comparison, console)
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_the_table_fits_and_says_what_it_leaves_out(comparison: Comparison, width: int) -> None:
    lines = _printed(comparison, width).splitlines()
    assert max(len(line) for line in lines) <= width
    body = [line for line in lines if line.startswith(("optimum ", "uncontrolled ", "edf ", "as-late-as-possible "))]
    assert len(body) == 4
    assert body[0].startswith("optimum")
    assert "…" not in "".join(line.split("…")[0] for line in body if " … " not in line)  # no name is cut
    assert any("left out at this width" in line for line in lines) == (width < 160)


def test_a_long_name_is_folded_and_leaves_room_for_the_interval(tmp_path: Path) -> None:
    name = "best-response(adder_per_kwh=0.00278, trust=0.97, margin_steps=3)"
    lines = _printed(compare("tiny", [name], 2, out=tmp_path / "run", workers=1, report=False), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "interval" in "".join(lines)
    at = next(k for k, line in enumerate(lines) if line.startswith("best-response("))
    assert [line[:24].strip() for line in lines[at : at + 4]] == [
        "best-response(",
        "adder_per_kwh=0.00278,",
        "trust=0.97,",
        "margin_steps=3)",
    ]


def test_the_table_says_what_was_compared(comparison: Comparison) -> None:
    text = _printed(comparison, 200)
    for expected in (
        "tiny: 3 days",
        "coordinator nearest",
        "Limits: connection 12 kW for 33 kW of ports",
        "whole future",
        "own station",
        "100.0 %",
        "0 % is uncontrolled charging",
        "no policy can earn more",
        "No policy exceeded a limit",
    ):
        assert expected in text


def test_numbers_as_text() -> None:
    assert percent(0.1234, 1) == "12.3 %"
    assert percent(-1e-9, 1) == "0.0 %"
    assert percent(-0.5, 0) == "−50 %"
    assert percent(float("nan"), 1) == "–"
    assert number(1234.5, 1) == "1,234.5"
    assert number(-0.001, 2) == "0.00"


def test_an_interval_never_seems_to_leave_out_its_score(comparison: Comparison) -> None:
    (interval,) = (column for column in columns(comparison) if "interval" in " ".join(column.heading))
    row = replace(comparison.table()[-1], policy="x", score=0.997, score_low=0.9961, score_high=0.9979)
    assert interval.cell(row) == "99.6 … 99.8 %"
    assert interval.cell(replace(row, score_low=0.9, score_high=0.95)) == "90 … 95 %"
    assert interval.cell(replace(row, score_low=0.0, score_high=0.0)) == "0 … 0 %"


def test_csv_and_markdown_hold_every_policy(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(summary_csv(comparison))))
    assert [row["policy"] for row in rows] == [row.policy for row in comparison.table()]
    assert float(rows[0]["gap_per_day"]) == comparison.table()[0].gap_per_day
    assert "cost_energy_cost_per_day" in rows[0]
    text = report_markdown(comparison)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows)
    assert len({line.count("|") for line in table}) == 1
    assert command_of(comparison) in text


def test_prices_stand_beside_the_table(comparison: Comparison, tmp_path: Path) -> None:
    assert prices_table(comparison) == ""
    run = compare("tiny", ["selfish", "dual-prices(rounds=2)"], 2, out=tmp_path / "run", workers=1, report=False)
    lines = prices_table(run).splitlines()[2:]
    told = ["| of not knowing the future", "| of decentralisation", "| of anarchy"]
    assert [line.split(" | ")[0] for line in lines] == told
    selfish = next(row for row in run.table() if row.policy == "selfish")
    assert (
        f"| selfish | {-run.returns('selfish').sum() / -run.bound.sum():.3f} | {selfish.gap_per_day:.2f} |" in lines[2]
    )
    assert "What it costs:" in report_markdown(run)
    assert "What it costs:" not in report_markdown(comparison)


def test_the_command_repeats_the_run(comparison: Comparison) -> None:
    assert command_of(comparison) == (
        "ev-marl compare tiny --policies uncontrolled,edf,as-late-as-possible,idle --days 3 --seed 0 "
        "--coordinator nearest"
    )


@pytest.mark.parametrize("scenario", ["tiny", "residential-v2g"])
def test_the_picture_is_drawn(scenario: str, comparison: Comparison, tmp_path: Path) -> None:
    if scenario != "tiny":
        comparison = compare(scenario, [], 1, out=tmp_path / "run", workers=1, report=False)
    picture = draw_report(comparison)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_files_are_written(comparison: Comparison) -> None:
    files = write_report(comparison)
    assert [path.name for path in files] == ["results.parquet", "summary.csv", "report.md", "report.png"]
    assert all(path.stat().st_size > 100 for path in files)
    assert not list(comparison.folder.glob(".*.part"))


def test_where_service_is_required_the_least_shortfall_comes_first(comparison: Comparison, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: tiny\nname: mine\nobjective: {service: required}\n")
    found = compare(file, ["idle", "llf"], 2, out=tmp_path / "run", workers=1, report=False)
    rows = {row.policy: row for row in found.table()}
    assert list(rows)[-1] == "idle"
    assert rows["idle"].unmet_kwh_per_day > 10.0
    assert rows["idle"].costs_per_day["unmet_energy"] == pytest.approx(92.0 * rows["idle"].unmet_kwh_per_day)
    assert "unmet" in _printed(found, 100)
    assert "unmet" not in _printed(comparison, 200)
    served = tuple(_with_unmet(day, {"idle": 0.0, "llf": 0.2, "uncontrolled": 0.1}) for day in found.days)
    ranked = replace(found, days=served).table()
    assert [row.policy for row in ranked] == ["optimum", "idle", "uncontrolled", "llf"]


def _with_unmet(day: DayResult, unmet_kwh: dict[str, float]) -> DayResult:
    policies = [one.model_copy(update={"unmet_kwh": unmet_kwh.get(one.policy, 0.0)}) for one in day.policies]
    return day.model_copy(update={"policies": tuple(policies)})
