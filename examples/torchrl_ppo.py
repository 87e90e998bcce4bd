"""PPO of TorchRL: stations as a group of agents, one actor shared by all, a critic that sees all of them (MAPPO).

    pip install -e ".[torchrl]"
    python examples/torchrl_ppo.py --scenario workplace --iterations 60

Prints the score on validation days, untrained and trained: 0 % is uncontrolled charging, 100 % the cooperative optimum.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import AddStateIndependentNormalScale, TensorDictModule, TensorDictSequential
from torch import nn
from torchrl.envs.utils import ExplorationType, set_exploration_type
from torchrl.modules import MultiAgentMLP, ProbabilisticActor, TanhNormal
from torchrl.objectives import ClipPPOLoss, ValueEstimators

from ev_marl import BatchedEnv
from ev_marl.rl.config import Reward
from ev_marl.rl.torchrl import StationsEnv
from ev_marl.rl.validation import Validation, split_tracks


def actor_of(env: StationsEnv) -> ProbabilisticActor:
    """Each station decides on its own observation, all with the same weights."""
    *_, n_agents, n_inputs = env.observation_spec["agents", "observation"].shape
    n_outputs = env.full_action_spec["agents", "action"].shape[-1]
    mlp = MultiAgentMLP(n_inputs, n_outputs, n_agents, centralized=False, share_params=True, num_cells=[64, 64])
    mean = TensorDictModule(mlp, in_keys=[("agents", "observation")], out_keys=[("agents", "loc")])
    spread = TensorDictModule(
        AddStateIndependentNormalScale(n_outputs, init_value=-1.6),
        in_keys=[("agents", "loc")],
        out_keys=[("agents", "loc"), ("agents", "scale")],
    )
    return ProbabilisticActor(
        TensorDictSequential(mean, spread),
        spec=env.full_action_spec,
        in_keys=[("agents", "loc"), ("agents", "scale")],
        out_keys=[("agents", "action")],
        distribution_class=TanhNormal,
        default_interaction_type=ExplorationType.RANDOM,  # left out, rollouts would not explore
        return_log_prob=True,
        log_prob_key=("agents", "log_prob"),
    )


def critic_of(env: StationsEnv) -> TensorDictModule:
    """The critic sees what all stations see; it is not needed once training is over."""
    *_, n_agents, n_inputs = env.observation_spec["agents", "observation"].shape
    mlp = MultiAgentMLP(n_inputs, 1, n_agents, centralized=True, share_params=True, num_cells=[64, 64])
    return TensorDictModule(mlp, in_keys=[("agents", "observation")], out_keys=[("agents", "state_value")])


def spread_ends(data: TensorDict) -> TensorDict:
    """The day ends for all stations alike: TorchRL's estimator wants it said for each."""
    shape = data["next", "agents", "reward"].shape
    for name in ("done", "terminated"):
        data["next", "agents", name] = data["next", name].unsqueeze(-1).expand(shape)
    return data


def main(words: list[str] | None = None) -> tuple[float, float]:
    """Train, and return the scores on the validation days before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="workplace", help="name or path")
    parser.add_argument("--iterations", type=int, default=60, help="each plays one day in every row and learns")
    parser.add_argument("--envs", type=int, default=32, help="days played side by side")
    parser.add_argument("--train-days", type=int, default=256, help="different days to choose from")
    parser.add_argument("--validation-days", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minibatch", type=int, default=192, help="steps of one row")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)

    torch.manual_seed(options.seed)
    torch.set_num_threads(1)  # networks this small lose time in more
    tracks = split_tracks(options.scenario, options.train_days, "train", seed=options.seed)
    env = StationsEnv(BatchedEnv(options.scenario, options.envs, tracks=tracks, action="bid"), reward=Reward(scale=5.0))
    env.set_seed(options.seed)
    actor, critic = actor_of(env), critic_of(env)
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.0)
    loss.set_keys(
        action=("agents", "action"),
        sample_log_prob=("agents", "log_prob"),
        reward=("agents", "reward"),
        value=("agents", "state_value"),
        done=("agents", "done"),
        terminated=("agents", "terminated"),
    )
    loss.make_value_estimator(ValueEstimators.GAE, gamma=0.97, lmbda=0.95)
    weights = loss.critic_network_params
    optimizer = torch.optim.Adam(loss.parameters(), 5e-4)
    validation = Validation(options.scenario, options.validation_days, action="bid")

    def act(observations: np.ndarray) -> np.ndarray:
        """All stations of all days at once."""
        agents = TensorDict({"observation": torch.tensor(observations)}, observations.shape[:2])
        with torch.no_grad(), set_exploration_type(ExplorationType.DETERMINISTIC):
            return actor(TensorDict({"agents": agents}, observations.shape[:1]))["agents", "action"].numpy()

    before = validation.score(act)
    for _ in range(options.iterations):
        with torch.no_grad():
            data = spread_ends(env.rollout(env.batch.max_cycles, actor))
            loss.value_estimator(data, params=weights, target_params=loss.target_critic_network_params)
        advantage = data["advantage"]
        data["advantage"] = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        steps = data.reshape(-1)
        for _ in range(options.epochs):
            for rows in torch.randperm(len(steps)).split(options.minibatch):
                losses = loss(steps[rows])
                optimizer.zero_grad()
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
    after = validation.score(act)
    print(f"score on {options.validation_days} validation days: {before:.1%} untrained, {after:.1%} trained")
    return before, after


if __name__ == "__main__":
    main()
