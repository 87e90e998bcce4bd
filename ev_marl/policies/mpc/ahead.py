"""What model predictive control sees ahead of a step: the vehicles that are there, and what its outlook tells."""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook.ahead import Ahead, shifted, within
from ev_marl.planning.outlook.base import Outlook
from ev_marl.policies.base import SiteView


def look_ahead(
    view: SiteView,
    row: int,
    outlook: Outlook,
    coming: np.ndarray,
    n_steps: int,
    *,
    trust: float = 1.0,
) -> Ahead:
    """What lies ahead of one row.

    Parameters
    ----------
    view : SiteView
        What is known now.
    row : int
        Row of the batch.
    outlook : Outlook
        What is thought of later steps.
    coming : STAY, shape (n_stays,)
        Vehicles, or fleets of them, that arrive after this step.
    n_steps : int
        Most steps to look at, this one included. What is due later is owed as far as full power could not make up
        for it afterwards.
    trust : float
        Share of the import limits of later steps that is planned with [-].
    """
    step, n = view.step, min(n_steps, view.n_steps - view.step)
    here = _connected(view, row)
    limits = within(np.concatenate([here, shifted(coming, step)]), n, view.step_h)
    present = view.present(row)
    lower_kw, upper_kw = (limit_kw[0, :n] for limit_kw in outlook.limits_kw(present))
    if trust < 1.0:
        upper_kw = np.concatenate([upper_kw[:1], trust * upper_kw[1:]])
    return Ahead(
        step=step,
        step_h=view.step_h,
        n_here=len(here),
        limits=limits,
        buy_per_kwh=view.buy_per_kwh[row, :n],
        sell_per_kwh=view.sell_per_kwh[row, :n],
        lower_kw=lower_kw,
        upper_kw=upper_kw,
        base_load_kw=outlook.base_load_kw(present)[0, :n],
        local_hour=view.local_hour[row, :n],
        peak_kw=0.0 if view.peak_kw is None else float(view.peak_kw[row]),
    )


def _connected(view: SiteView, row: int) -> np.ndarray:
    """The vehicles that are there, as stays that begin now."""
    here: np.ndarray = view.vehicle[row, view.connected[row]]
    here["arrival_step"] = 0
    here["departure_step"] = here["deadline_step"] = here["deadline_step"] - view.step
    here["floor_kwh"] = np.minimum(here["floor_kwh"], here["energy_kwh"])
    return here
