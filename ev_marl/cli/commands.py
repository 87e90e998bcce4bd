"""The command `ev-marl`: how each command is called, and its help.

What a command does stands in `ev_marl.cli`; those modules are loaded when their command runs, so that help comes
at once. Errors that a user can cause are printed as they are, without a traceback, and end with exit code 1.
"""

from __future__ import annotations

import importlib
import os
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import ev_marl
from ev_marl.rl.restart import restart_reproducibly
from ev_marl.support.errors import EvMarlError

if TYPE_CHECKING:
    from ev_marl.cli import (
        comparing,
        describing,
        grid,
        scenarios,
        schemas,
        solving,
        studying,
        tracks,
        training,
        tuning,
    )
else:

    class _OnUse:
        """A module that is loaded when something of it is used."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    comparing = _OnUse("ev_marl.cli.comparing")
    describing = _OnUse("ev_marl.cli.describing")
    grid = _OnUse("ev_marl.cli.grid")
    scenarios = _OnUse("ev_marl.cli.scenarios")
    schemas = _OnUse("ev_marl.cli.schemas")
    solving = _OnUse("ev_marl.cli.solving")
    studying = _OnUse("ev_marl.cli.studying")
    tracks = _OnUse("ev_marl.cli.tracks")
    training = _OnUse("ev_marl.cli.training")
    tuning = _OnUse("ev_marl.cli.tuning")


class _Commands(TyperGroup):
    """Runs a command; turns errors that a user can cause into a message and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except EvMarlError as error:
            print(f"ev-marl: {error}", file=sys.stderr)
            raise typer.Exit(1) from error
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
            print(f"ev-marl: the system refuses a file or connection: {reason}", file=sys.stderr)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            print(f"\nev-marl: {str(error) or 'stopped'}", file=sys.stderr)
            raise typer.Exit(130) from error


class Split(StrEnum):
    """What days are for."""

    test = "test"
    validation = "validation"
    train = "train"


class Dataset(StrEnum):
    """Data that tracks can be imported from."""

    acn = "acn"
    elaadnl = "elaadnl"
    prices = "prices"


class Wish(StrEnum):
    """Which energy of a recorded session is the wish."""

    delivered = "delivered"
    requested = "requested"


class Fill(StrEnum):
    """How missing prices are filled."""

    previous_day = "previous_day"
    interpolate = "interpolate"


class GridCoordinator(StrEnum):
    """Who keeps the limits of the network."""

    curtail = "curtail"
    none = "none"


class StepChoice(StrEnum):
    """Which steps of a day are solved on three phases."""

    worst = "worst"
    all = "all"


class LoadSplit(StrEnum):
    """How the network's loads draw."""

    balanced = "balanced"
    one_phase = "one-phase"


class Connection(StrEnum):
    """Which phase ports take."""

    in_turn = "in-turn"
    same = "same"


def _examples(*lines: str) -> str:
    return "Examples:\n\n" + "\n\n".join(f"  $ {line}" for line in lines)


_SETTINGS: dict[str, Any] = {"no_args_is_help": True, "pretty_exceptions_enable": False, "cls": _Commands}
app = typer.Typer(
    **_SETTINGS,
    help="EV charging stations as agents: scenarios, days, policies, and the proven cooperative optimum.",
    epilog=_examples("ev-marl list", "ev-marl describe workplace", "ev-marl compare workplace --days 30"),
)
track_app = typer.Typer(no_args_is_help=True, help="Days: draw them, import them from data, look at them.")
app.add_typer(track_app, name="track")
grid_app = typer.Typer(no_args_is_help=True, help="The network of a scenario: as built, over a year, on three phases.")
app.add_typer(grid_app, name="grid")

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="Name of a shipped scenario, or a YAML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
CoordinatorName = Annotated[
    str | None,
    typer.Option("--coordinator", metavar="NAME", help="none, proportional, priority, nearest, or module:Class."),
]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ev-marl {ev_marl.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Options before any command."""


@app.command(epilog=_examples("ev-marl check my_site.yaml", "ev-marl check *.yaml --json"))
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenario files, or names of shipped ones.")],
    as_json: AsJson = False,
) -> None:
    """Check scenario files: every error at once, with file and line; exit code 1 if there is any."""
    if not scenarios.check(files, as_json):
        raise typer.Exit(1)


@app.command(epilog=_examples("ev-marl describe workplace", "ev-marl describe my_site.yaml"))
def describe(scenario: ScenarioName) -> None:
    """Show a site as a tree: groups, limits, loads, stations."""
    describing.run(scenario)


@app.command(epilog=_examples("ev-marl schema --out scenario.schema.json", "ev-marl schema --training --reference"))
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="File to write instead of stdout.")] = None,
    reference: Annotated[bool, typer.Option("--reference", help="Reference for people instead, in Markdown.")] = False,
    training: Annotated[bool, typer.Option("--training", help="Of training files instead of scenarios.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Print the JSON Schema of scenario files, or of training files: completion and checks in editors."""
    schemas.run(out, reference, overwrite, training)


@app.command("list", epilog=_examples("ev-marl list", "ev-marl list policies"))
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="scenarios, policies, coordinators, terms, blocks, sessions, backends (of networks), or trainings.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what can be named, in scenarios and training files and on the command line."""
    scenarios.list_plugins(kind, as_json)


@app.command(epilog=_examples("ev-marl new my_site", "ev-marl new street --from residential-v2g --folder sites"))
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of your scenario; NAME.yaml is written.")],
    start_from: Annotated[str, typer.Option("--from", metavar="SCENARIO", help="Shipped scenario to copy.")] = (
        "workplace"
    ),
    folder: Annotated[Path, typer.Option("--folder", help="Where to write it.")] = Path(),
) -> None:
    """Start a scenario of your own as a copy of a shipped one; an existing file is never overwritten."""
    scenarios.new(name, start_from, folder)


