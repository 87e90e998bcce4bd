"""Which names a scenario may give: of groups, vehicles, kinds of station, currencies, hours."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
TYPE_PATTERN = r"^[a-z]+$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
HOURS_PATTERN = r"^(1?[0-9]|2[0-3])-(1?[0-9]|2[0-4])$"
PATTERNS = {
    NAME_PATTERN: "a letter, then letters, digits, `-` and `_`",
    TYPE_PATTERN: "lower-case letters only, such as ac",
    CURRENCY_PATTERN: "three capital letters, such as EUR",
    HOURS_PATTERN: "clock hours such as 8-12",
}
"""In words."""
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
