"""Training on a site that hangs on a network: bounds know it, policies see their own bus of it, and survive export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ray")
pytest.importorskip("pandapower")


from rl_cases import export

import ev_marl
from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import rollout
from ev_marl.policies.learned import load_policy
from ev_marl.rl.algorithm import build
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.training import train
from ev_marl.rl.validation import Validation
from ev_marl.support.errors import EvMarlError, OptionError
from ev_marl.world.seeds import day_seeds

pytestmark = [
    pytest.mark.usefixtures("ray_running"),
    # RLlib's own use of what it or its dependencies deprecate.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:ray"),
]

STREET = "street-lv"


def config(**changes: Any) -> TrainingConfig:
    given: dict[str, Any] = {
        "name": "test",
        "observation": ["ports", {"prices": "6 h"}, "voltage", "grid"],
        "action": "bid",
        "sampling": {"envs": 2},
        "ppo": {"minibatch": 256, "epochs": 1},
        "neural_network": {"hidden": [8]},
        "validation": {"days": 2, "every": 1},
        "stop": {"iterations": 2},
        **changes,
    }
    return TrainingConfig.model_validate(given)


def test_two_iterations_scored_by_the_bound_that_knows_the_network(tmp_path: Path) -> None:
    (result,) = train(config(), ev_marl.load_scenario(STREET), tmp_path)
    assert (result.iteration, result.days) == (2, 4)
    setting = Setting.of(STREET)
    tracks = [setting.world.sample(seed) for seed in day_seeds(0, 2, "validation")]
    kept = json.loads((tmp_path / "validation.json").read_text())
    assert kept["bound"] == [solve_day(setting, track).bound for track in tracks]
    assert Validation(STREET, 2).optimum.tolist() == kept["bound"]
    policy = load_policy(result.folder)
    assert policy.information == "own"
    played = rollout(setting.simulator(tracks), setting.objective, policy, tracks, world=setting.world).team
    gained, possible = (played - kept["uncontrolled"]).sum(), (np.array(kept["bound"]) - kept["uncontrolled"]).sum()
    assert result.best_score == pytest.approx(gained / possible)
    assert 0.5 < result.best_score < 1.0


@pytest.mark.parametrize(
    "changes",
    [{}, {"agents": "central"}, {"algorithm": "dqn", "action": {"levels": [-1, 0, 1]}, "ppo": None}],
    ids=["shared", "central", "dqn"],
)
def test_an_exported_policy_earns_what_the_runner_earned(changes: dict[str, Any], tmp_path: Path) -> None:
    given = {key: value for key, value in {**config().model_dump(), **changes}.items() if value is not None}
    chosen, scenario = TrainingConfig.model_validate(given), ev_marl.load_scenario(STREET)
    algorithm = build(chosen, scenario, seed=3)
    runner = algorithm.env_runner
    tracks = [runner.face.env.world.sample(seed) for seed in day_seeds(5, 2, "validation")]
    runner.face.env.load(tracks)
    _, returns = runner.play(runner.face.play(np.arange(2)), explore=False)
    export(algorithm, chosen, scenario, tmp_path)
    algorithm.stop()
    policy = load_policy(tmp_path)
    setting = Setting.of(scenario)
    again = rollout(setting.simulator(tracks), setting.objective, policy, tracks, world=setting.world).team
    np.testing.assert_allclose(again, returns, rtol=1e-6)
    elsewhere = Setting.of("tiny")
    days = [elsewhere.world.sample(0)]
    with pytest.raises(EvMarlError, match="needs `grid:`"):
        rollout(elsewhere.simulator(days), elsewhere.objective, policy, days, world=elsewhere.world)


def test_a_station_decides_by_the_voltage_of_its_own_bus(tmp_path: Path) -> None:
    chosen, scenario = config(observation=["ports", "voltage"]), ev_marl.load_scenario(STREET)
    algorithm = build(chosen, scenario, seed=0)
    export(algorithm, chosen, scenario, tmp_path)
    algorithm.stop()
    policy = load_policy(tmp_path)
    setting = Setting.of(scenario)
    track = setting.world.sample(0)
    at = setting.site.port_charger  # one port a station
    answers: list[tuple[np.ndarray, np.ndarray]] = []

    class Shaken:
        """Answers twice: before and after the voltage at one bus is another."""

        name, information, observation, action = "shaken", policy.information, policy.observation, policy.action
        reset = staticmethod(policy.reset)

        def act(self, view: Any) -> np.ndarray:
            assert view.state is None
            said = policy.answer(view)
            column = policy.description.labels.index("voltage.deviation")
            seen = simulator.state.grid.flow.vm_pu[:, simulator.grid.spec.charger_bus[at]]
            np.testing.assert_allclose(view.observations[:, :, column], (seen - 1.0) / 0.1, atol=1e-5)
            view.observations[:, at == 2, column] += 0.5
            answers.append((said, policy.answer(view)))
            return view.to_setpoints(said)

    simulator = setting.simulator([track])
    rollout(simulator, setting.objective, Shaken(), [track], world=setting.world)
    for said, shaken in answers:
        changed = (said != shaken).reshape(1, len(at), -1).any(axis=2)
        np.testing.assert_array_equal(changed, (at == 2)[None])


def test_shadow_prices_as_credit_are_refused(tmp_path: Path) -> None:
    chosen = config(reward={"credit": "shadow_prices"}, sampling={"envs": 2, "days": 4})
    with pytest.raises(OptionError, match=r"scenario 'street-lv' also has the limits of a network"):
        train(chosen, ev_marl.load_scenario(STREET), tmp_path / "out")
    assert not (tmp_path / "out").exists()
