"""Coordinators of ports with levels: worked by hand, and in random requests every limit and every level is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from coordinator_cases import grant, request_of, site_of
from test_coordinator_currents import random_request, random_site

from ev_marl.simulation.coordinators import COORDINATORS, Request
from ev_marl.simulation.coordinators.in_turn import keep_levels_within
from ev_marl.simulation.coordinators.scaling import scale_to_limits
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.levels import level_below
from ev_marl.site.scaling import keeps_currents
from ev_marl.support.errors import OptionError
from ev_marl.testing.cases import group_sums


def with_levels(site: SiteArrays, least: float, step: float) -> SiteArrays:
    return replace(site, port_levels_kw=np.outer([least, step], np.ones(site.n_ports)))


def one_group(
    setpoint: list[float], upper: float, *, least: float = 2.0, step: float = 2.0, lower: float = 0.0
) -> Request:
    """Ports below one limit, the first with the least laxity; each vehicle takes up to 22 kW."""
    site = with_levels(site_of([-1], [0] * len(setpoint)), least, step)
    request = request_of(site, setpoint, lower=[lower], upper=[upper], laxity=np.arange(len(setpoint), dtype=float))
    return replace(request, hi_kw=np.full((1, len(setpoint)), 22.0))


def test_in_turn_each_gets_the_highest_level_that_fits() -> None:
    """11 kW: the first takes 6; of 5 kW left, the second takes the level 4; 1 kW is less than the least power."""
    assert grant(COORDINATORS.make("priority", options={}), one_group([7.0, 6.0, 6.0], 11.0)).tolist() == [[6, 4, 0]]


def test_round_robin_gives_one_level_each_time_round() -> None:
    """13 kW: each 2, then the first and the second 2 more, and the third, then 1 kW is left."""
    rule = COORDINATORS.make("round-robin", options={"order": "laxity"})
    assert grant(rule, one_group([9.0, 9.0, 9.0], 13.0)).tolist() == [[4, 4, 4]]
    assert grant(rule, one_group([9.0, 9.0, 9.0], 11.0)).tolist() == [[4, 4, 2]]
    assert grant(rule, one_group([9.0, 9.0, 9.0], 5.0)).tolist() == [[2, 2, 0]]


def test_round_robin_from_a_least_power_on_by_increments() -> None:
    rule = COORDINATORS.make("round-robin", options={"order": "laxity", "increment_kw": 0.5})
    request = one_group([9.0, 9.0], 5.2, step=0.0)
    assert grant(rule, request) == pytest.approx(np.array([[2.5, 2.5]]))


def test_least_first_interrupts_few() -> None:
    """9 kW: each of the three has 2 kW before the first, with the least laxity, takes 2 more."""
    options = {"least_first": True}
    request = one_group([7.0, 6.0, 6.0], 9.0)
    assert grant(COORDINATORS.make("priority", options=options), request).tolist() == [[4, 2, 2]]
    # 5 kW: the least power does not fit for the third, so it gets nothing.
    request = one_group([7.0, 6.0, 6.0], 5.0)
    assert grant(COORDINATORS.make("priority", options=options), request).tolist() == [[2, 2, 0]]
    assert grant(COORDINATORS.make("round-robin", options=options), request).tolist() == [[2, 2, 0]]
    with pytest.raises(OptionError, match="least_first: found 'yes'; expected true or false"):
        COORDINATORS.make("priority", options={"least_first": "yes"})


def test_what_a_vehicle_takes_needs_no_level() -> None:
    request = one_group([3.0, 1.0, 9.0], 30.0)
    request = replace(request, hi_kw=np.array([[3.0, 1.0, 22.0]]))
    assert grant(COORDINATORS.make("priority", options={}), request).tolist() == [[3, 1, 8]]


def test_a_lower_charging_power_may_leave_too_much_discharging() -> None:
    """Nothing may be exported: 5 kW feed a charger of 5 kW, which has only the level 4, so the row is served anew."""
    request = one_group([5.0, -5.0], 22.0)
    granted = np.array([[5.0, -5.0]])
    keep_levels_within(request, granted, enforce=True)
    assert granted.tolist() == [[4, 0]]  # dischargers first: there is nothing to feed yet
    granted = np.array([[5.0, -5.0]])
    keep_levels_within(request, granted, enforce=False)
    assert granted.tolist() == [[4, -5]]


@pytest.mark.parametrize("name", ["proportional", "priority", "round-robin", "nearest"])
@pytest.mark.parametrize("step", [0.0, 1.5])
def test_random_requests_keep_limits_and_levels(name: str, step: float) -> None:
    rng = np.random.default_rng(len(name))
    moved = 0
    for _ in range(60):
        site = random_site(rng)
        request = random_request(rng, site, 4)
        arrays = with_levels(site.arrays, 3.0, step)
        taken = np.maximum(request.setpoint_kw, 0.0) + rng.choice([0.0, 5.0], request.setpoint_kw.shape)
        request = replace(request, site=arrays, hi_kw=taken)
        out = grant(COORDINATORS.make(name, options={}), request)
        scale_to_limits(request, out)
        before = out.copy()
        keep_levels_within(request, out, enforce=True)
        moved += int((out != before).any())
        assert (np.abs(out) <= np.abs(request.setpoint_kw) + 1e-9).all()
        assert (out * request.setpoint_kw >= 0.0).all()
        sums = group_sums(arrays, out)
        assert (sums <= request.upper_kw + 1e-8).all()
        assert (sums >= request.lower_kw - 1e-8).all()
        for b in range(len(out)):
            assert keeps_currents(b, request.currents, arrays.current_weight, out[b])
            for p in range(arrays.n_ports):
                assert level_below(out[b, p], taken[b, p], 3.0, step) == pytest.approx(out[b, p], abs=1e-9)
    assert moved > 10 or name in ("priority", "round-robin")
