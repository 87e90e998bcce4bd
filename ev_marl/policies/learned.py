"""A trained policy: its two files, and how it decides, by NumPy alone.

    policy.json     its description: observations, actions and stations; plain JSON, checked on reading
    weights.npz     its networks

A folder comes in, a policy that takes the most likely action of its networks goes out; training writes such folders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from ev_marl.planning.outlook import Kind
from ev_marl.policies.base import Episode, Information, ObservationView
from ev_marl.scenario.schema import Action, Block
from ev_marl.support.errors import OptionError
from ev_marl.support.files import FileError, is_file, read_arrays, read_bytes

DESCRIPTION, WEIGHTS = "policy.json", "weights.npz"
SITE = "site"  # the one network, and the one agent, of central training
MOST_BYTES = 50_000_000  # of a description

Agents = Literal["shared", "by_type", "central"]
Activation = Literal["tanh", "relu", "silu"]
Layers = list[tuple[np.ndarray, np.ndarray]]


class PolicyFile(BaseModel):
    """The content of `policy.json`."""

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
    agents: Agents
    observation: list[Any]
    """Blocks that it observes."""
    action: Any
    """Kind of its actions."""
    modules: Annotated[dict[str, list[str]], Field(min_length=1)]
    """Stations that each network decides for; `site` for all together."""
    labels: Annotated[list[str], Field(min_length=1)]
    """Numbers of its observation, in order."""
    n_actions: PositiveInt
    """Numbers in the answer of a network."""
    n_levels: PositiveInt | None
    """Levels of each number, where actions are levels."""
    activation: Activation


def _relu(x: np.ndarray) -> np.ndarray:
    positive: np.ndarray = np.maximum(x, 0.0)
    return positive


def _silu(x: np.ndarray) -> np.ndarray:
    gated: np.ndarray = x / (1.0 + np.exp(-x))
    return gated


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"tanh": np.tanh, "relu": _relu, "silu": _silu}


class FullyConnected:
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

    Decentralised ones run one network on each station's own observation: information "own", or "messages" if that
    observation has bookings.

    Parameters
    ----------
    description : PolicyFile
        What it is.
    networks : mapping of str to FullyConnected
        By module.
    source : str
        Where it comes from, for messages.
    """

    looks_at: ClassVar[tuple[Kind, ...]] = ()  # besides its observation

    def __init__(self, description: PolicyFile, networks: Mapping[str, FullyConnected], source: str) -> None:
        self.description = description
        self.networks = dict(networks)
        self.source = source
        self.name = description.name
        self.information: Information = _information(description)
        self.observation: Sequence[Any] | None = description.observation
        self.action: Any | None = description.action

    def reset(self, episode: Episode) -> None:
        """Check that the policy was trained for such a site.

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

    def _decide(self, network: FullyConnected, seen: np.ndarray) -> np.ndarray:
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
    """Bookings are computed from the announcements of other stations; other blocks are the station's own (with the
    voltage of its bus), or broadcast from above: by its groups, and by the lines and transformers that feed its bus."""
    if description.agents == "central":
        return "site"
    announced = any("booking" in (block, *_values(block)) for block in description.observation)
    return "messages" if announced else "own"


def _values(block: Any) -> tuple[Any, ...]:
    return tuple(block.values()) if isinstance(block, Mapping) else ()


def save_policy(folder: Path, description: PolicyFile, networks: Mapping[str, Layers]) -> None:
    """Write a policy.

    Parameters
    ----------
    folder : Path
        Made if it does not exist; each file is written completely or not at all.
    description : PolicyFile
        The content of `policy.json`.
    networks : mapping of str to list of (weight, bias)
        By module, from the input on: weight float32 (n_outputs, n_inputs), bias float32 (n_outputs,).
    """
    arrays: dict[str, Any] = {
        f"{name}.{number}.{kind}": array
        for name, layers in networks.items()
        for number, layer in enumerate(layers)
        for kind, array in zip(("weight", "bias"), layer, strict=True)
    }
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f".{WEIGHTS}"
    with beside.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(beside, folder / WEIGHTS)
    text = json.dumps(description.model_dump(mode="json"), indent=1, ensure_ascii=False)
    beside = folder / f".{DESCRIPTION}"
    beside.write_text(text + "\n", encoding="utf-8")
    os.replace(beside, folder / DESCRIPTION)


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
    if not is_file(path / DESCRIPTION) or not is_file(path / WEIGHTS):
        raise OptionError(f"{path} is not a learned policy: it has no {DESCRIPTION} with {WEIGHTS} beside it")
    try:
        description = PolicyFile.model_validate_json(read_bytes(path / DESCRIPTION, MOST_BYTES))
        TypeAdapter(list[Block]).validate_python(description.observation)
        TypeAdapter(Action).validate_python(description.action)
    except FileError as error:
        raise OptionError(f"{path / DESCRIPTION}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise OptionError(f"{path / DESCRIPTION}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if description.agents == "central" and set(description.modules) != {SITE}:
        raise OptionError(f"{path / DESCRIPTION}: modules: a central policy has the one network '{SITE}'")
    arrays = _arrays(path / WEIGHTS)
    networks = {}
    for name in description.modules:
        layers = _layers(arrays, name)
        problem = _problem(layers, description)
        if problem:
            raise OptionError(f"{path / WEIGHTS}: network '{name}' {problem}")
        networks[name] = FullyConnected(layers, description.activation)
    return LearnedPolicy(description, networks, str(path))


def _arrays(file: Path) -> dict[str, np.ndarray]:
    """All arrays of the file.

    Raises
    ------
    OptionError
        If it cannot be read.
    """
    try:
        return read_arrays(file)
    except FileError as error:
        raise OptionError(f"{file} is damaged ({error}); export the policy again") from error


def _layers(arrays: dict[str, np.ndarray], name: str) -> Layers:
    """Weights and biases of a network, from its input on."""
    layers: Layers = []
    while f"{name}.{len(layers)}.weight" in arrays and f"{name}.{len(layers)}.bias" in arrays:
        layers.append((arrays[f"{name}.{len(layers)}.weight"], arrays[f"{name}.{len(layers)}.bias"]))
    return layers


def _problem(layers: Layers, description: PolicyFile) -> str:
    """What does not fit in a network's layers, "" if all does."""
    if not layers:
        return "is not there"
    width = len(description.labels)
    for number, (weight, bias) in enumerate(layers):
        if weight.dtype.kind != "f" or bias.dtype.kind != "f":
            return f"has weights of the type {weight.dtype} and {bias.dtype}; floating-point numbers are needed"
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
            return (
                f"has weights of shape {weight.shape} and {bias.shape} in layer {number}; "
                f"(n, {width}) and (n,) are needed"
            )
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            return f"has weights that are not finite in layer {number}"
        width = len(bias)
    levels, n_actions = description.n_levels, description.n_actions
    if width != n_actions * levels if levels is not None else width < n_actions:
        return f"answers {width} numbers, too few or too many for {n_actions} actions"
    return ""