@track_app.command(
    "sample",
    epilog=_examples(
        "ev-marl track sample workplace --seed 7 --out day.parquet",
        "ev-marl track sample workplace --seed 7 --days 10 --out days/",
    ),
)
def track_sample(
    scenario: ScenarioName,
    out: Annotated[Path, typer.Option("--out", help="File (.parquet, .json), or a folder with --days.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed; the same seed gives the same day.")] = 0,
    days: Annotated[int, typer.Option("--days", min=1, help="How many, of the seeds from --seed on.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Draw days of a scenario and write them as track files."""
    tracks.sample(scenario, seed, days, out, overwrite)


@track_app.command(
    "import",
    epilog=_examples(
        "ev-marl track import acn acn-caltech.json --site workplace --out tracks/",
        "ev-marl track import elaadnl transactions.csv --site workplace --out tracks/",
        "ev-marl track import prices day-ahead.csv --site depot-100 --out tracks/ --fill interpolate",
    ),
)
def track_import(
    kind: Annotated[Dataset, typer.Argument(help="What the file is.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data file; .gz is read too.")],
    site: Annotated[str, typer.Option("--site", metavar="SCENARIO", help="Scenario with the site and all else.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for one track a day.")],
    timezone: Annotated[str | None, typer.Option("--timezone", help="Zone of the file's times, if not its usual.")] = (
        None
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of what is imputed.")] = 0,
    energy: Annotated[Wish, typer.Option("--energy", help="Which energy drivers wanted.")] = Wish.delivered,
    fill: Annotated[Fill | None, typer.Option("--fill", help="Fill missing prices; else they are an error.")] = None,
    area: Annotated[str | None, typer.Option("--area", help="Bidding zone, where a price file has several.")] = None,
) -> None:
    """Turn recorded sessions or real prices into track files, one a day; says what had to be imputed."""
    tracks.import_data(kind.value, file, site, out, timezone, seed, energy.value, fill.value if fill else None, area)


@track_app.command(
    "show", epilog=_examples("ev-marl track show day.parquet", "ev-marl track show day.json --sessions 5")
)
def track_show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Track file.")],
    sessions: Annotated[int, typer.Option("--sessions", min=0, help="How many sessions to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what a track holds: sessions, prices, loads, limits, where it came from."""
    tracks.show(file, sessions, as_json)


@app.command(
    epilog=_examples(
        "ev-marl solve workplace --seed 3",
        "ev-marl solve workplace --track day.parquet --out plan.parquet",
    )
)
def solve(
    scenario: ScenarioName,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the day.")] = 0,
    track: Annotated[Path | None, typer.Option("--track", metavar="FILE", help="A track file instead.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the plan, as Parquet.")] = None,
    solver: Annotated[str, typer.Option("--solver", help="highs, or a solver known to Pyomo.")] = "highs",
    coordinator: CoordinatorName = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many shadow prices to list.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Solve a day knowing everything in advance: bound, proof, shadow prices, plan."""
    solving.run(scenario, seed, track, out, solver, coordinator, top, as_json)


@app.command(
    epilog=_examples(
        "ev-marl compare workplace",
        "ev-marl compare workplace --policies edf,llf,best-response --days 30 --seed 0 --out runs/mine",
        "ev-marl compare my_site.yaml --policies 'price-threshold,my_module:MyPolicy' --coordinator priority",
        "ev-marl compare workplace --tracks days/ --policies edf,best-response",
        "ev-marl compare workplace --policies best-response,rllib:training/results/workplace-nearest --baseline best",
    )
)
def compare(
    scenario: ScenarioName,
    policies: Annotated[
        str | None,
        typer.Option(
            "--policies", help="Names, name(option=...), module:Class, rllib:PATH or central:PATH, with commas between."
        ),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="How many days; more days later extend the run.")] = 30,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which days.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the run; else runs/<scenario>-<hash>."),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Most processes; else one a core.")] = None,
    coordinator: CoordinatorName = None,
    split: Annotated[Split, typer.Option("--split", help="Which days; training and test days are disjoint.")] = (
        Split.test
    ),
    tracks: Annotated[
        list[Path] | None,
        typer.Option("--tracks", metavar="FILE", help="Track file, or folder of them, instead of drawn days; repeat."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="Policy that the others' paired differences are to; best: the one that earns most on validation "
            "days, not learned and with no more information than those that are.",
        ),
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Run the days on a Ray cluster; auto finds it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run policies on the same days and measure how far each is from the cooperative optimum.

    Ctrl-C and start again: finished days are kept, and the run goes on.
    """
    comparing.run(
        scenario, policies, days, seed, out, workers, coordinator, split.value, tracks, baseline, ray, as_json
    )


@app.command(
    epilog=_examples(
        "ev-marl tune best-response workplace",
        "ev-marl tune best-response residential-v2g --coordinator priority --days 100",
        "ev-marl tune my_module:MyPolicy workplace --range patience=0:4 --range share=0.1:0.9",
    )
)
def tune(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Its name; options in brackets stay as they are.")],
    scenario: ScenarioName,
    days: Annotated[int, typer.Option("--days", min=1, help="How many training days.")] = 60,
    validation_days: Annotated[
        int, typer.Option("--validation-days", min=0, help="How many other days the result is scored on.")
    ] = 60,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which days.")] = 0,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="OPTION=LOW:HIGH", help="Where to search; else as the policy says."),
    ] = None,
    coordinator: CoordinatorName = None,
    as_json: AsJson = False,
) -> None:
    """Find a policy's best constants on training days: a search, no learning; test days are not touched."""
    tuning.run(policy, scenario, days, validation_days, seed, ranges or [], coordinator, as_json)


@app.command(
    epilog=_examples(
        "ev-marl train training/ippo.yaml --scenario workplace",
        "ev-marl train training/ippo.yaml --scenario residential-v2g --coordinator priority --seed 0 --seed 1",
        "ev-marl train training/ippo.yaml --scenario workplace --set stop.minutes=2 --set ppo.epochs=2",
    )
)
def train(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Training file, or name of a shipped one.")],
    scenario: Annotated[
        str, typer.Option("--scenario", metavar="SCENARIO", help="Name of a shipped scenario, or a YAML file.")
    ],
    coordinator: CoordinatorName = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", min=0, help="Seed instead of the file's; repeat for several runs.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the result; else runs/<scenario>-<name>-<hash>."),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="In place of what the file says; repeat.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--ray", "--address", metavar="ADDRESS", help="Let the file's runners play on a Ray cluster; auto finds it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train policies with RLlib, validate them as they learn, and keep the best.

    Ctrl-C and start again: training goes on from its last checkpoint. A finished training is not repeated; with a later
    stop, as in --set stop.days=20000, it goes on.
    """
    training.run(file, scenario, coordinator, seed or [], out, changes or [], address, as_json)


@app.command(
    epilog=_examples("ev-marl study training/study.yaml", "ev-marl study my_study.yaml --days 5 --out runs/mine")
)
def study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Study: cases, policies, folders of learned policies.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the study; else runs/study-<name>.")
    ] = None,
    days: Annotated[int | None, typer.Option("--days", min=1, help="Test days instead of the file's.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Most processes; else one a core.")] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help="Run the days on a Ray cluster; auto finds it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run many comparisons and put them into one table and one figure.

    Ctrl-C and start again: what is finished is kept, and the study goes on.
    """
    studying.run(file, out, days, workers, ray, as_json)


@grid_app.command(
    "describe", epilog=_examples("ev-marl grid describe street-lv", "ev-marl grid describe my_site.yaml --plot net.png")
)
def grid_describe(
    scenario: ScenarioName,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw the network, as PNG.")] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="How many buses with chargers to list.")] = 12,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Show the network of a scenario as it was built: elements, limits, chargers, who solves it and how well."""
    grid.describe(scenario, plot, top, overwrite, as_json)


@grid_app.command(
    "year",
    epilog=_examples(
        "ev-marl grid year village-2034 --grid-coordinator none",
        "ev-marl grid year my_site.yaml --policy best-response --out runs/year",
    ),
)
def grid_year(
    scenario: ScenarioName,
    policy: Annotated[str, typer.Option("--policy", help="Who decides.")] = "uncontrolled",
    grid_coordinator: Annotated[
        GridCoordinator | None,
        typer.Option("--grid-coordinator", help="Instead of the scenario's; none: limits are broken."),
    ] = None,
    coordinator: CoordinatorName = None,
    start: Annotated[
        datetime | None, typer.Option("--start", formats=["%Y-%m-%d"], help="First day; else the scenario's.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How many consecutive days.")] = 365,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of vehicles, noise and weather.")] = 0,
    samples: Annotated[
        int, typer.Option("--samples", min=0, help="Random steps that pandapower solves again, besides the worst.")
    ] = 20,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for pictures and the numbers of every step.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Play a year of days on the network: worst voltages and loadings, hours beyond limits, checked by pandapower.

    Days are played apart, as episodes are: what is parked when one ends is settled there, and the next draws its own.
    """
    first = None if start is None else start.date()
    coordinates = None if grid_coordinator is None else grid_coordinator.value
    grid.year(scenario, policy, coordinates, coordinator, first, days, seed, samples, out, overwrite, as_json)


@grid_app.command(
    "unbalanced",
    epilog=_examples(
        "ev-marl grid unbalanced street-lv --seed 3",
        "ev-marl grid unbalanced street-lv --connection same --loads one-phase --steps all",
        "ev-marl grid unbalanced my_site.yaml --phases phases.csv",
    ),
)
def grid_unbalanced(
    scenario: ScenarioName,
    policy: Annotated[str, typer.Option("--policy", help="Who decides.")] = "uncontrolled",
    grid_coordinator: Annotated[
        GridCoordinator | None,
        typer.Option("--grid-coordinator", help="Instead of the scenario's; none: limits are broken."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the day.")] = 0,
    day: Annotated[
        datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="Date of the day; else it is drawn.")
    ] = None,
    track: Annotated[Path | None, typer.Option("--track", metavar="FILE", help="A track file instead.")] = None,
    steps: Annotated[
        StepChoice, typer.Option("--steps", help="All, or the worst by voltage, transformer and unequal charging.")
    ] = StepChoice.worst,
    loads: Annotated[
        LoadSplit, typer.Option("--loads", help="Loads draw from all phases alike, or each from one, in turn.")
    ] = LoadSplit.balanced,
    connection: Annotated[
        Connection, typer.Option("--connection", help="Ports take the phases in turn, or all the same one.")
    ] = Connection.in_turn,
    phases: Annotated[
        Path | None,
        typer.Option("--phases", metavar="FILE", help="CSV with columns station, phase: a, b, c or abc."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Solve a finished day on three phases, vehicles of up to 7.4 kW on one, beside the balanced result.

    Nothing is decided anew: powers are those of the day on the balanced network.
    """
    on = None if day is None else day.date()
    coordinates = None if grid_coordinator is None else grid_coordinator.value
    grid.unbalanced(
        scenario,
        policy,
        coordinates,
        seed,
        on,
        track,
        steps.value,
        loads.value,
        connection.value,
        phases,
        as_json,
    )


@grid_app.command(
    "agreement",
    epilog=_examples("ev-marl grid agreement --only CIGRE", "ev-marl grid agreement --also my_module:MyBackend"),
)
def grid_agreement(
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="WORD", help="Only networks whose title has this word.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="NAME", help="Another backend, by name or as module:Class.")
    ] = None,
    states: Annotated[int, typer.Option("--states", min=4, help="How many random states of each network.")] = 64,
    times: Annotated[bool, typer.Option("--times/--no-times", help="Measure times, too.")] = True,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the page to a file.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare the backends with pandapower on well-known networks; exit code 1 where one is beyond its tolerance."""
    if not grid.agreement(only or [], also or [], states, times, out, overwrite):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the command.

    Modules in the current folder can be named as module:Class, as with `python -m`. Training starts anew with the
    environment that it needs to be reproducible.
    """
    if sys.argv[1:2] == ["train"]:
        restart_reproducibly()
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    app()
