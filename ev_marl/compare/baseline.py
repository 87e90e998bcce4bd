"""Before a comparison runs: whether policies fit the site and tracks what they expect, and which one is the baseline.

The choice uses validation days only, so that it is independent of the test days.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.planning.outlook import ExpectedOutlook, make_outlook
from ev_marl.planning.outlook.mismatch import mismatches
from ev_marl.policies import Policy, Rollout, make_policy, rollout
from ev_marl.policies.base import ForeseeingPolicy, PlanningPolicy
from ev_marl.policies.foresight import looks_at
from ev_marl.policies.make import read_learned
from ev_marl.support.errors import RunError
from ev_marl.support.registry import did_you_mean
from ev_marl.world.seeds import policy_seed
from ev_marl.world.track import Track

BEST = "best"
VALIDATION_DAYS = 100


def check_policy_fits(name: str, setting: Setting) -> None:
    """Make a policy and check that it fits, before any day runs: a learned one plays a training day.

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
        policy.check_objective(setting.objective, setting.site.arrays, with_grid=setting.grid is not None)
    if read_learned(name) is not None:
        team_returns(setting, name, setting.world.draw(0, 1, "train"), 0)


def unexpected(setting: Setting, policies: Sequence[str], files: Sequence[Path]) -> tuple[str, ...]:
    """Differences between track files and the days of the scenario's models, if a policy expects those.

    Parameters
    ----------
    setting : Setting
        Scenario and coordinator.
    policies : sequence of str
        Those that run; empty comes back where none of them expects anything from the models.
    files : sequence of Path
        The tracks; empty where days are drawn.
    """
    if not files or not any(_expects(setting, make_policy(name)) for name in policies):
        return ()
    return tuple(mismatches(setting.world, [Track.load(file) for file in files]))


def _expects(setting: Setting, policy: Policy) -> bool:
    """Whether a policy uses expectations from the scenario's models for more than prices."""
    if not isinstance(policy, ForeseeingPolicy):
        return False
    of = make_outlook(setting.scenario.outlook, policy.outlook).of
    asked = (of[kind] for kind in looks_at(policy, setting.objective, with_grid=setting.grid is not None))
    return any(isinstance(outlook, ExpectedOutlook) and outlook.tracks is None for outlook in asked)


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
        where a learned one does), without foresight, the one with the highest mean return over the validation days.
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
    tracks = setting.world.draw(seed, days, "validation")
    played = {name: _played(setting, name, tracks, seed) for name in candidates}
    # Whether a policy has foresight depends on the outlook that it uses.
    means = {name: float(found.team.mean()) for name, found in played.items() if found.information in known}
    if not means:
        raise RunError("no policy that was not learned knows only its own station: name the baseline")
    best = max(means, key=lambda name: means[name])
    kind = "own-station policies" if known == {"own"} else "policies of own station or messages"
    return best, f"best of {len(means)} {kind} on {len(tracks)} validation days"


def team_returns(setting: Setting, policy: str, tracks: Sequence[Track], seed: int) -> np.ndarray:
    """Team return of a policy on many days at once, one batch row each, float64, shape (n_days,) [currency]."""
    return _played(setting, policy, tracks, seed).team


def _played(setting: Setting, policy: str, tracks: Sequence[Track], seed: int) -> Rollout:
    return rollout(
        setting.simulator(tracks),
        setting.objective,
        make_policy(policy),
        tracks,
        seed=policy_seed(seed, policy),
        world=setting.world,
    )
