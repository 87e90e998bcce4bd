"""Values in files: numbers in a sensible range, and how messages show what was found."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

LEAST, MOST = 1e-9, 1e9
"""A number is 0, or of a magnitude between these, in its documented unit. Others are typing errors, and would give sums
and quotients that are not finite."""

WRITTEN = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
"""How numbers are written in files of every kind: 12, -0.5, 1e3."""
_WRITTEN = re.compile(WRITTEN)


def in_range(number: float, found: object, documented: str = "", most: float = MOST) -> float:
    """A number as a float.

    Parameters
    ----------
    number : float
        The number.
    found : object
        What was written, for messages.
    documented : str
        Its unit, for messages.
    most : float
        Largest magnitude.

    Raises
    ------
    ValueError
        If it is not finite, or neither 0 nor of a magnitude from `LEAST` to `most`.
    """
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"found {shown(found)}; expected a finite number")
    if value and not LEAST <= abs(value) <= most:
        unit = f" [{documented}]" if documented else ""
        raise ValueError(f"found {shown(found)}; expected 0, or a magnitude from {LEAST:g} to {most:g}{unit}")
    return value


def read_number(text: str) -> float:
    """A number written as `WRITTEN`, in range; else ValueError."""
    if not _WRITTEN.fullmatch(text.strip()):
        raise ValueError(f"found {shown(text)}; expected a number")
    return in_range(float(text), text)


def number(value: object) -> float:
    """A number without a unit, no text and no Boolean; else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"found {shown(value)}; expected a number")
    return in_range(value, value)


def whole(value: object) -> int:
    """A whole number, no text and no Boolean; else ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"found {shown(value)}; expected a whole number")
    return int(value)


def switch(value: object) -> bool:
    """True or False, no text and no number; else ValueError."""
    if not isinstance(value, bool):
        raise ValueError(f"found {shown(value)}; expected true or false")
    return value


def shown(value: object) -> str:
    """A value as text for messages."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"a mapping with the keys {listed(value)}" if value else "an empty mapping"
    if isinstance(value, list | tuple) and len(value) > 6:
        return f"a list of {len(value)} entries"
    if isinstance(value, int) and abs(value) >= 10**60:
        return "a whole number of more than 60 digits"  # Python does not print the longest ones
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def listed(names: Iterable[object], most: int = 20) -> str:
    """Names as a list for messages, the first ones of many."""
    first = [str(name) for name, _ in zip(names, range(most + 1), strict=False)]
    return ", ".join([*first[:most], "..."] if len(first) > most else first)
