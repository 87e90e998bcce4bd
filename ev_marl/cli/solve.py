"""Solve a day that is known in advance: bound, proof, shadow prices, plan."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ev_marl.cli.options import AsJson, CoordinatorName, DaySeed, PortLevels, ScenarioName, TimeLimit, TrackFile, Trust
from ev_marl.cli.output import check_new, console, print_json, say

if TYPE_CHECKING:
    from ev_marl.optimum import Certificate, GridReport, Solution
    from ev_marl.world import Track

EXAMPLES = (
    "ev-marl solve workplace --seed 3",
    "ev-marl solve workplace --track day.parquet --out plan.parquet",
    "ev-marl solve acn-office --levels exact --time-limit 60",
)


def command(
    scenario: ScenarioName,
    seed: DaySeed = 0,
    track: TrackFile = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the plan, as Parquet.")] = None,
    solver: Annotated[str, typer.Option("--solver", help="highs, or a solver known to Pyomo.")] = "highs",
    levels: PortLevels = "relaxed",
    time_limit: TimeLimit = 300.0,
    coordinator: CoordinatorName = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many shadow prices to list.")] = 8,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    from ev_marl.env.actions import ActionCoder
    from ev_marl.env.setup import Setting
    from ev_marl.optimum import solve_day

    if out is not None:
        check_new(out, overwrite=None)
    setting = Setting.of(scenario, coordinator=coordinator, trust=trust)
    day = setting.world.sample(seed) if track is None else setting.world.load(track)
    solution = solve_day(
        setting,
        day,
        solver=solver,
        time_limit=time_limit,
        levels=ActionCoder(setting.site, setting.scenario.action).levels,
        exact_levels=levels == "exact",
    )
    prices = shadow_prices(day, solution, top)
    if as_json:
        print_json(_as_json(solution, prices))
    else:
        _print(console(), day, solution, prices)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        solution.plan.save(out)
        say(f"Plan written to {out}")


def shadow_prices(track: Track, solution: Solution, top: int) -> list[dict[str, Any]]:
    """The limits and steps at which one more kW would have been worth most, highest first."""
    prices, limit_kw = solution.shadow_prices, track.limits_kw[0]
    order = np.argsort(prices, axis=None)[::-1][:top]
    rows = []
    for step, group in zip(*np.unravel_index(order, prices.shape), strict=True):
        if prices[step, group] <= 0.0:
            break
        rows.append(
            {
                "time": track.clock.local_times[step].isoformat(timespec="minutes"),
                "step": int(step),
                "group": track.groups[group],
                "limit_kw": float(limit_kw[step, group]),
                "price_per_kw": float(prices[step, group]),
            }
        )
    return rows


def _as_json(solution: Solution, prices: list[dict[str, Any]]) -> dict[str, Any]:
    certificate = solution.certificate
    return {
        "bound": solution.bound,
        "achieved": solution.achieved,
        "gap": solution.gap,
        "relative_gap": solution.relative_gap,
        "status": solution.status,
        "kind": certificate.kind,
        "exact": certificate.exact,
        "source": certificate.source,
        "level_pairs": certificate.level_pairs,
        "any_power_bound": certificate.any_power_bound,
        "reasons": [{"reason": reason.reason, "amount": reason.amount} for reason in certificate.reasons],
        "seconds": solution.seconds.total,
        "shadow_prices": prices,
        "grid": None if solution.grid is None else asdict(solution.grid),
    }


def _network(report: GridReport | None, currency: str) -> list[tuple[str, str]]:
    """What the network costs, and how well the plan keeps its limits."""
    if report is None:
        return []
    cost = max(0.0, report.formulations[0].value - report.formulations[-1].value)
    return [
        (
            "Network",
            f"costs {cost:,.6f} {currency}; included in {report.steps} steps, where its limits or prices matter",
        ),
        (
            "",
            f"the plan exceeds its limits by at most {report.voltage_violation_pu:.1e} p.u. and "
            f"{report.loading_violation_percent:.1e} % of loading; {report.curtailed_kwh:.3g} kWh curtailed",
        ),
    ]


def _levels(certificate: Certificate, currency: str) -> list[tuple[str, str]]:
    """What the levels of ports as integers have brought."""
    if not certificate.level_pairs:
        return []
    bound = certificate.any_power_bound
    return [
        ("Levels", f"exact, of {certificate.level_pairs} (session, step) pairs; of any power: {bound:,.6f} {currency}")
    ]


def _print(out: Console, track: Track, solution: Solution, prices: list[dict[str, Any]]) -> None:
    certificate, currency = solution.certificate, track.currency
    verdict = (
        "proven: the replayed plan earns the bound, so it is the cooperative optimum"
        if certificate.exact
        else "the bound is valid, but may be loose"
    )
    loose = [
        ("" if k else "Loose because", f"{reason.reason}, at most {reason.amount:.4g} {currency}")
        for k, reason in enumerate(certificate.reasons)
    ]
    facts = Table.grid(padding=(0, 2))
    for name, value in [
        ("Day", f"{track.start:%A %Y-%m-%d}, {len(track.vehicles)} vehicles, {track.n_steps} steps"),
        ("Bound", f"{solution.bound:,.6f} {currency}   no policy earns more on this day"),
        ("Achieved", f"{solution.achieved:,.6f} {currency}   its plan, replayed in the simulator"),
        ("Gap", f"{solution.gap:.3g} {currency} ({solution.relative_gap:.1e} of the bound)"),
        ("Certificate", f"{certificate.kind}, {verdict}"),
        *loose,
        *_levels(certificate, currency),
        *_network(solution.grid, currency),
        ("Bound from", certificate.source),
        ("Time", f"{solution.seconds.total:.2f} s, {certificate.rounds} rounds, {certificate.cuts} cuts"),
    ]:
        facts.add_row(Text(name, style="bold"), Text(value))
    out.print(facts)
    if not prices:
        out.print("\nNo group limit binds: every shadow price is 0.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("time", "group"):
        table.add_column(heading)
    for heading in ("limit kW", f"{currency}/kW"):
        table.add_column(heading, justify="right")
    for row in prices:
        table.add_row(row["time"][11:16], row["group"], f"{row['limit_kw']:.1f}", f"{row['price_per_kw']:.4f}")
    out.print(Text("\nWhere one more kW of import limit would have been worth most", style="bold"))
    out.print(table)
