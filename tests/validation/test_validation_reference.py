"""The simulator against a slow one in plain Python, one vehicle after the other, written from the model page.

It integrates the charge curve in small steps instead of using the closed form, keeps vehicles in dicts, not in arrays,
and adds up the costs by their definitions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import random_site, random_track

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.objective.wear import BatteryWear
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track

PARTS = 400  # midpoint steps in which a step of the charge curve is integrated


def full_power(energy: float, hours: float, vehicle: dict[str, float]) -> float:
    """Energy after charging at full power: de/dt = min(η·P, (C − e)/τ)."""
    part = hours / PARTS

    def slope(e: float) -> float:
        return min(vehicle["eta_charge"] * vehicle["charge_kw"], (vehicle["capacity"] - e) / vehicle["tau"])

    for _ in range(PARTS):
        energy += part * slope(energy + 0.5 * part * slope(energy))
    return energy


def needed_before(target: float, hours: float, vehicle: dict[str, float]) -> float:
    """Least energy from which `target` is reached in time, by bisection."""
    low, high = -200.0, target
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if full_power(middle, hours, vehicle) >= target else (middle, high)
    return high


def vehicles_of(site: Site, track: Track) -> list[dict[str, Any]]:
    """Every session as a dict, with what is due and when."""
    found = []
    s = track.sessions
    for i in range(len(s)):
        port = site.graph.nodes[site.ports[s["port"][i]]]
        vehicle: dict[str, Any] = {
            "port": int(s["port"][i]),
            "arrival": int(s["arrival_step"][i]),
            "departure": int(s["departure_step"][i]),
            "energy": float(s["energy_kwh"][i]),
            "capacity": float(s["capacity_kwh"][i]),
            "charge_kw": min(port["charge_kw"], float(s["charge_kw"][i])),
            "discharge_kw": min(port["discharge_kw"], float(s["discharge_kw"][i])),
            "eta_charge": port["charge_efficiency"],
            "eta_discharge": port["discharge_efficiency"],
            "floor": min(float(s["energy_kwh"][i]), float(s["reserve_kwh"][i])),
        }
        own_kw = port["charge_efficiency"] * float(s["charge_kw"][i])
        vehicle["tau"] = (1 - float(s["taper_start"][i])) * vehicle["capacity"] / own_kw
        stay_h = (vehicle["departure"] - vehicle["arrival"]) * track.step_h
        wish = min(vehicle["energy"] + float(s["wanted_kwh"][i]), full_power(vehicle["energy"], stay_h, vehicle))
        beyond_h = (vehicle["departure"] - track.n_steps) * track.step_h
        vehicle["due"] = wish if beyond_h <= 0 else needed_before(wish, beyond_h, vehicle)
        found.append(vehicle)
    return found


def slow_day(site: Site, track: Track, asked: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Granted powers (T, P) under the coordinator `none`, and costs by term."""
    vehicles = vehicles_of(site, track)
    granted = np.zeros(asked.shape)
    costs = dict.fromkeys(("energy_cost", "unmet_energy", "battery_wear", "overload", "peak_power"), 0.0)
    peak = 0.0
    hours = track.step_h
    for t in range(track.n_steps):
        for vehicle in vehicles:
            if not vehicle["arrival"] <= t < vehicle["departure"]:
                continue
            before = vehicle["energy"]
            hi = (full_power(before, hours, vehicle) - before) / (vehicle["eta_charge"] * hours)
            spare = (before - vehicle["floor"]) * vehicle["eta_discharge"] / hours
            power = min(max(asked[t, vehicle["port"]], -min(vehicle["discharge_kw"], spare)), hi)
            granted[t, vehicle["port"]] = power
            if power >= 0:
                vehicle["energy"] += vehicle["eta_charge"] * power * hours
                costs["energy_cost"] += track.buy_per_kwh[t] * power * hours
            else:
                vehicle["energy"] += power * hours / vehicle["eta_discharge"]
                costs["energy_cost"] += track.sell_per_kwh[t] * power * hours
            costs["battery_wear"] += 0.03 * abs(power) * hours
            if t + 1 == min(vehicle["departure"], track.n_steps):
                costs["unmet_energy"] += 0.4 * max(0.0, vehicle["due"] - vehicle["energy"])
        for g, name in enumerate(site.groups):
            below = [site.ports.index(node) for node in descendants(site, name) if node in site.ports]
            power = granted[t, below].sum()
            upper = max(0.0, track.import_limit_kw[t, g] - track.base_load_kw[t, g])
            lower = min(0.0, -track.export_limit_kw[t, g] - track.base_load_kw[t, g])
            costs["overload"] += 2.0 * hours * max(0.0, power - upper, lower - power)
        imported = max(0.0, granted[t].sum() + track.base_load_kw[t, 0])
        costs["peak_power"] += 0.1 * max(0.0, imported - peak)
        peak = max(peak, imported)
    return granted, costs


def descendants(site: Site, name: str) -> list[str]:
    """Everything below a node of the graph."""
    below = []
    for child in site.graph.successors(name):
        below += [child, *descendants(site, child)]
    return below


@pytest.mark.parametrize("seed", range(12))
def test_the_simulator_agrees_with_a_slow_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    track = random_track(rng, site)
    asked = rng.normal(2.0, 12.0, (track.n_steps, site.arrays.n_ports))
    granted, costs = slow_day(site, track, asked)
    objective = Objective(
        [EnergyCost(), UnmetEnergy(0.4), BatteryWear(0.03), Overload(2.0), PeakPower(0.1)], limits_are_hard=False
    )
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset()
    totals = np.zeros(5)
    for t in range(track.n_steps):
        flow = simulator.step(asked[t : t + 1])
        np.testing.assert_allclose(flow.granted_kw[0], granted[t], atol=2e-4)
        totals += objective.costs(flow).sum(axis=(1, 2))
    np.testing.assert_allclose(totals, list(costs.values()), atol=2e-3)
