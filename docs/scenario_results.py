"""Plays every shipped scenario and writes `docs/reference/scenarios.md`: what each shows, what policies cost there.

`python docs/scenario_results.py NAME ...` plays these scenarios anew and keeps the lines of all others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from ev_marl import __version__
from ev_marl.compare import compare
from ev_marl.compare.comparison import Comparison
from ev_marl.compare.text import number, percent
from ev_marl.scenario import Scenario, load_scenario, shipped_scenarios

PAGE = Path(__file__).parent / "reference" / "scenarios.md"
POLICIES = ("uncontrolled", "edf", "mpc")
DAYS = 5
INTRODUCTION = """\
# Scenarios

What each scenario of the package shows, and what {days} test days cost there: uncontrolled charging, earliest deadline
first, model predictive control, and the proven bound of the cooperative optimum, which no controller can beat. Costs
are means per episode (a day; 30 days in `contract-month`) of everything that the objective counts: energy, unmet
energy, wear, peaks. The score is the share of what the bound gains over uncontrolled charging. The command
`ev-marl compare NAME --days {days} --policies edf,mpc` makes one line, `python docs/scenario_results.py` all of them.

| scenario | agents | currency | uncontrolled | EDF | MPC | bound | score of EDF | score of MPC |
|---|--:|---|--:|--:|--:|--:|--:|--:|
"""


def main() -> None:
    """Play the named scenarios, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios; default: all")
    parser.add_argument("--workers", type=int, help="largest number of processes; default: one for each core")
    options = parser.parse_args()
    shipped = shipped_scenarios()
    kept = lines(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    for name in options.names or shipped:
        with tempfile.TemporaryDirectory() as folder:
            comparison = compare(
                name, POLICIES[1:], DAYS, out=Path(folder) / "run", workers=options.workers, report=False
            )
        kept[name] = line(name, comparison)
        PAGE.write_text(page({one: kept[one] for one in shipped if one in kept}), encoding="utf-8")


def lines(text: str) -> dict[str, str]:
    """Lines of the table by scenario."""
    rows = [row for row in text.splitlines() if row.startswith("| [`")]
    return {row.split("`")[1]: row for row in rows}


def line(name: str, comparison: Comparison) -> str:
    """One line of the table."""
    rows = {row.policy: row for row in comparison.table()}
    costs = [number(rows[policy].cost_per_day, 2) for policy in POLICIES] + [number(-comparison.bound.mean(), 2)]
    scores = [percent(rows[policy].score, 1) for policy in POLICIES[1:]]
    agents = sum(stations.count for group in comparison.scenario.site.all_groups() for stations in group.stations)
    return f"| [`{name}`](#{name}) | {agents} | {comparison.currency} | {' | '.join([*costs, *scores])} |"


def page(rows: dict[str, str]) -> str:
    """The whole page."""
    parts = [INTRODUCTION.format(days=DAYS), "\n".join(rows.values()), f"\n\nPlayed with version {__version__}.\n"]
    for name in rows:
        parts.append(f"\n## {name}\n\n{about(load_scenario(name), shipped_scenarios()[name])}\n")
    return "".join(parts)


def about(scenario: Scenario, file: Path) -> str:
    """What a scenario says of itself: the comment at its head."""
    head = []
    for one in file.read_text(encoding="utf-8").splitlines()[1:]:
        if not one.startswith("#"):
            break
        head.append(one.removeprefix("#").strip())
    return f"{scenario.about}\n\n" + "\n".join(head).strip()


if __name__ == "__main__":
    main()
