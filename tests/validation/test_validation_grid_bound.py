"""Days on real networks: no policy earns more than the bound, and the plan comes close to it and is carried."""

from __future__ import annotations

import pytest

pytest.importorskip("pandapower")
pytest.importorskip("simbench")

from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import Scenario, load_scenario

RIVALS = ("uncontrolled", "best-response", "llf")
# Days on which the network matters, where there is one, and one of street and village on which it does not.
DAYS = [
    ("street-lv", 0),
    ("street-lv", 3),
    ("street-lv", 4),
    ("village-2034", 0),
    ("village-2034", 2),
    ("village-2034", 3),
    ("town-mv", 7),
]
PRICES = {"voltage_deviation": 5.0, "line_overload": 0.2, "transformer_overload": 0.3, "grid_losses": 0.25}


def check(scenario: str | Scenario, seed: int, *, gap: float) -> None:
    setting = Setting.of(scenario)
    track = setting.world.sample(seed)
    solution = solve_day(setting, track)
    size = max(1.0, abs(solution.bound))
    simulator = setting.simulator([track])
    for name in RIVALS:
        result = rollout(simulator, setting.objective, make_policy(name), [track], world=setting.world)
        assert result.team[0] <= solution.bound + 1e-6 * size, name
    assert -1e-6 * size <= solution.gap <= gap * size
    assert solution.grid is not None
    if setting.scenario.grid is not None and setting.scenario.grid.coordinator == "curtail":
        assert solution.grid.checked_voltage_violation_pu == 0.0
        assert solution.grid.checked_loading_violation_percent == 0.0
        assert solution.grid.curtailed_kwh == pytest.approx(0.0, abs=1e-3)
    values = [part.value for part in solution.grid.formulations if part.kind == "bound"]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(("name", "seed"), DAYS)
def test_nobody_beats_the_bound_on_a_network_with_limits(name: str, seed: int) -> None:
    check(name, seed, gap=2e-3)


def test_nobody_beats_the_bound_on_a_network_with_prices() -> None:
    scenario = load_scenario("street-lv").model_dump(mode="json")
    scenario["grid"]["coordinator"] = "none"
    scenario["start_hour"], scenario["horizon"] = "17 h", "8 h"
    scenario["objective"].update(PRICES)
    check(Scenario.model_validate(scenario), 0, gap=2e-3)
