"""Hot spot and life of a transformer by IEC 60076-7: the rates of the standard, by hand, and in a comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ev_marl.compare.day import Work, run_day
from ev_marl.env.setup import Setting
from ev_marl.grid.loop.thermal import ageing_rate, life
from ev_marl.scenario import load_scenario

RATES = {
    80: 0.125,
    86: 0.25,
    92: 0.5,
    98: 1.0,
    104: 2.0,
    110: 4.0,
    116: 8.0,
    122: 16.0,
    128: 32.0,
    134: 64.0,
    140: 128.0,
}
"""Relative rates of ageing of paper that is not upgraded, IEC 60076-7:2005, table 2, by hot spot [°C]."""
SCENARIO = """
extends: tiny
name: warm
step: 15 min
site:
  import_limit: 100 kW
  base_load: 20 kW
  transformer: {rating: 40 kVA, secondary: 400 V}
weather: {temperature: 30 °C}
"""


@pytest.mark.parametrize(("spot_c", "rate"), RATES.items())
def test_rates_of_the_standard(spot_c: float, rate: float) -> None:
    assert ageing_rate(float(spot_c)) == pytest.approx(rate, rel=1e-9)


def constant(percent: float, hours: float, step_h: float, air_c: float = 20.0, before: float = 100.0) -> np.ndarray:
    n_steps = round(hours / step_h)
    return np.asarray(life(np.full(n_steps, percent), np.full(n_steps, air_c), before, step_h))


def test_a_day_at_rated_load_and_20_degrees_is_a_day() -> None:
    assert constant(100.0, 24.0, 0.25) == pytest.approx([98.0, 24.0])
    assert constant(100.0, 24.0, 0.25, air_c=26.0) == pytest.approx([104.0, 48.0])


def test_an_overload_by_hand() -> None:
    """150 % for three hours, one time constant of the oil, after rated load.

    The oil would rise by 55·((1 + 5·2.25)/6)^0.8 = 97.4 K; it reaches 97.4 − (97.4 − 55)/e = 81.8 K. The hot spot is
    23·1.5^1.6 = 44.0 K above it: 20 + 81.8 + 44.0 = 145.8 °C.
    """
    for step_h in (0.25, 0.5, 1.0):
        hottest_c, used_h = constant(150.0, 3.0, step_h)
        assert hottest_c == pytest.approx(145.8, abs=0.1)
        assert used_h == pytest.approx(constant(150.0, 3.0, 1 / 60)[1], rel=2e-3)
    assert 3 * ageing_rate(119.0) < used_h < 3 * ageing_rate(145.8)


def test_a_comparison_measures_it(tmp_path: Path) -> None:
    """Without charging, 20 kW on 40 kVA at 30 °C: 30 + 55·((1 + 5·0.25)/6)^0.8 + 23·0.5^1.6 = 62.7 °C."""
    (tmp_path / "warm.yaml").write_text(SCENARIO)
    setting = Setting.of(load_scenario(tmp_path / "warm.yaml"))
    setting.world.surroundings(0).save(tmp_path / "day.json")
    work = Work(setting.scenario.model_dump_json(), ("uncontrolled",), track_files=((5, str(tmp_path / "day.json")),))
    idle = run_day(work, 0, 5).of("uncontrolled")
    assert idle.transformer_hot_spot_c == pytest.approx(30 + 55 * (2.25 / 6) ** 0.8 + 23 * 0.5**1.6)
    assert idle.transformer_aged_h == pytest.approx(24 * 2 ** ((idle.transformer_hot_spot_c - 98) / 6))
    busy = run_day(Work(setting.scenario.model_dump_json(), ("uncontrolled",)), 0, 5).of("uncontrolled")
    assert busy.transformer_hot_spot_c is not None
    assert busy.transformer_hot_spot_c > idle.transformer_hot_spot_c + 1.0
