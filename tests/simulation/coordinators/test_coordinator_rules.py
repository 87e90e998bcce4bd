"""What every coordinator keeps on random cases, and each one's answer to cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from coordinator_cases import grant, request_of, site_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_marl.scenario.schema import CoordinatorOptions
from ev_marl.simulation.coordinators import COORDINATORS, Coordinator, Request, make_coordinator
from ev_marl.support.errors import OptionError, UnknownNameError
from ev_marl.testing import check_coordinator, group_sums, random_request, random_site_arrays

INF = np.inf
ALL = ["none", "proportional", "priority", "round-robin", "nearest"]
ENFORCING = ["proportional", "priority", "round-robin", "nearest"]


@pytest.mark.parametrize("name", ALL)
def test_conforms(name: str) -> None:
    check_coordinator(make_coordinator(name))


@pytest.mark.parametrize("name", ALL)
def test_random_cases(name: str) -> None:
    """20,000 requests: limits to 1e-9 kW, curtailment only, and rows that do not know of each other, bit for bit."""
    rng = np.random.default_rng(1)
    coordinator = make_coordinator(name)
    for case in range(100):
        site = random_site_arrays(rng, n_levels=1 + case % 4)
        request = random_request(rng, site, n_batch=200)
        granted = grant(coordinator, request)
        asked = request.setpoint_kw
        assert (granted >= np.minimum(asked, 0)).all()
        assert (granted <= np.maximum(asked, 0)).all()
        if coordinator.enforces_limits:
            sums = group_sums(site, granted)
            assert (sums <= request.upper_kw + 1e-9).all()
            assert (sums >= request.lower_kw - 1e-9).all()
        for row in range(0, 200, 20):
            assert grant(coordinator, request.of_rows(slice(row, row + 1))).tobytes() == granted[row].tobytes()


@pytest.mark.parametrize("name", ALL)
def test_a_feasible_request_is_granted_bit_for_bit(name: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        request = random_request(rng, random_site_arrays(rng), n_batch=50)
        sums = group_sums(request.site, request.setpoint_kw)
        feasible = replace(
            request,
            lower_kw=np.minimum(request.lower_kw, sums - 1e-9),
            upper_kw=np.maximum(request.upper_kw, sums + 1e-9),
        )
        assert grant(make_coordinator(name), feasible).tobytes() == request.setpoint_kw.tobytes()


def test_nearest_is_nearest() -> None:
    rng = np.random.default_rng(6)
    for _ in range(40):
        request = random_request(rng, random_site_arrays(rng), n_batch=50)
        distance = {
            name: np.square(grant(make_coordinator(name), request) - request.setpoint_kw).sum(axis=1)
            for name in ENFORCING
        }
        assert (distance["nearest"] <= distance["proportional"] + 1e-9).all()
        assert (distance["nearest"] <= distance["priority"] + 1e-9).all()


# One limit: 10 and 4 kW asked for, 8 kW there. Cut alike, scaled alike, or the urgent first.
@pytest.mark.parametrize(
    ("name", "expected"),
    [("none", [10, 4]), ("nearest", [7, 1]), ("proportional", [80 / 14, 32 / 14]), ("priority", [4, 4])],
)
def test_one_limit(name: str, expected: list[float]) -> None:
    request = request_of(site_of([-1], [0, 0]), [10, 4], lower=[-INF], upper=[8], laxity=[2, 1])
    np.testing.assert_allclose(grant(make_coordinator(name), request), [expected], rtol=1e-14)


# A charger at the root's first lot, a discharger at its second; the second may export 4 of its 6 kW, the root import 5.
@pytest.mark.parametrize(
    ("name", "expected"), [("nearest", [9, -4]), ("proportional", [50 / 6, -20 / 6]), ("priority", [9, -4])]
)
def test_import_and_export_limit_in_one_tree(name: str, expected: list[float]) -> None:
    request = request_of(site_of([-1, 0, 0], [1, 2]), [10, -6], lower=[-INF, -INF, -4], upper=[5, INF, INF])
    np.testing.assert_allclose(grant(make_coordinator(name), request), [expected], rtol=1e-14)


# The root must shed 12 kW. The lot (3 and −5 kW) may not export more than its limit, so it gives up charging only
# until it gets there: not at all at 2 kW, down to 1 kW at 4 kW. The port beside it sheds the rest.
@pytest.mark.parametrize(("export_limit", "expected"), [(2, [8, 3, -5]), (4, [10, 1, -5])])
def test_a_lot_held_at_its_export_limit_while_the_root_is_over(export_limit: float, expected: list[float]) -> None:
    site = site_of([-1, 0], [0, 1, 1])
    request = request_of(site, [20, 3, -5], lower=[-INF, -export_limit], upper=[6, INF])
    np.testing.assert_allclose(grant(make_coordinator("nearest"), request), [expected], rtol=1e-14)


def test_no_headroom_grants_nothing_exactly() -> None:
    request = request_of(site_of([-1, 0], [0, 1, 1]), [0.1, 0.2, 0.7], lower=[0, 0], upper=[0, INF])
    for name in ENFORCING:
        assert (grant(make_coordinator(name), request) == 0).all()


@pytest.mark.parametrize("name", ["nearest", "proportional"])
def test_powers_that_offset_each_other_are_not_cut_for_rounding(name: str) -> None:
    """0.1 + 0.2 − 0.3 is 6e-17 in floating point: above a limit of 0 by rounding alone."""
    request = request_of(site_of([-1], [0, 0, 0]), [0.1, 0.2, -0.3], lower=[-INF], upper=[0.0])
    assert request.setpoint_kw.sum() > 0.0
    np.testing.assert_allclose(grant(make_coordinator(name), request), request.setpoint_kw, atol=1e-12)


def test_priority_serves_the_urgent_first_and_ties_by_port() -> None:
    site = site_of([-1], [0] * 4)
    request = request_of(site, [7, 7, 7, 7], lower=[-INF], upper=[17], laxity=[3, -1, 3, INF])
    np.testing.assert_allclose(grant(make_coordinator("priority"), request), [[7, 7, 3, 0]])


def test_priority_drains_those_that_can_wait() -> None:
    site = site_of([-1], [0] * 3)
    request = request_of(site, [-7, -7, -7], lower=[-10], upper=[INF], laxity=[3, 9, 1])
    np.testing.assert_allclose(grant(make_coordinator("priority"), request), [[-3, -7, 0]])


def test_priority_sorts_many_ports() -> None:
    """Against NumPy's stable sort, with plenty of ties."""
    rng = np.random.default_rng(7)
    n_ports = 300
    site = site_of([-1], [0] * n_ports)
    for _ in range(20):
        laxity = rng.integers(0, 40, n_ports).astype(float)
        asked = rng.uniform(1, 22, n_ports)
        limit = asked.sum() * rng.uniform(0.1, 0.9)
        granted = grant(make_coordinator("priority"), request_of(site, asked, lower=[0], upper=[limit], laxity=laxity))
        order = np.argsort(laxity, kind="stable")
        left = np.concatenate([[limit], limit - np.cumsum(asked[order])[:-1]]).clip(min=0)
        np.testing.assert_allclose(granted[0, order], np.minimum(asked[order], left), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_levels=st.integers(1, 4),
    share=st.floats(0, 1),
    name=st.sampled_from(ENFORCING),
)
def test_properties(seed: int, n_levels: int, share: float, name: str) -> None:
    """Limits, curtailment; granting what was granted changes nothing; and zero limits let nothing through."""
    rng = np.random.default_rng(seed)
    request = random_request(rng, random_site_arrays(rng, n_levels), n_batch=4)
    request = replace(request, upper_kw=share * request.upper_kw if share > 0 else 0 * np.sign(request.upper_kw))
    request.upper_kw[np.isnan(request.upper_kw)] = 0
    coordinator = make_coordinator(name)
    granted = grant(coordinator, request)
    sums = group_sums(request.site, granted)
    assert (sums <= request.upper_kw + 1e-9).all()
    assert (sums >= request.lower_kw - 1e-9).all()
    assert (granted * request.setpoint_kw >= 0).all()
    assert (np.abs(granted) <= np.abs(request.setpoint_kw)).all()
    if name != "priority":  # a discharger that `priority` held back may be served now that chargers were cut
        again = grant(coordinator, replace(request, setpoint_kw=granted))
        np.testing.assert_allclose(again, granted, atol=1e-9)


