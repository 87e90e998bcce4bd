"""Up to ten days of every shipped scenario: the replayed plan earns the bound, and no policy earns more."""

from __future__ import annotations

import numpy as np
import pytest
from builders import playable_scenarios

from ev_marl.env.setup import Setting
from ev_marl.optimum import solve
from ev_marl.policies import make_policy, rollout
from ev_marl.simulation.simulator import Simulator

DAYS = 10
MOST_CELLS = 60_000  # days x steps x ports: fewer days of large or long scenarios
DAYS_WITH_LEVELS = 6  # plans are rounded and improved there, which takes long
RIVALS = ("uncontrolled", "llf", "as-late-as-possible", "price-threshold", "best-response", "random")


@pytest.mark.parametrize("name", playable_scenarios())
def test_the_bound_is_reached_and_never_beaten(name: str) -> None:
    setting = Setting.of(name)
    cells = setting.scenario.n_steps * setting.site.arrays.n_ports
    most = DAYS_WITH_LEVELS if setting.site.arrays.has_levels else DAYS
    tracks = [setting.world.sample(seed) for seed in range(max(3, min(most, MOST_CELLS // cells)))]
    # On an ideal network, as the rivals below play.
    solutions = [solve(setting.site, track, setting.objective, grid="ideal") for track in tracks]
    bound = np.array([solution.bound for solution in solutions])
    achieved = np.array([solution.achieved for solution in solutions])
    size = np.maximum(1.0, np.abs(bound))
    assert np.all(achieved <= bound + 1e-9 * size)
    if setting.site.arrays.has_levels:  # the bound is that of any power, and the certificate says so
        loose = [solution.certificate for solution in solutions if not solution.certificate.exact]
        assert loose
        assert all(any("levels" in reason.reason for reason in certificate.reasons) for certificate in loose)
    else:
        assert np.all(bound - achieved <= 1e-6 * size)
        assert all(solution.certificate.exact for solution in solutions)
    for coordinator in ("nearest", "priority", "proportional"):
        simulator = Simulator(setting.site.arrays, Setting.of(name, coordinator=coordinator).coordinator, tracks)
        for rival in RIVALS:
            team = rollout(simulator, setting.objective, make_policy(rival), tracks).team
            assert np.all(team <= bound + 1e-9 * size), rival
