"""What a training file may say: pydantic models, one attribute a key, each with its unit and meaning.

Comes in: YAML, read and checked like a scenario. Goes out: a frozen `TrainingConfig`. RLlib is not imported here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag, model_validator

from ev_marl.scenario.schema import Action, Block, Model, choice, fault

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Network(Model):
    """The policy's and the critic's networks: fully connected, one each."""

    hidden: Annotated[tuple[Count, ...], Field(min_length=1)] = (64, 64)
    """Units of each hidden layer."""
    critic_hidden: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    """Units of the critic's hidden layers; left out, as `hidden`."""
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    """Between layers."""
    initial_std: Positive = 0.5
    """Standard deviation of a continuous action at the start; actions live in [−1, 1] [-]."""


class Reward(Model):
    """What an agent is rewarded for while it learns; results are always counted by the scenario's own objective."""

    team: Share = 1.0
    """Share of the team's mean reward in every agent's reward; the rest is the agent's own [-]."""
    team_of: Literal["site", "group"] = "site"
    """Who the team is: all stations, or those that the same group feeds directly."""
    shaping: Literal["none", "plan", "unmet"] = "plan"
    """Potential-based shaping, which changes no optimal policy: `plan`, the value of the vehicles' own plans;
    `unmet`, the price of what a vehicle could no longer be given."""
    credit: Literal["none", "shadow_prices"] = "none"
    """`shadow_prices`: each agent also pays the optimum's shadow prices of the limits above it, known on training days,
    for the power it draws, instead of sharing the site's reward."""
    scale: Positive = 1.0
    """Factor on rewards before learning [-]."""


class Ppo(Model):
    """Proximal policy optimisation, Schulman and others 2017."""

    clip: Positive = 0.2
    """Clipping of the probability ratio [-]."""
    gae_lambda: Share = 0.95
    """λ of generalised advantage estimation [-]."""
    entropy: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the entropy bonus [-]."""
    value_loss: Positive = 0.5
    """Weight of the critic's loss [-]."""
    epochs: Count = 4
    """Passes over a batch."""
    minibatch: Count = 4096
    """Agent steps in a minibatch."""
    grad_clip: Positive = 0.5
    """Largest norm of a gradient [-]."""


class Sampling(Model):
    """How days are played."""

    envs: Count = 32
    """Days played side by side by each runner; a batch is `envs` whole days of every runner."""
    runners: Annotated[int, Field(ge=0)] = 0
    """Processes that sample; 0: the training process itself, best on one machine."""
    pipeline: Literal["arrays", "episodes", "stock"] = "arrays"
    """`arrays`: fastest; `episodes`: RLlib's own learner connectors; `stock`: RLlib's own environment runner too."""
    replicas: Count = 1
    """How many rows play the same day. What they have in common, such as who comes when, is luck or bad luck and not
    the merit of an action: with 2 or more, each row's advantages are counted against those of the others."""
    days: Count | None = None
    """Play the same so many training days again and again; left out, every batch has fresh days."""

    @model_validator(mode="after")
    def _check(self) -> Sampling:
        if self.envs % self.replicas:
            raise fault("replicas", f"found {self.replicas}; it must divide envs, {self.envs}")
        if self.replicas > 1 and self.pipeline != "arrays":
            raise fault("replicas", "only the pipeline `arrays` knows which rows play the same day")
        return self


class Stop(Model):
    """When to stop: at whichever comes first, at the end of an iteration."""

    days: Annotated[int, Field(ge=1)] | None = None
    """Simulated days."""
    minutes: Positive | None = None
    """Wall time of training and validation, over all sittings [min]. How many days fit into it depends on the machine
    and on what else it does, so that such a run is not reproducible."""
    iterations: Annotated[int, Field(ge=1)] | None = None
    """Training iterations."""

    @model_validator(mode="after")
    def _check(self) -> Stop:
        if self.days is None and self.minutes is None and self.iterations is None:
            raise fault("", "say when to stop: days, minutes or iterations")
        return self


class Validation(Model):
    """Days by which the best policy is chosen: it is kept, whatever training does to it later."""

    days: Count = 30
    """How many; always the same ones, disjoint from training and test days."""
    every: Count = 20
    """Iterations between validations."""


class TrainingConfig(Model):
    """One way to train."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
    """Names the results."""
    description: str = ""
    """What it is for."""
    algorithm: Literal["ppo"] = "ppo"
    """RLlib's algorithm."""
    agents: Literal["shared", "by_type", "central"] = "shared"
    """`shared`: one policy that every station runs on its own observation; `by_type`: one for each type of station;
    `central`: one agent that sees and decides everything."""
    critic: Literal["own", "state"] = "own"
    """What the critic sees while training: the agent's observation, or also the compact state of the site (MAPPO)."""
    coordinator: str | None = None
    """Instead of the scenario's."""
    observation: list[Block] | None = None
    """Instead of the scenario's."""
    action: Action | None = None
    """Instead of the scenario's."""
    network: Network = Network()
    """What learns."""
    reward: Reward = Reward()
    """What it learns for."""
    discount: Annotated[float, Field(gt=0, le=1)] = 0.99
    """γ per step [-]."""
    learning_rate: Annotated[
        Annotated[Positive, Tag("<plain>")]
        | Annotated[tuple[tuple[Annotated[int, Field(ge=0)], Positive], ...], Field(min_length=1), Tag("<list>")],
        choice("a number such as 3e-4, or [[simulated days, rate], ...]", "list"),
    ] = 3e-4
    """A number, or [[simulated days, rate], ...] between which it is interpolated."""
    ppo: Ppo = Ppo()
    """Its constants."""
    sampling: Sampling = Sampling()
    """How days are played."""
    stop: Stop = Stop(minutes=10)
    """When training is over."""
    validation: Validation = Validation()
    """By which days the best policy is chosen."""
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 1.0
    """Wall time after which the state is saved again, at the end of an iteration, to go on from after an interruption
    [min]; 0: after every iteration."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """One training run each."""

    @model_validator(mode="after")
    def _check(self) -> TrainingConfig:
        if self.reward.credit == "shadow_prices" and self.sampling.days is None:
            raise fault("sampling", "shadow prices are solved for beforehand; say for how many days: {days: 512}")
        if self.critic == "state" and self.sampling.pipeline != "arrays":
            raise fault("critic", "a critic of the state needs the pipeline `arrays`")
        return self
