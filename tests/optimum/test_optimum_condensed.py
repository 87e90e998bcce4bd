"""Long programmes: what is left out changes neither bound nor plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from current_cases import mixed_phase_day
from optimum_cases import money, one_port_day, random_day

from ev_marl.optimum import search, solve
from ev_marl.optimum.search import Search
from ev_marl.optimum.solution import Solution
from ev_marl.planning.programme.condensed import Condensed


@pytest.fixture
def condense(monkeypatch):
    """Solves with every programme condensed."""

    def solved(*args, **options) -> Solution:
        with monkeypatch.context() as patch:
            patch.setattr(search, "LONG", 0)
            return solve(*args, **options)

    return solved


@pytest.mark.parametrize("days", [random_day, mixed_phase_day])
@pytest.mark.parametrize("seed", range(12))
def test_the_bound_is_the_same(condense, days, seed: int) -> None:
    site, track = days(seed)
    objective = money(wear=0.02 * (seed % 2), unmet=0.5)
    whole, condensed = solve(site, track, objective), condense(site, track, objective)
    assert condensed.bound == pytest.approx(whole.bound, rel=1e-6, abs=1e-6)
    assert condensed.achieved <= condensed.bound + 1e-9
    certificate = condensed.certificate
    assert certificate.exact
    if certificate.kind == "LP":
        assert certificate.dual_value == pytest.approx(certificate.primal_value, rel=1e-6, abs=1e-6)


def test_only_the_last_energy_of_a_vehicle_far_from_its_taper_is_kept(monkeypatch) -> None:
    """Five hours at 10 kW from 20 of 100 kWh: 70 kWh at most."""
    monkeypatch.setattr(search, "LONG", 0)
    site, track = one_port_day([0.3, 0.1, 0.4, 0.2, 0.5], wanted_kwh=18.0, stay=(0, 5))
    found = Search(site.arrays, track, money(), solver="highs", tolerance=1e-6, time_limit=60.0)
    found.run()
    condensed = Condensed(
        found.program,
        found.day.pairs,
        found.day.step_h,
        found.program.columns(found.day.charge),
        found.program.columns(found.day.energy),
    )
    assert found.program.n_columns - len(condensed) == 4
    assert condensed.arrays().matrix.shape[0] == found.program.matrix.shape[0] - 4
    assert found.x[found.program.columns(found.day.energy)] == pytest.approx([20.0, 30.0, 30.0, 38.0, 38.0])
    balance = found.multipliers[: len(found.day.pairs)]
    assert balance == pytest.approx(np.full(5, balance[0]))


@pytest.mark.parametrize(("taper_start", "discharge_kw"), [(0.3, 0.0), (0.8, 10.0)])
def test_energies_in_the_taper_or_with_v2g_are_kept(monkeypatch, taper_start: float, discharge_kw: float) -> None:
    monkeypatch.setattr(search, "LONG", 0)
    site, track = one_port_day([0.3, 0.1, 0.4], taper_start=taper_start, discharge_kw=discharge_kw)
    sessions = track.sessions.copy()
    sessions["energy_kwh"] = 40.0
    track = track.replace(sessions=sessions)
    found = Search(site.arrays, track, money(), solver="highs", tolerance=1e-6, time_limit=60.0)
    assert found._condensed is not None
    assert len(found._condensed) == found.program.n_columns


def test_a_taper_within_a_millionth_of_the_capacity_has_no_tangents(condense) -> None:
    """A battery that charges at full power until it is full, as those of ACN-Sim."""
    site, track = one_port_day([0.3, 0.1, 0.2], energy_kwh=0.0, wanted_kwh=12.0, capacity_kwh=12.0, taper_start=0.999)
    sessions = track.sessions.copy()
    sessions["charge_kw"] = 1e6
    solution = condense(site, replace(track, sessions=sessions), money())
    assert solution.certificate.exact
    assert solution.bound == pytest.approx(-(10 * 0.1 + 2 * 0.2))
