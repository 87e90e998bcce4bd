"""Powers of charger buses, each moved by a little: for difference quotients of the exact power flow."""

from __future__ import annotations

import numpy as np

STEP_KW = 0.5  # of the difference quotients


def moved_powers(charger_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every state once for each charger bus, with the power there moved.

    Charging is moved towards zero, so that a state near collapse is not pushed over the edge.

    Parameters
    ----------
    charger_kw : float64, shape (n, n_charger_buses)
        Powers [kW].

    Returns
    -------
    moved_kw : float64, shape (n, n_charger_buses, n_charger_buses)
        Powers; the second axis says at which bus they are moved [kW].
    change_kw : float64, shape (n, n_charger_buses)
        By how much [kW].
    """
    n_buses = charger_kw.shape[1]
    change_kw = np.where(charger_kw > 0.0, -STEP_KW, STEP_KW)
    moved_kw = np.repeat(charger_kw[:, None, :], n_buses, axis=1)
    moved_kw[:, np.arange(n_buses), np.arange(n_buses)] += change_kw
    return moved_kw, change_kw
