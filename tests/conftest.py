"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# Kernels compile on their first call, so a first example may take seconds: no deadline.
settings.register_profile("ev_marl", deadline=None, max_examples=60)
settings.load_profile("ev_marl")
