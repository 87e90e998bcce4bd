"""One track cut in two: what the vehicles hold that stay over the cut is carried from the first part to the second."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from ev_marl.policies import Policy, rollout
from ev_marl.simulation.simulator import Simulator
from ev_marl.world.track import Track


def cut_track(track: Track, step: int, held_kwh: np.ndarray, ahead_kwh: np.ndarray) -> tuple[Track, Track]:
    """The steps before a cut, and those from it on.

    Parameters
    ----------
    track : Track
        Without a network.
    step : int
        First step of the second part.
    held_kwh, ahead_kwh : float64, shape (n_ports,)
        In the battery at each port at the cut, and how much of it is beyond an even service [kWh].
    """
    sessions = track.sessions
    first, second = sessions[sessions["arrival_step"] < step], sessions[sessions["departure_step"] > step].copy()
    there = second["arrival_step"] < step
    wish = second["energy_kwh"] + second["wanted_kwh"]
    port = second["port"]
    second["energy_kwh"] = np.where(there, held_kwh[port], second["energy_kwh"])
    second["wanted_kwh"] = np.where(there, np.maximum(0.0, wish - held_kwh[port]), second["wanted_kwh"])
    second["ahead_kwh"] = np.where(there, ahead_kwh[port], 0.0)
    second["arrival_step"] = np.maximum(0, second["arrival_step"] - step)
    second["departure_step"] -= step
    second = second[np.argsort(second["arrival_step"], kind="stable")]
    names = ("buy_per_kwh", "sell_per_kwh", "base_load_kw", "import_limit_kw", "export_limit_kw")
    before = {name: getattr(track, name)[:step] for name in names}
    after = {name: getattr(track, name)[step:] for name in names}
    later = track.start + timedelta(hours=step * track.step_h)
    return track.replace(sessions=first, **before), track.replace(sessions=second, start=later, **after)


def at_the_end(simulator: Simulator, objective, policy: Policy, world=None) -> tuple[float, np.ndarray, np.ndarray]:
    """Return of an episode, what the batteries hold at its end, and how much of it is beyond an even service."""
    track = simulator.tracks[0]
    held, ahead = np.zeros(simulator.site.n_ports), np.zeros(simulator.site.n_ports)

    def watch(flow, rewards, costs):
        if flow.last:
            held[:], ahead[:] = flow.energy_kwh[0], flow.stock_kwh[0]

    return float(rollout(simulator, objective, policy, [track], world=world, watch=watch).team[0]), held, ahead
