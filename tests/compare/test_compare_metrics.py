"""Metrics on days made by hand."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ev_marl.compare.day import Measured, Recorder, left_early_and_late
from ev_marl.objective import Objective
from ev_marl.objective.energy import EnergyCost
from ev_marl.policies import rollout
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.world.track import Track

EFFICIENCY = 0.8


def _site() -> Site:
    """Two single-port stations of 10 kW with V2G behind one connection of 12 kW, base load included."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", import_limit_kw=12.0, export_limit_kw=5.0)
    for a in range(2):
        graph.add_node(f"ac_{a}", kind="station")
        graph.add_edge("grid", f"ac_{a}")
        graph.add_node(
            f"ac_{a}/0",
            kind="port",
            charge_kw=10.0,
            discharge_kw=10.0,
            charge_efficiency=EFFICIENCY,
            discharge_efficiency=EFFICIENCY,
        )
        graph.add_edge(f"ac_{a}", f"ac_{a}/0")
    return Site.from_graph(graph)


class _Script:
    """Setpoints written down step by step."""

    name = "script"
    information = "own"

    def __init__(self, *setpoint_kw: list[float]) -> None:
        self._setpoint_kw = setpoint_kw

    def reset(self, episode: object) -> None:
        """Nothing to prepare."""

    def act(self, view) -> np.ndarray:
        return np.repeat([self._setpoint_kw[view.step]], len(view.energy_kwh), axis=0)


def _measure(track: Track, coordinator: str, *setpoint_kw: list[float], rows: int = 1) -> list[Measured]:
    site = _site()
    simulator = Simulator(site.arrays, make_coordinator(coordinator), [track])
    recorder = Recorder(simulator)
    rollout(simulator, Objective([EnergyCost(1.0)]), _Script(*setpoint_kw), [track] * rows, watch=recorder.watch)
    return [recorder.measured(row) for row in range(rows)]


def _track(*sessions: dict[str, float | str], base_load_kw: float = 2.0) -> Track:
    return Track.build(_site(), step_h=0.5, n_steps=4, sessions=sessions, buy=0.2, base_load_kw={"grid": base_load_kw})


def _session(port: int, arrival: int, departure: int, wanted_kwh: float, **more: float) -> dict[str, float | str]:
    return {
        "port": f"ac_{port}/0",
        "arrival": arrival,
        "departure": departure,
        "wanted_kwh": wanted_kwh,
        "capacity_kwh": 100.0,
        "energy_kwh": 20.0,
        "charge_kw": 50.0,
        "discharge_kw": 50.0,
        "reserve_kwh": 0.0,
        **more,
    }


def test_a_day_worked_by_hand() -> None:
    """Two vehicles, both wanting 4 kWh, reachable: 8 kW for an hour at 80 % gives 6.4 kWh."""
    track = _track(_session(0, 0, 2, 4.0), _session(1, 0, 4, 4.0))
    # Step 0: 10 + 5 asked, 10 granted (12 less 2 of base load): 7.5 and 2.5 by the projection. Then as asked.
    measured = _measure(track, "nearest", [10.0, 5.0], [0.0, 0.0], [0.0, -4.0], [0.0, 2.0])[0]
    assert measured.charged_kwh == pytest.approx(0.5 * (7.5 + 2.5 + 2.0))
    assert measured.discharged_kwh == pytest.approx(0.5 * 4.0)
    assert measured.net_kwh == pytest.approx(4.0)
    assert measured.curtailed_kwh == pytest.approx(0.5 * 5.0)
    assert measured.peak_kw == pytest.approx(12.0)
    assert (measured.violations, measured.violation_kwh) == (0, 0.0)
    first = 0.8 * 0.5 * 7.5 / 4.0
    second = (0.8 * 0.5 * (2.5 + 2.0) - 0.5 * 4.0 / 0.8) / 4.0
    assert second < 0.0  # it left with less than it brought: clipped to 0
    np.testing.assert_allclose(measured.satisfaction, [first, 0.0])
    assert measured.fairness == pytest.approx(0.5)
    np.testing.assert_allclose(measured.group_kw[:, 0], [12.0, 2.0, -2.0, 4.0])


def test_satisfaction_counts_what_was_reachable_and_leaves_out_who_wants_nothing() -> None:
    # 50 kWh wanted in half an hour: 10 kW · 0.5 h · 0.8 = 4 kWh can be had.
    track = _track(_session(0, 0, 1, 50.0), _session(1, 0, 4, 0.0))
    measured = _measure(track, "nearest", [5.0, 0.0], *[[0.0, 0.0]] * 3)[0]
    np.testing.assert_allclose(measured.satisfaction, [0.5])
    assert measured.fairness == 1.0


def test_a_stay_beyond_the_end_is_measured_at_the_end() -> None:
    # Until the end of the day 0 is due: the wish can still be reached afterwards.
    track = _track(_session(0, 0, 4, 8.0), _session(1, 2, 20, 8.0))
    measured = _measure(track, "nearest", *[[5.0, 0.0]] * 4)[0]
    np.testing.assert_allclose(measured.satisfaction, [1.0])  # 5 kW · 2 h · 0.8 = 8 kWh


