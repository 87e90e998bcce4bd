"""Current limits in model predictive control: kept in plans of this step and of later ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from current_cases import mixed_phase_day
from optimum_cases import money

from ev_marl.optimum import solve
from ev_marl.planning.outlook.ahead import Ahead
from ev_marl.planning.outlook.fleets import fleets
from ev_marl.planning.programme.receding import Program
from ev_marl.policies import MpcPerfect, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import stays_of
from ev_marl.simulation.simulator import Simulator


@pytest.mark.parametrize("seed", range(6))
def test_with_the_truth_it_earns_the_optimum_step_by_step(seed: int) -> None:
    site, track = mixed_phase_day(seed)
    objective = money(wear=0.02, unmet=0.5)
    bound = solve(site, track, objective).bound
    earned = rollout(Simulator(site, make_coordinator("nearest"), [track]), objective, MpcPerfect(), [track]).team[0]
    assert earned <= bound + 1e-6 * max(1.0, abs(bound))
    assert earned == pytest.approx(bound, rel=1e-3, abs=2e-3)


@pytest.mark.parametrize("seed", range(6))
def test_coordinators_have_nothing_to_do(seed: int) -> None:
    site, track = mixed_phase_day(seed)
    asked, granted = [], []

    def watch(flow, _rewards, _costs):
        asked.append(flow.setpoint_kw[0].copy())
        granted.append(flow.granted_kw[0].copy())

    simulator = Simulator(site, make_coordinator("nearest"), [track])
    rollout(simulator, money(wear=0.02, unmet=0.5), MpcPerfect(), [track], watch=watch)
    assert np.array(asked) == pytest.approx(np.array(granted), abs=0.02)


def test_it_moves_energy_to_hours_in_which_the_line_is_free() -> None:
    """Without the limit in its plan it would wait for the cheap hour, in which the line carries half of it."""
    site, track = mixed_phase_day(0)
    objective = money(unmet=0.5)
    simulator = Simulator(site, make_coordinator("nearest"), [track])
    knows = rollout(simulator, objective, MpcPerfect(), [track]).team[0]

    class Ignorant(MpcPerfect):
        def act(self, view):
            none = replace(
                view.site,
                current_weight=np.zeros((0, 2, view.site.n_ports)),
                current_limit_a=np.zeros(0),
                current_group=np.zeros(0, dtype=np.int64),
                current_base_weight=np.zeros((0, 2)),
            )
            return super().act(replace(view, site=none))

    assert knows > rollout(simulator, objective, Ignorant(), [track]).team[0] + 0.1


def test_the_next_programme_starts_from_the_half_planes_of_this_one() -> None:
    site, track = mixed_phase_day(0)
    objective, day = money(unmet=0.5), Ahead.of_day(site, track)
    first = Program(site, day, objective)
    again = Program(site, day, objective, start=first.start())
    assert again.decision().cost == pytest.approx(first.decision().cost, rel=1e-9)
    assert len(again.start().half_planes.step) == len(first.start().half_planes.step) > 0


def test_fleets_are_of_ports_with_the_same_currents() -> None:
    site, track = mixed_phase_day(0)
    stays = stays_of(site, track)
    stays = np.repeat(stays[stays["arrival_step"] > 0], 4)
    grouped = fleets(stays, 0.25, site, track.n_steps, track.step_h)
    kinds = np.vstack([site.port_group, site.current_weight.reshape(-1, site.n_ports).round(9)])

    def by_kind(table: np.ndarray) -> dict[tuple[float, ...], float]:
        energy: dict[tuple[float, ...], float] = {}
        for stay in table:
            key = tuple(kinds[:, stay["port"]].tolist())
            energy[key] = energy.get(key, 0.0) + stay["wanted_kwh"]
        return energy

    assert by_kind(grouped) == pytest.approx({key: 0.25 * kwh for key, kwh in by_kind(stays).items()})
