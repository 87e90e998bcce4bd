"""Draws from the fitted models, compares with the data, and writes `docs/reference/fitted-and-recorded.md`.

The data are not part of the package: a folder with the ACN-Data of May to December 2019 (`caltech_2019-*.csv.gz`,
`jpl_2019-*.csv.gz`, https://ev.caltech.edu/dataset) and the day-ahead prices of the Netherlands of 2022 and 2023
(`day_ahead_nl_2022_2023.csv.gz`, columns `datetime_utc,price_eur_per_mwh`, ENTSO-E Transparency Platform).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ev_marl.scenario.schema import Sessions
from ev_marl.world.fitting import Fit, Recorded, holidays_of, how_well, how_well_declared
from ev_marl.world.hours import HourGrid
from ev_marl.world.importing import SESSION_READERS
from ev_marl.world.measured_sessions import read_session_file
from ev_marl.world.prices import FittedPrices, TailedPrices
from ev_marl.world.readers.prices import read_prices
from ev_marl.world.sessions import SESSION_MODELS

PAGE = Path(__file__).parent / "reference" / "fitted-and-recorded.md"
CALIBRATION = Path(__file__).parents[1] / "ev_marl" / "world" / "calibration"
ZONE = "Europe/Amsterdam"
N_YEARS = 60
SITES = {"caltech": 53, "jpl": 52}  # ports
INTRODUCTION = """\
# Fitted and recorded

How far the fitted models of sessions and prices are from the data that they are fitted to. The models are described in
[Where the data come from](../explanation/data.md). `python docs/fitted_and_recorded.py FOLDER` writes this page; its
docstring says which data the folder must have, and where they are.

## Sessions

Distances of Kolmogorov and Smirnov between the sessions of the data and drawn sessions of the same calendar, ten times;
times of arrival and departure on the local clock. Sessions are drawn before they are rounded to steps and put at ports.
The Fano factor is that of numbers on Mondays to Thursdays; `declared` is about true less declared departures.

| | sessions | arrival | stay | departure | energy | Fano factor: data | drawn | declared |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
"""
PRICES = f"""
## Day-ahead prices

Of the Netherlands [EUR/kWh]; of the models, the mean of {N_YEARS} drawn years.

"""


def main() -> None:
    """Compare with the data of a folder, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the data; folders in it are searched, too")
    folder = parser.parse_args().folder
    rows = "\n".join(line for site in SITES for line in _session_lines(folder, site))
    PAGE.write_text(INTRODUCTION + rows + "\n" + PRICES + "\n".join(_price_lines(folder)) + "\n", encoding="utf-8")


def _session_lines(folder: Path, site: str) -> Iterator[str]:
    files = sorted(folder.rglob(f"{site}_2019-*.csv.gz"))
    read = [SESSION_READERS["acn"](file) for file in files]
    free = holidays_of(read, "US-CA")
    recorded = Recorded.of(read, free)
    per_weekday = float(recorded.number[recorded.kind == 0].mean())
    for model in (f"acn/{site}", f"acn/{site}-2019"):
        fit: Fit = how_well(recorded, SESSION_MODELS.make(model, Sessions(per_port_per_day=per_weekday)), free)
        declared = None
        if model.endswith("-2019"):
            declared = how_well_declared(recorded, read_session_file(CALIBRATION / f"sessions_acn_{site}_2019.yaml"))
        distances = " | ".join(f"{value:.3f}" for value in (fit.arrival, fit.stay, fit.departure, fit.energy))
        fano = f"{fit.fano_data:.2f} | {fit.fano_model:.2f}"
        said = "" if declared is None else f"{declared:.3f}"
        yield f"| `{model}` | {len(recorded.hour):,} | {distances} | {fano} | {said} |"


def _price_lines(folder: Path) -> Iterator[str]:
    (file,) = folder.rglob("day_ahead_nl_2022_2023.csv.gz")
    data = read_prices(file, fill="previous_day")  # one hour is missing
    columns: dict[str, dict[str, str]] = {}
    for year in (2022, 2023):
        begin = datetime(year, 1, 1, tzinfo=UTC)  # as the data do
        hours = HourGrid.around(begin, ZONE, 0.0, 24.0 * 365)
        first = round((begin - data.start).total_seconds() / 3600.0)
        columns[f"{year} data"] = _figures(data.per_kwh[first : first + len(hours)][None], hours)
        for model, source in ((f"nl/{year}", FittedPrices), (f"nl/{year}-tails", TailedPrices)):
            drawn = source(model)
            years = [drawn.hourly(hours, np.random.default_rng(seed)) for seed in range(N_YEARS)]
            columns[f"`{model}`"] = _figures(np.stack(years), hours)
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'--:|' * len(columns)}"
    for name in next(iter(columns.values())):
        yield f"| {name} | {' | '.join(column[name] for column in columns.values())} |"


def _figures(years: np.ndarray, hours: HourGrid) -> dict[str, str]:
    """Means over the years, shape (n_years, n_hours)."""
    day = hours.day - hours.day[0]
    by_day = [years[:, day == k] for k in range(day[-1] + 1)]
    spread = np.stack([part.max(axis=1) - part.min(axis=1) for part in by_day], axis=1)
    negative = np.stack([(part < 0.0).any(axis=1) for part in by_day], axis=1)
    score = (years - years.mean(axis=1, keepdims=True)) / years.std(axis=1, keepdims=True)
    daily = np.stack([part.mean(axis=1) for part in by_day], axis=1)

    def lag(values: np.ndarray, by: int) -> float:
        return float(np.mean([np.corrcoef(one[:-by], one[by:])[0, 1] for one in values]))

    return {
        "mean": f"{years.mean():.3f}",
        "standard deviation": f"{years.std(axis=1).mean():.3f}",
        "skewness": f"{(score**3).mean():.2f}".replace("-", "−"),
        "excess kurtosis": f"{(score**4).mean() - 3.0:.2f}".replace("-", "−"),
        "hours below 0": f"{(years < 0.0).mean():.1%}",
        "days with hours below 0": f"{negative.mean():.1%}",
        "1 % and 99 % quantile": _pair(np.quantile(years, 0.01, axis=1), np.quantile(years, 0.99, axis=1)),
        "lowest and highest of a year": _pair(years.min(axis=1), years.max(axis=1)),
        "mean spread of a day": f"{spread.mean():.3f}",
        "standard deviation of the spread": f"{spread.std(axis=1).mean():.3f}",
        "95 % quantile of the spread": f"{np.quantile(spread, 0.95, axis=1).mean():.3f}",
        "correlation over 24 h, over 1 h": f"{lag(years, 24):.2f}, {lag(years, 1):.2f}",
        "correlation of daily means": f"{lag(daily, 1):.2f}",
    }


def _pair(low: np.ndarray, high: np.ndarray) -> str:
    return f"{low.mean():.3f}, {high.mean():.3f}".replace("-", "−")


if __name__ == "__main__":
    main()
