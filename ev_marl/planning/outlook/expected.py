"""What the nodes of the coupling graph expect of the rest of the day, from the scenario's models.

A `World` comes in; expected room for vehicles at every step and group, corrected by the present limits, and expected
arrivals go out. The days drawn are training days, never one of those that comparisons run, the same in every process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.planning.vehicles import Vehicles
from ev_marl.policies.base import SiteView, StationView
from ev_marl.simulation.stays import stays_of
from ev_marl.site.arrays import SiteArrays
from ev_marl.world.seeds import day_seeds
from ev_marl.world.world import World

SEED = 20_240_229  # of all that is drawn here
LOAD_DAYS = 60


@dataclass(frozen=True)
class ExpectedRoom:
    """Limits of vehicles' power on drawn days, as means and as how a deviation lasts."""

    mean_kw: np.ndarray  # (2, T, G)  import and export room, the latter as a negative number
    lasting: np.ndarray  # (2, T, T, G)  [t, k]: expected deviation at step k per kW of deviation at step t
    least_kw: np.ndarray  # (2, T, G)  ends of what was drawn
    most_kw: np.ndarray  # (2, T, G)

    @classmethod
    def of(cls, world: World, n_days: int = LOAD_DAYS) -> ExpectedRoom:
        """Draw days without vehicles and fit each later step to each earlier one by least squares."""
        rng = np.random.default_rng(SEED)
        tracks = [
            world.surroundings(world.days[int(rng.integers(len(world.days)))], seed)
            for seed in day_seeds(SEED, n_days, "train")
        ]
        drawn = np.stack([[track.upper_kw, track.lower_kw] for track in tracks])
        finite = np.isfinite(drawn).all(axis=0)
        drawn = np.where(finite, drawn, 0.0)
        mean = drawn.mean(axis=0)
        off = drawn - mean
        shared = np.einsum("dstg,dskg->stkg", off, off)
        own = np.einsum("sttg->stg", shared)
        lasting = np.divide(shared, own[:, :, None, :], out=np.zeros_like(shared), where=own[:, :, None, :] > 1e-9)
        unlimited = np.array([np.inf, -np.inf])[:, None, None]
        return cls(np.where(finite, mean, unlimited), lasting, drawn.min(axis=0), drawn.max(axis=0))

    def given(self, step: int, lower_kw: np.ndarray, upper_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected limits of the steps from `step` on, now being what is seen.

        Parameters
        ----------
        step : int
            This step.
        lower_kw, upper_kw : float64, shape (n_batch, n_groups)
            Its limits [kW].

        Returns
        -------
        lower_kw, upper_kw : float64, shape (n_batch, n_groups, n_steps - step)
            Limits [kW].
        """
        both = []
        for side, now_kw in ((1, lower_kw), (0, upper_kw)):
            mean, lasting = self.mean_kw[side, step:], self.lasting[side, step, step:]
            known = np.isfinite(now_kw) & np.isfinite(mean[0])
            deviation = np.where(known, now_kw, 0.0) - np.where(known, mean[0], 0.0)
            later = mean.T + deviation[:, :, None] * lasting.T
            inside = np.clip(later, self.least_kw[side, step:].T, self.most_kw[side, step:].T)
            later = np.where(np.isfinite(mean.T), inside, later)
            later[:, :, 0] = now_kw
            both.append(np.ascontiguousarray(later))
        return both[0], both[1]


def room_ahead(expected: ExpectedRoom | None, view: SiteView) -> tuple[np.ndarray, np.ndarray]:
    """Limits of vehicles' power from this step on, as expected; without models, the present ones stay.

    Returns
    -------
    lower_kw, upper_kw : float64, shape (n_batch, n_groups, n_steps - step)
        Limits [kW].
    """
    if expected is not None:
        return expected.given(view.step, view.lower_kw, view.upper_kw)
    n_left = view.n_steps - view.step
    return np.repeat(view.lower_kw[:, :, None], n_left, axis=2), np.repeat(view.upper_kw[:, :, None], n_left, axis=2)


@dataclass(frozen=True)
class ExpectedVehicles:
    """The stays of several drawn days together; each counts as one vehicle over the number of days."""

    stays: np.ndarray  # STAY (V,)
    group: np.ndarray  # int64 (V,)
    weight: float

    @classmethod
    def of(cls, world: World, site: SiteArrays, n_days: int) -> ExpectedVehicles:
        """Draw days."""
        stays = np.concatenate([stays_of(site, world.sample(seed)) for seed in day_seeds(SEED, n_days, "train")])
        return cls(stays, site.port_group[stays["port"]], 1.0 / n_days)

    def to_come(self, view: StationView) -> Vehicles:
        """Those who arrive after this step."""
        n_batch = len(view.connected)
        coming = np.where(self.stays["arrival_step"] > view.step, np.arange(len(self.stays)), -1)
        nothing = np.zeros((1, 1))  # what a vehicle can do now is not asked before it has come
        return Vehicles(
            self.stays,
            np.tile(coming, (n_batch, 1)),
            np.tile(self.stays["energy_kwh"], (n_batch, 1)),
            nothing,
            nothing,
        )
