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
NORMAL_C = 98.0  # hot spot at which paper that is not thermally upgraded ages one hour an hour
DOUBLING_K = 6.0  # so much warmer, it ages twice as fast
FINE_H = 1.0 / 12.0  # ageing within a step is summed up at most this far apart
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


@kernel
def ageing_rate(hot_spot: float) -> float:
    """Hours of normal life that an hour at a hot-spot temperature [°C] costs, 2^((θ − 98)/6) [-]."""
    rate: float = 2.0 ** ((hot_spot - NORMAL_C) / DOUBLING_K)
    return rate


def oil_at_rest_k(group_kva: np.ndarray, net_kw: np.ndarray) -> np.ndarray:
    """Rise of the oil of K transformers after long times at a load [K].

    Parameters
    ----------
    group_kva : float64, shape (2, K)
        As in `warm_all`.
    net_kw : float64, shape (..., G)
        Power of the groups, base load included [kW].

    Returns
    -------
    float64, shape (..., K)
    """
    group, kva = group_kva
    return np.asarray(steady_oil_rise_k(100.0 * np.abs(net_kw[..., group.astype(np.int64)]) / kva))


def fine_steps(step_h: float) -> int:
    """Parts of a step within which ageing is summed up."""
    return math.ceil(step_h / FINE_H - 1e-9)


@kernel
def warm(oil_rise_k: float, percent: float, ambient_c: float, step_h: float) -> tuple[float, float, float]:
    """One step of a transformer: rise of its oil afterwards [K], hottest hot spot [°C], hours of normal life used [h].

    The loading is that of the whole step, >= 0 [%].
    """
    n_fine = math.ceil(step_h / FINE_H - 1e-9)
    fine_h = step_h / n_fine
    loading, oil = np.array([percent]), np.array([oil_rise_k])
    hottest, used_h = -np.inf, 0.0
    for _ in range(n_fine):
        before = oil
        oil = oil_after(oil, loading, fine_h)
        spot = hot_spot_c(0.5 * (before + oil), loading)[0] + ambient_c - AMBIENT_C
        hottest = max(hottest, hot_spot_c(oil, loading)[0] + ambient_c - AMBIENT_C)
        used_h += fine_h * ageing_rate(spot)
    return oil[0], hottest, used_h


@kernel
def warm_all(
    group_kva: np.ndarray,
    net_kw: np.ndarray,
    ambient_c: np.ndarray,
    step_h: float,
    oil_k: np.ndarray,
    aged_h: np.ndarray,
) -> None:
    """One step of K transformers in B rows.

    Parameters
    ----------
    group_kva : float64, shape (2, K)
        Group that each feeds, and its rating [kVA].
    net_kw : float64, shape (B, G)
        Power of the groups, base load included [kW].
    ambient_c : float64, shape (B,)
        Temperature of the air [°C].
    step_h : float
        Length of the step [h].
    oil_k : float64, shape (B, K)
        Rise of the oil above the air, changed in place [K].
    aged_h : float64, shape (B, K)
        Written: hours of normal life used in the step [h].
    """
    for b in range(len(oil_k)):
        for k in range(oil_k.shape[1]):
            percent = 100.0 * abs(net_kw[b, int(group_kva[0, k])]) / group_kva[1, k]
            oil_k[b, k], _, aged_h[b, k] = warm(oil_k[b, k], percent, ambient_c[b], step_h)


@kernel
def life(transformer_percent: np.ndarray, ambient_c: np.ndarray, start_percent: float, step_h: float) -> np.ndarray:
    """How warm a transformer gets and how much it ages.

    Parameters
    ----------
    transformer_percent : float64, shape (n_steps,)
        Loading of each step, >= 0 [%].
    ambient_c : float64, shape (n_steps,)
        Temperature of the air [°C].
    start_percent : float
        Loading before the first step, at which the oil has come to rest [%].
    step_h : float
        Length of a step [h].

    Returns
    -------
    float64, shape (2,)
        Hottest hot spot [°C], and hours of normal life that were used [h].
    """
    oil = steady_oil_rise_k(np.array([start_percent]))[0]
    hottest, used_h = -np.inf, 0.0
    for t in range(len(transformer_percent)):
        oil, spot, used = warm(oil, transformer_percent[t], ambient_c[t], step_h)
        hottest = max(hottest, spot)
        used_h += used
    return np.array([hottest, used_h])
