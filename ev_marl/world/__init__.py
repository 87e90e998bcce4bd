"""What happens at a site: models of sessions, prices, loads and weather, and the track, which holds an episode."""

from ev_marl.world.importing import import_tracks, prices_to_tracks, sessions_to_tracks
from ev_marl.world.track import Sessions, Track
from ev_marl.world.world import World

__all__ = ["Sessions", "Track", "World", "import_tracks", "prices_to_tracks", "sessions_to_tracks"]