def test_limits_that_nobody_holds_are_counted() -> None:
    track = _track(_session(0, 0, 4, 30.0), _session(1, 0, 4, 30.0))
    measured = _measure(track, "none", [10.0, 10.0], [10.0, 0.0], [-10.0, -10.0], [0.0, 0.0])[0]
    # 20 against 10 kW left over; 10 is allowed; −20 against −(5 + 2) kW
    assert measured.violations == 2
    assert measured.violation_kwh == pytest.approx(0.5 * (10.0 + 13.0))
    assert measured.curtailed_kwh == 0.0
    assert measured.peak_kw == pytest.approx(22.0)


def test_overload_by_base_load_alone_is_not_charged_to_vehicles() -> None:
    track = _track(_session(0, 0, 4, 8.0), base_load_kw=15.0)
    measured = _measure(track, "nearest", *[[10.0, 10.0]] * 4)[0]
    assert (measured.violations, measured.charged_kwh) == (0, 0.0)
    assert track.unavoidable_overload_kw.sum() == pytest.approx(4 * 3.0)


def test_rows_of_a_batch_are_measured_one_by_one() -> None:
    track = _track(_session(0, 0, 4, 8.0))
    rows = _measure(track, "nearest", *[[3.0, 0.0]] * 4, rows=3)
    alone = _measure(track, "nearest", *[[3.0, 0.0]] * 4)[0]
    for row in rows:
        assert row.charged_kwh == alone.charged_kwh
        np.testing.assert_array_equal(row.satisfaction, alone.satisfaction)
        np.testing.assert_array_equal(row.group_kw, alone.group_kw)


def test_a_day_without_vehicles() -> None:
    measured = _measure(_track(), "nearest", *[[3.0, 3.0]] * 4)[0]
    assert (measured.charged_kwh, len(measured.satisfaction)) == (0.0, 0)
    assert np.isnan(measured.fairness)


def test_not_before_the_end() -> None:
    site, track = _site(), _track()
    simulator = Simulator(site.arrays, make_coordinator("nearest"), [track])
    simulator.reset([0])
    with pytest.raises(RuntimeError, match="not over"):
        Recorder(simulator).measured()


@pytest.mark.parametrize(
    ("phases", "base_kw", "percent"),
    [
        # 10 A, 0 and 0: the mean is 3.33 A, the largest deviation 6.67 A.
        (["L1"], 0.0, 200.0),
        # 10 A, 10 A and 0: the mean is 6.67 A, the largest deviation 6.67 A.
        (["L1", "L2"], 0.0, 100.0),
        (["L1-L2-L3"], 0.0, 0.0),
        # The base load adds 10 A to each phase: 20 A, 10 A and 10 A, whose mean is 13.33 A.
        (["L1"], 6.9, 50.0),
    ],
)
def test_unbalance_is_the_largest_deviation_over_the_mean(phases: list[str], base_kw: float, percent: float) -> None:
    graph = nx.DiGraph()
    graph.add_node("lot", kind="parking_lot", current_limit_a=9.0)
    for a, conductors in enumerate(phases):
        graph.add_node(f"ac_{a}", kind="station", phases=conductors)
        graph.add_node(f"ac_{a}/0", kind="port", charge_kw=2.3)
        graph.add_edges_from([("lot", f"ac_{a}"), (f"ac_{a}", f"ac_{a}/0")])
    site = Site.from_graph(graph)
    sessions = [_session(a, 0, 4, 50.0) | {"charge_kw": 10.0} for a in range(len(phases))]
    track = Track.build(site, step_h=0.5, n_steps=4, sessions=sessions, buy=0.2, base_load_kw={"lot": base_kw})
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    recorder = Recorder(simulator, connection=site.connection_currents)
    script = _Script(*[[2.3] * len(phases)] * 4)
    rollout(simulator, Objective([EnergyCost(1.0)]), script, [track], watch=recorder.watch)
    measured = recorder.measured()
    assert measured.unbalance_percent == pytest.approx(percent, abs=1e-9)
    beyond = {"L1": 4, "L1-L2-L3": 0}.get(phases[0], 4) * len(site.currents)
    assert measured.violations == beyond


def test_unbalance_is_unknown_where_no_station_says_its_phases() -> None:
    assert _site().connection_currents is None
    (measured,) = _measure(_track(_session(0, 0, 2, 1.0)), "nearest", *[[1.0, 0.0]] * 4)
    assert measured.unbalance_percent is None


def test_energy_missed_by_those_who_left_early() -> None:
    """Both are owed 4 kWh and get nothing; one left before they had said, the other after. A third is there at the end,
    and has left neither early nor late."""
    early, late = _session(0, 0, 2, 4.0) | {"declared": 4}, _session(1, 0, 2, 4.0) | {"declared": 1}
    track = _track(early, late, _session(0, 3, 9, 0.0) | {"declared": 12})
    (measured,) = _measure(track, "nearest", *[[0.0, 0.0]] * 4)
    assert (measured.unmet_kwh, measured.unmet_early_kwh) == pytest.approx((8.0, 4.0))
    assert left_early_and_late(track) == (1, 1)
    silent = _track(_session(0, 0, 2, 4.0))
    assert _measure(silent, "nearest", *[[0.0, 0.0]] * 4)[0].unmet_early_kwh is None
    assert left_early_and_late(silent) is None
