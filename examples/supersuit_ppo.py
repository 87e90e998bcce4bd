"""The PettingZoo environment through SuperSuit to PPO of Stable-Baselines3: for those who have such a pipeline already.

    pip install -e ".[supersuit]"
    python examples/supersuit_ppo.py --scenario tiny --days 200

`examples/sb3_ppo.py` does the same on arrays, many times faster. What SuperSuit leaves to do is in `Truncated` and
`make_env`.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import supersuit
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor

import ev_marl


class Truncated(VecEnvWrapper):
    """What SB3 asks for and SuperSuit does not say: that a day was cut and the world goes on, and the render mode."""

    def reset(self) -> np.ndarray:
        return self.venv.reset()

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                info["TimeLimit.truncated"] = True
        return observations, rewards, dones, infos

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "render_mode":
            return [None] * self.num_envs
        return super().get_attr(attr_name, indices)


def make_env(scenario: str | ev_marl.Scenario, n_copies: int, seed: int, **options: Any) -> VecEnv:
    """Stations of some copies of the environment as SB3 environments, as many as n_copies · n_agents."""
    env = supersuit.pad_action_space_v0(ev_marl.parallel_env(scenario, **options))  # to the most ports of a station
    copies = supersuit.concat_vec_envs_v1(
        supersuit.pettingzoo_env_to_vec_env_v1(env), n_copies, num_cpus=0, base_class="stable_baselines3"
    )
    # SuperSuit's face for SB3 cannot be seeded. A seeded reset of what is below starts each copy's generator of days,
    # and every later reset, which SB3 does without a seed, goes on from there.
    copies.venv.reset(seed=seed)
    return VecMonitor(Truncated(copies))


def main(words: list[str] | None = None) -> float:
    """Train, and return the mean return of the site over the last days."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="tiny", help="name or path")
    parser.add_argument("--days", type=int, default=200, help="days to play while training")
    parser.add_argument("--copies", type=int, default=4, help="days played side by side")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)

    env = make_env(options.scenario, options.copies, options.seed, action="bid")
    day = ev_marl.load_scenario(options.scenario).n_steps
    torch.manual_seed(options.seed)  # PPO(seed=...) would try to seed the environment
    env.action_space.seed(options.seed)
    model = PPO("MlpPolicy", env, n_steps=day, batch_size=day * env.num_envs, gamma=0.98, device="cpu")
    n_agents = env.num_envs // options.copies
    model.learn(options.days * day * n_agents)
    last = [episode["r"] for episode in model.ep_info_buffer]
    site = float(np.mean(last)) * n_agents
    print(f"mean return of the site over the last {len(last) // n_agents} days: {site:.2f}")
    return site


if __name__ == "__main__":
    main()
