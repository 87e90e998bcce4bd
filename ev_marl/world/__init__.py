"""What happens at a site: models of sessions, prices, loads and weather, and the track, which holds an episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ev_marl.support.lazy import on_first_use
from ev_marl.world.session_table import SESSION, no_sessions, session_table

if TYPE_CHECKING:
    from ev_marl.world.acn_sim import sessions_to_track
    from ev_marl.world.importing import import_tracks, prices_to_tracks, sessions_to_tracks
    from ev_marl.world.recorded import part_days
    from ev_marl.world.track import Track
    from ev_marl.world.world import World

__all__ = [
    "SESSION",
    "Track",
    "World",
    "import_tracks",
    "no_sessions",
    "part_days",
    "prices_to_tracks",
    "session_table",
    "sessions_to_track",
    "sessions_to_tracks",
]

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "Track": "track",
        "World": "world",
        "import_tracks": "importing",
        "part_days": "recorded",
        "prices_to_tracks": "importing",
        "sessions_to_track": "acn_sim",
        "sessions_to_tracks": "importing",
    },
)
