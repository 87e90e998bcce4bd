"""The files of a year: numbers of every step, a summary, pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ev_marl.grid.model.network import Network
from ev_marl.grid.studies.map import draw_network
from ev_marl.grid.studies.year import Extreme, Year
from ev_marl.grid.studies.year_figure import draw_carpet, draw_durations

STEPS, SUMMARY, DURATIONS, CARPET, MAP = "steps.csv", "summary.json", "durations.png", "carpet.png", "map.png"
FILES = (STEPS, SUMMARY, DURATIONS, CARPET, MAP)
LEAST_KW = 1e-6  # that counts as taken back


def summary(year: Year) -> dict[str, Any]:
    """A year in numbers, ready for JSON."""
    series, step_h, days = year.series, year.step_h, len(year.clocks)
    voltage, line, transformer = year.differences
    return {
        "scenario": year.scenario,
        "policy": year.policy,
        "grid_coordinator": year.grid_coordinator,
        "network": year.spec.name,
        "backend": year.backend,
        "first_step": when(year, 0, 0),
        "last_step": when(year, days - 1, year.clocks[-1].n_steps - 1),
        "steps": year.n_steps,
        "worst": {name: _extreme(year, extreme) for name, extreme in year.worst.items()},
        "hours_beyond": {
            name: {"with_vehicles": with_vehicles, "without": without}
            for name, (with_vehicles, without) in year.hours_beyond.items()
        },
        "hours_below_by_bus": _by_bus(year, year.bus_low_steps),
        "hours_above_by_bus": _by_bus(year, year.bus_high_steps),
        "stays": year.stays,
        "charged_kwh": year.charged_kwh,
        "discharged_kwh": year.discharged_kwh,
        "unmet_kwh": year.unmet_kwh,
        "losses_kwh": float(step_h * series.losses_kw.sum()),
        "from_above_kwh": float(step_h * series.slack_kw.sum()),
        "curtailed_steps": int((series.curtailed_kw > LEAST_KW).sum()),
        "curtailed_kwh": float(step_h * series.curtailed_kw.sum()),
        "cut_steps": int(series.cut.sum()),
        "failed_steps": int(series.failed.sum()),
        "costs_per_day": {name: cost / days for name, cost in year.costs.items()},
        "currency": year.currency,
        "check": {
            "states": len(year.checked),
            "voltage_pu": voltage,
            "line_percent": line,
            "transformer_percent": transformer,
            "agrees": year.agrees,
        },
        "seconds": year.seconds,
    }


def when(year: Year, day: int, step: int) -> str:
    """Local time of a step."""
    return year.clocks[day].local_times[step].isoformat(timespec="minutes")


def write_year(year: Year, network: Network, folder: Path) -> None:
    """Write all files of a year, over those that exist.

    Parameters
    ----------
    year : Year
        What happened.
    network : Network
        Where.
    folder : Path
        Made where it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lowest = np.where(np.isfinite(year.bus_lowest_pu), year.bus_lowest_pu, np.nan)
    title = f"{year.scenario}: {year.policy} charging"
    contents: dict[str, Callable[[], bytes]] = {
        STEPS: lambda: _steps(year).encode(),
        SUMMARY: lambda: (json.dumps(summary(year), indent=2) + "\n").encode(),
        DURATIONS: lambda: draw_durations(year),
        CARPET: lambda: draw_carpet(year),
        MAP: lambda: draw_network(network, lowest, "Lowest voltage [p.u.]", title),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content())


def _extreme(year: Year, extreme: Extreme) -> dict[str, Any]:
    return {
        "value": extreme.value,
        "element": extreme.element,
        "time": when(year, extreme.day, extreme.step),
        "day": year.clocks[extreme.day].local_times[0].date().isoformat(),
        "seed": year.seeds[extreme.day],
    }


def _by_bus(year: Year, steps: np.ndarray) -> dict[str, float]:
    """Hours of the buses that have any, the worst first."""
    order = np.argsort(-steps, kind="stable")
    return {year.spec.buses[k]: float(year.step_h * steps[k]) for k in order if steps[k]}


def _steps(year: Year) -> str:
    """One row a step."""
    series, spec = year.series, year.spec
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    powers = ("charging_kw", "slack_kw", "losses_kw", "curtailed_kw")
    places = ("lowest_pu", "lowest_bus", "highest_pu", "highest_bus")
    loadings = ("line_percent", "line", "transformer_percent", "transformer")
    out.writerow(["time", *places, *loadings, *powers, "cut", "failed"])
    for day, clock in enumerate(year.clocks):
        for step, moment in enumerate(clock.local_times):
            at = (day, step)
            out.writerow(
                [
                    moment.isoformat(timespec="minutes"),
                    f"{series.lowest_pu[at]:.6f}",
                    spec.buses[series.lowest_bus[at]],
                    f"{series.highest_pu[at]:.6f}",
                    spec.buses[series.highest_bus[at]],
                    f"{series.line_percent[at]:.4f}",
                    spec.lines[series.line[at]] if spec.lines else "",
                    f"{series.transformer_percent[at]:.4f}",
                    spec.transformers[series.transformer[at]] if spec.transformers else "",
                    *(f"{getattr(series, name)[at]:.4f}" for name in powers),
                    int(series.cut[at]),
                    int(series.failed[at]),
                ]
            )
    return text.getvalue()
