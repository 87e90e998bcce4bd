"""Random scenarios that combine everything a scenario can have; on each, nobody may beat the bound.

`make proof` (`--tries 10000 --seed 0`) compares that many returns with bounds, prints what was found, and ends with
status 1 if a bound was beaten, a limit broken, or an energy lost. `test_validation_everything.py` has a few.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ev_marl.env.setup import Setting
from ev_marl.optimum import solve_day
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import scenario_from_dict
from ev_marl.simulation.flow import Flow

RULES = ("uncontrolled", "edf", "llf", "round-robin", "price-threshold", "as-late-as-possible", "best-response")
PLANNERS = ("dual-prices", "selfish", "booked-response", "mpc", "mpc(block_h=2)", "mpc-perfect")
N_RANDOM = 20  # rows of one day with random setpoints
TIME_LIMIT_S = 2.0  # of a solve: where binaries are many, the bound is that at this time
TOLERANCE = 1e-6  # of the bound, of limits [kW, A], of energies [kWh]


def random_scenario(rng: np.random.Generator) -> dict[str, Any]:
    """What a YAML file would hold; every feature with a chance of its own."""

    def some(share: float) -> bool:
        return bool(rng.random() < share)

    def number(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 3)

    phases = some(0.35)
    levels = some(0.2)
    stations = []
    for k in range(int(rng.integers(1, 4))):
        power = float(rng.choice([3.6, 7.2, 10.8, 21.6]))
        one: dict[str, Any] = {"type": "abc"[k], "count": int(rng.integers(1, 3)), "power": power}
        if some(0.4):
            one |= {"v2g": True, "discharge_efficiency": number(0.85, 1.0)}
        if phases:
            one["phases"] = str(rng.choice(["L1", "L2", "L3", "L1-L2", "L1-L2-L3"]))
        if levels and not one.get("v2g"):
            one |= {"least_power": round(power / 6, 6), "power_step": round(power / 6, 6)}
        elif some(0.3):
            one["part_load"] = [[0.2, number(0.7, 0.9)], [0.6, number(0.9, 0.98)], [1.0, number(0.88, 0.97)]]
        elif not one.get("v2g"):
            one["efficiency"] = number(0.85, 1.0)
        if some(0.2):
            one["standby"] = 0.1
        if some(0.2):
            one["ports"] = 2
        stations.append(one)
    total = sum(one["power"] * one["count"] * one.get("ports", 1) for one in stations)
    lot: dict[str, Any] = {"name": "lot", "stations": stations}
    if some(0.6):
        lot["import_limit"] = number(0.3 * total, total)
    site: dict[str, Any] = {"name": "site", "groups": [lot]}
    if some(0.6):
        site["import_limit"] = number(0.3 * total, 1.2 * total)
    if some(0.4):
        site["export_limit"] = number(0.0, total)
    if some(0.5):
        site["base_load"] = {
            "profile": str(rng.choice(["office", "household", "flat"])),
            "peak": number(0.0, 0.6 * total),
        }
    if some(0.3):
        site["pv"] = {"peak": number(0.0, total)}
    if some(0.3):
        battery = {"energy": number(5, 40), "reserve": number(0.0, 0.4), "wear": number(0.0, 0.05)}
        site["stations"] = [{"type": "bess", "power": number(3, 15), "battery": battery}]
    if phases:
        lot["current_limit"] = number(200 * total / 100, 1200 * total / 100)
        if some(0.3):
            lot["unbalance_limit"] = number(5, 60)
    transformer = some(0.25)
    if transformer:
        rating = {"rating": number(0.6 * total, 2 * total)}
        full = {"vector_group": "Dyn11", "primary": 10_000, "secondary": 400}
        site["transformer"] = rating | (full if some(0.5) else {"secondary": 400})
    objective: dict[str, Any] = {"unmet_energy": number(0.2, 1.5)}
    for key, share, most in (
        ("battery_wear", 0.5, 0.05),
        ("driver_tariff", 0.3, 0.5),
        ("peak_power", 0.3, 0.5),
        ("battery_ageing", 0.2, 1.0),
    ):
        if some(share):
            objective[key] = number(0.0, most)
    if some(0.2):
        objective["terminal_value"] = number(0.0, 0.4)
    if transformer and some(0.5):
        objective["transformer_ageing"] = number(0.05, 1.0)
    elif some(0.15):
        objective["service"] = "required"
    if some(0.15):
        objective["setpoint_tracking"] = {"weight": 0.01, "target": number(0.0, total)}
    sessions: dict[str, Any] = {
        "model": str(rng.choice(["elaadnl/workplace", "elaadnl/private", "elaadnl/public", "highway"])),
        "per_port_per_day": number(0.5, 4.0),
    }
    if some(0.3):
        sessions["patience"] = 0.5
    if some(0.4):
        declared: dict[str, Any] = {"early": {"share": 0.3, "by": 1.0}, "late": {"share": 0.3, "by": 1.0}}
        if some(0.5):
            declared["revised"] = {"share": 0.5}
        if some(0.5):
            declared["energy"] = {"more": {"share": 0.3, "by": 5.0}, "less": {"share": 0.3, "by": 5.0}}
        sessions["declared"] = declared
    events: list[dict[str, Any]] = []
    if some(0.25):
        events.append({"kind": "outage", "per_day": 2, "lasts": 2, "announced": number(0, 3)})
    if some(0.15):
        events.append({"kind": "island", "per_day": 1, "lasts": 2})
    if some(0.3):
        request = {"kind": "demand_response", "per_day": 2, "lasts": 2, "limit": number(0.0, total), "announced": 2}
        events.append(request | ({"penalty": number(0.05, 1.0)} if some(0.6) else {}))
    scenario = {
        "name": "everything",
        "start": "2023-03-01",
        "until": "2023-10-31",
        "start_hour": int(rng.integers(0, 24)),
        "step": str(rng.choice(["15 min", "30 min", "1 h"])),
        "horizon": float(rng.choice([6, 10, 16])),
        "site": site,
        "sessions": sessions,
        "vehicles": {"mix": str(rng.choice(["eu", "nl-2023"])), "reserve": 0.2},
        "prices": {"model": str(rng.choice(["nl/2022", "nl/2023", "nl/2023-tails"])), "feed_in": number(0.2, 1.0)},
        "events": events,
        "metering": str(rng.choice(["site", "port"])),
        "coordinator": str(rng.choice(["nearest", "proportional", "priority", "round-robin"])),
        "objective": objective,
        "observation": ["clock", "ports"],
    }
    if some(0.2):
        scenario["carbon"] = 300
        objective["carbon"] = number(10, 200)
    return scenario


@dataclass
class Found:
    """What was found."""

    scenarios: int = 0
    returns: int = 0  # compared with a bound
    exact: int = 0  # bounds that the plan reaches
    highest: float = -np.inf  # return less bound, over the size of the bound
    faults: list[str] = field(default_factory=list)


class Books:
    """Adds up the energy of each step, and watches the limits."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def __call__(self, flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
        site, found = flow.site, self.faults
        if not np.isfinite(rewards).all():
            found.append(f"step {flow.step}: a reward is not finite")
        if abs(rewards.sum() + costs.sum()) > 1e-6 * max(1.0, np.abs(costs).sum()):
            found.append(f"step {flow.step}: rewards are not minus the costs")
        power_kw = flow.granted_kw
        below = [
            power_kw[:, site.group_first_port[g] : site.group_end_port[g]].sum(axis=1) for g in range(site.n_groups)
        ]
        if np.abs(np.stack(below, axis=1) - flow.group_kw).max() > TOLERANCE:
            found.append(f"step {flow.step}: groups are not the sums of their ports")
        over = np.maximum(flow.group_kw - flow.upper_kw, flow.lower_kw - flow.group_kw).max()
        if over > TOLERANCE:
            found.append(f"step {flow.step}: a group is {over:g} kW beyond its limit")
        if site.n_currents and (flow.current_a - flow.current_limit_a).max() > 1e-5:
            found.append(f"step {flow.step}: a current is {(flow.current_a - flow.current_limit_a).max():g} A too high")
        moved_kwh = flow.step_h * np.abs(power_kw)
        if (np.abs(flow.energy_change_kwh) > moved_kwh / site.discharge_efficiency.min() + TOLERANCE).any():
            found.append(f"step {flow.step}: more reaches a battery than was metered")
        charging = power_kw > 0.0
        if (flow.energy_change_kwh[charging] > moved_kwh[charging] + TOLERANCE).any():
            found.append(f"step {flow.step}: charging gains energy")


