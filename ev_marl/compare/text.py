"""Numbers and names as text, the same in tables, reports, pictures and on the command line."""

from __future__ import annotations

import math
import textwrap


def percent(value: float, digits: int) -> str:
    """A share as text."""
    return "–" if math.isnan(value) else f"{number(100 * value, digits)} %"


def number(value: float, digits: int) -> str:
    """A number as text; no minus before a zero."""
    return "–" if math.isnan(value) else f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def signed(value: float, digits: int) -> str:
    """A number as text, with its sign."""
    text = number(value, digits)
    return f"+{text}" if not math.isnan(value) and round(value, digits) > 0.0 else text


def fold(label: str, width: int) -> str:
    """A long name over several lines, broken between its options where it has any."""
    if len(label) <= width:
        return label
    lines = textwrap.wrap(label.replace("(", "( ", 1), width, subsequent_indent="  ")
    return "\n".join(lines).replace("( ", "(", 1)
