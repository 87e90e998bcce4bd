"""`ev-marl grid`: a network as it was built, a year of it, a day on three phases; how well the backends agree."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np

import ev_marl.grid.model.sources  # noqa: F401  says how to install pandapower, where it is missing

# isort: split
from ev_marl.cli.grid_tables import print_facts, print_unbalanced, print_year
from ev_marl.cli.output import check_new, console, print_json, say, write_new
from ev_marl.compare.progress import progress_bar
from ev_marl.env.setup import Setting
from ev_marl.grid.studies.unbalanced_day import Connection, LoadSplit, Steps
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.scenario.schema.grid import Grid
from ev_marl.support.errors import EvMarlError, NetworkError
from ev_marl.world import Track


def describe(scenario: str, plot: Path | None, top: int, overwrite: bool, as_json: bool) -> None:
    """Print the network as it was built, and draw it."""
    from ev_marl.grid.describe import idle_day, network_facts  # noqa: PLC0415  pandapower is heavy, and optional

    if plot is not None:
        check_new(plot, overwrite=overwrite)
    loaded, grid = with_grid(scenario)
    setting = Setting.of(loaded)
    network, loop = setting.site.network, setting.network
    assert network is not None  # the scenario has a grid
    assert loop is not None
    facts = network_facts(setting.site, loop)
    if as_json:
        print_json({"scenario": loaded.name, "grid": grid.model_dump(mode="json"), **asdict(facts)})
    else:
        print_facts(console(), grid, facts, idle_day(loop, setting.world.sample(0)), top)
    if plot is not None:
        from ev_marl.grid.studies.map import draw_network  # noqa: PLC0415

        values = np.full(loop.spec.n_buses, np.nan)
        values[loop.spec.charger_bus] = 1e3 * loop.sensitivity_pu_per_kw
        picture = draw_network(
            network,
            values,
            "Change of the bus's own voltage per kW drawn [10⁻³ p.u./kW]",
            f"{loaded.name}: {facts.name}",
            chargers_only=True,
        )
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot.write_bytes(picture)
        say(f"Picture written to {plot}")


def year(
    scenario: str,
    policy: str,
    grid_coordinator: str | None,
    coordinator: str | None,
    first: date | None,
    days: int,
    seed: int,
    samples: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Play a year, print what happened, write its files; an error where pandapower does not agree."""
    from ev_marl.grid.studies.year import play_year  # noqa: PLC0415
    from ev_marl.grid.studies.year_files import FILES, summary, write_year  # noqa: PLC0415

    if out is not None:
        for name in FILES:
            check_new(out / name, overwrite=overwrite)
    loaded, _ = with_grid(scenario, grid_coordinator)
    setting = Setting.of(loaded, coordinator=coordinator)
    played = play_year(setting, policy, first=first, n_days=days, seed=seed, samples=samples)
    if as_json:
        print_json(summary(played))
    else:
        print_year(console(), played)
    if out is not None:
        assert setting.site.network is not None  # the scenario has a grid
        write_year(played, setting.site.network, out)
        say(f"Files in {out}: {', '.join(FILES)}")
    if not played.agrees:
        raise NetworkError(
            f"pandapower says otherwise on {len(played.checked)} steps solved again, by the differences above; take "
            "`backend: pandapower`, and report the network"
        )


def unbalanced(
    scenario: str,
    policy: str,
    grid_coordinator: str | None,
    seed: int,
    day: date | None,
    track: Path | None,
    steps: Steps,
    loads: LoadSplit,
    connection: Connection,
    phases: Path | None,
    as_json: bool,
) -> None:
    """Play a day, and print its steps balanced and on three phases."""
    from ev_marl.grid.studies.unbalanced_day import read_phases, unbalanced_day  # noqa: PLC0415

    given = None if phases is None else read_phases(phases)
    loaded, grid = with_grid(scenario, grid_coordinator)
    setting = Setting.of(loaded)
    chosen = None if track is None else Track.load(track)
    if chosen is not None:
        chosen.validate(setting.site)
    result = unbalanced_day(
        setting,
        policy,
        seed=seed,
        day=day,
        track=chosen,
        steps=steps,
        loads=loads,
        connection=connection,
        phases=given,
    )
    if as_json:
        times = result.track.clock.local_times
        print_json(
            {
                "scenario": loaded.name,
                "policy": policy,
                "grid_coordinator": grid.coordinator,
                "loads": loads,
                "connection": connection,
                "sessions": len(result.track.sessions),
                "one_phase_sessions": result.one_phase_sessions,
                "assumptions": list(result.assumptions),
                "steps": [
                    {"time": times[one.step].isoformat(timespec="minutes"), **asdict(one)} for one in result.steps
                ],
            }
        )
    else:
        print_unbalanced(console(), loaded.name, grid, result)


def agreement(only: list[str], also: list[str], n_states: int, timed: bool, out: Path | None, overwrite: bool) -> bool:
    """Print or write the page of agreement; whether every backend is within its tolerances.

    Raises
    ------
    EvMarlError
        If the file exists, or no network has one of the words.
    """
    from ev_marl.grid.studies.agreement import CASES, Row, measure, page  # noqa: PLC0415  slow to import

    if out is not None:
        check_new(out, overwrite=overwrite)
    cases = [case for case in CASES if not only or any(word.lower() in case.title.lower() for word in only)]
    if not cases:
        raise EvMarlError(f"no network has {' or '.join(only)} in its title: {'; '.join(case.title for case in CASES)}")
    rows: list[Row] = []
    with progress_bar("networks", 0, len(cases)) as advance:
        for case in cases:
            rows.extend(measure(case, also, n_states=n_states, timed=timed))
            advance()
    for row in rows:
        for problem in row.problems:
            say(f"{row.title}, {row.backend}: {problem}")
    if out is None:
        print(page(rows))
    else:
        write_new(out, page(rows), overwrite=overwrite)
        say(f"{out} written")
    return not any(row.problems for row in rows)


def with_grid(scenario: str, grid_coordinator: str | None = None) -> tuple[Scenario, Grid]:
    """A scenario on a network, with another grid coordinator where one is named.

    Raises
    ------
    NetworkError
        If it has no `grid`.
    """
    loaded = load_scenario(scenario)
    if loaded.grid is None:
        raise NetworkError(
            f"scenario '{loaded.name}' hangs on no network; give it `grid:`, or take one that has it, such as street-lv"
        )
    if grid_coordinator is not None:
        grid = loaded.grid.model_copy(update={"coordinator": grid_coordinator})
        loaded = loaded.model_copy(update={"grid": grid})
    assert loaded.grid is not None
    return loaded, loaded.grid
