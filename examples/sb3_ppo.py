"""PPO of Stable-Baselines3: every station is one of its environments, one policy is shared by all.

    pip install -e ".[sb3]"
    python examples/sb3_ppo.py --scenario workplace --days 3200

Prints the score on validation days, untrained and trained: 0 % is uncontrolled charging, 100 % the cooperative optimum.
"""

from __future__ import annotations

import argparse

import numpy as np
from stable_baselines3 import PPO

from ev_marl import BatchedEnv
from ev_marl.rl.config import Reward
from ev_marl.rl.validation import Validation, split_tracks
from ev_marl.rl.vec_env import StationVecEnv


def main(words: list[str] | None = None) -> tuple[float, float]:
    """Train, and return the scores on the validation days before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="workplace", help="name or path")
    parser.add_argument("--days", type=int, default=3200, help="days to play while training")
    parser.add_argument("--envs", type=int, default=32, help="days played side by side")
    parser.add_argument("--train-days", type=int, default=256, help="different days to choose from")
    parser.add_argument("--validation-days", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)

    tracks = split_tracks(options.scenario, options.train_days, "train", seed=options.seed)
    batch = BatchedEnv(options.scenario, options.envs, tracks=tracks, action="bid")
    env = StationVecEnv(batch, reward=Reward(scale=5.0))
    day = batch.max_cycles
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=day,
        batch_size=day * env.num_envs // 16,
        n_epochs=4,
        learning_rate=1e-3,
        gamma=0.97,
        policy_kwargs={"log_std_init": -1.9},
        seed=options.seed,
        device="cpu",
    )
    validation = Validation(options.scenario, options.validation_days, action="bid")

    def act(observations: np.ndarray) -> np.ndarray:
        """All stations of all days at once."""
        return model.predict(observations.reshape(-1, observations.shape[-1]), deterministic=True)[0]

    before = validation.score(act)
    model.learn(options.days * day * len(batch.agents))
    after = validation.score(act)
    print(f"score on {options.validation_days} validation days: {before:.1%} untrained, {after:.1%} trained")
    return before, after


if __name__ == "__main__":
    main()
