"""The files that a run leaves: results per day (Parquet), summary (CSV), report (Markdown and PNG).

A `Comparison` comes in. They are made anew from the day files each time, so nothing is lost when they are.
"""

from __future__ import annotations

import csv
import io
import math
import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ev_marl.compare.battery_metrics import BatteriesAged
from ev_marl.compare.comparison import Comparison, PolicySummary
from ev_marl.compare.day import OPTIMUM, UNCONTROLLED, DayResult, PolicyDay
from ev_marl.compare.figure import draw_report
from ev_marl.compare.grid_metrics import GridSummary
from ev_marl.compare.grid_notes import formulations_table
from ev_marl.compare.records import OnGrid
from ev_marl.compare.statistics import PairedDifference, day_scores, mean_or_nan, worst_tenth
from ev_marl.compare.table import differences_table, markdown_table, notes, prices_table, title
from ev_marl.optimum import TIME_LIMIT_S
from ev_marl.support.files import write_atomically

RESULTS, SUMMARY, REPORT, PICTURE = "results.parquet", "summary.csv", "report.md", "report.png"

_NETWORK_LEGEND = """\
- Network violations: buses outside the voltage band, lines and transformers above their limits, counted in every step,
  per hour. Worst p.u.: of all buses and steps, the voltage that is farthest beyond the band or nearest to its edge.
  Transformer, line, hot spot: the highest of all. Losses: of the whole network. Taken back: granted by the site's
  coordinator and withdrawn for the network's sake; part of what is curtailed. No flow or cut: steps in which the power
  flow had no solution, or only with less charging.
"""


def write_report(comparison: Comparison) -> tuple[Path, ...]:
    """Write all files into the folder of the run; returns their paths."""
    folder = comparison.folder
    buffer = io.BytesIO()
    pq.write_table(results_table(comparison), buffer)
    write_atomically(folder / RESULTS, buffer.getvalue())
    write_atomically(folder / SUMMARY, summary_csv(comparison))
    write_atomically(folder / REPORT, report_markdown(comparison))
    write_atomically(folder / PICTURE, draw_report(comparison))
    return tuple(folder / name for name in (RESULTS, SUMMARY, REPORT, PICTURE))


def results_table(comparison: Comparison) -> pa.Table:
    """One row a day and policy, every metric a column."""
    policies = [OPTIMUM, *comparison.manifest.policies]
    uncontrolled, bound = comparison.returns(UNCONTROLLED), comparison.bound
    scores = {name: day_scores(comparison.returns(name), uncontrolled, bound) for name in policies}
    group = {member: name for name, members in comparison.manifest.groups.items() for member in members}
    rows = [
        {**_day_row(day, day.of(name), float(scores[name][k])), "trained_as": group.get(name, "")}
        for k, day in enumerate(comparison.days)
        for name in policies
    ]
    return pa.Table.from_pylist(rows)


def summary_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat mapping a policy, as in the CSV, then one for each training seed; NaN is None."""
    group = {member: name for name, members in comparison.manifest.groups.items() for member in members}
    differences = comparison.differences()
    rows = []
    for summary in [*comparison.table(), *comparison.seed_table()]:
        flat: dict[str, Any] = {}
        for field in fields(PolicySummary):
            value = getattr(summary, field.name)
            if isinstance(value, dict):
                flat.update({f"cost_{term}_per_day": amount for term, amount in value.items()})
            elif isinstance(value, GridSummary):
                flat.update({f"grid_{key}": number for key, number in asdict(value).items()})
            elif value is not None:
                flat[field.name] = value
        flat["trained_as"] = group.get(summary.policy, "")
        if comparison.baseline:
            difference = differences.get(summary.policy)
            flat["baseline"] = comparison.baseline
            for entry in fields(PairedDifference):
                flat[f"difference_{entry.name}"] = getattr(difference, entry.name) if difference else None
        rows.append(
            {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in flat.items()}
        )
    return rows


def summary_csv(comparison: Comparison) -> str:
    """One line a policy."""
    rows = summary_rows(comparison)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def report_markdown(comparison: Comparison) -> str:
    """The report: what was run, the table, how to run it again, versions."""
    scenario, manifest = comparison.scenario, comparison.manifest
    bullets = "\n".join(f"- {line}" for line in notes(comparison).splitlines())
    terms = ", ".join(f"`{name}`" for name in comparison.days[0].policies[0].costs)
    versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    return f"""# {title(comparison)}

{scenario.about}

Limits: {comparison.limits}. Steps of {60 * scenario.step:g} min over {scenario.horizon:g} h; costs: {terms}.

![Power against the limit, and ranking]({PICTURE})

{markdown_table(comparison)}

{_more_tables(comparison)}{bullets}
- IQM: interquartile mean of the scores of single days (and training seeds): the best and the worst quarter left out.
- Gap: bound less return. Energy: metered into vehicles less what they gave back. Satisfied: delivered since arrival
  over what was wanted and reachable, mean over sessions. Worst 10 %: mean over the sessions that were served worst.
  Fairness: Jain's index of the stations' satisfactions, mean of days. Peak: mean of the days' highest imports, base
  load included. Curtailed: asked for and not granted. Violations: steps × groups beyond a limit, all days. Time per
  step: the policy's, median of days.
{_NETWORK_LEGEND if comparison.has_grid else ""}
## Run it again

```
{command_of(comparison)}
```

{_days_line(comparison)}
The resolved scenario is in `manifest.json`.

