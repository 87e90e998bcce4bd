"""Expectations from the scenario's models or from given days: means, corrected by the present deviation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.outlook.base import OUTLOOKS, Coming, Present, Rows, Truth, states
from ev_marl.planning.outlook.drawn import Sample, sample_of_folder, sample_of_models
from ev_marl.planning.outlook.present import PresentOutlook
from ev_marl.world.track_files import track_paths
from ev_marl.world.world import World


@OUTLOOKS.register("expected")
class ExpectedOutlook:
    """The mean of days drawn from the scenario's models, given the present values; without models, no change.

    Prices, limits and loads of a later step are their mean over drawn days plus the least-squares prediction from the
    present deviation. Vehicles to come are those of several drawn days, each counted as one divided by their number.

    Parameters
    ----------
    tracks : str, optional
        Folder of track files, or one file, to use instead of drawn days; tracks that are being played are left out.

    Raises
    ------
    TrackError
        If there are no track files.
    """

    foresees = False

    def __init__(self, tracks: str | None = None) -> None:
        if tracks is not None:
            track_paths([Path(tracks)])  # the files are read when a day begins; that there are some is known now
        self.tracks = tracks

    def begin(self, truth: Truth, world: World | None) -> None:
        """Get the days for expectations, and the prices, of which only those of the present step are read.

        Raises
        ------
        TrackError
            If given days do not fit those that are played, or are all played themselves.
        """
        self._days, self._world = truth.days, world
        self._given = None if self.tracks is None else sample_of_folder(self.tracks, truth)
        self._unmoved = PresentOutlook()
        self._unmoved.begin(truth, world)

    @property
    def _sample(self) -> Sample | None:
        """The days for expectations; None if there are neither tracks nor models."""
        if self._given is not None or self._world is None:
            return self._given
        return sample_of_models(self._world)

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Expected prices, given the present ones."""
        sample = self._sample
        if sample is None:
            return self._unmoved.prices(day, step)
        buy, sell = self._days.buy_per_kwh[day, step], self._days.sell_per_kwh[day, step]
        later = sample.surroundings.prices.given(step, np.stack([buy, sell], axis=1))
        return later[:, :, 0].copy(), later[:, :, 1].copy()

    def limits_kw(self, present: Present) -> tuple[np.ndarray, np.ndarray]:
        """Expected limits, given the present ones."""
        sample = self._sample
        if sample is None:
            return self._unmoved.limits_kw(present)
        drawn = sample.surroundings
        step = present.step
        return drawn.lower_kw.given(step, present.lower_kw), drawn.upper_kw.given(step, present.upper_kw)

    def base_load_kw(self, present: Present) -> np.ndarray:
        """Expected base load, given the present one."""
        sample = self._sample
        if sample is None:
            return self._unmoved.base_load_kw(present)
        return sample.surroundings.base_load_kw.given(present.step, present.base_load_kw)

    def vehicles(self, present: Present, n_days: int) -> Coming:
        """The vehicles of drawn days that arrive later."""
        sample = self._sample
        if sample is None:
            return self._unmoved.vehicles(present, n_days)
        stays, weight = sample.vehicles(n_days)
        return Coming(stays, np.tile(stays["arrival_step"] > present.step, (present.n_batch, 1)), weight)

    def grid_loads(self, present: Present, n_steps: int) -> Injections:
        """Expected loads and generators, given the present totals of both."""
        sample = self._sample
        if sample is None:
            return self._unmoved.grid_loads(present, n_steps)
        now = present.grid
        assert now is not None  # only called with a network
        totals = np.stack([now.load_kw.sum(axis=1), now.generator_kw.sum(axis=1)], axis=1)
        expected = sample.grid_loads.given_totals(present.step, n_steps, totals)
        widths = [part.shape[1] for part in (now.load_kw, now.load_kvar, now.generator_kw)]
        return states(now, [part.copy() for part in np.split(expected, np.cumsum(widths), axis=2)])
