"""What the tests of the room `rl` share."""

from __future__ import annotations

from pathlib import Path

from ray.rllib.algorithms.algorithm import Algorithm

from ev_marl.policies.learned import save_policy
from ev_marl.rl.algorithm import actors
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.scenario import Scenario


def export(algorithm: Algorithm, config: TrainingConfig, scenario: Scenario, folder: Path) -> None:
    """Write the policy that an algorithm has now, as training does."""
    description = TrainingFace(config, scenario, 1, 0).description()
    save_policy(folder, description, actors(algorithm, description.modules))