ev_marl {manifest.ev_marl}; {versions}
"""


def _days_line(comparison: Comparison) -> str:
    """Where the days come from."""
    if comparison.manifest.tracks:
        return f"The days are track files; the `seed` column of `{RESULTS}` is made of their content."
    return (
        "Day seeds are derived from the seed; `ev-marl solve` and `ev-marl track sample` take the `seed` column of "
        f"`{RESULTS}`."
    )


def _more_tables(comparison: Comparison) -> str:
    """Differences to the baseline, prices of decentralisation and anarchy, and training seeds, where there are any."""
    text = ""
    if comparison.baseline:
        reason = f", {comparison.baseline_reason}" if comparison.baseline_reason else ""
        text += f"""Differences to the baseline `{comparison.label(comparison.baseline)}`{reason}, on the same days:

{differences_table(comparison)}

"""
    if formulations := formulations_table(comparison):
        text += f"""The optimum and the network, means of the days that have the formulation:

{formulations}

"""
    if prices := prices_table(comparison):
        text += f"""What it costs:

{prices}

"""
    if comparison.manifest.groups:
        text += f"""Training seeds one by one:

{markdown_table(comparison, comparison.seed_table())}

"""
    return text


def command_of(comparison: Comparison) -> str:
    """The command that makes this run."""
    manifest = comparison.manifest
    coordinator = comparison.scenario.coordinator
    words = ["ev-marl", "compare", manifest.source or "SCENARIO.yaml", "--policies", ",".join(manifest.asked)]
    words += ["--days", str(len(comparison.days)), "--seed", str(manifest.seed)]
    if isinstance(coordinator, str) or not coordinator.options:
        words += ["--coordinator", coordinator if isinstance(coordinator, str) else coordinator.name]
    if manifest.tracks:
        words += [word for file in manifest.track_files for word in ("--tracks", file)]
    elif manifest.split != "test":
        words += ["--split", manifest.split]
    if comparison.baseline:
        words += ["--baseline", comparison.baseline]
    if manifest.exact_levels:
        words += ["--levels", "exact"]
    if manifest.time_limit != TIME_LIMIT_S:
        words += ["--time-limit", f"{manifest.time_limit:g}"]
    return shlex.join(words)


def _ageing_columns(kind: str, aged: BatteriesAged | None) -> dict[str, Any]:
    """What the ageing of batteries cost on a day; no columns where it was not measured."""
    if aged is None:
        return {}
    costs = {"ageing": aged.cost, "calendar_ageing": aged.calendar, "linear_ageing": aged.linear}
    return {f"{kind}_{name}": cost for name, cost in costs.items()}


def _grid_columns(grid: OnGrid | None) -> dict[str, Any]:
    """What the network did on a day; no columns without one."""
    if grid is None:
        return {}
    return {
        "grid_violations": grid.violations,
        "grid_lowest_pu": min(grid.lowest_pu),
        "grid_highest_pu": max(grid.highest_pu),
        "grid_transformer_percent": max(grid.transformer_percent),
        "grid_line_percent": grid.line_percent,
        "grid_hot_spot_c": grid.hot_spot_c,
        "grid_losses_kwh": grid.losses_kwh,
        "grid_curtailed_kwh": grid.curtailed_kwh,
        "grid_tap_moves": grid.tap_moves,
        "grid_failed_steps": grid.failed_steps,
        "grid_cut_steps": grid.cut_steps,
    }


def _day_row(day: DayResult, entry: PolicyDay, its_score: float) -> dict[str, Any]:
    satisfaction = np.array(entry.satisfaction)
    return {
        "day": day.index,
        "seed": day.seed,
        "start": day.start,
        "policy": entry.policy,
        "information": entry.information,
        "team_return": entry.team_return,
        "bound": day.bound,
        "gap": day.bound - entry.team_return,
        "score": its_score,
        "cost": -entry.team_return,
        **{f"cost_{term}": amount for term, amount in entry.costs.items()},
        "charged_kwh": entry.charged_kwh,
        "discharged_kwh": entry.discharged_kwh,
        "net_kwh": entry.charged_kwh - entry.discharged_kwh,
        "satisfaction": mean_or_nan(satisfaction),
        "satisfaction_worst_tenth": worst_tenth(satisfaction),
        "fairness": entry.fairness,
        "peak_kw": entry.peak_kw,
        "curtailed_kwh": entry.curtailed_kwh,
        "unmet_kwh": entry.unmet_kwh,
        "unmet_early_kwh": entry.unmet_early_kwh,
        "storage_kwh": entry.storage_kwh,
        "carbon_kg": entry.carbon_kg,
        "charging_carbon_kg": entry.charging_carbon_kg,
        "transformer_hot_spot_c": entry.transformer_hot_spot_c,
        "transformer_aged_h": entry.transformer_aged_h,
        **_ageing_columns("vehicles", entry.vehicles_aged),
        **_ageing_columns("storage", entry.storage_aged),
        "unbalance_percent": entry.unbalance_percent,
        "violations": entry.violations,
        "violation_kwh": entry.violation_kwh,
        **_grid_columns(entry.grid),
        "policy_ms_per_step": entry.policy_ms,
        "simulator_ms_per_step": entry.simulator_ms,
        "sessions": day.sessions,
        "sessions_owed": day.owed,
        "turned_away": day.turned_away,
        "left_early": day.left_early,
        "left_late": day.left_late,
        "unavoidable_overload_kwh": day.unavoidable_kwh,
        "bound_proven": day.exact,
        "solve_seconds": day.solve_seconds,
    }
