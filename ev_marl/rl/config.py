"""Training files: pydantic models with one attribute for each key, its unit and its meaning, and how a file is read.

The name of a shipped file or a path, and `key=value` texts, come in; a frozen `TrainingConfig` goes out, or all faults
of the file, each with its line. RLlib is not imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, Tag, model_serializer, model_validator

from ev_marl.env.blocks import BLOCKS
from ev_marl.policies.learned import Activation, Agents
from ev_marl.scenario.base import FileModel, Model, choice, fault
from ev_marl.scenario.checks import unknown_name
from ev_marl.scenario.loader import validate_document
from ev_marl.scenario.problems import KeyPath, Problem
from ev_marl.scenario.reading import Document, find_file, merge, read_document, read_setting
from ev_marl.scenario.schema import NAME_PATTERN, Action, Block, Levels
from ev_marl.scenario.schema.observation import blocks_of
from ev_marl.scenario.units import NUMBER, WHOLE, Count
from ev_marl.simulation.coordinators import COORDINATORS
from ev_marl.support.package import shipped_files

WHAT = "training file"
_OTHERS = "study"  # names of the other files in that folder begin with this

Positive = Annotated[float, Field(gt=0), NUMBER]
Units = Annotated[int, Field(ge=1, le=16_384), WHOLE]
Share = Annotated[float, Field(ge=0, le=1), NUMBER]
Days = Annotated[int, Field(ge=0), WHOLE]


def _rising(points: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    days = [day for day, _ in points]
    if days[:1] != [0] or sorted(set(days)) != days:
        raise ValueError(f"found days {', '.join(map(str, days)) or 'none'}; the first must be 0, and they must rise")
    return points


Rising = AfterValidator(_rising)


class NeuralNetwork(Model):
    """The policy's and the critic's networks: fully connected, one each."""

    hidden: Annotated[tuple[Units, ...], Field(min_length=1, max_length=16)] = (64, 64)
    """Units of each hidden layer."""
    critic_hidden: Annotated[tuple[Units, ...], Field(min_length=1, max_length=16)] | None = None
    """Units of the critic's hidden layers; by default as `hidden`."""
    activation: Activation = "tanh"
    """Between layers."""
    initial_std: Positive = 0.5
    """Standard deviation of a continuous action at the start; actions are in [−1, 1] [-]."""


class Reward(Model):
    """Rewards during training; results are always computed with the scenario's own objective."""

    team: Share = 1.0
    """Share of the team's mean reward in every agent's reward; the rest is the agent's own [-]."""
    team_of: Literal["site", "group"] = "site"
    """The team: all stations, or those that the same group feeds directly."""
    shaping: Literal["none", "plan", "unmet"] = "plan"
    """Potential-based shaping, which changes no optimal policy: `plan`, the value of the vehicles' own plans;
    `unmet`, the price of the energy that can no longer be delivered in time."""
    credit: Literal["none", "shadow_prices"] = "none"
    """`shadow_prices`: each agent also pays the optimum's shadow prices of the limits above it, known on training days,
    for the power it draws, instead of sharing the site's reward; not for scenarios with `grid:`, since these prices do
    not include the congestion of a network."""
    scale: Positive = 1.0
    """Factor on rewards before learning [-]."""


class Ppo(Model):
    """Proximal policy optimisation, Schulman and others 2017."""

    clip: Positive = 0.2
    """Clipping of the probability ratio [-]."""
    gae_lambda: Share = 0.95
    """λ of generalised advantage estimation [-]."""
    entropy: Annotated[float, Field(ge=0), NUMBER] = 0.0
    """Weight of the entropy bonus [-]."""
    value_loss: Positive = 0.5
    """Weight of the critic's loss [-]."""
    epochs: Count = 4
    """Passes over a batch."""
    minibatch: Count = 4096
    """Agent steps in a minibatch."""
    grad_clip: Positive = 0.5
    """Largest norm of a gradient [-]."""


