"""Vehicle catalogue: usable capacity, charging powers and measured charge curves; mixes by registrations.

The catalogue is `vehicles.yaml`, each line with its source. The mix `eu` is older and illustrative: capacities and
powers of the manufacturers' technical data sheets for the European market (Fiat, Renault, Peugeot, Nissan, Volkswagen,
Hyundai, Kia, Skoda, Tesla, BMW, Volvo; model years 2019 to 2023), rounded; where a sheet has the gross capacity only,
the usable one is the commonly published figure. Its weights are in the rough order of popularity, and no registration
statistics; charging slows down from 80 % for all.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from ev_marl.scenario.curves import LEAST_SOC_STEP
from ev_marl.scenario.schema import CatalogueVehicle, Vehicle, Vehicles
from ev_marl.site.charge_curve import curve_table, hours_along
from ev_marl.support.errors import SiteError
from ev_marl.support.registry import did_you_mean

EU_MIX: tuple[Vehicle, ...] = (
    Vehicle(name="fiat-500e", share=2, capacity=37.3, ac_power=11.0, dc_power=85.0),
    Vehicle(name="renault-zoe-ze50", share=3, capacity=52.0, ac_power=22.0, dc_power=46.0),
    Vehicle(name="peugeot-e208", share=3, capacity=46.3, ac_power=7.4, dc_power=100.0),
    Vehicle(name="nissan-leaf", share=2, capacity=39.0, ac_power=6.6, dc_power=46.0),
    Vehicle(name="vw-id3-pro", share=4, capacity=58.0, ac_power=11.0, dc_power=120.0),
    Vehicle(name="hyundai-kona-64", share=3, capacity=64.0, ac_power=11.0, dc_power=77.0),
    Vehicle(name="kia-e-niro-64", share=3, capacity=64.0, ac_power=11.0, dc_power=77.0),
    Vehicle(name="skoda-enyaq-80", share=3, capacity=77.0, ac_power=11.0, dc_power=135.0),
    Vehicle(name="tesla-model-3-lr", share=4, capacity=75.0, ac_power=11.0, dc_power=250.0),
    Vehicle(name="tesla-model-y-lr", share=4, capacity=75.0, ac_power=11.0, dc_power=250.0),
    Vehicle(name="hyundai-ioniq-5-lr", share=2, capacity=74.0, ac_power=11.0, dc_power=220.0),
    Vehicle(name="bmw-i4-edrive40", share=1, capacity=80.7, ac_power=11.0, dc_power=205.0),
    Vehicle(name="vw-golf-gte", share=2, capacity=10.6, ac_power=3.6, dc_power=0.0),
    Vehicle(name="volvo-xc60-recharge", share=2, capacity=14.9, ac_power=3.7, dc_power=0.0),
)


END_OF_ASSUMED = 0.1  # power of an assumed curve at 100 %, of its peak
_BISECTIONS = 60
_MET = 1e-3  # of the time, relative


@cache
def _file() -> dict[str, Any]:
    text = files(__package__).joinpath("vehicles.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def catalogue() -> dict[str, dict[str, Any]]:
    """What `vehicles.yaml` says of each model, by its name."""
    models: dict[str, dict[str, Any]] = _file()["models"]
    return models


@cache
def catalogue_vehicle(name: str) -> Vehicle:
    """A model of the catalogue.

    Raises
    ------
    SiteError
        If there is none of that name.
    """
    models = catalogue()
    if name not in models:
        raise SiteError(
            f"the catalogue has no vehicle '{name}'.{did_you_mean(name, list(models))} It has: {', '.join(models)}"
        )
    said = models[name]
    curve = [(percent / 100.0, float(power_kw)) for percent, power_kw in said.get("curve", [])]
    if "peak" in said:
        first, last, minutes = said["fast"]
        curve = assumed_curve(said["capacity"], said["peak"], first / 100.0, last / 100.0, minutes / 60.0)
    return Vehicle(
        name=name, capacity=said["capacity"], ac_power=said["ac_power"], curve=curve, v2g=said.get("v2g", False)
    )


def charging_hours(vehicle: Vehicle, first_soc: float, last_soc: float) -> float:
    """Time to charge along the curve of a vehicle from one state of charge to another, at a strong charger [h]."""
    first_kwh, last_kwh = (np.array([soc * vehicle.capacity]) for soc in (first_soc, last_soc))
    table = curve_table(vehicle.curve, vehicle.capacity)
    return float(hours_along(first_kwh, last_kwh, np.array([np.inf]), table[None, :2])[0])


def assumed_curve(
    capacity_kwh: float, peak_kw: float, first_soc: float, last_soc: float, hours: float
) -> list[tuple[float, float]]:
    """The curve of a model of which only the highest power and a charging time are known.

    The peak up to a knee, then a straight line to a tenth of it at 100 %; the knee is where the time is met. Where even
    a line from 0 % is too fast, it ends lower.

    Raises
    ------
    ValueError
        If no such curve gives the time: the peak is too low, or the time too long.
    """

    def at(x: float) -> list[tuple[float, float]]:
        """Slowest for 0; from 1 on the line ends at a tenth of the peak."""
        knee, end = max(LEAST_SOC_STEP, x - 1.0), END_OF_ASSUMED * min(1.0, max(0.01, x))
        return [(0.0, peak_kw), (min(knee, 1.0 - LEAST_SOC_STEP), peak_kw), (1.0, end * peak_kw)]

    def hours_of(curve: list[tuple[float, float]]) -> float:
        vehicle = Vehicle(name="assumed", capacity=capacity_kwh, ac_power=1.0, curve=curve)
        return charging_hours(vehicle, first_soc, last_soc)

    low, high = 0.0, 2.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if hours_of(at(middle)) > hours else (low, middle)
    if not abs(hours_of(at(high)) / hours - 1.0) < _MET:
        raise ValueError(f"no curve with the peak {peak_kw:g} kW gives {hours * 60.0:g} min")
    return at(high)


def vehicle_mix(vehicles: Vehicles) -> list[Vehicle]:
    """The vehicles of a scenario with their shares.

    Parameters
    ----------
    vehicles : Vehicles
        `mix` is a named mix or a list of vehicles.

    Raises
    ------
    SiteError
        If a model is not in the catalogue, or a name occurs twice with different vehicles.
    """
    if vehicles.mix == "eu":
        return list(EU_MIX)
    if isinstance(vehicles.mix, str):
        registrations = _file()["mixes"][vehicles.mix]["registrations"]
        return [_with_share(name, count) for name, count in registrations.items()]
    mix = [
        _with_share(vehicle.model, vehicle.share) if isinstance(vehicle, CatalogueVehicle) else vehicle
        for vehicle in vehicles.mix
    ]
    known: dict[str, Vehicle] = {}
    for vehicle in mix:
        if known.setdefault(vehicle.name, vehicle).curve != vehicle.curve:
            raise SiteError(f"two vehicles of the mix are named '{vehicle.name}' and have different charge curves")
    return mix


def _with_share(name: str, share: float) -> Vehicle:
    return catalogue_vehicle(name).model_copy(update={"share": float(share)})