class BreaksLimits:
    """Keeps the root's limits by scaling everybody, and forgets the groups below."""

    name = "forgetful"
    enforces_limits = True

    def grant(self, request: Request, out: np.ndarray) -> None:
        total = request.setpoint_kw.sum(axis=1, keepdims=True)
        kept = np.clip(total, request.lower_kw[:, :1], request.upper_kw[:, :1])
        out[:] = request.setpoint_kw * np.divide(kept, total, out=np.ones_like(total), where=total != 0)


class Boosts(BreaksLimits):
    def grant(self, request: Request, out: np.ndarray) -> None:
        out[:] = 1.01 * request.setpoint_kw


class WritesToRequest(BreaksLimits):
    def grant(self, request: Request, out: np.ndarray) -> None:
        request.setpoint_kw *= 0.5
        out[:] = 0


class LeavesOut(BreaksLimits):
    def grant(self, request: Request, out: np.ndarray) -> None:
        out[1:] = 0


class MixesRows(BreaksLimits):
    def grant(self, request: Request, out: np.ndarray) -> None:
        out[:] = 0
        if (request.upper_kw >= 0).all() and len(out) > 1:
            np.copyto(out, request.setpoint_kw)
            make_coordinator("nearest").grant(request, out)


class Forgets:
    name = "forgets"

    def grant(self, request: Request, out: np.ndarray) -> None:
        out[:] = 0


