"""How warm a transformer gets: the difference-equation model of IEC 60076-7 for loading that changes in steps.

Loading comes in, the temperature of the hottest spot of the winding goes out. Constants are those that the standard
gives for distribution transformers with natural oil and air cooling (ONAN, IEC 60076-7:2018, annex on thermal
characteristics); the winding's own time constant of a few minutes is left out, as steps are longer.
"""

from __future__ import annotations

import math

import numpy as np

from ev_marl.support.compiled import kernel

AMBIENT_C = 20.0  # yearly mean air temperature that ratings refer to
OIL_RISE_K = 55.0  # top oil above ambient, steady at rated load
OIL_EXPONENT = 0.8
LOSS_RATIO = 5.0  # load losses at rated current over no-load losses
OIL_TIME_H = 3.0
HOT_SPOT_RISE_K = 23.0  # hot spot above top oil, steady at rated load
WINDING_EXPONENT = 1.6


@kernel
def steady_oil_rise_k(transformer_percent: np.ndarray) -> np.ndarray:
    """Rise of the top oil that a constant loading leads to [K]."""
    squared = np.square(transformer_percent / 100.0)
    rise: np.ndarray = OIL_RISE_K * ((1.0 + LOSS_RATIO * squared) / (1.0 + LOSS_RATIO)) ** OIL_EXPONENT
    return rise


@kernel
def oil_after(oil_rise_k: np.ndarray, transformer_percent: np.ndarray, hours: float) -> np.ndarray:
    """Rise of the top oil after some time of constant loading, an exponential approach [K]."""
    steady = steady_oil_rise_k(transformer_percent)
    after: np.ndarray = steady + (oil_rise_k - steady) * math.exp(-hours / OIL_TIME_H)
    return after


@kernel
def hot_spot_c(oil_rise_k: np.ndarray, transformer_percent: np.ndarray) -> np.ndarray:
    """Temperature of the hottest spot of the winding [°C]; 98 °C at rated load is a normal rate of ageing."""
    spot: np.ndarray = AMBIENT_C + oil_rise_k + HOT_SPOT_RISE_K * (transformer_percent / 100.0) ** WINDING_EXPONENT
    return spot
