"""A trained policy, run by NumPy alone: observations in, the most likely action of its networks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ev_marl.policies.base import Episode, Information, ObservationView
from ev_marl.policies.learned.description import SITE, PolicyFile
from ev_marl.support.errors import OptionError


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
