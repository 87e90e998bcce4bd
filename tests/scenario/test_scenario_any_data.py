"""Whatever a file says, the answer is a scenario or a list of problems, never a traceback."""

from __future__ import annotations

import contextlib
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from ev_marl.scenario import Problem, Scenario, ScenarioError, scenario_from_dict, shipped_scenarios

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["", "x", "1 kW", "-1 h", "a:b", "lot"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["name", "groups", "stations", "parent", "csv", "by_hour", "type", "x"]), inner
        )
    ),
    max_leaves=6,
)
SHIPPED = {name: path.read_text(encoding="utf-8") for name, path in shipped_scenarios().items()}


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in entries for place in _places(value, (*path, key)))]


@given(st.data())
def test_any_data_is_a_scenario_or_a_list_of_problems(data: st.DataObject) -> None:
    scenario = yaml.safe_load(SHIPPED[data.draw(st.sampled_from(sorted(SHIPPED)))])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([place for place in _places(scenario) if place]))
        holder = scenario
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = data.draw(JUNK)
    with contextlib.suppress(ScenarioError):
        assert isinstance(scenario_from_dict(scenario), Scenario)


def test_a_problem_without_file_line_or_key() -> None:
    assert str(Problem("", 0, "", "wrong")) == "wrong"
    assert str(Problem("a.yaml", 0, "", "wrong")) == "a.yaml: wrong"
    assert str(Problem("a.yaml", 3, "key", "wrong")) == "a.yaml:3: key: wrong"
