"""Photovoltaic plants with place, tilt and azimuth, by pvlib: the sun over them, and their power under a sky.

Place, modules, steps and the sky come in; the power of each step goes out. Everything is computed every five minutes or
less and averaged over the steps, so that neither energy nor variability depends on the step. The library is optional,
so this file is only imported where there is such a plant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta

import numpy as np
import pandas
from pvlib.clearsky import simplified_solis
from pvlib.irradiance import erbs, get_extra_radiation, get_total_irradiance
from pvlib.pvsystem import pvwatts_dc
from pvlib.solarposition import get_solarposition
from pvlib.temperature import faiman

from ev_marl.scenario import schema
from ev_marl.scenario.clock import Clock
from ev_marl.scenario.series import Series

SAMPLE_H = 1.0 / 12.0  # power of a step is the mean of samples at most this far apart
USUAL_C = 15.0  # ambient temperature where the scenario has none; assumption
GAMMA_PER_K = -0.004  # of power over the temperature of the cells, crystalline silicon; PVWatts, NREL/TP-6A20-62641


@dataclass(frozen=True)
class PvDay:
    """The sun over one plant on one day, before clouds; N samples, K of them in each step."""

    system: schema.PvSystem
    n_per_step: int  # K
    sample_h: float
    zenith: np.ndarray  # float64 (N,)  apparent [degrees]
    azimuth: np.ndarray  # float64 (N,)  [degrees]
    day_of_year: np.ndarray  # int64 (N,)
    clear_ghi: np.ndarray  # float64 (N,)  under a clear sky [W/m²]
    measured: dict[str, np.ndarray]  # ghi, and maybe dni and dhi, float64 (N,) each [W/m²]; empty: clouds are drawn

    @classmethod
    def of(cls, system: schema.PvSystem, clock: Clock, measured: Mapping[str, Series]) -> PvDay:
        """The samples of a day, at the middle of each fine step.

        Raises
        ------
        DataError
            If measured values do not cover the steps.
        """
        n_per_step = max(1, math.ceil(clock.step_h / SAMPLE_H))
        sample_h = clock.step_h / n_per_step
        fine = Clock(clock.start, clock.timezone, sample_h, clock.n_steps * n_per_step, clock.first_step * n_per_step)
        first = clock.start.astimezone(UTC) + timedelta(hours=0.5 * sample_h)
        times = pandas.DatetimeIndex(first + pandas.to_timedelta(np.arange(fine.n_steps) * sample_h, unit="h"))
        place = get_solarposition(times, system.latitude, system.longitude)
        zenith = place["apparent_zenith"].to_numpy()
        with np.errstate(all="ignore"):  # below the horizon
            clear = np.asarray(simplified_solis(90.0 - zenith)["ghi"])
        return cls(
            system,
            n_per_step,
            sample_h,
            zenith,
            place["azimuth"].to_numpy(),
            times.dayofyear.to_numpy(),
            np.where(zenith < 90.0, np.nan_to_num(clear), 0.0),
            {name: series.at(fine) for name, series in measured.items()},
        )

    def power_kw(self, clear_sky_index: np.ndarray, temperature_c: np.ndarray | None) -> np.ndarray:
        """Power of each step, float64, shape (n_steps,), >= 0 [kW].

        Parameters
        ----------
        clear_sky_index : float64, shape (n_samples,)
            Irradiance over that of a clear sky [-]; not used where irradiance is measured.
        temperature_c : float64, shape (n_steps,), optional
            Ambient temperature; left out, `USUAL_C`.
        """
        system = self.system
        parts = dict(self.measured) or {"ghi": clear_sky_index * self.clear_ghi}
        with np.errstate(all="ignore"):  # below the horizon
            if "dni" not in parts:
                split = erbs(parts["ghi"], self.zenith, self.day_of_year)
                parts |= {"dni": np.nan_to_num(split["dni"]), "dhi": np.nan_to_num(split["dhi"])}
            on_modules = get_total_irradiance(
                system.tilt,
                system.azimuth,
                self.zenith,
                self.azimuth,
                parts["dni"],
                parts["ghi"],
                parts["dhi"],
                dni_extra=get_extra_radiation(self.day_of_year),
                model="haydavies",
            )
        received = np.maximum(0.0, np.nan_to_num(np.asarray(on_modules["poa_global"])))
        air_c = USUAL_C if temperature_c is None else np.repeat(temperature_c, self.n_per_step)
        cell_c = faiman(received, air_c)
        power = (1.0 - system.losses) * pvwatts_dc(received, cell_c, system.kwp, GAMMA_PER_K)
        mean: np.ndarray = np.maximum(0.0, power).reshape(-1, self.n_per_step).mean(axis=1)
        return mean
