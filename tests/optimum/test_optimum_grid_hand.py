"""Two buses whose optimum is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandapower")

from optimum_cases import money, one_port_day
from optimum_grid_cases import hang, two_buses

from ev_marl.grid.loop.limits import VOLTAGE_TOLERANCE_PU
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.grid import GridLosses, LineOverload, VoltageDeviation
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import GridProblem, Solution, solve
from ev_marl.scenario.schema.grid import GridLimits

# 0.4 kV and a resistance of 1.6 ohm: on a base of 1 MVA, 0.16 ohm, that is r = 10 p.u. A power p drawn at the end
# leaves V² − V + r·p = 0 there.
OHM, R = 1.6, 10.0
CHEAP, DEAR = 0.1, 0.3


def two_step_day(tmp_path: Path, objective: Objective, **options: object) -> Solution:
    """One vehicle that wants 12 kWh at up to 10 kW: the first hour is cheap, so only the network sends it elsewhere."""
    site, track = one_port_day([CHEAP, DEAR], wanted_kwh=12.0)
    track, loop = hang(site, track, two_buses(OHM), tmp_path, buses=[1], **options)  # type: ignore[arg-type]
    return solve(site, track, objective, grid=GridProblem.of(loop, track))


def power_at(voltage: float) -> float:
    """Power that leaves a voltage at the end of the line [kW]."""
    return 1000.0 * voltage * (1.0 - voltage) / R


def test_a_voltage_limit_holds_back_what_it_must_and_no_more(tmp_path: Path) -> None:
    lowest = 0.93
    solution = two_step_day(tmp_path, money(unmet=1.0), limits=GridLimits(voltage=[lowest, 1.1]))
    most_kw = power_at(lowest)
    assert most_kw < 10.0
    cost = CHEAP * most_kw + DEAR * (12.0 - most_kw)  # both hours are needed, the cheap one in full
    assert solution.achieved == pytest.approx(-cost, abs=2e-4)
    assert solution.bound == pytest.approx(-cost, abs=2e-4)
    assert solution.bound >= solution.achieved
    assert solution.plan.power_kw[0, 0] == pytest.approx(power_at(lowest - VOLTAGE_TOLERANCE_PU), abs=1e-3)
    assert solution.grid is not None
    assert solution.grid.voltage_violation_pu == 0.0
    assert solution.grid.checked_voltage_violation_pu == 0.0
    assert solution.grid.curtailed_kwh == pytest.approx(0.0, abs=1e-6)


def test_a_line_limit_holds_back_what_it_must(tmp_path: Path) -> None:
    site, track = one_port_day([CHEAP, DEAR], wanted_kwh=12.0)
    amperes = 10.0
    track, loop = hang(site, track, two_buses(OHM, amperes=amperes), tmp_path, buses=[1])
    solution = solve(site, track, money(), grid=GridProblem.of(loop, track))
    current = math.sqrt(3.0) * 0.4 * amperes / 1000.0  # p.u. on 1 MVA
    most_kw = 1000.0 * (1.0 - R * current) * current
    cost = CHEAP * most_kw + DEAR * (12.0 - most_kw)
    assert solution.achieved == pytest.approx(-cost, abs=2e-4)
    assert solution.bound == pytest.approx(-cost, abs=2e-4)


def test_feeding_in_lifts_the_voltage_to_its_limit(tmp_path: Path) -> None:
    site, track = one_port_day(
        [CHEAP, DEAR], wanted_kwh=0.0, energy_kwh=40.0, discharge_kw=10.0, reserve_kwh=0.0, stay=(0, 2)
    )
    highest = 1.05
    limits = GridLimits(voltage=[0.8, highest])
    track, loop = hang(site, track, two_buses(OHM), tmp_path, buses=[1], limits=limits)
    solution = solve(site, track, Objective([EnergyCost(), UnmetEnergy(0.25)]), grid=GridProblem.of(loop, track))
    most_kw = -power_at(highest)
    assert -solution.plan.power_kw[1].sum() == pytest.approx(most_kw, abs=1e-2)
    # Cones let currents be larger than they are, and losses lower this voltage: the bound is one, but not the best.
    assert solution.bound >= solution.achieved
    assert solution.grid is not None
    assert [part.kind for part in solution.grid.formulations] == ["bound", "bound", "bound", "estimate", "plan"]
    assert solution.bound <= solution.grid.formulations[0].value


def test_losses_are_paid_with_the_energy(tmp_path: Path) -> None:
    price, loss_price = 0.2, 0.5
    site, track = one_port_day([price, price], wanted_kwh=12.0)
    track, loop = hang(site, track, two_buses(OHM), tmp_path, buses=[1], curtails=False)
    objective = Objective([EnergyCost(), UnmetEnergy(5.0), GridLosses(loss_price)])
    solution = solve(site, track, objective, grid=GridProblem.of(loop, track))
    voltage = 0.5 + math.sqrt(0.25 - R * 0.006)  # losses are convex: 6 kW in both hours
    losses_kw = 1000.0 * R * ((1.0 - voltage) / R) ** 2
    cost = price * 12.0 + loss_price * 2.0 * losses_kw
    assert solution.bound == pytest.approx(-cost, rel=5e-5)
    assert solution.achieved == pytest.approx(-cost, rel=5e-5)
    assert solution.bound >= solution.achieved


def test_undervoltage_has_its_price(tmp_path: Path) -> None:
    lowest, dear, pu_price = 0.95, 0.12, 40.0
    site, track = one_port_day([CHEAP, dear], wanted_kwh=12.0)
    limits = GridLimits(voltage=[lowest, 1.1])
    track, loop = hang(site, track, two_buses(OHM), tmp_path, buses=[1], limits=limits, curtails=False)
    objective = Objective([EnergyCost(), UnmetEnergy(50.0), VoltageDeviation(pu_price)])
    solution = solve(site, track, objective, grid=GridProblem.of(loop, track))

    def cost(first_kw: float) -> float:
        total = 0.0
        for price, power_kw in ((CHEAP, first_kw), (dear, 12.0 - first_kw)):
            voltage = 0.5 + math.sqrt(0.25 - R * power_kw / 1000.0)
            total += price * power_kw + pu_price * max(0.0, lowest - voltage)
        return total

    best = min(cost(power_kw) for power_kw in np.linspace(2.0, 10.0, 80001))
    assert solution.bound >= -best - 1e-7
    assert solution.bound == pytest.approx(-best, rel=1e-5)
    assert solution.achieved == pytest.approx(-best, rel=1e-5)


def test_overload_is_bounded_and_its_plan_is_close(tmp_path: Path) -> None:
    site, track = one_port_day([CHEAP, 0.2], wanted_kwh=12.0)
    net = two_buses(OHM, amperes=8.0)
    track, loop = hang(site, track, net, tmp_path, buses=[1], curtails=False)
    objective = Objective([EnergyCost(), UnmetEnergy(50.0), LineOverload(0.3)])
    solution = solve(site, track, objective, grid=GridProblem.of(loop, track))
    rated = math.sqrt(3.0) * 0.4 * 8.0  # kVA

    def cost(first_kw: float) -> float:
        total = 0.0
        for price, power_kw in ((CHEAP, first_kw), (0.2, 12.0 - first_kw)):
            carried_kva = 1000.0 * (0.5 - math.sqrt(0.25 - R * power_kw / 1000.0)) / R
            total += price * power_kw + 0.3 * max(0.0, carried_kva - rated)
        return total

    best = min(cost(power_kw) for power_kw in np.linspace(2.0, 10.0, 80001))
    assert solution.achieved == pytest.approx(-best, rel=1e-5)
    assert solution.achieved <= solution.bound <= solution.achieved + 0.05 * best


def test_a_limit_that_is_broken_without_charging_leaves_none(tmp_path: Path) -> None:
    site, track = one_port_day([CHEAP, DEAR], wanted_kwh=12.0)
    net = two_buses(OHM, load_kw=8.0)
    track, loop = hang(site, track, net, tmp_path, buses=[1], limits=GridLimits(voltage=[0.97, 1.1]))
    assert track.grid is not None
    loads = np.array([[8.0], [0.0]])  # 0.91 p.u. in the first hour, whatever the vehicle does
    track = replace(track, grid=replace(track.grid, load_kw=loads, load_kvar=0.0 * loads))
    solution = solve(site, track, money(unmet=1.0), grid=GridProblem.of(loop, track))
    assert solution.plan.power_kw[0, 0] == pytest.approx(0.0, abs=2e-3)
    assert solution.plan.power_kw[1, 0] == pytest.approx(power_at(0.97), abs=2e-3)
    assert solution.bound >= solution.achieved
    assert solution.relative_gap < 1e-3
