"""How much capacity a battery loses, with time and with use, and what that costs.

States of charge of a stay come in; losses as shares of the capacity go out, after published laws of one cell each,
scaled to the pack: the same states of charge and the same cycles cost the same share. The two prices that a linear
programme can count come from the same laws.

Two laws: Schmalstieg et al., "A holistic aging model for Li(NiMnCo)O2 based 18650 lithium-ion batteries", J. Power
Sources 257 (2014) 325-334, and Naumann et al., "Analysis and modeling of calendar aging of a commercial
LiFePO4/graphite cell", J. Energy Storage 17 (2018) 153-169, and "... of cycle aging ...", J. Power Sources 451 (2020)
227666.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from ev_marl.scenario.schema.ageing import BatteryAgeing, Chemistry
from ev_marl.support.errors import DataError

HOURS_PER_YEAR = 8766.0
KELVIN = 273.15
GAS_CONSTANT = 8.3145  # [J/(mol·K)]
CELL_AH = 2.15  # of the NMC cell: the law counts the charge in and out of one cell
VOLTAGE = np.array([3.331, 3.491, 3.581, 3.627, 3.655, 3.697, 3.775, 3.869, 3.965, 4.073, 4.162])
"""Open-circuit voltage of the NMC cell at 0, 10, ..., 100 % [V], read from figure 1 of Schmalstieg et al."""
LINEAR_RATE_PER_H = 0.25  # C-rate at which the linear price of throughput is exact
_LEVELS = np.linspace(0.0, 1.0, len(VOLTAGE))


class Loss(NamedTuple):
    """Share of the capacity that a stay costs [-]."""

    calendar: float
    cyclic: float


class Cycles(NamedTuple):
    """Cycles of a stay, each by its depth and mean state of charge [-], its mean C-rate while it is used [1/h], and how
    many full equivalent cycles it is (depth·count), float64, shape (n,)."""

    depth: np.ndarray
    mean: np.ndarray
    rate_per_h: np.ndarray
    full: np.ndarray


@dataclass(frozen=True)
class AgeingLaw:
    """The law of one kind of battery at one age."""

    chemistry: Chemistry
    age_h: float  # at the start of an episode
    full_cycles: float  # full equivalent cycles until then
    temperature_c: float
    per_loss: float  # cost of losing a kWh of capacity [currency/kWh]
    depth: float  # of the cycle at which the linear price of throughput is exact [-]

    @classmethod
    def of(cls, keys: BatteryAgeing) -> Self:
        """As a scenario has it."""
        return cls(
            chemistry=keys.chemistry,
            age_h=keys.age * HOURS_PER_YEAR,
            full_cycles=keys.age * keys.cycles_per_year,
            temperature_c=keys.temperature,
            per_loss=keys.price / (1.0 - keys.end_of_life),
            depth=keys.depth,
        )

    def calendar_stress(self, soc: np.ndarray | float) -> np.ndarray:
        """Loss at a state of charge, over `grown` of the time [-]."""
        kelvin = self.temperature_c + KELVIN
        if self.chemistry == "nmc":
            volts = np.interp(soc, _LEVELS, VOLTAGE)
            return np.asarray((7.543 * volts - 23.75) * 1e6 * np.exp(-6976.0 / kelvin))
        warm = np.exp(-17126.0 / GAS_CONSTANT * (1.0 / kelvin - 1.0 / 298.15))
        return np.asarray(1.2571e-5 * warm * (2.8575 * (np.asarray(soc) - 0.5) ** 3 + 0.60225))

    def grown(self, hours: np.ndarray | float) -> np.ndarray:
        """How calendar ageing grows with the age: days^0.75 (nmc), seconds^0.5 (lfp)."""
        if self.chemistry == "nmc":
            return (np.asarray(hours) / 24.0) ** 0.75
        return np.sqrt(3600.0 * np.asarray(hours))

    def cyclic_stress(self, depth: np.ndarray, mean: np.ndarray, rate_per_h: np.ndarray) -> np.ndarray:
        """Loss of cycles, over the root of the throughput, see `throughput` [-].

        The quadratic mean of the NMC cell's voltage is that of both ends and, four times, the middle of the cycle.
        """
        if self.chemistry == "nmc":
            low, middle, high = (np.interp(mean + k * depth, _LEVELS, VOLTAGE) for k in (-0.5, 0.0, 0.5))
            volts = np.sqrt((low**2 + 4.0 * middle**2 + high**2) / 6.0)
            return np.asarray(7.348e-3 * (volts - 3.667) ** 2 + 7.6e-4 + 4.081e-3 * depth)
        return np.asarray(0.01 * (4.0253 * (depth - 0.6) ** 3 + 1.0923) * (0.0971 + 0.063 * rate_per_h))

    def throughput(self, full_cycles: float) -> float:
        """What the law counts of the use: Ah in and out of a cell (nmc), full equivalent cycles (lfp)."""
        return full_cycles * 2.0 * CELL_AH if self.chemistry == "nmc" else full_cycles

    def loss(self, soc: np.ndarray, step_h: float, begin_h: float = 0.0) -> Loss:
        """Loss of a stay.

        Parameters
        ----------
        soc : float64, shape (n_steps + 1,)
            State of charge on arrival and at the end of each step [-].
        step_h : float
            Length of a step [h].
        begin_h : float
            Time from the start of the episode to the arrival [h].

        Raises
        ------
        DataError
            If the package `rainflow` is not installed.
        """
        age_h = self.age_h + begin_h + step_h * np.arange(len(soc))
        calendar = float(self.calendar_stress(0.5 * (soc[1:] + soc[:-1])) @ np.diff(self.grown(age_h)))
        cycles = cycles_of(soc, step_h)
        full = float(cycles.full.sum())
        if full <= 0.0:
            return Loss(calendar, 0.0)
        stress = float(self.cyclic_stress(cycles.depth, cycles.mean, cycles.rate_per_h) @ cycles.full) / full
        before, after = self.throughput(self.full_cycles), self.throughput(self.full_cycles + full)
        return Loss(calendar, float(stress * (np.sqrt(after) - np.sqrt(before))))

    @property
    def per_kwh(self) -> float:
        """Linear price of throughput: of each kWh in or out of the battery [currency/kWh]."""
        stress = self.cyclic_stress(*(np.array([value]) for value in (self.depth, 0.5, LINEAR_RATE_PER_H))).item()
        per_full = self.throughput(1.0) / (2.0 * np.sqrt(self.throughput(self.full_cycles)))
        return float(self.per_loss * stress * per_full / 2.0)  # a full cycle takes the capacity in and out

    @property
    def held_per_kwh_h(self) -> tuple[float, float]:
        """Linear prices of an hour: of each kWh of capacity if it is empty, and of each kWh in it [currency/(kWh·h)].

        A straight line through the law between 0 and 100 %, with the least squares.
        """
        slope, empty = np.polyfit(_LEVELS, self.calendar_stress(_LEVELS), 1)
        per_h = (0.75 if self.chemistry == "nmc" else 0.5) * float(self.grown(self.age_h)) / self.age_h
        return float(self.per_loss * per_h * empty), float(self.per_loss * per_h * slope)


def cycles_of(soc: np.ndarray, step_h: float) -> Cycles:
    """Cycles of a state of charge, counted by the rainflow method of ASTM E1049.

    Raises
    ------
    DataError
        If the package `rainflow` is not installed.
    """
    check_rainflow()
    import rainflow  # noqa: PLC0415  optional

    moved = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(soc)))])
    used = np.concatenate([[0], np.cumsum(np.diff(soc) != 0.0)])
    found = [
        (depth, mean, (moved[end] - moved[first]) / (step_h * (used[end] - used[first])), depth * count)
        # It needs three numbers, and a last one that is no change ends no cycle.
        for depth, mean, count, first, end in rainflow.extract_cycles([*soc.tolist(), float(soc[-1])])
        for end in (min(end, len(soc) - 1),)
        if depth > 0.0
    ]
    return Cycles(*np.array(found, dtype=np.float64).reshape(-1, 4).T)


def has_rainflow() -> bool:
    """Whether cycles can be counted."""
    try:
        check_rainflow()
    except DataError:
        return False
    return True


def check_rainflow() -> None:
    """Check that cycles can be counted.

    Raises
    ------
    DataError
        If the package is not installed.
    """
    try:
        import rainflow  # noqa: F401, PLC0415  optional
    except ImportError as error:
        message = "the ageing of batteries needs the package `rainflow`: pip install 'ev_marl[ageing]'"
        raise DataError(message) from error