def play(scenario: dict[str, Any], seed: int, found: Found) -> None:
    """One day of a scenario against its bound."""
    setting = Setting.of(scenario_from_dict(scenario))
    track = setting.world.sample(seed)
    solution = solve_day(setting, track, time_limit=TIME_LIMIT_S)
    size = max(1.0, abs(solution.bound))
    found.scenarios += 1
    found.exact += solution.certificate.exact
    where = json.dumps({"seed": seed, **scenario})
    if solution.achieved > solution.bound + TOLERANCE * size:
        found.faults.append(f"the plan earns {solution.achieved - solution.bound:g} more than the bound: {where}")
    if solution.certificate.exact and solution.gap > 2.0 * TOLERANCE * size:
        found.faults.append(f"exact, but {solution.gap:g} below the bound: {where}")

    def against(name: str, n_rows: int) -> np.ndarray:
        tracks = [track] * n_rows
        books = Books()
        result = rollout(
            setting.simulator(tracks),
            setting.objective,
            make_policy(name),
            tracks,
            seed=seed,
            watch=books,
            world=setting.world,
        )
        over = (result.team - solution.bound) / size
        found.returns += n_rows
        found.highest = max(found.highest, float(over.max()))
        found.faults.extend(f"{name}: {fault}: {where}" for fault in books.faults[:3])
        if over.max() > TOLERANCE:
            found.faults.append(f"{name} beats the bound by {over.max() * size:g}: {where}")
        return np.asarray(result.team)

    for name in (*RULES, *PLANNERS):
        against(name, 1)
    together = against("random", N_RANDOM)
    alone = against("llf", 2)
    if abs(alone[0] - alone[1]) > 1e-9 * size or not np.isfinite(together).all():
        found.faults.append(f"rows of the same day differ: {where}")


