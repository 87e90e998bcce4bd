"""Public holidays of a country or a part of it, by the optional package `holidays`."""

from __future__ import annotations

from datetime import date
from functools import cache

from ev_marl.support.errors import DataError


@cache
def public_holidays(code: str, first_year: int, last_year: int) -> frozenset[date]:
    """Days on which offices are closed.

    Parameters
    ----------
    code : str
        Country, or country and part, of ISO 3166: `NL`, `US-CA`.
    first_year, last_year : int
        Years, both included.

    Raises
    ------
    DataError
        If the package is not installed, or has no such country or part.
    """
    try:
        import holidays  # noqa: PLC0415  optional
    except ImportError as error:
        raise DataError("public holidays need the package `holidays`: pip install 'ev_marl[holidays]'") from error
    country, _, part = code.partition("-")
    years = range(first_year, last_year + 1)
    try:
        found = holidays.country_holidays(country, subdiv=part or None, years=years)
    except NotImplementedError as error:
        raise DataError(
            f"found '{code}', of which the package `holidays` knows nothing; write a country such as NL, or a country "
            f"and its part such as US-CA ({error})"
        ) from error
    return frozenset(found)
