"""The inputs of a plan of model predictive control: the connected vehicles, and the outlook."""

from __future__ import annotations

import numpy as np

from ev_marl.planning.outlook.ahead import Ahead, shifted, within
from ev_marl.planning.outlook.base import Outlook
from ev_marl.policies.base import SiteView
from ev_marl.site.scaling import base_currents


def look_ahead(
    view: SiteView,
    row: int,
    outlook: Outlook,
    coming: np.ndarray,
    n_steps: int,
    *,
    trust: float = 1.0,
    share_peak: bool = False,
) -> Ahead:
    """The inputs of one row's plan.

    Parameters
    ----------
    view : SiteView
        The view.
    row : int
        Row of the batch.
    outlook : Outlook
        Gives the later steps.
    coming : STAY, shape (n_stays,)
        Vehicles, or fleets, that arrive after this step.
    n_steps : int
        Most steps of the plan, this one included. Of energy due later, the plan owes the part that full power could
        not deliver afterwards.
    trust : float
        Share of the import limits of later steps, and of what the base load leaves of current limits, that plans use
        [-].
    share_peak : bool
        Whether the plan pays for a higher peak only the share that its steps have of those that are left.
    """
    step, n = view.step, min(n_steps, view.n_steps - view.step)
    here = _connected(view, row)
    stays = within(np.concatenate([here, shifted(coming, step)]), n, view.step_h)
    present = view.present(row)
    lower_kw, upper_kw = (limit_kw[0, :n] for limit_kw in outlook.limits_kw(present))
    base_load_kw = outlook.base_load_kw(present)[0, :n]
    currents = base_currents(view.site, base_load_kw)
    if trust < 1.0:
        upper_kw = np.concatenate([upper_kw[:1], trust * upper_kw[1:]])
        base_a = np.hypot(currents[0, 1:], currents[1, 1:])
        currents[2, 1:] = base_a + trust * (currents[2, 1:] - base_a)
    return Ahead(
        step=step,
        step_h=view.step_h,
        n_here=len(here),
        stays=stays,
        buy_per_kwh=view.buy_per_kwh[row, :n],
        sell_per_kwh=view.sell_per_kwh[row, :n],
        lower_kw=lower_kw,
        upper_kw=upper_kw,
        base_load_kw=base_load_kw,
        currents=currents,
        local_hour=view.local_hour[row, :n],
        peak_kw=0.0 if view.peak_kw is None else float(view.peak_kw[row]),
        later_per_kwh=float(view.later_per_kwh[row]),
        ends=step + n == view.n_steps,
        carbon_kg_per_kwh=None if view.carbon_kg_per_kwh is None else view.carbon_kg_per_kwh[row, :n],
        temperature_c=None if view.temperature_c is None else view.temperature_c[row, :n],
        requests=None if view.requests is None else view.requests[row, :n],
        oil_k=None if view.oil_k is None else view.oil_k[row],
        out=None if view.out is None else view.out[row, :n],
        peak_share=n / (view.n_steps - step) if share_peak else 1.0,
    )


def _connected(view: SiteView, row: int) -> np.ndarray:
    """The connected vehicles, as stays that start now."""
    here: np.ndarray = view.vehicle[row, view.connected[row]]
    here["arrival_step"] = 0
    here["departure_step"] -= view.step
    here["deadline_step"] -= view.step
    here["floor_kwh"] = np.minimum(here["floor_kwh"], here["energy_kwh"])
    return here
