"""Scenario files that nobody sane would write: each is refused at once, with the line and the key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ev_marl.scenario import Problem, Scenario, ScenarioError, load_scenario, scenario_from_dict
from ev_marl.scenario.sizes import DEEPEST_SITE
from ev_marl.world import World

PLAIN = """\
name: yard
start: 2023-05-15
step: 15 min
horizon: 24 h
site:
  name: connection
  import_limit: 100 kW
  groups:
    - name: lot
      stations:
        - {type: ac, count: 2, ports: 1, power: 11 kW, efficiency: 0.9}
sessions: {per_port_per_day: 1}
prices: {constant: 0.25 EUR/kWh}
objective: {unmet_energy: 0.40}
action: {levels: 5}
"""


def refused(file: Path) -> tuple[Problem, ...]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file)
    return caught.value.problems


# what is written, what instead, the key, a part of the message; the line is that of the changed line
VALUES = {
    "no whole number": ("horizon: 24 h", "horizon: !!int abc", "horizon", "'abc', written as !!int"),
    "no number": ("horizon: 24 h", "horizon: !!float x", "horizon", "'x', written as !!float"),
    "no time": ("start: 2023-05-15", "start: !!timestamp 2023-13-45", "start", "written as !!timestamp"),
    "no Boolean": ("horizon: 24 h", "horizon: !!bool perhaps", "horizon", "written as !!bool"),
    "binary": ("horizon: 24 h", "horizon: !!binary aGVsbG8=", "horizon", "written as !!binary"),
    "a set": ("prices: {constant: 0.25 EUR/kWh}", "prices: !!set {a, b}", "prices", "the tag !!set"),
    "an object": ("horizon: 24 h", "horizon: !!python/object/apply:os.getcwd []", "horizon", "the tag !!python/object"),
    "a tag of its own": ("horizon: 24 h", "horizon: !mine 24", "horizon", "written as !mine"),
    "many digits": ("horizon: 24 h", f"horizon: {'9' * 400}", "horizon", "at most 18 digits"),
    "many digits with a unit": ("horizon: 24 h", f"horizon: {'9' * 400} h", "horizon", "not a quantity"),
    "too large for a float": ("horizon: 24 h", "horizon: 1e999", "horizon", "a finite number"),
    "NUL": ("horizon: 24 h", 'horizon: "24\\0"', "horizon", "control character"),
    "half a character": ("horizon: 24 h", 'horizon: "\\uD800"', "", "not YAML"),
    "a list as key": ("horizon: 24 h", "? [a, b]\n: 1", "", "a key must be text"),
    "a number as key": ("horizon: 24 h", "2023: 1", "", "the key '2023', which is not text; write it in quotes"),
    "a Boolean as key": ("horizon: 24 h", "true: 1", "", "the key 'true', which is not text; write it in quotes"),
    "nothing as key": ("horizon: 24 h", "~: 1", "", "the key '~', which is not text; write it in quotes"),
    "digits of another script": ("horizon: 24 h", "horizon: ٢٤ h", "horizon", "not a quantity"),
    "merging a number": ("horizon: 24 h", "<<: 5", "<<", "takes the keys of a mapping"),
    "a Boolean count": ("count: 2", "count: true", "site.groups[0].stations[0].count", "a whole number"),
    "text for a count": ("count: 2", "count: '2'", "site.groups[0].stations[0].count", "a whole number"),
    "half a station": ("count: 2", "count: 2.5", "site.groups[0].stations[0].count", "a whole number"),
    "a Boolean number": ("per_port_per_day: 1", "per_port_per_day: yes", "sessions.per_port_per_day", "a number"),
    "the first day of all": ("start: 2023-05-15", "start: 0001-01-01", "start", "1900-01-01 to 2199-12-31"),
    "a date that is a number": ("start: 2023-05-15", "start: 20230515", "start", "expected a date"),
    "many vehicles": ("per_port_per_day: 1", "per_port_per_day: 1e12", "sessions.per_port_per_day", ""),
    "a price near the largest float": ("0.25 EUR/kWh", "1e308 EUR/kWh", "prices.constant", "from 1e-09 to 1e+09"),
    "a limit near the largest float": ("import_limit: 100 kW", "import_limit: 1e307 MW", "site.import_limit", "finite"),
    "hardly anything": ("import_limit: 100 kW", "import_limit: 1e-300 kW", "site.import_limit", "from 1e-09"),
    "a share near 0": ("efficiency: 0.9", "efficiency: 1e-9", "site.groups[0].stations[0].efficiency", "0.01 or more"),
    "a long name": ("name: lot", f"name: {'l' * 300}", "site.groups[0].name", "at most 64"),
    "a long zone": ("horizon: 24 h", f"timezone: {'a/' * 3000}", "timezone", "IANA time zone"),
    "many stations": ("count: 2", "count: 20000000", "site.groups[0].stations[0]", "200,000 ports"),
    "many ports": ("ports: 1", "ports: 1e9", "site.groups[0].stations[0].ports", "200000 or less"),
    "ports in all": ("count: 2, ports: 1", "count: 20000, ports: 20", "site.groups[0].stations[0]", "400,000 ports"),
    "short steps": ("step: 15 min", "step: 0.001 s", "step", "86,400,000 steps"),
    "no step at all": ("step: 15 min", "step: 1e-300", "step", "from 1e-09"),
    "a long horizon": ("horizon: 24 h", "horizon: 1e6 h", "horizon", "100000"),
    "many levels": ("levels: 5", "levels: 1000001", "action.levels", "1001 or less"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_refused_with_its_line(write: Callable[..., Path], case: str) -> None:
    old, new, key, said = VALUES[case]
    assert PLAIN.count(old) == 1
    line = PLAIN[: PLAIN.index(old)].count("\n") + 1
    file = write(PLAIN.replace(old, new))
    found = [problem for problem in refused(file) if problem.key == key]
    assert [(problem.file, problem.line) for problem in found[:1]] == [(str(file), line)]
    assert said in found[0].message


def test_a_tag_that_says_what_a_value_is_anyway_is_read(write: Callable[..., Path]) -> None:
    text = PLAIN.replace("name: yard", "name: !!str yard").replace("count: 2", "count: !!int 2")
    assert load_scenario(write(text)) == load_scenario(write(PLAIN, "plain.yaml"))


def test_merged_keys_stand_behind_written_ones(write: Callable[..., Path]) -> None:
    text = PLAIN.replace("- {type: ac, count: 2,", "- &first {type: ac, count: 2,")
    text = text.replace("sessions:", "        - {<<: *first, count: 3}\nsessions:")
    group = load_scenario(write(text)).site.groups[0]
    assert [(stations.count, stations.power) for stations in group.stations] == [(2, 11.0), (3, 11.0)]


def test_a_fault_in_a_merged_key_is_told_where_it_is_written(write: Callable[..., Path]) -> None:
    text = PLAIN.replace("- {type: ac, count: 2,", "- &first {type: ac, count: x,")
    text = text.replace("sessions:", "        - {<<: *first, power: 7 kW}\nsessions:")
    assert [problem.line for problem in refused(write(text))] == [11, 11]


BOMBS = {
    "aliases": "a0: &a0 [1]\n" + "".join(f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)),
    "merges": "a0: &a0 {k0: 1}\n"
    + "".join(f"a{k}: &a{k} {{x: [*a{k - 1}, *a{k - 1}, *a{k - 1}], <<: *a{k - 1}}}\n" for k in range(1, 30)),
    "many values": "name: [" + "1," * 1_100_000 + "1]\n",
    "lists in lists": "name: " + "[" * 100_000 + "\n",
    "mappings in mappings": "name: " + "{a: " * 5000 + "1" + "}" * 5000 + "\n",
}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_are_refused_before_they_are_built(write: Callable[..., Path], case: str) -> None:
    problem = refused(write(BOMBS[case]))[0]
    assert any(said in problem.message for said in ("values in this file", "nested too deeply", "nesting depth"))
    assert problem.line


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.yaml"
    with file.open("wb") as hole:
        hole.truncate(10**12)
    assert "larger than 10 MB" in refused(file)[0].message


@pytest.mark.parametrize(
    "site",
    [
        "{name: root, groups: [" + ", ".join(f"{{name: g{k}}}" for k in range(20_001)) + "]}",
        "{name: g0, groups: ["
        + ", ".join(f"{{name: g{k}, parent: g{k - 1}}}" for k in range(1, 60))
        + ", {name: last, parent: g59, stations: [{type: ac, power: 11 kW}]}]}",
    ],
    ids=["many groups", "a deep tree"],
)
def test_a_site_of_too_many_groups(write: Callable[..., Path], site: str) -> None:
    problems = refused(write(f"name: yard\nstart: 2023-05-15\nsite: {site}\n"))
    assert [(problem.line, "that is the most" in problem.message) for problem in problems] == [(3, True)]


def _nested(depth: int) -> str:
    site = "{name: last, stations: [{type: ac, power: 11 kW}]}"
    for k in range(depth - 1):
        site = f"{{name: g{k}, groups: [{site}]}}"
    return f"name: yard\nstart: 2023-05-15\nsite: {site}\n"


def test_the_deepest_site_may_be_nested(write: Callable[..., Path]) -> None:
    assert len(list(load_scenario(write(_nested(DEEPEST_SITE))).site.all_groups())) == DEEPEST_SITE
    assert "50 groups hang below each other; that is the most" in refused(write(_nested(DEEPEST_SITE + 1)))[0].message


COUNTS = {
    "stations and ports": ("count: 2, ports: 1", "count: 2.0e5, ports: 2.0e5", "site.groups[0].stations[0]"),
    "vehicles": ("count: 2, ports: 1", "count: 3000.0, ports: 1.0", "sessions.per_port_per_day"),
    "vehicles of long stays": ("per_port_per_day: 1", "per_port_per_day: 1000, stay_scale: 1000", "sessions."),
}


@pytest.mark.parametrize("case", COUNTS)
def test_counts_are_bounded_however_they_are_written(write: Callable[..., Path], case: str) -> None:
    before, after, key = COUNTS[case]
    text = PLAIN.replace("per_port_per_day: 1", "per_port_per_day: 1000") if case == "vehicles" else PLAIN
    problem = refused(write(text.replace(before, after)))[0]
    assert problem.key.startswith(key)
    assert "may" in problem.message


def test_the_names_of_stations_are_taken_however_they_are_counted(write: Callable[..., Path]) -> None:
    text = PLAIN.replace("count: 2", "count: 2.0").replace("name: lot", "name: ac_1")
    assert "is the name of a station" in refused(write(text))[0].message


def test_a_world_draws_no_more_vehicles_than_an_episode_may_have() -> None:
    data = load_scenario("tiny").model_dump(exclude_unset=True)
    data["sessions"]["per_port_per_day"], data["sessions"]["stay_scale"] = 1000.0, 1000.0
    scenario = Scenario.model_validate(data)  # without the checks of a file
    with pytest.raises(ScenarioError, match=r"sessions.per_port_per_day: this makes about .* may be 5,000,000"):
        World(scenario)


def test_many_faults_are_told_a_hundred_at_a_time(write: Callable[..., Path]) -> None:
    groups = ", ".join(f"{{name: g{k}, parent: nobody_{k}}}" for k in range(5000))
    problems = refused(write(f"name: yard\nstart: 2023-05-15\nsite: {{name: root, groups: [{groups}]}}\n"))
    assert 1 < len(problems) <= 200


@pytest.mark.parametrize("steps", ["step: 1 s\nhorizon: 24 h", "step: 1 min\nhorizon: 30 d"])
def test_steps_times_groups(write: Callable[..., Path], steps: str) -> None:
    groups = ", ".join(f"{{name: g{k}, stations: [{{type: ac, power: 11 kW}}]}}" for k in range(2000))
    text = f"name: yard\nstart: 2023-05-15\n{steps}\nsite: {{name: root, groups: [{groups}]}}\n"
    problem = refused(write(text))[0]
    assert (problem.key, problem.line) == ("step", 3)
    assert "steps of 2,001 groups" in problem.message


NAMES = ["a\0b.csv", "x" * 300, "x" * 300 + ".csv", "/" + "y/" * 3000, "loop", "."]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["limit", "prices", "network", "extends"])
def test_odd_names_of_files(tmp_path: Path, write: Callable[..., Path], name: str, key: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    quoted = '"' + name.replace("\0", "\\0") + '"'
    text = {
        "limit": PLAIN.replace("import_limit: 100 kW", f"import_limit: {{csv: {quoted}}}"),
        "prices": PLAIN.replace("constant: 0.25 EUR/kWh", f"csv: {quoted}"),
        "network": PLAIN + f"grid: {{network: {{file: {quoted}}}}}\n",
        "extends": PLAIN + f"extends: {quoted}\n",
    }[key]
    assert all(problem.line for problem in refused(write(text)))


def test_a_scenario_by_an_odd_name(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.yaml")
    names = ["loop.yaml", "endless.yaml", "pipe.yaml", "a\0b", "a\0b.yaml", "x" * 300, "x" * 300 + ".yaml", ".yaml"]
    for name in names:
        refused(tmp_path / name)


def test_a_long_row_of_files_that_extend_each_other(write: Callable[..., Path]) -> None:
    write(PLAIN, "a0.yaml")
    files = [write(f"extends: a{k - 1}.yaml\nname: a{k}\n", f"a{k}.yaml") for k in range(1, 40)]
    assert load_scenario(files[10]).n_steps == 96
    assert "extend each other in a row" in refused(files[-1])[0].message


def test_a_variant_of_a_large_file_is_merged_in_no_time(write: Callable[..., Path]) -> None:
    groups = [f"{{name: g{k}, stations: [{{type: ac, power: 11 kW}}]}}" for k in range(3000)]
    extra = ", ".join(f"'own{k}:Term': {{x: 1}}" for k in range(3000))
    write(
        f"name: yard\nstart: 2023-05-15\nsite: {{name: root, groups: [{', '.join(groups)}]}}\n"
        f"objective: {{extra: {{{extra}}}}}\n",
        "large.yaml",
    )
    other = ", ".join(f"'own{k}:Term': {{x: {k}}}" for k in range(3000))
    scenario = load_scenario(write(f"extends: large.yaml\nobjective: {{extra: {{{other}}}}}\n"))
    assert len(scenario.site.groups) == 3000


def test_numbers_that_python_can_hold_and_a_float_cannot() -> None:
    data = {"name": "yard", "start": "2023-05-15", "horizon": 10**5000, "sessions": {"per_port_per_day": 10**400}}
    with pytest.raises(ScenarioError, match="a finite number") as caught:
        scenario_from_dict(data)
    assert {problem.key for problem in caught.value.problems} >= {"horizon", "sessions.per_port_per_day"}
