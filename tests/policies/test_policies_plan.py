"""Plans: files that never lose anything, and an exact replay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import random_site, random_track
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_cases import make_episode, two_lots

from ev_marl.objective import Objective
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.policies import Plan, PlanPolicy, make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.support.errors import PlanError


def some_plan(n_steps=5, n_ports=4) -> Plan:
    rng = np.random.default_rng(0)
    shape = (n_steps, n_ports)
    energy = np.where(rng.random(shape) < 0.3, np.nan, rng.uniform(0, 60, shape))
    return Plan(rng.uniform(-11, 11, shape), energy)


def test_a_saved_plan_comes_back_bit_by_bit(tmp_path):
    plan = some_plan()
    plan.save(tmp_path / "plan.parquet")
    again = Plan.load(tmp_path / "plan.parquet")
    assert np.array_equal(again.power_kw, plan.power_kw)
    assert np.array_equal(again.energy_kwh, plan.energy_kwh, equal_nan=True)


def test_a_file_is_only_replaced_when_asked(tmp_path):
    path = tmp_path / "plan.parquet"
    some_plan().save(path)
    with pytest.raises(FileExistsError):
        some_plan(3).save(path)
    assert Plan.load(path).n_steps == 5
    some_plan(3).save(path, overwrite=True)
    assert Plan.load(path).n_steps == 3


def test_what_is_no_plan_is_refused(tmp_path):
    with pytest.raises(PlanError, match="one shape"):
        Plan(np.zeros((3, 2)), np.zeros((2, 2)))
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"step": [1]}), other)
    with pytest.raises(PlanError, match="not a plan: expected the columns step, port"):
        Plan.load(other)
    text = tmp_path / "text.parquet"
    text.write_text("hello")
    with pytest.raises(PlanError, match="this is not a Parquet file"):
        Plan.load(text)
    some_plan().save(tmp_path / "plan.parquet")
    table = pq.read_table(tmp_path / "plan.parquet")
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"version": b"9"}), other)
    with pytest.raises(PlanError, match="version 9"):
        Plan.load(other)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"n_steps": b"1000000000"}), other)
    with pytest.raises(PlanError, match="'1000000000' and '4'; expected whole numbers of up to 9 digits"):
        Plan.load(other)
    pq.write_table(table.slice(0, 7), other)
    with pytest.raises(PlanError, match="7 rows, but 5 steps of 4 ports"):
        Plan.load(other)


def test_a_plan_must_fit_its_episode():
    site = two_lots().arrays
    with pytest.raises(PlanError, match="2 plans for 3 batch rows"):
        PlanPolicy([some_plan(), some_plan()]).reset(make_episode(site, n_batch=3, n_steps=5))
    with pytest.raises(PlanError, match="plan of row 1 has 6 steps and 4 ports, the episode 5 and 4"):
        PlanPolicy([some_plan(), some_plan(6)]).reset(make_episode(site, n_batch=2, n_steps=5))


def test_one_plan_serves_every_row_and_a_file_will_do(tmp_path):
    some_plan().save(tmp_path / "plan.parquet")
    policy = make_policy({"name": "plan", "options": {"plan": str(tmp_path / "plan.parquet")}})
    policy.reset(make_episode(two_lots().arrays, n_batch=3, n_steps=5))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_replay_repeats_an_episode_exactly(seed):
    # Record what a random policy did below a coordinator, and replay it without one: the same energies, the same money.
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    tracks = [random_track(rng, site) for _ in range(2)]
    simulator = Simulator(site.arrays, make_coordinator("proportional"), tracks)
    objective = Objective([UnmetEnergy(1.0)])
    power, energy, settled = [], [], []

    def record(flow, rewards, costs):
        connected = simulator_session[-1] >= 0
        power.append(flow.granted_kw.copy())
        energy.append(np.where(connected, flow.energy_kwh, np.nan))
        simulator_session.append(simulator.state.session.copy())

    simulator.load(tracks)
    simulator.reset([0, 1])
    simulator_session = [simulator.state.session.copy()]
    first = rollout(simulator, objective, make_policy("random"), tracks, seed=seed % 1000, watch=record)
    plans = [Plan(np.array(power)[:, row], np.array(energy)[:, row]) for row in range(2)]
    free = Simulator(site.arrays, make_coordinator("none"), tracks)

    def compare(flow, rewards, costs):
        settled.append(np.nanmax(np.abs(np.where(np.isnan(energy[flow.step]), 0, flow.energy_kwh - energy[flow.step]))))
        settled.append(np.abs(flow.granted_kw - power[flow.step]).max())

    second = rollout(free, objective, PlanPolicy(plans), tracks, watch=compare)
    assert max(settled) <= 1e-9
    assert second.team == pytest.approx(first.team, abs=1e-9)


def test_a_damaged_plan_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "plan.parquet"
    power = np.arange(12.0).reshape(4, 3)
    Plan(power, power + 1.0).save(path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(200):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            plan = Plan.load(path)
        except PlanError as error:
            refused.append(str(error))
        else:
            assert np.array_equal(plan.power_kw, power)
    assert len(refused) > 100
    assert all(str(path) in message for message in refused)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("step", [0, 0, 1, -1], r"the column step holds -1 to 1; it counts from 0"),
        ("port", [0, 1, 0, 0], "do not name every step and port once"),
        ("port", [0, 1, 2, 3], "do not name every step and port once"),
        ("step", [0.0, 0.0, 1.0, 1.0], "the column step is double with 0 empty; int64 is needed"),
        ("power_kw", [1.0, None, 1.0, 1.0], "the column power_kw is double with 1 empty; double is needed"),
        ("energy_kwh", [1.0, 1e300, 1.0, 1.0], r"the column energy_kwh holds 1e\+300; at most 1e\+09"),
    ],
)
def test_a_plan_of_wrong_values(tmp_path: Path, column: str, values: list[float | None], said: str) -> None:
    path = tmp_path / "plan.parquet"
    Plan(np.ones((2, 2)), np.ones((2, 2))).save(path)
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(values)), path)
    with pytest.raises(PlanError, match=said):
        Plan.load(path)


def test_a_full_disk_leaves_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Plan(np.ones((2, 2)), np.ones((2, 2))).save(tmp_path / "plan.parquet")
    assert not list(tmp_path.iterdir())
