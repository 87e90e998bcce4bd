"""Writes the policy of a training run to files that need no training library: its description and its networks.

RLlib's algorithm comes in, `policy.json` and `weights.npz` go out; `policies.learned` reads and runs them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from ev_marl.policies.learned.description import DESCRIPTION, WEIGHTS, PolicyFile
from ev_marl.rl.config import TrainingConfig
from ev_marl.rl.face import TrainingFace
from ev_marl.scenario import Scenario
from ev_marl.scenario.schema import Action, Block
from ev_marl.support.package import __version__

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm


def describe(config: TrainingConfig, scenario: Scenario) -> PolicyFile:
    """The content of `policy.json` for a training configuration."""
    face = TrainingFace(config, scenario, 1, 0)
    env = face.env
    space: Any = face.action_space
    observation = scenario.observation if config.observation is None else config.observation
    action = scenario.action if config.action is None else config.action
    return PolicyFile(
        format=1,
        ev_marl=__version__,
        name=config.name,
        scenario=scenario.name,
        coordinator=config.coordinator or _name_of(scenario),
        agents=config.agents,
        observation=TypeAdapter(list[Block]).dump_python(observation, mode="json"),
        action=TypeAdapter(Action).dump_python(action, mode="json"),
        modules={module.name: [face.agents[a] for a in module.agents] for module in face.modules},
        labels=env.state_labels() if face.central else [row.label for row in env.observation_table()],
        n_actions=int(space.shape[0]) if space.shape else 1,
        n_levels=env.n_levels,
        activation=config.network.activation,
    )


def export(algorithm: Algorithm, config: TrainingConfig, scenario: Scenario, folder: Path) -> None:
    """Write the policy of a training run.

    Parameters
    ----------
    algorithm : Algorithm
        Its networks are `ActorCritic` modules.
    config, scenario
        Its configuration.
    folder : Path
        Made if it does not exist; each file is written completely or not at all.
    """
    description = describe(config, scenario)
    arrays = {}
    for name in description.modules:
        state = algorithm.get_module(name).actor.state_dict()
        linear = sorted({int(key.partition(".")[0]) for key in state})
        for number, key in enumerate(linear):
            for kind in ("weight", "bias"):
                arrays[f"{name}.{number}.{kind}"] = state[f"{key}.{kind}"].numpy()
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{WEIGHTS}"
    with beside.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(beside, folder / WEIGHTS)
    text = json.dumps(description.model_dump(mode="json"), indent=1, ensure_ascii=False)
    beside = folder / f".{DESCRIPTION}"
    beside.write_text(text + "\n", encoding="utf-8")
    os.replace(beside, folder / DESCRIPTION)


def _name_of(scenario: Scenario) -> str:
    given = scenario.coordinator
    return given if isinstance(given, str) else given.name
