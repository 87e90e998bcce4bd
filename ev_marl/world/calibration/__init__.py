"""The figures behind the session, price and load models.

One YAML file a data set comes in, each naming its source and units, or saying that it is an assumption; parsed once.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def figures(name: str) -> dict[str, Any]:
    """The contents of a calibration file; `name` is its file name without `.yaml`."""
    text = files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
