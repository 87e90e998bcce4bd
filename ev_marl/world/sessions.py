"""When vehicles come, how long they stay, how much energy they want: in continuous time, whatever the step.

A grid of clock hours comes in, `Arrivals` go out. The models of the package draw from hour-conditional lognormals
fitted to data; one of your own is any class with a `draw` method, named in a scenario as module:Class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from ev_marl.scenario import schema
from ev_marl.support.errors import DataError
from ev_marl.support.registry import Registry
from ev_marl.world.calibration import figures
from ev_marl.world.hours import HourGrid

LEAST_SOC_ON_ARRIVAL = 0.05  # nobody arrives with less; assumption


@dataclass(frozen=True)
class Arrivals:
    """N vehicles that come, in order of arrival."""

    arrival_h: np.ndarray  # float64 (N,)  elapsed since the start of the episode, negative before it [h]
    stay_h: np.ndarray  # float64 (N,)  > 0 [h]
    wanted_kwh: np.ndarray  # float64 (N,)  energy wanted in the battery [kWh]
    target_soc: tuple[float, float] = (0.7, 0.95)  # range of the state of charge that drivers want to leave with [-]


class SessionModel(Protocol):
    """Draws the vehicles that come; made once per world from the scenario's `sessions`."""

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        """Every vehicle that comes within `hours`.

        Parameters
        ----------
        hours : HourGrid
            Clock hours to draw for; they begin before the episode, so that some vehicles are there when it starts.
        n_ports : int
            Ports of the site.
        arrivals : numpy.random.Generator
            Draws when vehicles come, and nothing else.
        stays : numpy.random.Generator
            Draws how long they stay and what they want, and nothing else.
        """
        ...


SESSION_MODELS: Registry[SessionModel] = Registry("session model", "ev_marl.session_models", SessionModel)


def check_arrivals(arrivals: Arrivals, model: str) -> None:
    """Make sure that a session model gave what it should.

    Raises
    ------
    DataError
        If lengths differ, arrivals are not in order, or a number is not finite or out of range; it names the model.
    """
    arrival_h, stay_h, wanted_kwh = arrivals.arrival_h, arrivals.stay_h, arrivals.wanted_kwh
    low, high = arrivals.target_soc
    fault = None
    if not len(arrival_h) == len(stay_h) == len(wanted_kwh):
        fault = f"{len(arrival_h)} arrivals, {len(stay_h)} stays and {len(wanted_kwh)} wishes"
    elif not np.isfinite(arrival_h).all() or (np.diff(arrival_h) < 0.0).any():
        fault = "arrivals that are not in order of time"
    elif not (np.isfinite(stay_h) & (stay_h > 0.0)).all():
        fault = "a stay that is not above 0 h"
    elif not (np.isfinite(wanted_kwh) & (wanted_kwh >= 0.0)).all():
        fault = "a wish below 0 kWh or without a value"
    elif not LEAST_SOC_ON_ARRIVAL < low <= high <= 1.0:
        fault = f"a target state of charge from {low} to {high}; it must lie between {LEAST_SOC_ON_ARRIVAL} and 1"
    if fault is not None:
        raise DataError(f"session model '{model}' gave {fault}")


def lognormal_parameters(mean: np.ndarray, cv: float) -> tuple[np.ndarray, float]:
    """Parameters µ (one per mean) and σ of lognormals with these means and this coefficient of variation."""
    sigma = math.sqrt(math.log1p(cv * cv))
    return np.log(mean) - 0.5 * sigma * sigma, sigma


class FittedSessions:
    """Poisson arrivals by clock hour; stay and energy lognormal given the hour, coupled by a Gaussian copula.

    Within its clock hour a vehicle comes at a uniform time. The copula's correlation is 2·sin(πρ/6) of the rank
    correlation ρ that the data show (Pearson 1907), 0 where they show none.

    Parameters
    ----------
    sessions : schema.Sessions
        How many vehicles come.
    data, site : str
        Calibration file and the entry in it.
    """

    def __init__(self, sessions: schema.Sessions, data: str, site: str) -> None:
        fitted: dict[str, Any] = figures(data)["sites"][site]
        weekday = np.asarray(fitted["arrival_share_weekday"], dtype=np.float64)
        weekend = np.asarray(fitted["arrival_share_weekend"] or fitted["arrival_share_weekday"], dtype=np.float64)
        factor = sessions.weekend_factor
        if factor is None:
            factor = weekend_factor(fitted)
        self.per_port = sessions.per_port_per_day * np.stack(
            [weekday / weekday.sum(), factor * weekend / weekend.sum()]
        )
        self._energy_mu, self._energy_sigma = lognormal_parameters(
            np.asarray(fitted["energy_kwh_mean"], dtype=np.float64), fitted["energy_cv"]
        )
        self._stay_mu, self._stay_sigma = lognormal_parameters(
            np.asarray(fitted["stay_h_mean"], dtype=np.float64), fitted["stay_cv"]
        )
        self._correlation = 2.0 * math.sin(math.pi * fitted.get("stay_energy_rank_correlation", 0.0) / 6.0)
        low, high = fitted.get("target_soc", (0.7, 0.95))
        self._target_soc = (float(low), float(high))

    def draw(
        self, hours: HourGrid, n_ports: int, arrivals: np.random.Generator, stays: np.random.Generator
    ) -> Arrivals:
        """Every vehicle that comes within `hours`, see `SessionModel.draw`."""
        counts = arrivals.poisson(n_ports * self.per_port[hours.weekend, hours.local_hour])
        hour = np.repeat(np.arange(len(hours)), counts)
        arrival_h = hours.start_h[hour] + arrivals.random(len(hour))
        arrival_h.sort()  # the hours are in order already, so each vehicle keeps its hour
        local_hour = hours.local_hour[hour]
        normal = stays.standard_normal((len(hour), 2))
        second = self._correlation * normal[:, 0] + math.sqrt(1.0 - self._correlation**2) * normal[:, 1]
        return Arrivals(
            arrival_h=arrival_h,
            stay_h=np.exp(self._stay_mu[local_hour] + self._stay_sigma * normal[:, 0]),
            wanted_kwh=np.exp(self._energy_mu[local_hour] + self._energy_sigma * second),
            target_soc=self._target_soc,
        )


def weekend_factor(fitted: dict[str, Any]) -> float:
    """Arrivals on a weekend day over those on a weekday, as the data say.

    Where the data count sessions, their ratio; where they give a shape but no count, 1; where they have no weekend, 0.
    """
    if "weekend_factor" in fitted:
        return float(fitted["weekend_factor"])
    if fitted["arrival_share_weekend"] is None:
        return 0.0
    if "sessions_per_port_day_weekend" in fitted:
        return float(fitted["sessions_per_port_day_weekend"] / fitted["sessions_per_port_day_weekday"])
    return 1.0


for _name, _data, _site in [
    ("elaadnl/workplace", "sessions_elaadnl", "workplace"),
    ("elaadnl/private", "sessions_elaadnl", "private"),
    ("elaadnl/public", "sessions_elaadnl", "public"),
    ("acn/caltech", "sessions_acn", "caltech"),
    ("acn/jpl", "sessions_acn", "jpl"),
    ("highway", "sessions_highway", "highway"),
    ("bus-depot", "sessions_depot", "bus"),
]:
    SESSION_MODELS.register(_name)(partial(FittedSessions, data=_data, site=_site))
