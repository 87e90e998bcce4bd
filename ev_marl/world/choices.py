"""How data sets are read, as options say it; known without loading the readers."""

from __future__ import annotations

from typing import Literal

Dataset = Literal["acn", "elaadnl", "csv", "prices"]
SessionData = Literal["acn", "elaadnl", "csv"]
Wish = Literal["delivered", "requested"]  # which energy of a recorded session its driver wanted
Departures = Literal["declared", "true"]
"""What drivers are taken to say: what they said, where the data have it, or when they left."""
Battery = Literal["ideal", "two_stage"]  # which battery a recorded session is given, see `ev_marl.world.acn_sim`

Garage = Literal["caltech", "jpl", "office"]
"""Garages of ACN-Sim that are scenarios here: acn-caltech, acn-jpl, acn-office."""
