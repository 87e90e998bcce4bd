"""Forecasts: the truth with an error that grows with lead time, the same for all policies on the same day.

The error is that of the best forecast of a first-order autoregressive process z of unit variance and memory τ:
e(t, k) = z(k) − exp(−(k − t)Δ/τ)·z(t). So it is 0 now, its standard deviation grows with the lead time as
sqrt(1 − exp(−2·lead/τ)), errors of neighbouring steps are similar, and a new forecast is consistent with the one
before. It does not depend on the length of the step.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from ev_marl.grid.solvers.base import Injections
from ev_marl.planning.outlook.base import OUTLOOKS, Coming, Present, Rows, Truth, states, still_to_come
from ev_marl.planning.outlook.known import KnownOutlook
from ev_marl.support.errors import OptionError
from ev_marl.world.noise import ar1
from ev_marl.world.track import Track
from ev_marl.world.world import World

_PRICES, _LOADS, _GENERATORS, _ARRIVALS = range(4)  # streams of random numbers of a day


@OUTLOOKS.register("forecast")
class ForecastOutlook:
    """The truth with an error that grows with lead time; with all errors 0 it is `known`.

    Errors of a day follow from its start, its seed, and the option `seed`: they are the same for every policy and in
    every process, also if the day is edited.

    Parameters
    ----------
    price_error : float
        Standard deviation of prices at long lead times, the same for buying and selling [currency/kWh].
    load_error : float
        That of base loads, as a share of the group's largest of the day; limits of the vehicles' power follow from it.
        That of loads and generators of the network, as a share of the power of each [-].
    arrival_error_h : float
        That of arrivals; the length of stay is true [h].
    memory_h : float
        τ; at a lead time of τ, 93 % of the standard deviation is reached [h].
    seed : int
        Seed of the errors.
    """

    def __init__(
        self,
        price_error: float = 0.02,
        load_error: float = 0.1,
        arrival_error_h: float = 0.5,
        memory_h: float = 6.0,
        seed: int = 0,
    ) -> None:
        errors = {"price_error": price_error, "load_error": load_error, "arrival_error_h": arrival_error_h}
        for option, value in errors.items():
            if not 0.0 <= value < math.inf:
                raise OptionError(f"outlook 'forecast': {option} must be 0 or more, got {value}")
        if not 0.0 < memory_h < math.inf:
            raise OptionError(f"outlook 'forecast': memory_h must be above 0, got {memory_h}")
        if seed < 0:
            raise OptionError(f"outlook 'forecast': seed must be 0 or more, got {seed}")
        self.price_error, self.load_error = float(price_error), float(load_error)
        self.arrival_error_h, self.memory_h, self.seed = float(arrival_error_h), float(memory_h), int(seed)
        self.foresees = not any(errors.values())

    def begin(self, truth: Truth, world: World | None) -> None:
        """Keep the days; their errors are drawn on demand."""
        self._truth, self._drawn = truth, dict[int, np.ndarray]()
        self._lag1 = math.exp(-truth.days.step_h / self.memory_h)
        self._known = KnownOutlook()
        self._known.begin(truth, world)

    def prices(self, day: Rows, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Prices of the day with an error, the same on buying and selling."""
        buy, sell = self._known.prices(day, step)
        if not self.price_error:
            return buy, sell
        error = self.price_error * self._error(_PRICES, day, step, buy.shape[1])
        return buy + error, sell + error

    def limits_kw(self, present: Present) -> tuple[np.ndarray, np.ndarray]:
        """Limits of the vehicles' power that follow from the forecast base load."""
        if not self.load_error:
            return self._known.limits_kw(present)
        load_kw = self.base_load_kw(present)
        import_kw, export_kw = (table[present.day, present.step :] for table in self._truth.group_limits_kw)
        return np.minimum(0.0, -export_kw - load_kw), np.maximum(0.0, import_kw - load_kw)

    def base_load_kw(self, present: Present) -> np.ndarray:
        """Base load of the day with an error."""
        load_kw = self._known.base_load_kw(present)
        if not self.load_error:
            return load_kw
        largest_kw = np.abs(self._truth.days.base_load_kw).max(axis=1)[present.day]
        error = self._error(_LOADS, present.day, present.step, load_kw.shape[1])
        wrong_kw: np.ndarray = load_kw + self.load_error * largest_kw[:, None] * error[:, :, None]
        return wrong_kw

    def vehicles(self, present: Present, n_days: int) -> Coming:
        """Vehicles of the day, with an error of the arrival time."""
        stays, step = self._truth.stays, present.step
        if self.arrival_error_h:
            arrives = stays["arrival_step"]
            lead = np.maximum(0, arrives - step)
            share = self._arrival_errors() * np.sqrt(1.0 - self._lag1 ** (2.0 * lead))
            shift = np.rint(self.arrival_error_h / self._truth.days.step_h * share).astype(np.int64)
            last = self._truth.days.n_steps - 1
            arrival = np.where(lead > 0, np.clip(arrives + shift, step + 1, last), arrives)
            departure = np.maximum(stays["departure_step"] + arrival - arrives, arrival + 1)
            stays = stays.copy()
            stays["arrival_step"], stays["departure_step"] = arrival, departure
            stays["deadline_step"] = np.minimum(departure, last + 1)
        return still_to_come(self._truth, stays, present.day, step)

    def grid_loads(self, present: Present, n_steps: int) -> Injections:
        """Loads and generators of the day, with one relative error for all loads and one for all generators."""
        known = self._known.grid_loads(present, n_steps)
        if not self.load_error:
            return known
        assert present.grid is not None
        shape = (present.n_batch, n_steps, -1)
        factor = [
            np.maximum(0.0, 1.0 + self.load_error * self._error(kind, present.day, present.step, n_steps))[:, :, None]
            for kind in (_LOADS, _GENERATORS)
        ]
        loads = [factor[0] * part.reshape(shape) for part in (known.load_kw, known.load_kvar)]
        generators = [factor[1] * part.reshape(shape) for part in (known.generator_kw, known.generator_kvar)]
        return states(present.grid, [*loads, *generators])

    def _error(self, kind: int, day: Rows, step: int, n_steps: int) -> np.ndarray:
        """e(step, k) of `n_steps` steps, float64, shape (n_batch, n_steps) [-]."""
        if kind not in self._drawn:
            draws = [ar1(track.n_steps, self._lag1, self._rng(kind, track)) for track in self._truth.tracks]
            self._drawn[kind] = np.stack(draws)
        z = self._drawn[kind][day, step : step + n_steps]
        error: np.ndarray = z - self._lag1 ** np.arange(n_steps) * z[:, :1]
        return error

    def _arrival_errors(self) -> np.ndarray:
        if _ARRIVALS not in self._drawn:
            draws = [self._rng(_ARRIVALS, track).standard_normal(len(track.sessions)) for track in self._truth.tracks]
            self._drawn[_ARRIVALS] = np.concatenate(draws)
        return self._drawn[_ARRIVALS]

    def _rng(self, kind: int, track: Track) -> np.random.Generator:
        which = zlib.crc32(f"{track.start.timestamp()} {track.source.get('seed', '')}".encode())
        return np.random.default_rng(np.random.SeedSequence([self.seed, which], spawn_key=(kind,)))