class Dqn(Model):
    """Deep Q-learning, Mnih and others 2015, for actions that are levels; a branch for each port of a station, as in
    Tavakoli and others 2018, so that the number of levels to choose from does not grow with the ports of a station."""

    replay_days: Count = 500
    """Days in the replay buffer, which is part of checkpoints. A day of 20 stations and 75 numbers per quarter of an
    hour takes 0.6 MB."""
    start_days: Count = 64
    """Days that are played before the first update."""
    batch: Annotated[int, Field(ge=2), WHOLE] = 512
    """Agent steps drawn from the buffer for an update."""
    updates_per_day: Positive = 4.0
    """Updates for each day that is played; rounded to whole updates for a batch of days."""
    epsilon: Annotated[
        Annotated[Share, Tag("<plain>")] | Annotated[tuple[tuple[Days, Share], ...], Rising, Tag("<list>")],
        choice("a share such as 0.05, or [[simulated days, share], ...]", "list"),
    ] = ((0, 1.0), (500, 0.05))
    """Share of ports whose level is drawn at random while exploring: a number, or [[simulated days, share], ...]
    between which it is interpolated [-]."""
    n_step: Count = 1
    """Rewards that are summed before the value of the following step is estimated, in steps."""
    double_q: bool = True
    """Choose the best next level by the trained network and value it by the target network (van Hasselt and others
    2016), which makes values less optimistic."""
    dueling: bool = True
    """Learn the value of a state separately from the advantage of each level (Wang and others 2016)."""
    target_rate: Annotated[float, Field(gt=0, le=1), NUMBER] = 0.01
    """Share by which the target network moves to the trained one after each update [-]."""
    loss: Literal["huber", "mse"] = "huber"
    """Loss of the error of a value."""
    grad_clip: Positive = 10.0
    """Largest norm of a gradient [-]."""

    @model_validator(mode="after")
    def _check(self) -> Dqn:
        if self.start_days > self.replay_days:
            raise fault("start_days", f"found {self.start_days}; no more than replay_days, {self.replay_days}")
        return self


class Sampling(Model):
    """How days are played."""

    envs: Annotated[int, Field(ge=1, le=65_536), WHOLE] = 32
    """Days played side by side by each runner; a batch is `envs` whole days of every runner."""
    runners: Annotated[int, Field(ge=0, le=1000), WHOLE] = 0
    """Processes that sample; 0: the training process itself, best on one machine."""
    pipeline: Literal["arrays", "episodes", "stock"] = "arrays"
    """`arrays`: fastest; `episodes`: RLlib's own learner connectors; `stock`: also RLlib's own environment runner, with
    the rewards of the scenario."""
    replicas: Count = 1
    """Number of rows that play the same day. With 2 or more, the mean advantage of the other rows of the same day is
    subtracted: it removes the effect of the day, such as its arrivals, which does not depend on the action."""
    days: Count | None = None
    """Play this number of training days again and again; without it, every batch has new days."""

    @model_validator(mode="after")
    def _check(self) -> Sampling:
        if self.envs % self.replicas:
            raise fault("replicas", f"found {self.replicas}; it must divide envs, {self.envs}")
        if self.replicas > 1 and self.pipeline != "arrays":
            raise fault("replicas", "only the pipeline `arrays` supports rows that play the same day")
        return self


class Stop(Model):
    """When to stop: at the end of the iteration that reaches one of the limits."""

    days: Annotated[int, Field(ge=1), WHOLE] | None = None
    """Simulated days."""
    minutes: Positive | None = None
    """Wall time of training and validation, resumed parts included [min]. The number of days in that time depends on
    the machine and its load, so such a run is not reproducible."""
    iterations: Annotated[int, Field(ge=1), WHOLE] | None = None
    """Training iterations."""

    @model_validator(mode="after")
    def _check(self) -> Stop:
        if self.days is None and self.minutes is None and self.iterations is None:
            raise fault("", "give a limit: days, minutes or iterations")
        return self


class Validation(Model):
    """Days on which the best policy is chosen and kept."""

    days: Count = 30
    """Number of days; always the same ones, disjoint from training and test days."""
    every: Count = 20
    """Iterations between validations."""


