"""PPO in one file, in the manner of CleanRL: one policy shared by all stations, on the batched environment.

    pip install -e . torch
    python examples/cleanrl_ppo.py --scenario workplace --iterations 100

Prints the return of the training days as it goes, and the score on validation days: 0 % is uncontrolled charging, 100 %
the cooperative optimum.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from ev_marl import BatchedEnv
from ev_marl.rl.config import Reward
from ev_marl.rl.rewards import TrainingReward
from ev_marl.rl.stations import StationActions, training_reward
from ev_marl.rl.validation import Validation, split_tracks


class Agent(nn.Module):
    """Actor and critic, the same for all stations."""

    def __init__(self, n_inputs: int, n_actions: int, n_hidden: int = 64) -> None:
        super().__init__()
        self.actor = network(n_inputs, n_hidden, n_actions, last_gain=0.01)
        self.critic = network(n_inputs, n_hidden, 1, last_gain=1.0)
        self.log_std = nn.Parameter(torch.full((n_actions,), -1.9))

    def policy(self, observations: Tensor) -> Normal:
        """Distribution of actions."""
        mean = self.actor(observations)
        return Normal(mean, self.log_std.exp().expand_as(mean))

    def value(self, observations: Tensor) -> Tensor:
        """Return to expect from here."""
        return self.critic(observations).squeeze(-1)


def network(n_inputs: int, n_hidden: int, n_outputs: int, last_gain: float) -> nn.Sequential:
    """Two hidden layers, orthogonal weights."""
    layers = [nn.Linear(n_inputs, n_hidden), nn.Linear(n_hidden, n_hidden), nn.Linear(n_hidden, n_outputs)]
    for layer, gain in zip(layers, (2**0.5, 2**0.5, last_gain), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


@dataclass
class Batch:
    """One day of every row; T steps, B rows, A stations."""

    observations: Tensor  # (T, B, A, W)
    actions: Tensor  # (T, B, A, K)
    log_probs: Tensor  # (T, B, A)
    rewards: Tensor  # (T, B, A)
    values: Tensor  # (T + 1, B, A)  the last: of what was seen when the day was cut
    returns: np.ndarray  # (B,)  of the site, not scaled [currency]


def play(env: BatchedEnv, stations: StationActions, agent: Agent, reward: TrainingReward) -> Batch:
    """Play one day in every row."""
    seen, done, log_probs, rewards, values = [], [], [], [], []
    observations = env.reset()
    reward.reset(env.simulator)
    while True:
        now = torch.tensor(observations)  # a copy: the environment writes into its arrays again
        with torch.no_grad():
            policy = agent.policy(now)
            action = policy.sample()
            values.append(agent.value(now))
        seen.append(now)
        done.append(action)
        log_probs.append(policy.log_prob(action).sum(-1))
        observations, earned, _, truncated, info = env.step(stations.join(action.clamp(-1.0, 1.0).numpy()))
        rewards.append(torch.from_numpy(reward.step(earned, info.flow, bool(truncated[0]), env.simulator)))
        if info.final_observation is not None:
            with torch.no_grad():
                values.append(agent.value(torch.tensor(info.final_observation)))
            stacked = [torch.stack(column) for column in (seen, done, log_probs, rewards, values)]
            return Batch(*stacked, info.episode_return.sum(axis=1))


def advantages(batch: Batch, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimates of all rows and stations at once, shape (T, B, A)."""
    delta = batch.rewards + gamma * batch.values[1:] - batch.values[:-1]
    out = torch.empty_like(delta)
    last = torch.zeros_like(delta[0])
    for t in reversed(range(len(delta))):
        out[t] = last = delta[t] + gamma * lam * last
    return out


def learn(agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, options: argparse.Namespace) -> None:
    """Some epochs of clipped policy gradient and value regression."""
    advantage = advantages(batch, options.gamma, options.gae_lambda)
    target = (advantage + batch.values[:-1]).flatten()
    advantage = ((advantage - advantage.mean()) / (advantage.std() + 1e-8)).flatten()
    observations, actions = batch.observations.flatten(0, 2), batch.actions.flatten(0, 2)
    log_probs = batch.log_probs.flatten()
    for _ in range(options.epochs):
        for rows in torch.randperm(len(target)).split(options.minibatch):
            policy = agent.policy(observations[rows])
            ratio = (policy.log_prob(actions[rows]).sum(-1) - log_probs[rows]).exp()
            clipped = ratio.clamp(1.0 - options.clip, 1.0 + options.clip)
            gain = torch.minimum(ratio * advantage[rows], clipped * advantage[rows]).mean()
            value_loss = 0.5 * (agent.value(observations[rows]) - target[rows]).square().mean()
            entropy = policy.entropy().sum(-1).mean()
            optimizer.zero_grad()
            (value_loss - gain - options.entropy * entropy).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def mean_action(agent: Agent, observations: np.ndarray) -> np.ndarray:
    """What the policy does when it does not explore."""
    with torch.no_grad():
        return agent.actor(torch.as_tensor(observations)).clamp(-1.0, 1.0).numpy()


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="workplace", help="name or path")
    parser.add_argument("--action", default="bid", help="continuous, fraction or bid")
    parser.add_argument("--iterations", type=int, default=100, help="each plays one day in every row and learns")
    parser.add_argument("--envs", type=int, default=32, help="rows")
    parser.add_argument("--train-days", type=int, default=512)
    parser.add_argument("--validation-days", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--gamma", type=float, default=0.97)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--clip", type=float, default=0.2)
    parser.add_argument("--entropy", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--minibatch", type=int, default=4096, help="steps of one station")
    parser.add_argument("--shaping", default="plan", help="none, plan or unmet")
    parser.add_argument("--team-share", type=float, default=1.0, help="of the site's mean reward in each station's")
    parser.add_argument("--reward-scale", type=float, default=5.0)
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> float:
    """Train, and return the score on the validation days."""
    options = arguments(words)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)  # networks this small lose time in more
    tracks = split_tracks(options.scenario, options.train_days, "train", seed=options.seed)
    env = BatchedEnv(options.scenario, options.envs, tracks=tracks, action=options.action, seed=options.seed)
    stations = StationActions(env)
    agent = Agent(env.single_observation_space.shape[0], stations.width)
    optimizer = torch.optim.Adam(agent.parameters(), lr=options.learning_rate, eps=1e-5)
    reward = training_reward(Reward(team=options.team_share, shaping=options.shaping, scale=options.reward_scale), env)
    validation = Validation(options.scenario, options.validation_days, action=options.action)
    print(f"{options.scenario}: {len(env.agents)} stations, {options.envs} rows, {len(tracks)} training days")
    begin = time.perf_counter()
    for iteration in range(options.iterations):
        optimizer.param_groups[0]["lr"] = options.learning_rate * (1.0 - iteration / options.iterations)
        batch = play(env, stations, agent, reward)
        learn(agent, optimizer, batch, options)
        if (iteration + 1) % max(1, options.iterations // 10) == 0:
            score = validation.score(lambda seen: mean_action(agent, seen))
            seconds, earned = time.perf_counter() - begin, batch.returns.mean()
            print(f"iteration {iteration + 1:4d}  {seconds:5.0f} s  return {earned:8.2f}  score {score:7.1%}")
    days = validation.returns(lambda seen: mean_action(agent, seen)).mean()
    print(
        f"validation, mean of {len(validation.tracks)} days: return {days:.2f}, "
        f"uncontrolled {validation.uncontrolled.mean():.2f}, optimum {validation.optimum.mean():.2f}"
    )
    return validation.score(lambda seen: mean_action(agent, seen))


if __name__ == "__main__":
    main()
