"""Nobody beats the bound where features of every kind meet; `make proof` searches for longer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))

from everything import Found, play, random_scenario, search


def test_nobody_beats_the_bound_whatever_meets() -> None:
    found = search(seed=1, tries=350)
    assert found.faults == []
    assert found.returns >= 350
    assert found.exact > 0


def test_a_battery_with_a_fixed_value_at_the_end_is_played() -> None:
    """Found by the search: with a price instead of `auto`, the worth of energy is the same in all rows of a batch."""
    scenario = random_scenario(np.random.default_rng([0, 15]))
    scenario["objective"]["terminal_value"] = 0.2
    scenario["site"]["stations"] = [{"type": "bess", "power": 10, "battery": {"energy": 20, "wear": 0.02}}]
    found = Found()
    play(scenario, 3, found)
    assert found.faults == []
