"""Sessions and cases come in as JSON on stdin; what ACN-Sim makes of them goes out on stdout.

It runs in a virtual environment with acnportal 0.3.3, and imports nothing of this package. Three things are made alike:
among equals, stations come in the order of the job, limits of the primary are those of 480/√3 V instead of 277 V, and
what still fits is found to 0.1 µA instead of 0.01 A, of which the order by laxity makes differences of 10 % in single
sessions.
"""

import json
import sys
import warnings
from datetime import datetime

from acnportal import acnsim, algorithms
from acnportal.acnsim.events import EventQueue, PluginEvent
from acnportal.acnsim.models import EV, Battery

RULES = {"edf": algorithms.earliest_deadline_first, "llf": algorithms.least_laxity_first}
FULL_KW = 6.656  # 32 A at 208 V
FINE_A = 1e-7


class InOrder(algorithms.SortedSchedulingAlgo):
    """A rule, in which stations come in a given order among equals."""

    stations = ()

    def run_preprocessing(self, active_sessions, infrastructure):
        ordered = sorted(active_sessions, key=lambda session: self.stations.index(session.station_id))
        return super().run_preprocessing(ordered, infrastructure)

    @staticmethod
    def max_feasible_rate(station_index, ub, schedule, infrastructure, eps=0.01, lb=0.0):
        rule = algorithms.SortedSchedulingAlgo.max_feasible_rate
        return rule(station_index, ub, schedule, infrastructure, eps=FINE_A, lb=lb)

    def sorting_algorithm(self, active_sessions, infrastructure):
        ordered = sorted(active_sessions, key=lambda session: self.stations.index(session.station_id))
        return super().sorting_algorithm(ordered, infrastructure)


def run(case, stations, sessions, steps):
    """Energy of each session [kWh], and currents of stations and constraints [A], by step."""
    network = acnsim.sites.caltech_acn(basic_evse=case["basic"], voltage=208, transformer_cap=case["rating_kva"])
    primary = 277.0 / (480.0 / 3**0.5)
    network.magnitudes = network.magnitudes * [
        primary if "Primary" in name else 1.0 for name in network.constraint_index
    ]
    vehicles = [
        EV(s["arrival"], s["departure"], s["kwh"], s["station"], str(k), Battery(s["kwh"], 0, FULL_KW))
        for k, s in enumerate(sessions)
    ]
    if case["policy"] == "uncontrolled":
        scheduler = algorithms.UncontrolledCharging()
    else:
        scheduler = InOrder(RULES[case["policy"]], uninterrupted_charging=not case["basic"])
        scheduler.stations = stations
    events = EventQueue([PluginEvent(vehicle.arrival, vehicle) for vehicle in vehicles])
    simulator = acnsim.Simulator(network, scheduler, events, datetime(2018, 9, 4), period=5, verbose=False)
    simulator.run()
    rates = simulator.charging_rates[:, :steps]
    rows = [network.station_ids.index(station) for station in stations]
    return {
        "energy_kwh": [simulator.ev_history[str(k)].energy_delivered for k in range(len(sessions))],
        "station_a": rates[rows].tolist(),
        "constraints": list(network.constraint_index),
        "constraint_a": abs(network.constraint_current(rates)).tolist(),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    json.dump([run(case, job["stations"], job["sessions"], job["steps"]) for case in job["cases"]], sys.stdout)
