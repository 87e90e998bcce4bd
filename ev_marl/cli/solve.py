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
    from collections.abc import Iterator

    from ev_marl.optimum import Certificate, GridReport, Solution
    from ev_marl.site import Site
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
    amperes = current_prices(setting.site, day, solution, top)
    if as_json:
        print_json(_as_json(solution, prices, amperes))
    else:
        _print(console(), day, solution, prices, amperes)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        solution.plan.save(out)
        say(f"Plan written to {out}")


def shadow_prices(track: Track, solution: Solution, top: int) -> list[dict[str, Any]]:
    """The limits and steps at which one more kW would have been worth most, highest first."""
    limit_kw = track.limits_kw[0]
    return [
        {**when, "group": track.groups[group], "limit_kw": float(limit_kw[when["step"], group]), "price_per_kw": price}
        for when, group, price in _highest(track, solution.shadow_prices, top)
    ]


def current_prices(site: Site, track: Track, solution: Solution, top: int) -> list[dict[str, Any]]:
    """The current limits and steps at which one more ampere would have been worth most, highest first."""
    limit_a = site.arrays.current_limit_a
    return [
        {**when, "current": site.currents[row], "limit_a": float(limit_a[row]), "price_per_a": price}
        for when, row, price in _highest(track, solution.current_prices, top)
    ]


def _highest(track: Track, prices: np.ndarray, top: int) -> Iterator[tuple[dict[str, Any], int, float]]:
    """Time and step, limit, and price of the highest prices above 0, shape (n_steps, n_limits)."""
    order = np.argsort(prices, axis=None)[::-1][:top]
    for step, limit in zip(*np.unravel_index(order, prices.shape), strict=True):
        if prices[step, limit] <= 0.0:
            break
        time = track.clock.local_times[step].isoformat(timespec="minutes")
        yield {"time": time, "step": int(step)}, int(limit), float(prices[step, limit])


def _as_json(solution: Solution, prices: list[dict[str, Any]], amperes: list[dict[str, Any]]) -> dict[str, Any]:
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
        "current_prices": amperes,
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


def _print(
    out: Console, track: Track, solution: Solution, prices: list[dict[str, Any]], amperes: list[dict[str, Any]]
) -> None:
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
    if not prices and not amperes:
        out.print("\nNo limit of a group or current binds: every shadow price is 0.")
    _print_prices(out, prices, "kW of import limit", ("group", "limit kW", f"{currency}/kW"))
    _print_prices(out, amperes, "ampere of a current limit", ("current", "limit A", f"{currency}/A"))


def _print_prices(out: Console, rows: list[dict[str, Any]], what: str, headings: tuple[str, str, str]) -> None:
    """A table of the highest shadow prices of one kind; nothing without any."""
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading, justify in zip(("time", *headings), ("left", "left", "right", "right"), strict=True):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        time, _, limit, most, price = row.values()
        table.add_row(time[11:16], limit, f"{most:.1f}", f"{price:.4f}")
    out.print(Text(f"\nWhere one more {what} would have been worth most", style="bold"))
    out.print(table)