@pytest.mark.parametrize(
    ("coordinator", "message"),
    [
        (BreaksLimits(), "import limit broken at"),
        (Boosts(), "granted power not between 0 and the setpoint"),
        (WritesToRequest(), r"it wrote to request\.setpoint_kw"),
        (LeavesOut(), "granted powers left out"),
        (MixesRows(), "of a batch differs from the same row alone"),
        (Forgets(), "lacks name, enforces_limits or grant"),
    ],
)
def test_the_check_names_what_is_broken(coordinator: Coordinator, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_coordinator(coordinator)


def test_made_by_name_or_options() -> None:
    assert [name for name in COORDINATORS if name in ALL] == sorted(ALL)
    for name in ALL:
        made = make_coordinator(CoordinatorOptions(name=name))
        assert isinstance(made, Coordinator)
        assert made.name == name
        assert made.enforces_limits == (name != "none")
    assert make_coordinator("ev_marl.simulation.coordinators.priority:Priority").name == "priority"


def test_unknown_names_and_options_say_what_exists() -> None:
    with pytest.raises(UnknownNameError, match=r"no coordinator is called 'nearst'. Did you mean 'nearest'\?"):
        make_coordinator("nearst")
    with pytest.raises(OptionError, match=r"'nearest': .*'weight'.* Did you mean 'weights'\? Options: weights\."):
        make_coordinator(CoordinatorOptions(name="nearest", options={"weight": [1]}))
    with pytest.raises(OptionError, match=r"'proportional': .*'order'.* It takes no options\."):
        make_coordinator(CoordinatorOptions(name="proportional", options={"order": "laxity"}))
    for name in ("priority", "round-robin"):
        with pytest.raises(OptionError, match=rf"'{name}': order is 'edf'; it must be one of laxity, deadline"):
            make_coordinator(CoordinatorOptions(name=name, options={"order": "edf"}))
    for increment in (0, -1, "0.1 kW"):
        with pytest.raises(OptionError, match="'round-robin': increment_kw"):
            make_coordinator(CoordinatorOptions(name="round-robin", options={"increment_kw": increment}))