class TrainingConfig(FileModel):
    """A training configuration."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the results."""
    description: str = ""
    """What it is for, in a sentence."""
    algorithm: Literal["ppo", "dqn"] = "ppo"
    """RLlib's algorithm: `ppo` learns from each day once; `dqn` learns from a replay buffer and chooses among
    levels."""
    agents: Agents = "shared"
    """`shared`: one policy that every station runs on its own observation; `by_type`: one for each type of station;
    `central`: one agent that observes the whole site and controls all ports."""
    critic: Literal["own", "state"] = "own"
    """Input of the critic during training: the agent's observation, or also the compact state of the site (MAPPO)."""
    coordinator: str | None = None
    """Instead of the scenario's."""
    observation: list[Block] | None = None
    """Instead of the scenario's."""
    action: Action | None = None
    """Instead of the scenario's."""
    neural_network: NeuralNetwork = NeuralNetwork()
    """Layers of the policy and the critic."""
    reward: Reward = Reward()
    """Rewards."""
    discount: Annotated[float, Field(gt=0, le=1), NUMBER] = 0.99
    """γ per step [-]."""
    learning_rate: Annotated[
        Annotated[Positive, Tag("<plain>")] | Annotated[tuple[tuple[Days, Positive], ...], Rising, Tag("<list>")],
        choice("a number such as 3e-4, or [[simulated days, rate], ...]", "list"),
    ] = 3e-4
    """A number, or [[simulated days, rate], ...] between which it is interpolated."""
    ppo: Ppo = Ppo()
    """Constants of `algorithm: ppo`."""
    dqn: Dqn = Dqn()
    """Constants of `algorithm: dqn`."""
    sampling: Sampling = Sampling()
    """How days are played."""
    stop: Stop = Stop(minutes=10)
    """When training stops."""
    validation: Validation = Validation()
    """On which days the best policy is chosen."""
    checkpoint_minutes: Annotated[float, Field(ge=0), NUMBER] = 1.0
    """Wall time between checkpoints, from which an interrupted training continues [min]; they are written at the end of
    an iteration; 0: after every iteration."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0), WHOLE], ...], Field(min_length=1)] = (0,)
    """One training run each."""

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        if self.reward.credit == "shadow_prices" and self.sampling.days is None:
            raise fault("sampling", "shadow prices are solved before training; give the number of days: {days: 512}")
        if self.critic == "state" and self.sampling.pipeline != "arrays":
            raise fault("critic", "a critic of the state needs the pipeline `arrays`")
        other = "dqn" if self.algorithm == "ppo" else "ppo"
        if other in self.model_fields_set:
            raise fault(other, f"algorithm is {self.algorithm}; remove these constants, with `{other}: null`")
        if self.algorithm == "dqn":
            self._check_dqn()
        if self.sampling.pipeline == "stock":
            self._check_stock()
        return self

    def _check_dqn(self) -> None:
        if self.action is not None and not isinstance(self.action, Levels):
            raise fault("action", "algorithm dqn chooses among levels, such as {levels: [-1, 0, 0.5, 1]}")
        if self.critic == "state":
            raise fault("critic", "algorithm dqn has no critic; `state` needs algorithm ppo")
        if self.neural_network.critic_hidden is not None:
            raise fault("neural_network.critic_hidden", "algorithm dqn has no critic; remove this")
        if self.sampling.pipeline != "arrays":
            raise fault("sampling.pipeline", f"found '{self.sampling.pipeline}'; algorithm dqn only supports `arrays`")
        if self.sampling.replicas > 1:
            raise fault("sampling.replicas", "algorithm dqn has no advantages, so replicas have no effect")
        if self.days_per_batch > self.dqn.replay_days:
            found = self.dqn.replay_days
            raise fault("dqn.replay_days", f"found {found}; it must hold a batch of {self.days_per_batch} days")

    def _check_stock(self) -> None:
        if self.agents == "central":
            raise fault("agents", "the pipeline `stock` has an agent for each station; `central` needs `arrays`")
        reward = self.reward
        if (reward.shaping, reward.credit, reward.scale) != ("none", "none", 1.0) or reward.team not in (0.0, 1.0):
            raise fault(
                "reward", "the pipeline `stock` has the rewards of the scenario only: {team: 0 or 1, shaping: none}"
            )
        if reward.team == 1.0 and reward.team_of != "site":
            raise fault("reward.team_of", "the pipeline `stock` has one team, the site")
        if self.sampling.days is not None:
            raise fault("sampling.days", "the pipeline `stock` plays new days only; remove this")

    def plug_ins(self) -> Iterator[tuple[KeyPath, object]]:
        """Everything in it that can name code: plug-ins with their options, and the key of each."""
        yield from blocks_of(self.observation or ())
        yield ("coordinator",), self.coordinator

    @property
    def days_per_batch(self) -> int:
        """Days that all runners play in an iteration."""
        return self.sampling.envs * max(1, self.sampling.runners)

    @model_serializer(mode="wrap")
    def _without_the_other_algorithm(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialise(self)
        data.pop("dqn" if self.algorithm == "ppo" else "ppo", None)
        return data


def shipped_trainings() -> dict[str, Path]:
    """Training files that come with the package, by name."""
    return {name: path for name, path in shipped_files("training").items() if not name.startswith(_OTHERS)}


def load_training(name_or_path: str | Path, changes: Sequence[str] = (), *, trust: bool = False) -> TrainingConfig:
    """Read a training file.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped training file ("ippo"), or path of a YAML file.
    changes : sequence of str
        `key=value` with dots between keys, such as `ppo.epochs=2`, which replace values of the file, as in a variant
        that extends it; values are YAML.
    trust : bool
        Whether custom code that it names as module:Class may be run. It can be read without, but not used.

    Raises
    ------
    ScenarioError
        If there is anything wrong; all problems at once, each with file, line and key.
    """
    shipped = shipped_trainings()
    document = read_document(find_file(name_or_path, shipped, WHAT), shipped.get, WHAT)
    for change in changes:
        document = merge(document, read_setting(change, "--set"))
    config = validate_document(document, TrainingConfig, _unknown_names(document))
    return config.read_from(document.places, trust=trust)


def _unknown_names(document: Document) -> Iterator[Problem]:
    """Coordinators and observation blocks that do not exist."""
    yield from unknown_name(document, ("coordinator",), COORDINATORS)
    blocks = document.value(("observation",), None)
    for i, block in enumerate(blocks if isinstance(blocks, list) else ()):
        path: KeyPath = ("observation", i)
        yield from unknown_name(document, (*path, "block") if isinstance(block, dict) else path, BLOCKS)
