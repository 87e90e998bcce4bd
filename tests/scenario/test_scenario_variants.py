"""Variants of scenarios, and the files that they name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ev_marl.scenario import Scenario, ScenarioError, load_scenario
from ev_marl.scenario.named_series import series_of
from ev_marl.scenario.schema import (
    CoordinatorOptions,
    LoadProfile,
    OutlookByKind,
    PowerByHour,
    PowerFile,
    PriceConstant,
    PriceFile,
    PriceModel,
)
from ev_marl.scenario.series import Series

Write = Callable[..., Path]

BASE = """\
name: base
start: 2023-05-15
step: 1 h
site:
  name: grid
  import_limit: 20 kW
  export_limit: 5 kW
  base_load: {profile: office, peak: 10 kW, noise: 20 %}
  stations:
    - {type: ac, count: 2, power: 11 kW}
sessions: {model: highway, per_port_per_day: 3}
prices: {model: nl/2023, feed_in: 50 %}
coordinator: {name: priority, options: {rounding: true}}
"""


@pytest.fixture
def variant(write: Write) -> Callable[[str], Scenario]:
    """Loads a variant of the base."""

    def load(text: str) -> Scenario:
        write(BASE, "base.yaml")
        return load_scenario(write("extends: base.yaml\n" + text, "variant.yaml"))

    return load


def problems(path: Path) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


# Variants


def test_mappings_are_merged_and_lists_replaced(variant: Callable[[str], Scenario]) -> None:
    scenario = variant("name: other\nsite:\n  import_limit: 15 kW\n  stations: [{type: dc, power: 50 kW}]\n")
    assert scenario.name == "other"
    assert (scenario.site.name, scenario.site.import_limit, scenario.site.export_limit) == ("grid", 15.0, 5.0)
    assert [stations.type for stations in scenario.site.stations] == ["dc"]


def test_null_takes_a_key_back(variant: Callable[[str], Scenario]) -> None:
    scenario = variant("site: {export_limit: null, base_load: null}\n")
    assert scenario.site.export_limit is None
    assert scenario.site.base_load is None


def test_another_alternative_replaces_the_inherited_one(variant: Callable[[str], Scenario]) -> None:
    scenario = variant(
        "site: {base_load: {by_hour: [" + "1, " * 23 + "1]}}\nprices: {constant: 0.3}\ncoordinator: {name: nearest}\n"
    )
    assert scenario.prices == PriceConstant(constant=0.3)
    assert isinstance(scenario.site.base_load, PowerByHour)
    assert scenario.coordinator == CoordinatorOptions(name="nearest")


def test_the_same_alternative_is_changed(variant: Callable[[str], Scenario]) -> None:
    scenario = variant(
        "site: {base_load: {peak: 30 kW}}\nprices: {markup: 0.1}\nsessions: {model: acn/jpl}\n"
        "coordinator: {options: {rounding: false}}\n"
    )
    assert scenario.prices == PriceModel(model="nl/2023", feed_in=0.5, markup=0.1)
    assert scenario.site.base_load == LoadProfile(profile="office", peak=30.0, noise=0.2)
    assert (scenario.sessions.model, scenario.sessions.per_port_per_day) == ("acn/jpl", 3.0)
    assert scenario.coordinator == CoordinatorOptions(name="priority", options={"rounding": False})


def test_variants_of_variants_and_of_shipped_scenarios(write: Write) -> None:
    write("extends: workplace\nname: middle\nhorizon: 48 h\n", "middle.yaml")
    scenario = load_scenario(write("extends: middle.yaml\nname: last\n", "last.yaml"))
    assert (scenario.name, scenario.horizon, len(scenario.site.groups)) == ("last", 48.0, 1)


def test_faults_carry_the_file_and_line_that_wrote_them(write: Write) -> None:
    write(BASE.replace("count: 2", "count: 0"), "base.yaml")
    path = write("extends: base.yaml\nname: other\nsite:\n  import_limit: -1 kW\n", "variant.yaml")
    messages = problems(path)
    assert messages[0] == "base.yaml:10: site.stations[0].count: found 0; expected 1 or more"
    assert messages[1].startswith("variant.yaml:4: site.import_limit: found '-1 kW'")


def test_replaced_faults_are_gone(write: Write) -> None:
    write(BASE.replace("20 kW", "-20 kW"), "base.yaml")
    assert (
        load_scenario(write("extends: base.yaml\nsite: {import_limit: 1}\n", "variant.yaml")).site.import_limit == 1.0
    )


def test_missing_base(write: Write) -> None:
    path = write("extends: bose.yaml\n", "variant.yaml")
    assert problems(path) == [
        "variant.yaml:1: extends: found 'bose.yaml', which is neither a shipped scenario nor a file beside variant.yaml"
    ]


def test_base_that_is_no_name(write: Write) -> None:
    assert problems(write("extends: [a]\n")) == [
        "scenario.yaml:1: extends: found ['a']; expected a scenario's name or a path"
    ]


def test_cycle_of_variants(write: Write) -> None:
    write("extends: b.yaml\n", "a.yaml")
    messages = problems(write("name: b\nextends: a.yaml\n", "b.yaml"))
    assert messages == ["a.yaml:1: extends: the scenarios extend each other in a cycle: b.yaml -> a.yaml -> b.yaml"]


# CSV files


def csv_text(values: list[float], column: str = "kw") -> str:
    return "\n".join([column, *(f"{value:g}" for value in values)]) + "\n"


def test_paths_are_relative_to_the_file_that_wrote_them(write: Write) -> None:
    limit = write(csv_text([9.0] * 24), "folder/limit.csv")
    load = write(csv_text([4.0] * 24), "load.csv")
    write(BASE.replace("import_limit: 20 kW", "import_limit: {csv: limit.csv}"), "folder/base.yaml")
    path = write("extends: folder/base.yaml\nsite: {base_load: {csv: load.csv}}\nprices: {csv: load.csv}\n", "own.yaml")
    scenario = load_scenario(path)
    assert scenario.site.import_limit == PowerFile(csv=str(limit))
    assert scenario.site.base_load == PowerFile(csv=str(load))
    assert scenario.prices == PriceFile(csv=str(load))


def test_a_folder_of_tracks_is_relative_to_the_file_that_names_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    write(BASE + "outlook: {tracks: days, prices: forecast}\n", "base.yaml")
    outlook = load_scenario(write("extends: base.yaml\nname: other\n", "other.yaml")).outlook
    assert isinstance(outlook, OutlookByKind)
    assert outlook.tracks == str((tmp_path / "days").resolve())
    assert outlook.prices == "forecast"
    with pytest.raises(ScenarioError, match=r"other.yaml:3: outlook.tracks: there is no folder .*nights"):
        load_scenario(write("extends: base.yaml\nname: other\noutlook: {tracks: nights}\n", "other.yaml"))


def test_files_of_plug_ins_are_left_to_them(write: Write) -> None:
    text = BASE.replace("{rounding: true}", "{csv: mine.csv}")
    coordinator = load_scenario(write(text)).coordinator
    assert isinstance(coordinator, CoordinatorOptions)
    assert coordinator.options == {"csv": "mine.csv"}


def test_missing_price_file(write: Write) -> None:
    messages = problems(write(BASE.replace("{model: nl/2023, feed_in: 50 %}", "{csv: prices.csv}")))
    assert messages == [
        "scenario.yaml:12: prices.csv: there is no file prices.csv; paths are relative to the scenario file"
    ]


def test_power_series(write: Write) -> None:
    path = write("other,kw\n1,2.5\n1,-3\n", "two.csv")
    assert series_of(PowerFile(csv=str(path), column="kw"), 2) == Series((2.5, -3.0), "by_step")
    assert series_of(7.0, 2) == Series((7.0,))
    assert series_of(PowerByHour(by_hour=[1.0] * 24), 2) == Series((1.0,) * 24, "by_hour")
    with pytest.raises(ValueError, match="there is no such file"):
        series_of(PowerFile(csv=str(path.with_name("none.csv"))), 2)