def search(seed: int, tries: int, *, say: bool = False) -> Found:
    """Random scenarios until so many returns were compared; `seed` and the number of a scenario make it."""
    found, number, begin = Found(), 0, time.monotonic()
    while found.returns < tries:
        rng = np.random.default_rng([seed, number])
        scenario = random_scenario(rng)
        n_faults = len(found.faults)
        try:
            play(scenario, int(rng.integers(1_000_000)), found)
        except Exception as error:  # noqa: BLE001  a crash is a fault, and the next scenario goes on
            found.faults.append(f"{type(error).__name__}: {error}: {json.dumps(scenario)}")
        number += 1
        if say and (len(found.faults) > n_faults or number % 50 == 0):
            print(
                f"{number} scenarios, {found.returns} returns, {found.exact} exact, highest {found.highest:.2e}, "
                f"{time.monotonic() - begin:.0f} s",
                *(f"  {number - 1}: {fault[:2000]}" for fault in found.faults[n_faults:]),
                sep="\n",
                flush=True,
            )
    return found


def main() -> None:
    """Search as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000, help="returns that are compared with a bound")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = search(options.seed, options.tries, say=True)
    print(
        f"{found.scenarios} scenarios, {found.returns} returns, {found.exact} bounds reached by their plan; "
        f"highest return over its bound: {found.highest:.2e}; {len(found.faults)} faults"
    )
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
