"""What happens at a site: models of sessions, prices, loads and weather, and the track, which holds an episode."""

from ev_marl.world.importing import import_tracks, prices_to_tracks, sessions_to_tracks
from ev_marl.world.session_table import SESSION, no_sessions, session_table
from ev_marl.world.track import Track
from ev_marl.world.world import World

__all__ = [
    "SESSION",
    "Track",
    "World",
    "import_tracks",
    "no_sessions",
    "prices_to_tracks",
    "session_table",
    "sessions_to_tracks",
]
