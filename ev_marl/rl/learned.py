"""Learned policies as small files, run by NumPy alone: whoever compares needs neither RLlib nor PyTorch.

A folder holds `policy.json`, what the policy sees and says and for which site, and `weights.npz`, its networks.
`export` writes one from a training run, `load_policy` makes a policy of it that is run like any other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ev_marl.policies.base import Episode, Information, ObservationView
from ev_marl.rl.face import SITE, TrainingFace
from ev_marl.scenario import Scenario
from ev_marl.scenario.schema import Action, Block
from ev_marl.support.errors import OptionError
from ev_marl.support.package import __version__

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm import Algorithm

    from ev_marl.rl.config import TrainingConfig

DESCRIPTION = "policy.json"
WEIGHTS = "weights.npz"

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
}


class PolicyFile(BaseModel):
    """What `policy.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    ev_marl: str
    """Version that wrote it."""
    name: str
    """Of the training configuration."""
    scenario: str
    """Name of the scenario that it was trained on."""
    coordinator: str
    """Under which it was trained."""
    agents: Literal["shared", "by_type", "central"]
    observation: list[Any]
    """Blocks that it sees."""
    action: Any
    """Kind of action that it answers."""
    modules: dict[str, list[str]]
    """Stations that each network decides for; `site` for all at once."""
    labels: list[str]
    """Numbers of its observation, in order."""
    n_actions: int
    """Numbers that a network answers."""
    n_levels: int | None
    """Levels of each number, where actions are levels."""
    activation: Literal["tanh", "relu", "silu"]


class Network:
    """A fully connected network.

    Parameters
    ----------
    layers : sequence of (weight, bias)
        Weight float32 (n_outputs, n_inputs), bias float32 (n_outputs,).
    activation : {"tanh", "relu", "silu"}
        Between layers.
    """

    def __init__(self, layers: Sequence[tuple[np.ndarray, np.ndarray]], activation: str) -> None:
        self.layers = [(np.ascontiguousarray(weight.T), bias) for weight, bias in layers]
        self.activation = _ACTIVATIONS[activation]

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """Outputs, float32, shape (..., n_outputs), for inputs of shape (..., n_inputs)."""
        out = seen
        for number, (weight, bias) in enumerate(self.layers):
            if number:
                out = self.activation(out)
            out = out @ weight + bias
        return out


class LearnedPolicy:
    """A trained policy, deterministic: it takes the most likely action.

    Decentralised ones run one network on each station's own observation: information "own", or "messages" where that
    observation holds bookings.

    Parameters
    ----------
    description : PolicyFile
        What it is.
    networks : mapping of str to Network
        By module.
    source : str
        Where it comes from, for messages.
    """

    def __init__(self, description: PolicyFile, networks: Mapping[str, Network], source: str) -> None:
        self.description = description
        self.networks = dict(networks)
        self.source = source
        self.name = description.name
        self.information: Information = _information(description)
        self.observation: Sequence[Any] | None = description.observation
        self.action: Any | None = description.action

    def reset(self, episode: Episode) -> None:
        """Look whether the site is one that the policy was trained for.

        Raises
        ------
        OptionError
            If it is not.
        """
        if episode.world is None:
            raise OptionError(f"learned policy {self.source} needs to know the site: run it with `world=`")
        stations = episode.world.site.agents
        if self.description.agents == "by_type":
            kinds = [station.rpartition("_")[0] for station in stations]
            unknown = sorted(set(kinds) - set(self.description.modules))
            if unknown:
                raise OptionError(
                    f"learned policy {self.source} has networks for stations of type "
                    f"{', '.join(self.description.modules)}, this site also has {', '.join(unknown)}"
                )
            of = {kind: [a for a, other in enumerate(kinds) if other == kind] for kind in dict.fromkeys(kinds)}
        else:
            of = {next(iter(self.networks)): list(range(len(stations)))}
        self._agents = {name: np.array(agents) for name, agents in of.items()}
        ports = np.diff(episode.site.station_first_port)
        numbers = self.description.n_actions // int(ports.max())
        self._present = np.arange(self.description.n_actions) < (numbers * ports)[:, None]

    def act(self, view: ObservationView) -> np.ndarray:
        """Setpoints, float64, shape (n_batch, n_ports) [kW]."""
        return view.to_setpoints(self.answer(view))

    def answer(self, view: ObservationView) -> np.ndarray:
        """Actions, shape (n_batch, n_ports · numbers of a port)."""
        if self.information == "site":
            assert view.state is not None
            return self._decide(self.networks[SITE], view.state)
        seen = view.observations
        self._fits(seen.shape[2])
        actions = np.zeros((*seen.shape[:2], self.description.n_actions))
        for name, agents in self._agents.items():
            actions[:, agents] = self._decide(self.networks[name], seen[:, agents])
        said: np.ndarray = actions[:, self._present]
        return said

    def _decide(self, network: Network, seen: np.ndarray) -> np.ndarray:
        self._fits(seen.shape[-1])
        out = network(seen)
        n_levels = self.description.n_levels
        if n_levels is None:
            clipped: np.ndarray = np.clip(out[..., : self.description.n_actions], -1.0, 1.0).astype(np.float64)
            return clipped
        levels: np.ndarray = out.reshape(*out.shape[:-1], -1, n_levels).argmax(axis=-1)
        return levels

    def _fits(self, width: int) -> None:
        if width != len(self.description.labels):
            raise OptionError(
                f"learned policy {self.source} was trained on '{self.description.scenario}' with observations of "
                f"{len(self.description.labels)} numbers; this site gives {width}"
            )


def _information(description: PolicyFile) -> Information:
    """Bookings are made of what stations announce; other blocks are the station's own (the voltage of its bus too), or
    broadcast by what stands above it: its groups, and the lines and transformers that feed its bus."""
    if description.agents == "central":
        return "site"
    announced = any("booking" in (block, *_values(block)) for block in description.observation)
    return "messages" if announced else "own"


def _values(block: Any) -> tuple[Any, ...]:
    return tuple(block.values()) if isinstance(block, Mapping) else ()


def load_policy(folder: str | Path) -> LearnedPolicy:
    """Read a policy.

    Parameters
    ----------
    folder : str or Path
        With `policy.json` and `weights.npz`.

    Raises
    ------
    OptionError
        If it is not such a folder, or its files are damaged or of another version.
    """
    path = Path(folder)
    if not (path / DESCRIPTION).is_file() or not (path / WEIGHTS).is_file():
        raise OptionError(f"{path} is no learned policy: it has no {DESCRIPTION} with {WEIGHTS} beside it")
    try:
        description = PolicyFile.model_validate_json((path / DESCRIPTION).read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise OptionError(f"{path / DESCRIPTION}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    networks = {}
    with np.load(path / WEIGHTS) as weights:
        for name in description.modules:
            layers: list[tuple[np.ndarray, np.ndarray]] = []
            while f"{name}.{len(layers)}.weight" in weights:
                number = len(layers)
                layers.append((weights[f"{name}.{number}.weight"], weights[f"{name}.{number}.bias"]))
            if not layers:
                raise OptionError(f"{path / WEIGHTS} has no network '{name}'")
            networks[name] = Network(layers, description.activation)
    return LearnedPolicy(description, networks, str(path))


def describe(config: TrainingConfig, scenario: Scenario) -> PolicyFile:
    """What `policy.json` says of a policy trained in this way."""
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
        What it was built from.
    folder : Path
        Made if it is not there; its two files appear complete or not at all.
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
