"""A rule on the published prices: charge in the cheap steps of the stay, sell in the dear ones."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ev_marl.planning.outlook import Kind
from ev_marl.planning.worth import OWN_PRICES, planned_efficiency, wear_of, worth_at_end
from ev_marl.policies.base import POLICIES, Episode, Information, StationView
from ev_marl.policies.rules.needs import latest_energy_kwh, power_towards_kw
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import OptionError


@kernel
def _decide(
    charge_share: float,
    discharge_share: float,
    step: int,
    step_h: float,
    rates: np.ndarray,
    vehicle: np.ndarray,
    price_per_kwh: np.ndarray,
    wish_kw: np.ndarray,
    lo_kw: np.ndarray,
    latest_kwh: np.ndarray,
    setpoint_kw: np.ndarray,
) -> None:
    """`setpoint_kw` comes in as the power that cannot wait longer."""
    n_batch, n_ports = wish_kw.shape
    for b in range(n_batch):
        buy, sell = price_per_kwh[0, b, 0], price_per_kwh[1, b, 0]
        for p in range(n_ports):
            stay = vehicle[b, p]
            n = stay["deadline_step"] - step
            cheaper, dearer, cheapest, dearest = 0, 0, buy, sell
            for k in range(1, n):
                price = price_per_kwh[0, b, k]
                cheapest = min(cheapest, price)
                if price < buy:
                    cheaper += 1
                dearest = max(dearest, price_per_kwh[1, b, k])
                if price_per_kwh[1, b, k] > sell:
                    dearer += 1
            wear, out = wear_of(rates[b], stay), stay["discharge_efficiency"]
            efficiency = planned_efficiency(stay)
            paid, pays = (buy + wear) / efficiency, True
            if stay["is_battery"]:
                pays = paid < max(worth_at_end(rates[b], stay), (dearest - wear) * out)
            if cheaper < charge_share * n and pays:
                setpoint_kw[b, p] = wish_kw[b, p]
            elif lo_kw[b, p] < 0.0 and setpoint_kw[b, p] == 0.0 and dearer < discharge_share * n:
                earned = (sell - wear) * out
                kept = (cheapest + wear) / efficiency
                if stay["is_battery"]:
                    kept = min(kept, worth_at_end(rates[b], stay))
                if earned > kept:
                    spare_kw = (stay["energy_kwh"] - latest_kwh[b, p]) * out / step_h
                    setpoint_kw[b, p] = max(lo_kw[b, p], -spare_kw)


@POLICIES.register("price-threshold")
class PriceThreshold:
    """Charges in the cheapest steps of the stay, and when it cannot wait longer.

    Of the steps until departure, those in the cheapest `charge_share` (by the published buying price, this step
    included) are for charging at full power until the wish is met. A vehicle with V2G sells in the dearest
    `discharge_share` (by the selling price) where that earns more than the cheapest step left costs, wear and losses
    counted, and only as much as can still be charged again in time. A stationary battery charges in cheap steps where a
    kWh earns more later, or at the end of the episode, and sells where it earns more than it is worth then. The rule
    does not know the limits, nor whether its cheap steps suffice for the wish: if they do not, it charges as late as
    possible.

    Parameters
    ----------
    charge_share : float
        Share of the steps left that count as cheap, 0..1 [-].
    discharge_share : float
        Share of the steps left that count as dear, 0..1; 0 never sells [-].
    """

    name = "price-threshold"
    information: Information = "own"
    looks_at: ClassVar[tuple[Kind, ...]] = OWN_PRICES
    TUNABLE: ClassVar = {"charge_share": (0.0, 1.0), "discharge_share": (0.0, 1.0)}

    def __init__(self, charge_share: float = 0.2, discharge_share: float = 0.1) -> None:
        for option, value in (("charge_share", charge_share), ("discharge_share", discharge_share)):
            if not 0.0 <= value <= 1.0:
                raise OptionError(f"policy 'price-threshold': {option} is a share between 0 and 1, got {value}")
        self.charge_share = float(charge_share)
        self.discharge_share = float(discharge_share)

    def reset(self, episode: Episode) -> None:
        """Nothing to prepare."""

    def act(self, view: StationView) -> np.ndarray:
        """Powers by the rule, float64, shape (n_batch, n_ports) [kW]."""
        latest_kwh = latest_energy_kwh(view)
        setpoint_kw = power_towards_kw(view, latest_kwh)
        _decide(
            self.charge_share,
            self.discharge_share,
            view.step,
            view.step_h,
            view.worth.rates(view.end_per_kwh),
            view.vehicle,
            np.stack([view.charging_per_kwh, view.discharging_per_kwh]),
            power_towards_kw(view, view.vehicle["wish_kwh"]),
            view.lo_kw,
            latest_kwh,
            setpoint_kw,
        )
        return setpoint_kw
