"""From a folder to a learned policy: `policy.json` and `weights.npz` are read and checked against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ev_marl.policies.learned.description import DESCRIPTION, SITE, WEIGHTS, PolicyFile
from ev_marl.policies.learned.policy import FullyConnected, LearnedPolicy
from ev_marl.scenario.schema import Action, Block
from ev_marl.support.errors import OptionError
from ev_marl.support.files import FileError, is_file, read_arrays, read_bytes

MOST_BYTES = 50_000_000  # of a description

Layers = list[tuple[np.ndarray, np.ndarray]]


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
        raise OptionError(f"{path} is no learned policy: it has no {DESCRIPTION} with {WEIGHTS} beside it")
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
