"""Check scenario files: all errors at once, with file and line; exit code 1 if there are any.

Warnings point to unusual values, with numbers: prices at which serving a customer does not pay, stations that no
vehicle can use, many vehicles at the start, limits that never bind, a network that cannot supply its own loads.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ev_marl.cli.options import AsJson, Trust
from ev_marl.cli.output import console, print_json, say
from ev_marl.support.errors import EvMarlError

if TYPE_CHECKING:
    from ev_marl.env.setup import Setting

EXAMPLES = ("ev-marl check my_site.yaml", "ev-marl check *.yaml --json")


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenario files, or names of shipped ones.")],
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    from ev_marl.checks import checked_setting
    from ev_marl.scenario import ScenarioError

    results: dict[str, dict[str, Any]] = {}
    for file in files:
        errors: list[dict[str, Any]] = []
        results[file] = {"errors": errors}
        try:
            setting = checked_setting(file, trust=trust)
        except ScenarioError as error:
            errors.extend(asdict(problem) for problem in error.problems)
            if not as_json:
                say(str(error))
        except EvMarlError as error:
            errors.append({"file": file, "line": 0, "key": "", "message": str(error)})
            if not as_json:
                say(f"{file}: {error}")
        else:
            results[file].update(_plausibility(file, setting, as_json))
    if as_json:
        print_json(results)
    if any(result["errors"] for result in results.values()):
        raise typer.Exit(1)


def _plausibility(file: str, setting: Setting, as_json: bool) -> dict[str, Any]:
    """Warnings and the start of the days of a sound scenario, printed unless JSON is wanted."""
    from ev_marl.checks import SampledDays, findings

    days = SampledDays.of(setting)
    found = findings(days)
    problems = [finding.problem(setting.scenario) for finding in found]
    if not as_json:
        for problem in problems:
            say(str(replace(problem, message=f"warning: {problem.message}")))
        arrays = setting.site.arrays
        numbers = ((arrays.n_stations, "station"), (arrays.n_ports, "port"), (arrays.n_groups, "group"))
        counts = ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in numbers)
        start = str(days.start)
        console().print(f"{file}: sound. {counts}. {start[0].upper()}{start[1:]}", markup=False, soft_wrap=True)
    return {
        "warnings": [
            {**asdict(problem), "check": finding.check, "numbers": finding.numbers}
            for problem, finding in zip(problems, found, strict=True)
        ],
        "start": asdict(days.start),
    }
