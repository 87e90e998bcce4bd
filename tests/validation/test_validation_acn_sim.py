"""The simulator against ACN-Sim itself, on a recorded day: energies, powers and the currents of all constraints.

ACN-Sim needs a virtual environment of its own: `python -m venv DIR; DIR/bin/pip install acnportal==0.3.3`. Then set
EV_MARL_ACN_PYTHON to its interpreter, and EV_MARL_ACN_SESSIONS to sessions of ACN-Data (caltech, September 2018).
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ev_marl.compare.garage import Case, Month, _controller
from ev_marl.env.setup import Setting
from ev_marl.policies import rollout
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.world import Track

PYTHON, SESSIONS = "EV_MARL_ACN_PYTHON", "EV_MARL_ACN_SESSIONS"
pytestmark = [
    pytest.mark.acn_sim,
    pytest.mark.skipif(
        PYTHON not in os.environ or SESSIONS not in os.environ,
        reason=f"{PYTHON} (an interpreter with acnportal) and {SESSIONS} (a file of ACN-Data) are not set",
    ),
]
JOB = Path(__file__).with_name("acn_sim_job.py")
DAY = date(2018, 9, 4)
STEPS = 288
CASES = [
    Case("II" if basic else "III", rating, policy, "profit" if policy == "uncontrolled" else "energy")
    for basic in (True, False)
    for rating in (25.0, 50.0, 150.0)
    for policy in ("uncontrolled", "edf", "llf")
]  # with the profit as goal, uncontrolled charging ignores the limits
VOLTAGE_KV = 0.208
CONSTRAINTS = ("Secondary", "Primary", "CC Pod", "AV Pod")


def station_names(setting: Setting) -> list[str]:
    """Name in the data of the station of each port."""
    names = {node: name for name, node in setting.site.station_ids.items()}
    return [names[port.split("/")[0]] for port in setting.site.ports]


@pytest.fixture(scope="module")
def month() -> Month:
    return Month(Path(os.environ[SESSIONS]), "caltech", DAY, DAY + timedelta(days=2), tuple(CASES), Path())


@pytest.fixture(scope="module")
def track(month: Month) -> Track:
    """The vehicles that come on the first of two days, and leave before the end of the second."""
    track = month.track(month.setting(CASES[0]), "ideal")
    sessions = track.sessions
    kept = (sessions["arrival_step"] < STEPS) & (sessions["departure_step"] < track.n_steps)
    return track.replace(sessions=sessions[kept].copy())


@pytest.fixture(scope="module")
def theirs(month: Month, track: Track) -> dict[Case, dict[str, Any]]:
    stations = station_names(month.setting(CASES[0]))
    job = {
        "steps": track.n_steps,
        "stations": stations,
        "sessions": [
            {
                "station": stations[session["port"]],
                "arrival": int(session["arrival_step"]),
                "departure": int(session["departure_step"]),
                "kwh": float(session["wanted_kwh"]),
            }
            for session in track.sessions
        ],
        "cases": [
            {"basic": case.scenario == "II", "rating_kva": case.rating_kva, "policy": case.policy} for case in CASES
        ],
    }
    done = subprocess.run(
        [os.environ[PYTHON], str(JOB)], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_acn_sim_agrees(case: Case, month: Month, track: Track, theirs: dict[Case, dict[str, Any]]) -> None:
    """Within 1 %: the energy of every session, the power of the garage and the current of every constraint."""
    setting = month.setting(case)
    arrays = setting.site.arrays
    station_a, row_a = np.zeros((len(setting.site.ports), track.n_steps)), np.zeros((arrays.n_currents, track.n_steps))

    def watch(flow: Flow, rewards: np.ndarray, costs: np.ndarray) -> None:
        station_a[:, flow.step] = flow.granted_kw[0] / VOLTAGE_KV
        row_a[:, flow.step] = flow.current_a[0]

    policy, coordinator = _controller(case)
    simulator = Simulator(arrays, coordinator, [track])
    rollout(simulator, setting.objective, policy, [track], world=setting.world, watch=watch)

    told = theirs[case]
    steps = len(told["station_a"][0])  # it ends with the last departure
    assert station_a[:, steps:].sum() == 0.0
    energy_kwh = [
        station_a[s["port"], s["arrival_step"] : s["departure_step"]].sum() * VOLTAGE_KV * track.step_h
        for s in track.sessions
    ]
    assert energy_kwh == pytest.approx(told["energy_kwh"], rel=0.01, abs=0.01)
    power_a = station_a.sum(axis=0)[:steps]
    assert power_a == pytest.approx(np.sum(told["station_a"], axis=0), rel=0.01, abs=0.01 * power_a.max())
    at = [k for word in CONSTRAINTS for k, name in enumerate(told["constraints"]) if name.startswith(word)]
    of_acn_sim = np.array(told["constraint_a"])[at]
    ours = np.concatenate([_as_acn_sim(row_a[:3], of_acn_sim[:3]), _as_acn_sim(row_a[3:6], of_acn_sim[3:6]), row_a[6:]])
    limit = 0.01 * np.maximum(of_acn_sim.max(axis=1, keepdims=True), 1.0)
    assert np.all(np.abs(ours[:, :steps] - of_acn_sim) <= limit)


def _as_acn_sim(ours: np.ndarray, told: np.ndarray) -> np.ndarray:
    """Three phases in the order of ACN-Sim, which names them differently: by the closest currents."""
    steps = told.shape[1]
    apart = [[np.abs(own[:steps] - other).sum() for own in ours] for other in told]
    order = [int(np.argmin(row)) for row in apart]
    assert sorted(order) == [0, 1, 2]
    return ours[order]
