"""The same seed gives the same days, powers and returns in every process, bit for bit, on random sites with V2G."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from builders import random_site, random_track

from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.objective.overload import Overload
from ev_marl.objective.peak import PeakPower
from ev_marl.objective.unmet import UnmetEnergy
from ev_marl.optimum import solve
from ev_marl.policies import make_policy, rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator


def fingerprint() -> str:
    """Hash of everything that a few random days come to."""
    digest = hashlib.sha256()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        site = random_site(rng, v2g_share=0.8)
        tracks = [random_track(rng, site) for _ in range(3)]
        objective = Objective([EnergyCost(), UnmetEnergy(0.4), Overload(1.0), PeakPower(0.2)])
        for coordinator in ("nearest", "priority", "proportional"):
            simulator = Simulator(site.arrays, make_coordinator(coordinator), tracks)
            for policy in ("random", "best-response", "llf"):
                result = rollout(
                    simulator,
                    objective,
                    make_policy(policy),
                    tracks,
                    seed=seed,
                    watch=lambda flow, rewards, costs: digest.update(flow.granted_kw.tobytes()),
                )
                digest.update(result.returns.tobytes())
        solution = solve(site, tracks[0], objective)
        digest.update(np.array([solution.bound, solution.achieved]).tobytes())
    return digest.hexdigest()


def test_bit_identical_across_processes() -> None:
    here = fingerprint()
    folder = str(Path(__file__).parent)
    code = "import test_integration_reproducible as test; print(test.fingerprint())"
    for hash_seed in ("0", "4711"):
        paths = os.pathsep.join([folder, str(Path(folder).parent), str(Path(folder).parent.parent)])
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
        output = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert output.split()[-1] == here
