"""The task class of the documentation runs in BenchMARL, where that is installed."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

pytest.importorskip("benchmarl")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "train-elsewhere.md"


@pytest.mark.filterwarnings("default")  # BenchMARL's own
@pytest.mark.parametrize("algorithm", ["IppoConfig", "MappoConfig"])
def test_task_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    algorithms = pytest.importorskip("benchmarl.algorithms")
    experiments = pytest.importorskip("benchmarl.experiment")
    models = pytest.importorskip("benchmarl.models.mlp")
    (block,) = re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "charging_task.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    page = importlib.import_module("charging_task")
    config = experiments.ExperimentConfig.get_from_yaml()
    config.loggers, config.create_json, config.render, config.evaluation = [], False, False, True
    config.max_n_iters, config.max_n_frames, config.save_folder = 1, None, str(tmp_path)
    config.on_policy_n_envs_per_worker, config.on_policy_n_minibatch_iters = 4, 1
    config.on_policy_collected_frames_per_batch = config.evaluation_interval = 4 * 24
    config.on_policy_minibatch_size, config.evaluation_episodes = 48, 4
    experiment = experiments.Experiment(
        task=page.ChargingTask.WORKPLACE.get_task(config={"scenario": "tiny", "n_days": 4}),
        algorithm_config=getattr(algorithms, algorithm).get_from_yaml(),
        model_config=models.MlpConfig.get_from_yaml(),
        critic_model_config=models.MlpConfig.get_from_yaml(),
        seed=0,
        config=config,
    )
    experiment.run()
    assert experiment.total_frames == 4 * 24
    assert experiment.mean_return < 0.0
