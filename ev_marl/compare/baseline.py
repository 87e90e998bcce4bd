"""Before a comparison runs: whether each policy fits the site, and which one the others are compared with.

The choice looks at validation days only, so that the test days say nothing about whom they are used to judge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.policies import make_policy, rollout
from ev_marl.policies.base import PlanningPolicy
from ev_marl.policies.learned.spec import read_learned
from ev_marl.support.errors import RunError
from ev_marl.support.registry import did_you_mean
from ev_marl.world.seeds import day_seeds, policy_seed
from ev_marl.world.track import Track

BEST = "best"
VALIDATION_DAYS = 100


def check_policy_fits(name: str, setting: Setting) -> None:
    """Make a policy and see whether it fits, before any day runs: a learned one plays a validation day.

    Parameters
    ----------
    name : str
        As for `make_policy`.
    setting : Setting
        Scenario and coordinator.

    Raises
    ------
    UnknownNameError, OptionError, PolicyError
        If there is no such policy, or if it was not made for this site.
    ObjectiveError
        If it plans, and cannot do so with a term of the objective.
    """
    policy = make_policy(name)
    if isinstance(policy, PlanningPolicy):
        policy.check_objective(setting.objective, setting.site.arrays)
    if read_learned(name) is not None:
        team_returns(setting, name, [setting.world.sample(day_seeds(0, 1, "validation")[0])], 0)


def choose_baseline(
    setting: Setting, policies: Sequence[str], wanted: str, seed: int, days: int = VALIDATION_DAYS
) -> tuple[str, str]:
    """The policy that the others' differences are to, and in words how it was chosen.

    Parameters
    ----------
    setting : Setting
        Scenario and coordinator.
    policies : sequence of str
        Those of the comparison.
    wanted : str
        One of them; or `best`: of those that were not learned and know only their own station (or exchange messages,
        where a learned one does), the one with the highest mean return over the validation days.
    seed : int
        Of the comparison; the validation days are derived from it.
    days : int
        How many validation days.

    Raises
    ------
    RunError
        If the comparison has no such policy.
    """
    if wanted != BEST:
        learned = read_learned(wanted)
        name = wanted if learned is None else str(learned)
        if name not in policies:
            near = did_you_mean(name, list(policies))
            raise RunError(f"the baseline '{wanted}' is not among the policies.{near} They are: {', '.join(policies)}")
        return name, ""
    learned_specs = [spec for name in policies if (spec := read_learned(name)) is not None]
    known = {"own", *(make_policy(str(spec.seeds()[0])).information for spec in learned_specs)} & {"own", "messages"}
    candidates = [name for name in policies if read_learned(name) is None and make_policy(name).information in known]
    if not candidates:
        raise RunError("no policy that was not learned knows only its own station: name the baseline")
    tracks = [setting.world.sample(day) for day in day_seeds(seed, days, "validation")]
    means = {name: float(team_returns(setting, name, tracks, seed).mean()) for name in candidates}
    best = max(means, key=lambda name: means[name])
    kind = "own-station policies" if known == {"own"} else "policies of own station or messages"
    return best, f"best of {len(candidates)} {kind} on {days} validation days"


def team_returns(setting: Setting, policy: str, tracks: Sequence[Track], seed: int) -> np.ndarray:
    """Team return of a policy on many days at once, one batch row each, float64, shape (n_days,) [currency]."""
    simulator = setting.simulator(tracks)
    result = rollout(
        simulator,
        setting.objective,
        make_policy(policy),
        tracks,
        seed=policy_seed(seed, policy),
        world=setting.world,
    )
    return result.team
