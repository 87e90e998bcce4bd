"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# Kernels compile on their first call, so a first example may take seconds: no deadline. Each run at a desk tries other
# examples; a pull request is judged on the same ones every time.
settings.register_profile("ev_marl", deadline=None, max_examples=60, derandomize="CI" in os.environ)
settings.load_profile("ev_marl")
