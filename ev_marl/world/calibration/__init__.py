"""The fitted figures behind the session and price models.

One YAML file a data set comes in, each naming its source and units; parsed once, on first use.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def figures(name: str) -> dict[str, Any]:
    """The contents of the calibration file `name`: `sessions_acn`, `sessions_elaadnl`, `sessions_highway`, `prices_nl`."""
    text = files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
