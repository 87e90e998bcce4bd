"""Best response: every vehicle's own cheapest plan on the published prices, planned again in every step.

A station's view comes in, the first step of each vehicle's own plan goes out. Nothing is learned, and other vehicles
are not considered: where limits bind, all choose the same cheap steps.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import Kind, OutlookLike, checked
from ev_marl.planning.own_plan import own_plans
from ev_marl.planning.worth import OWN_PRICES
from ev_marl.policies.base import POLICIES, Episode, Information, StationView, count_option
from ev_marl.scenario.sizes import MOST_STEPS
from ev_marl.support.errors import OptionError


def best_response(
    view: StationView,
    *,
    energy_per_kwh: np.ndarray | None = None,
    adder_per_kwh: np.ndarray | float = 0.0,
    trust: np.ndarray | float = 1.0,
    margin_steps: int = 0,
) -> np.ndarray:
    """Setpoints with which each vehicle follows its own cheapest plan.

    Parameters
    ----------
    view : StationView
        The view; a setpoint depends only on the columns of its own port.
    energy_per_kwh : float64, shape (2, n_batch, n_steps - step) or (2, n_batch, n_ports, n_steps - step), optional
        Prices as of `own_plans`; left out, those at which a station plans by itself [currency/kWh].
    adder_per_kwh : float or float64, shape (n_batch, n_ports)
        Added to this step's buying and selling price: above 0 a vehicle waits for lower prices, below 0 it pays more to
        charge now [currency/kWh].
    trust : float or float64, shape (n_batch, n_ports)
        Share of its power that the plan expects to get in later steps, 0..1 [-].
    margin_steps : int
        Number of steps before the deadline at which the plan ends.

    Returns
    -------
    float64, shape (n_batch, n_ports)
        Setpoints within the port's box [kW].
    """
    if energy_per_kwh is None:
        energy_per_kwh = view.worth.energy_per_kwh(view.charging_per_kwh, view.discharging_per_kwh)
    return own_plans(
        view.vehicles,
        view.step,
        view.step_h,
        energy_per_kwh,
        view.worth,
        end_per_kwh=view.end_per_kwh,
        adder_per_kwh=adder_per_kwh,
        trust=trust,
        margin_steps=margin_steps,
    )


@POLICIES.register("best-response")
class BestResponse:
    """Each vehicle follows its own cheapest plan on the published prices, planned again in every step.

    The plan weighs energy bought and sold, wear and unmet energy as the objective does, knows the vehicle's charge
    curve and its V2G reserve, and assumes that every request is granted: where limits bind, all choose the same cheap
    steps. It is exact for one vehicle alone; only inside the step in which the taper begins is the value of energy
    interpolated, and where prices are so negative that charging and discharging at once would pay, the plan
    assumes a mixture of both. Of equally cheap steps it takes the first.

    Parameters
    ----------
    trust : float
        Share of its power that the plan expects to get in later steps, 0..1; less than 1 is a margin against being
        curtailed [-].
    adder_per_kwh : float
        Added to this step's price; below 0 charges earlier than the plan alone would [currency/kWh].
    margin_steps : int
        Number of steps before the deadline at which the plan ends.
    outlook : str or mapping, optional
        What stations think of later prices, and of the base load where energy is billed at the site's meter, as the
        scenario's key `outlook`; left out, what the scenario says.
    """

    name = "best-response"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = OWN_PRICES
    TUNABLE: ClassVar = {"adder_per_kwh": (-0.1, 0.1), "trust": (0.2, 1.0), "margin_steps": (0, 8)}

    def __init__(
        self,
        trust: float = 1.0,
        adder_per_kwh: float = 0.0,
        margin_steps: int = 0,
        outlook: OutlookLike | None = None,
    ) -> None:
        if not 0.0 <= trust <= 1.0:
            raise OptionError(f"policy 'best-response': trust is a share between 0 and 1, got {trust}")
        self.outlook = checked(outlook)
        self.trust = float(trust)
        self.adder_per_kwh = float(adder_per_kwh)
        self.margin_steps = count_option("best-response", "margin_steps", margin_steps, 0, MOST_STEPS)

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Powers of the first step of each plan, float64, shape (n_batch, n_ports) [kW]."""
        return best_response(view, adder_per_kwh=self.adder_per_kwh, trust=self.trust, margin_steps=self.margin_steps)
