"""A year on a network: what is recorded is what single days do, and what pandapower says."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandapower")
pytest.importorskip("simbench")

from ev_marl.compare.grid_metrics import GridRecorder
from ev_marl.env.setup import Setting
from ev_marl.grid.studies import year as year_module
from ev_marl.grid.studies.describe import idle_day
from ev_marl.grid.studies.year import Year, play_year
from ev_marl.grid.studies.year_figure import carpet_of
from ev_marl.grid.studies.year_files import FILES, STEPS, summary, write_year
from ev_marl.grid.studies.year_record import RANDOM, check_states
from ev_marl.policies import make_policy
from ev_marl.policies.rollout import rollout
from ev_marl.scenario import Scenario, load_scenario
from ev_marl.simulation.flow import Flow
from ev_marl.support.errors import NetworkError

FIRST, N_DAYS = date(2023, 3, 24), 4  # over the change of the clocks


def uncoordinated(**changes: object) -> Scenario:
    """The street, with limits that are not enforced."""
    scenario = load_scenario("street-lv")
    assert scenario.grid is not None
    grid = scenario.grid.model_copy(update={"coordinator": "none"})
    return scenario.model_copy(update={"grid": grid, **changes})


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.of(uncoordinated())


@pytest.fixture(scope="module")
def played(setting: Setting) -> Year:
    return play_year(setting, first=FIRST, n_days=N_DAYS, seed=2, samples=6)


def test_every_day_is_that_day_alone(setting: Setting, played: Year) -> None:
    """Dated one after the other, seeded apart, and the same as a day that is played by itself."""
    assert [clock.start.date() for clock in played.clocks] == [FIRST + timedelta(days=k) for k in range(N_DAYS)]
    charged_kwh = lost_kwh = 0.0
    for k in range(N_DAYS):
        track = setting.world.sample(2000 + k, FIRST + timedelta(days=k))
        recorder = GridRecorder(1, track.n_steps)

        def watch(flow: Flow, _rewards: np.ndarray, _costs: np.ndarray) -> None:
            nonlocal charged_kwh
            assert flow.grid is not None
            charged_kwh += flow.step_h * flow.granted_kw.sum()
            recorder.watch(flow.grid, flow.step, flow.step_h)  # noqa: B023  called before the next day

        rollout(
            setting.simulator([track]), setting.objective, make_policy("uncontrolled"), [track], seed=2, watch=watch
        )
        alone = recorder.measured(0)
        np.testing.assert_allclose(played.series.lowest_pu[k], alone.lowest_pu, rtol=0, atol=1e-9)
        np.testing.assert_allclose(played.series.highest_pu[k], alone.highest_pu, rtol=0, atol=1e-9)
        np.testing.assert_allclose(played.series.transformer_percent[k], alone.transformer_percent, rtol=0, atol=1e-6)
        assert played.series.line_percent[k].max() == pytest.approx(alone.line_percent, abs=1e-6)
        lost_kwh += alone.losses_kwh
    assert played.charged_kwh == pytest.approx(charged_kwh)
    assert summary(played)["losses_kwh"] == pytest.approx(lost_kwh)


def test_the_worst_are_the_worst(played: Year) -> None:
    series, spec = played.series, played.spec
    worst = played.worst["lowest voltage"]
    assert worst.value == series.lowest_pu.min() == series.lowest_pu[worst.day, worst.step]
    assert worst.value == played.bus_lowest_pu[spec.buses.index(worst.element)] == played.bus_lowest_pu.min()
    assert played.worst["fullest transformer"].value == series.transformer_percent.max()
    below_h, without_h = played.hours_beyond["voltage below"]
    assert below_h == 0.25 * (series.lowest_pu < 0.95 - 1e-6).sum() > without_h
    assert played.bus_low_steps.max() <= below_h / 0.25 <= played.bus_low_steps.sum()
    assert (series.lowest_pu < series.idle_lowest_pu + 1e-7).all()  # nobody feeds in here


def test_pandapower_agrees_and_a_wrong_result_is_found(setting: Setting, played: Year) -> None:
    kinds = [one.state.why for one in played.checked]
    assert kinds.count(RANDOM) == 6
    assert set(kinds) - {RANDOM} == {
        "lowest voltage", "highest voltage", "fullest line", "fullest transformer", "most charging"
    }  # fmt: skip
    assert played.agrees
    assert 0.0 < max(played.differences) < 1e-3
    lowest = played.checked[0].state
    assert np.nanmin(lowest.vm_pu) == played.series.lowest_pu.min()
    assert setting.grid is not None
    wrong = replace(lowest, vm_pu=lowest.vm_pu + 2e-6)
    assert not replace(played, checked=check_states([wrong], setting.grid)).agrees
    dead = replace(lowest, vm_pu=np.where(np.arange(len(lowest.vm_pu)) == 5, np.nan, lowest.vm_pu))
    assert not replace(played, checked=check_states([dead], setting.grid)).agrees
    fuller = replace(lowest, transformer_percent=lowest.transformer_percent + 2e-3)
    assert not replace(played, checked=check_states([fuller], setting.grid)).agrees


def test_batches_do_not_matter(setting: Setting, played: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year_module, "_MOST_NUMBERS", 1)
    alone = play_year(setting, first=FIRST, n_days=N_DAYS, seed=2, samples=0)
    for name, values in vars(alone.series).items():
        np.testing.assert_allclose(values, getattr(played.series, name), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(alone.bus_low_steps, played.bus_low_steps)
    assert alone.costs == pytest.approx(played.costs)
    assert [one.state.why for one in alone.checked] == [
        one.state.why for one in played.checked if one.state.why != RANDOM
    ]


def test_a_coordinator_keeps_what_nobody_kept(played: Year) -> None:
    kept = play_year(Setting.of("street-lv"), first=FIRST, n_days=N_DAYS, seed=2, samples=0)
    assert kept.hours_beyond["voltage below"][0] == kept.hours_beyond["voltage below"][1]
    assert played.hours_beyond["voltage below"][0] > 0.0
    facts = summary(kept)
    assert facts["curtailed_steps"] > 0
    assert facts["curtailed_kwh"] > 0.0
    assert summary(played)["curtailed_steps"] == 0


def test_taps_are_those_of_the_step() -> None:
    """A changer that moves in the year: pandapower solves each step at the position that it had then."""
    scenario = load_scenario("village-2034")
    assert scenario.grid is not None
    taps = {"transformer": 0, "voltage": [1.00, 1.01]}
    grid = type(scenario.grid).model_validate(
        {**scenario.grid.model_dump(), "tap_control": taps, "coordinator": "none"}
    )
    year = play_year(Setting.of(scenario.model_copy(update={"grid": grid})), n_days=1, samples=8)
    assert len({one.state.tap for one in year.checked}) > 1
    assert year.agrees


def test_files_say_what_happened(setting: Setting, played: Year, tmp_path: Path) -> None:
    assert setting.site.network is not None
    write_year(played, setting.site.network, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    rows = (tmp_path / STEPS).read_text().splitlines()
    assert len(rows) == 1 + N_DAYS * 96
    worst = played.worst["lowest voltage"]
    row = rows[1 + 96 * worst.day + worst.step].split(",")
    assert float(row[1]) == pytest.approx(worst.value, abs=1e-6)
    assert row[2] == worst.element
    assert all((tmp_path / name).read_bytes()[:4] == b"\x89PNG" for name in FILES if name.endswith(".png"))


def test_the_carpet_knows_the_clock(played: Year) -> None:
    """Days start at noon; the night the clocks go forward lacks an hour, and the day lacks none."""
    first, carpet = carpet_of(played, played.series.lowest_pu)
    assert (first, carpet.shape) == (FIRST, (96, N_DAYS + 1))
    assert np.isnan(carpet[:48, 0]).all()
    assert np.isnan(carpet[8:12, 2]).all()
    assert np.isfinite(carpet[:8, 2]).all()
    assert carpet[48, 0] == played.series.lowest_pu[0, 0]


def test_a_year_is_made_of_days() -> None:
    with pytest.raises(NetworkError, match="horizon"):
        play_year(Setting.of(uncoordinated(horizon=12.0)), n_days=1)
    with pytest.raises(NetworkError, match="no network"):
        play_year(Setting.of("tiny"), n_days=1)


def overloaded(scale: float) -> Scenario:
    """The street with loads that its network does not carry all day, or never."""
    scenario = uncoordinated()
    assert scenario.grid is not None
    loads = scenario.grid.loads.model_copy(update={"scale": scale})
    return scenario.model_copy(update={"grid": scenario.grid.model_copy(update={"loads": loads})})


def test_steps_without_a_power_flow_are_counted_and_otherwise_left_out(tmp_path: Path) -> None:
    setting = Setting.of(overloaded(3.5))
    bad = play_year(setting, n_days=1, samples=0)
    failed = bad.series.failed
    assert 0 < failed.sum() < failed.size
    assert idle_day(setting.grid, setting.world.sample(0, setting.scenario.start)).n_failed == failed.sum()
    for extreme in bad.worst.values():
        assert np.isfinite(extreme.value)
        assert not failed[extreme.day, extreme.step]
    assert np.isinf(bad.series.lowest_pu[failed]).all()
    assert bad.series.losses_kw[failed].tolist() == [0.0] * int(failed.sum())
    assert bad.hours_beyond["voltage below"][0] <= bad.step_h * (~failed).sum()
    write_year(bad, setting.site.network, tmp_path)
    assert summary(bad)["failed_steps"] == failed.sum()


def test_a_year_without_any_power_flow_is_an_error() -> None:
    with pytest.raises(NetworkError, match=r"no solution in any of the 24 steps, even without charging"):
        play_year(Setting.of(overloaded(100.0).model_copy(update={"step": 1.0})), n_days=1, samples=1)
