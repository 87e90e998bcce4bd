"""Recorded days in place of drawn ones: a folder of tracks, parted into training, validation and test days.

A folder comes in; files of tracks go out, by split and seed. The parts are the folders `train`, `validation` and `test`
in it, so that everybody sees which day is for what.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from ev_marl.support.errors import TrackError
from ev_marl.world.seeds import SPLITS, Split, split_of
from ev_marl.world.streams import stream
from ev_marl.world.track import Track
from ev_marl.world.track_files import is_parted, track_paths

HOW_TO_PART = "`ev-marl track split DIR --out PARTED` makes such folders"


class RecordedDays:
    """Track files by split.

    Parameters
    ----------
    folder : Path
        With the folders `train`, `validation` and `test`.

    Raises
    ------
    TrackError
        If there is no such folder, or if it has no part, or no training day.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise TrackError(f"{folder}: there is no such folder")
        if not is_parted(folder):
            raise TrackError(f"{folder}: it has no folders {', '.join(SPLITS)}; {HOW_TO_PART}")
        self._folder = folder
        self._files = {split: track_paths([folder / split]) for split in SPLITS if (folder / split).is_dir()}
        if "train" not in self._files:
            raise TrackError(f"{folder}: it has no folder train; {HOW_TO_PART}")

    def file(self, seed: int) -> Path:
        """The day of a seed, drawn among those of the seed's split, see `day_seeds`."""
        files = self.files(split_of(seed))
        return files[int(stream(seed, "calendar").integers(len(files)))]

    def files(self, split: Split) -> list[Path]:
        """All days of a split, in the order of their names.

        Raises
        ------
        TrackError
            If there is none.
        """
        if split not in self._files:
            raise TrackError(f"{self._folder}: it has no folder {split}; {HOW_TO_PART}")
        return self._files[split]

    def some(self, seed: int, n: int, split: Split) -> list[Path]:
        """At most `n` days of a split, none twice: all of them, or a choice by the seed; in the order of their names.

        Raises
        ------
        TrackError
            If there is none.
        """
        files = self.files(split)
        if n >= len(files):
            return files
        order = stream(seed, "calendar").permutation(len(files))
        return [files[k] for k in sorted(order[:n].tolist())]


def part_days(tracks: str | Path, out: str | Path, validation_from: date, test_from: date) -> dict[Split, list[Path]]:
    """Copy track files into the folders `train`, `validation` and `test`, by the day on which they start.

    Parameters
    ----------
    tracks : str or Path
        Folder of track files.
    out : str or Path
        Where the three folders are made; there must be none yet.
    validation_from, test_from : date
        First day of the validation days, and of the test days, which are later.

    Returns
    -------
    dict
        The new files of each split.

    Raises
    ------
    TrackError
        If a file cannot be read, two have the same name, a split would be empty, or `out` has such folders already.
    """
    if not validation_from < test_from:
        raise TrackError(f"test days must begin after validation days: found {validation_from} and {test_from}")
    out = Path(out)
    if is_parted(out):
        raise TrackError(f"{out} has such folders already; choose another one")
    starts = {file: Track.load(file).start.date() for file in track_paths([Path(tracks)])}
    parts: dict[Split, list[Path]] = {split: [] for split in SPLITS}
    for file, day in starts.items():
        parts["train" if day < validation_from else "validation" if day < test_from else "test"].append(file)
    for split, members in parts.items():
        if not members:
            first, last = min(starts.values()), max(starts.values())
            raise TrackError(
                f"no day is left for {split}: the tracks are from {first} to {last}, validation days begin on "
                f"{validation_from} and test days on {test_from}"
            )
        names = [file.name for file in members]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise TrackError(f"two tracks are called {twice}; rename one")
    made: dict[Split, list[Path]] = {}
    for split, members in parts.items():
        (out / split).mkdir(parents=True)
        made[split] = [Path(shutil.copy2(file, out / split)) for file in members]
    return made


def shares_to_dates(starts: Sequence[date], validation: float, test: float) -> tuple[date, date]:
    """The days from which on days are validation days and test days, so that they are the latest ones.

    Parameters
    ----------
    starts : sequence of date
        The days.
    validation, test : float
        Shares of the days [-].

    Raises
    ------
    TrackError
        If a part would have no day of its own.
    """
    days = sorted(set(starts))
    n_test, n_validation = max(1, round(test * len(days))), max(1, round(validation * len(days)))
    if n_test + n_validation >= len(days):
        raise TrackError(
            f"{len(days)} different days are too few for {n_validation} validation days and {n_test} test days"
        )
    return days[-n_test - n_validation], days[-n_test]
