"""Conformance checks: call one in the tests of your own plug-in, and it says whether the simulator can rely on it.

A plug-in comes in; a `ConformanceError` (an `AssertionError`) that says what is wrong comes out, or nothing.
"""

from ev_marl.grid.solvers.conformance import check_grid_backend
from ev_marl.testing.blocks import check_block
from ev_marl.testing.cases import group_sums, random_request, random_site_arrays, small_day, small_site
from ev_marl.testing.coordinators import check_coordinator
from ev_marl.testing.outlooks import check_outlook
from ev_marl.testing.policies import check_policy
from ev_marl.testing.session_models import check_session_model
from ev_marl.testing.terms import check_term

__all__ = [
    "check_block",
    "check_coordinator",
    "check_grid_backend",
    "check_outlook",
    "check_policy",
    "check_session_model",
    "check_term",
    "group_sums",
    "random_request",
    "random_site_arrays",
    "small_day",
    "small_site",
]
