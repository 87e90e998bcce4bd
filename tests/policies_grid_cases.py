"""Scenarios and days on a network for the tests of policies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ev_marl.scenario import Scenario, load_scenario
from ev_marl.world.track import Track


def weak_street() -> Scenario:
    """Few chargers at the ends of the shipped street, with a voltage band that they reach together."""
    street = load_scenario("street-lv").model_dump(exclude_unset=True)
    street["step"] = 0.5
    street["site"]["stations"] = [{"type": "home", "count": 10, "power": 11.0, "bus": ["Bus R17", "Bus R18"]}]
    street["grid"]["limits"]["voltage"] = [0.975, 1.1]
    return Scenario.model_validate(street)


def another_future(track: Track) -> tuple[int, Track]:
    """A step, and the same day up to it: later nobody arrives, and the network carries more and other loads."""
    assert track.grid is not None
    arrivals = np.unique(track.sessions["arrival_step"])
    t = int(arrivals[len(arrivals) // 2])
    later = track.sessions["arrival_step"] > t
    assert later.any()
    load_kw, load_kvar = track.grid.load_kw.copy(), track.grid.load_kvar.copy()
    load_kw[t + 1 :] *= 1.5
    load_kvar[t + 1 :] *= 0.5
    generator_kw = track.grid.generator_kw.copy()
    generator_kw[t + 1 :] *= 0.2
    network = replace(track.grid, load_kw=load_kw, load_kvar=load_kvar, generator_kw=generator_kw)
    return t, replace(track, sessions=track.sessions[~later], grid=network)
