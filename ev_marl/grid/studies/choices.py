"""What can be asked of a day on three phases, as options say it; known without loading the study."""

from __future__ import annotations

from typing import Literal

Steps = Literal["worst", "all"]
LoadSplit = Literal["balanced", "one-phase"]
Connection = Literal["in-turn", "same"]
