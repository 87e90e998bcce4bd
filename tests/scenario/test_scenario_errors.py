"""Every fault of a scenario file: where it is said to be, and what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from ev_marl.checks import checked_setting
from ev_marl.scenario import Problem, ScenarioError, load_scenario, scenario_from_dict
from ev_marl.support.errors import EvMarlError

GOOD = """\
name: yard
start: 2023-05-15
until: 2023-05-26
step: 15 min
horizon: 24 h
site:
  name: connection
  import_limit: 100 kW
  groups:
    - name: lot
      import_limit: 50 kW
      stations:
        - {type: ac, count: 2, power: 11 kW}
    - name: hall
      stations:
        - type: bidi
          power: 11 kW
          v2g: true
vehicles:
  v2g_share: 50 %
prices: {constant: 0.25 EUR/kWh}
coordinator: nearest
objective:
  unmet_energy: 0.40 EUR/kWh
observation: [identity, clock, {prices: 6 h}]
action: continuous
"""


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    file = folder / "yard.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        checked_setting(file)
    assert isinstance(caught.value, EvMarlError)
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
    return caught.value.problems


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "yard.yaml").write_text(GOOD, encoding="utf-8")
    scenario = load_scenario(tmp_path / "yard.yaml")
    assert (scenario.n_steps, scenario.site.groups[1].stations[0].power) == (96, 11.0)


# what is written, what instead, key, parts of the message; the line is that of the changed line
CASES = {
    "misspelt key": ("horizon: 24 h", "horizont: 24 h", "horizont", ["unknown key", "Did you mean 'horizon'?"]),
    "misspelt key inside": (
        "      import_limit: 50 kW",
        "      import_limt: 50 kW",
        "site.groups[0].import_limt",
        ["unknown key", "Did you mean 'import_limit'?", "export_limit"],
    ),
    "misspelt key of an entry": (
        "        - {type: ac, count: 2, power: 11 kW}",
        "        - {type: ac, cuont: 2, power: 11 kW}",
        "site.groups[0].stations[0].cuont",
        ["Did you mean 'count'?"],
    ),
    "misspelt value": ("action: continuous", "action: continous", "action", ["Did you mean 'continuous'?", "fraction"]),
    "unknown unit": ("step: 15 min", "step: 15 minutes", "step", ["15 minutes", "h, min, s, d"]),
    "unit of another quantity": (
        "  import_limit: 100 kW",
        "  import_limit: 100 kWh",
        "site.import_limit",
        ["kW, W, MW"],
    ),
    "limit below zero": (
        "      import_limit: 50 kW",
        "      import_limit: -50 kW",
        "site.groups[0].import_limit",
        ["a limit cannot be below zero"],
    ),
    "limit of another shape": (
        "      import_limit: 50 kW",
        "      import_limit: {by_day: [1, 2]}",
        "site.groups[0].import_limit",
        ["by_day", "{by_hour: [24 values]}", "{csv: FILE}"],
    ),
    "limit by hour below zero": (
        "      import_limit: 50 kW",
        f"      import_limit: {{by_hour: {[50] * 23 + [-1]}}}",
        "site.groups[0].import_limit.by_hour[23]",
        ["a limit cannot be below zero"],
    ),
    "too few hours": (
        "      import_limit: 50 kW",
        "      import_limit: {by_hour: [50, 60]}",
        "site.groups[0].import_limit.by_hour",
        ["found 2 values", "24"],
    ),
    "duplicate group": ("    - name: hall", "    - name: lot", "site.groups[1].name", ["'lot'", "in line 10"]),
    "group named as a station": ("    - name: hall", "    - name: ac_1", "site.groups[1].name", ["'ac_1'", "station"]),
    "unknown parent": (
        "    - name: hall",
        "    - {name: hall, parent: lott, stations: [{type: dc, power: 50 kW}]}\n    - name: hall2",
        "site.groups[1].parent",
        ["no group 'lott'", "Did you mean 'lot'?"],
    ),
    "no station": (
        "    - name: hall",
        "    - name: empty\n    - name: hall",
        "site.groups[1]",
        ["'empty'", "no station below it"],
    ),
    "current without phases": (
        "        - {type: ac, count: 2, power: 11 kW}",
        "        - {type: ac, count: 2, current: 16 A}",
        "site.groups[0].stations[0].power",
        ["`power`", "`current` and `phases`"],
    ),
    "power and current": (
        "        - {type: ac, count: 2, power: 11 kW}",
        "        - {type: ac, power: 11 kW, current: 16 A, phases: 3}",
        "site.groups[0].stations[0].power",
        ["not both"],
    ),
    "discharge without v2g": (
        "        - {type: ac, count: 2, power: 11 kW}",
        "        - {type: ac, power: 11 kW, discharge_power: 11 kW}",
        "site.groups[0].stations[0].discharge_power",
        ["v2g: true"],
    ),
    "type with digits": (
        "        - {type: ac, count: 2, power: 11 kW}",
        "        - {type: ac2, count: 2, power: 11 kW}",
        "site.groups[0].stations[0].type",
        ["'ac2'", "lower-case letters"],
    ),
    "no whole count": (
        "        - {type: ac, count: 2, power: 11 kW}",
        "        - {type: ac, count: 2.5, power: 11 kW}",
        "site.groups[0].stations[0].count",
        ["2.5", "whole number"],
    ),
    "horizon not a multiple of the step": ("horizon: 24 h", "horizon: 24.1 h", "horizon", ["96.4", "whole number"]),
    "until before start": ("until: 2023-05-26", "until: 2023-05-01", "until", ["2023-05-01", "before", "2023-05-15"]),
    "no date": ("start: 2023-05-15", "start: 2023-13-45", "start", ["2023-13-45", "a date such as"]),
    "unknown timezone": (
        "horizon: 24 h",
        "timezone: Europe/Amsterdm",
        "timezone",
        ["IANA", "Did you mean 'Europe/Amsterdam'?"],
    ),
    "timezone is a folder": ("horizon: 24 h", "timezone: Europe", "timezone", ["'Europe'", "IANA"]),
    "too large a share": ("  v2g_share: 50 %", "  v2g_share: 150 %", "vehicles.v2g_share", ["150 %", "1 or less"]),
    "prices of no kind": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {modle: nl/2023}",
        "prices",
        ["{model: nl/2023}", "{csv: FILE}", "Did you mean 'model'?"],
    ),
    "prices as a number": ("prices: {constant: 0.25 EUR/kWh}", "prices: 0.25", "prices", ["0.25", "{constant: "]),
    "unknown price model": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {model: nl/2032}",
        "prices.model",
        ["nl/2032", "Did you mean 'nl/20", "nl/2019, nl/2022, nl/2023"],
    ),
    "hours of a tariff without a price": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {time_of_use: [{hours: {0-23: 0.30 EUR/kWh, 8-10: 0.20}}]}",
        "prices.time_of_use[0].hours",
        ["2 for hour 8, 2 for hour 9, none for hour 23", "8-12: 0.25"],
    ),
    "days of a tariff without a price": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {time_of_use: [{days: weekends, hours: {0-24: 0.30}}]}",
        "prices.time_of_use",
        ["no entry fits weekdays of month 1"],
    ),
    "days of a tariff that never count": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {time_of_use: [{hours: {0-24: 0.30}}, {months: [6], hours: {0-24: 0.40}}]}",
        "prices.time_of_use",
        ["entry 2 never counts"],
    ),
    "no hours of a tariff": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {time_of_use: [{hours: {0-25: 0.30}}]}",
        "prices.time_of_use[0].hours.0-25",
        ["found '0-25'", "clock hours such as 8-12"],
    ),
    "a price of a tariff in another currency": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {time_of_use: [{hours: {0-24: 0.30 USD/kWh}}]}",
        "prices.time_of_use[0].hours.0-24",
        ["0.30 USD/kWh", "EUR"],
    ),
    "unknown tariff": (
        "prices: {constant: 0.25 EUR/kWh}",
        "prices: {time_of_use: sce_tou_ev_4}",
        "prices.time_of_use",
        ["'sce_tou_ev_4'", "sce_tou_ev_4_march_2019"],
    ),
    "another currency": (
        "  unmet_energy: 0.40 EUR/kWh",
        "  unmet_energy: 0.40 USD/kWh",
        "objective.unmet_energy",
        ["0.40 USD/kWh", "EUR"],
    ),
    "unknown coordinator": (
        "coordinator: nearest",
        "coordinator: nearst",
        "coordinator",
        ["'nearst'", "Did you mean 'nearest'?", "proportional", "module:Class"],
    ),
    "unknown outlook": (
        "action: continuous",
        "outlook: forcast\naction: continuous",
        "outlook",
        ["'forcast'", "Did you mean 'forecast'?"],
    ),
    "unknown outlook of a kind": (
        "action: continuous",
        "outlook: {prices: {name: forcast}}\naction: continuous",
        "outlook.prices.name",
        ["'forcast'", "Did you mean 'forecast'?"],
    ),
    "unknown kind of outlook": (
        "action: continuous",
        "outlook: {price: forecast}\naction: continuous",
        "outlook.price",
        ["unknown key", "Did you mean 'prices'?"],
    ),
    "none without overload": ("coordinator: nearest", "coordinator: none", "coordinator", ["objective: {overload"]),
    "built-in term as extra": (
        "  unmet_energy: 0.40 EUR/kWh",
        "  extra: {peak_power: {}}",
        "objective.extra.peak_power",
        ["`objective:`"],
    ),
    "unknown block": (
        "observation: [identity, clock, {prices: 6 h}]",
        "observation: [identity, clok]",
        "observation[1]",
        ["'clok'", "Did you mean 'clock'?", "headroom"],
    ),
    "block with an unknown key": (
        "observation: [identity, clock, {prices: 6 h}]",
        "observation: [identity, {price: 6 h}]",
        "observation[1]",
        ["Did you mean 'prices'?"],
    ),
    "levels without zero": ("action: continuous", "action: {levels: [-1, 0.5, 1]}", "action.levels", ["include 0"]),
    "even levels": ("action: continuous", "action: {levels: 4}", "action.levels", ["found 4", "take 5"]),
    "levels of no kind": ("action: continuous", "action: {levels: many}", "action.levels", ["'many'"]),
    "mix of no kind": ("  v2g_share: 50 %", "  mix: us", "vehicles.mix", ["'us'"]),
    "empty mix": ("  v2g_share: 50 %", "  mix: []", "vehicles.mix", ["at least 1"]),
    "missing file": (
        "  import_limit: 100 kW",
        "  import_limit: {csv: nothing.csv}",
        "site.import_limit.csv",
        ["there is no file", "nothing.csv"],
    ),
    "text instead of a mapping": ("vehicles:", "sessions: often\nvehicles:", "sessions", ["'often'", "a mapping"]),
    "no finite number": (
        "vehicles:",
        "sessions: {per_port_per_day: .inf}\nvehicles:",
        "sessions.per_port_per_day",
        ["finite"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_fault(case: str, tmp_path: Path) -> None:
    old, new, key, parts = CASES[case]
    line = GOOD.splitlines().index(old) + 1
    found = problems(tmp_path, GOOD.replace(old + "\n", new + "\n"))
    assert len(found) == 1, found
    assert (found[0].file, found[0].line, found[0].key) == (str(tmp_path / "yard.yaml"), line, key)
    for part in parts:
        assert part in found[0].message
    assert str(found[0]).startswith(f"{tmp_path / 'yard.yaml'}:{line}: {key}: ")


def test_all_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("horizon", "horizont")
        .replace("11 kW", "11 kWh")
        .replace("nearest", "nearst")
        .replace("name: hall", "name: lot")
        .replace("50 %", "150 %")
    )
    found = problems(tmp_path, text)
    assert [problem.key for problem in found] == [
        "horizont",
        "site.groups[0].stations[0].power",
        "site.groups[1].name",
        "site.groups[1].stations[0].power",
        "vehicles.v2g_share",
        "coordinator",
    ]
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)


def test_objective_of_nothing(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD.replace("0.40 EUR/kWh", "0\n  energy_cost: 0"))
    assert (found.key, found.line) == ("objective", GOOD.splitlines().index("objective:") + 1)
    assert "nothing counts" in found.message


def test_missing_key(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        GOOD.replace("start: 2023-05-15\n", "").replace("        - type: bidi\n          power", "        - power"),
    )
    assert [(problem.key, "is missing" in problem.message) for problem in found] == [
        ("start", True),
        ("site.groups[1].stations[0].type", True),
    ]


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("name: yard\n  start: 1\n", 2, "not YAML"),
        ("name: [a, b\nstart: 1\n", 2, "not YAML"),
        ("name: \x07\n", 1, "not YAML"),
        ("name: yard\nstart: 2023-05-15\nname: other\n", 3, "twice, first in line 1"),
        ("- a\n- b\n", 1, "a mapping of keys"),
        ("", 1, "a mapping of keys"),
        ("name: &a [*a]\n", 1, "inside itself"),
    ],
)
def test_files_that_are_no_scenario(text: str, line: int, part: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, text)
    assert part in found.message
    assert found.line == line


def test_not_even_text(tmp_path: Path) -> None:
    (tmp_path / "yard.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ScenarioError, match=r"yard\.yaml:1: this is not UTF-8 text: byte 0xff"):
        load_scenario(tmp_path / "yard.yaml")


def test_cycle_of_parents(tmp_path: Path) -> None:
    text = GOOD.replace("    - name: lot\n", "    - name: lot\n      parent: hall\n").replace(
        "    - name: hall\n", "    - name: hall\n      parent: lot\n"
    )
    (found,) = problems(tmp_path, text)
    assert "cycle" in found.message
    assert "lot -> hall -> lot" in found.message
    assert (found.line, found.key) == (11, "site.groups[0].parent")


def test_own_parent(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD.replace("    - name: lot\n", "    - name: lot\n      parent: lot\n"))
    assert "lot -> lot" in found.message


def test_two_parents(tmp_path: Path) -> None:
    text = GOOD.replace(
        "    - name: hall\n",
        "      groups: [{name: row, parent: hall, stations: [{type: ac, power: 11 kW}]}]\n    - name: hall\n",
    )
    (found,) = problems(tmp_path, text)
    assert (found.line, found.key) == (14, "site.groups[0].groups[0].parent")
    assert "two parents" in found.message
    assert "'lot'" in found.message
    assert "'hall'" in found.message


def test_root_with_a_parent(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD.replace("  name: connection\n", "  name: connection\n  parent: lot\n"))
    assert "the root is the grid connection" in found.message


def test_days_that_do_not_exist(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD.replace("until: 2023-05-26", "until: 2023-05-19\ndays: weekends"))
    assert (found.key, found.line) == ("days", 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kw\n1\n2\n", "has 2 rows; the horizon has 96 steps"),
        ("kw\n" + "5\n" * 95 + "-5\n", "a limit cannot be below zero"),
        ("kw\n" + "5\n" * 95 + "five\n", "row 97: found 'five'; expected a number"),
        ("kw\n" + "5\n" * 95 + "1_0\n", "row 97: found '1_0'; expected a number"),
        ("kw\n" + "5\n" * 95 + "nan\n", "row 97: found 'nan'; expected a number"),
        ("time,kw\n" + "1,5\n" * 96, "has the columns time, kw; say which with `column:`"),
        ("", "say which with `column:`"),
    ],
)
def test_series_files(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "limit.csv").write_text(content, encoding="utf-8")
    (found,) = problems(tmp_path, GOOD.replace("import_limit: 100 kW", "import_limit: {csv: limit.csv}"))
    assert (found.key, found.line) == ("site.import_limit.csv", 8)
    assert str(tmp_path / "limit.csv") in found.message
    assert message in found.message


def test_column_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "limit.csv").write_text("time,kw\n" + "1,5\n" * 96, encoding="utf-8")
    text = GOOD.replace("import_limit: 100 kW", "import_limit: {csv: limit.csv, column: KW}")
    (found,) = problems(tmp_path, text)
    assert "no column 'KW'; it has time, kw" in found.message


def test_good_series_file_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "limit.csv").write_text("time,kw\n" + "1,5\n" * 96, encoding="utf-8")
    text = GOOD.replace("import_limit: 100 kW", "import_limit: {csv: limit.csv, column: kw}")
    (tmp_path / "yard.yaml").write_text(text, encoding="utf-8")
    limit = load_scenario(tmp_path / "yard.yaml").site.import_limit
    assert getattr(limit, "csv", None) == str(tmp_path / "limit.csv")


def test_options_of_plug_ins_are_not_looked_into(tmp_path: Path) -> None:
    text = GOOD.replace(
        "coordinator: nearest", "coordinator: {name: 'mine:Own', options: {csv: x.csv, note: 1 USD/kWh}}"
    )
    (tmp_path / "yard.yaml").write_text(text, encoding="utf-8")
    coordinator = load_scenario(tmp_path / "yard.yaml").coordinator
    assert getattr(coordinator, "options", None) == {"csv": "x.csv", "note": "1 USD/kWh"}


def test_from_a_dictionary() -> None:
    site = {"name": "root", "stations": [{"type": "ac", "power": "11 kW"}]}
    assert scenario_from_dict({"name": "a", "start": "2023-05-15", "site": site}).site.stations[0].power == 11.0
    with pytest.raises(ScenarioError) as caught:
        scenario_from_dict({"name": "a", "start": "2023-05-15", "site": site, "stp": 1})
    assert str(caught.value).startswith("stp: unknown key. Did you mean 'step'?")


def test_yaml_has_no_surprises(tmp_path: Path) -> None:
    """YAML 1.1 would read `no` as false, 12:30 as 750, and an impossible date as a crash."""
    found = problems(tmp_path, GOOD.replace("step: 15 min", "step: 0:15").replace("name: yard", "name: no"))
    assert [problem.key for problem in found] == ["step"]
    assert "'0:15'" in found[0].message
