"""Which names a scenario may give: of groups, vehicles, kinds of station, currencies."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
TYPE_PATTERN = r"^[a-z]+$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
PATTERNS = {
    NAME_PATTERN: "a letter, then letters, digits, `-` and `_`",
    TYPE_PATTERN: "lower-case letters only, such as ac",
    CURRENCY_PATTERN: "three capital letters, such as EUR",
}
"""In words."""
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
