"""Tracks as files: Parquet for machines, JSON for people; the same content, bit for bit.

Parquet: one row per step, with prices and one column per group and quantity (`base_load_kw/lot_north`); the column
`sessions` lists the sessions that arrive in the step; all else is JSON in the schema's metadata. JSON: one object with
the same names, `null` where a limit is infinite. Both begin with format and version, and have a digest of each field,
so that an edit by hand is found. A file that is written by hand needs no `digests`.

Signals, where there are any, are columns of one number a step (`signal/temperature_c`); in JSON they stand below
`signals`. Events, where there are any, are a list of objects below `events`, in Parquet in the metadata.
Where there is a network, its loads and generators are columns too (`grid_load_kw/house 3`), with their names in the
metadata; in JSON they stand below `grid`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ev_marl.scenario.curves import Points
from ev_marl.scenario.sizes import MOST_STEPS
from ev_marl.support.errors import TrackError
from ev_marl.support.files import FileError, parse_json, read_text, write_atomically
from ev_marl.support.parquet import read_table, write_table
from ev_marl.support.values import shown
from ev_marl.world import events, handmade, track_edits
from ev_marl.world.seeds import SPLITS, Split
from ev_marl.world.session_table import FIELDS, LONGEST_NAME, SESSION, Field, fields_of
from ev_marl.world.signals import RANGES

if TYPE_CHECKING:
    from ev_marl.world.track import Track

FORMAT = "ev_marl-track"
MOST_BYTES = 500_000_000
LARGEST = 1e18  # number of a file; what a field may be is checked later
VERSION = 1

_FRAME = ("start", "timezone", "step_h", "currency", "ports", "groups", "turned_away", "source")
_PRICES = ("buy_per_kwh", "sell_per_kwh")
_BY_GROUP = ("base_load_kw", "import_limit_kw", "export_limit_kw")
_GRID = {"load_kw": "loads", "load_kvar": "loads", "generator_kw": "generators", "generator_kvar": "generators"}
_ARROW = {"i": pa.int64(), "f": pa.float64(), "U": pa.string()}
_SESSION_TYPES = {name: _ARROW[SESSION[name].kind] for name in FIELDS}


SUFFIXES = (".json", ".parquet")


def is_parted(folder: Path) -> bool:
    """Whether a folder has its tracks in folders of training, validation and test days."""
    return any((folder / split).is_dir() for split in SPLITS)


def track_paths(paths: Sequence[Path], split: Split | None = None) -> list[Path]:
    """Track files, and those of folders in the order of their names.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    split : {"train", "validation", "test"}, optional
        Of a folder that is parted, only these days; left out, all of its parts.

    Raises
    ------
    TrackError
        If there is none, or no such folder.
    """
    found: list[Path] = []
    for path in paths:
        folders = [path / one for one in ([split] if split else SPLITS)] if is_parted(path) else [path]
        for folder in filter(Path.is_dir, folders):
            found += sorted(entry for entry in folder.iterdir() if entry.suffix in SUFFIXES)
        found += [] if path.is_dir() else [path]
    if not found:
        raise TrackError(f"no track files ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths)) or 'the list'}")
    for path in found:
        if not path.is_file():
            raise TrackError(f"{path}: there is no such file or folder")
    return found


def write(track: Track, path: Path, overwrite: bool) -> Path:
    """Write a sound track; see `Track.save`."""
    writers = {".parquet": _write_parquet, ".json": _write_json}
    if path.suffix not in writers:
        raise TrackError(f"{path}: a track file ends in .parquet or .json, not in '{path.suffix}'")
    if path.exists() and not overwrite:
        raise TrackError(f"{path} exists; delete it, choose another name, or allow overwriting")
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix](track, path)
    return path


def read(path: Path) -> dict[str, Any]:
    """Content of a track file, its `digests`, and the fields of `Track`; `sessions`, `grid` and `signals` as dicts."""
    readers = {".parquet": _read_parquet, ".json": _read_json}
    if path.suffix not in readers:
        raise TrackError(f"{path}: a track file ends in .parquet or .json, not in '{path.suffix}'")
    try:
        return readers[path.suffix](path)
    except FileError as error:
        raise TrackError(f"{path}: {error}") from error


def _frame(track: Track) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "start": track.start.astimezone(UTC).isoformat(),
        "timezone": track.timezone,
        "step_h": track.step_h,
        "currency": track.currency,
        "ports": list(track.ports),
        "groups": list(track.groups),
        "turned_away": track.turned_away,
        "source": track.source,
        "digests": track_edits.digests(track),
        **(
            {"curves": {name: [list(point) for point in points] for name, points in track.curves.items()}}
            if track.curves
            else {}
        ),
        **({"events": events.rows_of(track.events)} if len(track.events) else {}),
    }


def _check_frame(frame: Any, path: Path) -> dict[str, Any]:
    """Fields of the frame with their types; the format and version must be known."""
    if not isinstance(frame, dict) or frame.get("format") != FORMAT:
        raise TrackError(f"{path}: is not a track file (no `format: {FORMAT}` in it)")
    version = frame.get("version")
    if version != VERSION:
        newer = " It was written by a newer ev_marl; update yours." if isinstance(version, int) else ""
        raise TrackError(f"{path}: version {version!r} of the track format is unknown, {VERSION} is known.{newer}")
    missing = [name for name in _FRAME if name not in frame]
    if missing:
        raise TrackError(f"{path}: the field{'s' * (len(missing) > 1)} {', '.join(missing)} is missing")
    types: dict[str, type | tuple[type, ...]] = {
        "start": str,
        "timezone": str,
        "step_h": (int, float),
        "currency": str,
        "ports": list,
        "groups": list,
        "turned_away": int,
        "source": dict,
        "digests": dict,
    }
    frame = {"digests": {}, "events": [], **frame}
    if not isinstance(frame["events"], list):
        raise TrackError(f"{path}: the field events must be a list")
    for name, kind in types.items():
        value = frame[name]
        parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
        if not isinstance(value, kind) or isinstance(value, bool) or not all(isinstance(part, str) for part in parts):
            raise TrackError(f"{path}: the field {name} is {shown(value)}")
    try:
        start: datetime = handmade.local_start(frame["start"], frame["timezone"])
    except TrackError as error:
        raise TrackError(f"{path}: {error}") from error
    return {
        "start": start,
        "timezone": frame["timezone"],
        "step_h": _real(frame["step_h"], "step_h", path),
        "currency": frame["currency"],
        "ports": tuple(frame["ports"]),
        "groups": tuple(frame["groups"]),
        "turned_away": frame["turned_away"],
        "source": frame["source"],
        "digests": frame["digests"],
        "curves": _curves(frame.get("curves", {}), path),
        "events": frame["events"],
    }


def _curves(stored: Any, path: Path) -> dict[str, Points]:
    """Measured charge curves by vehicle model; what they may be is checked later."""
    if not isinstance(stored, dict):
        raise TrackError(f"{path}: the field curves is {shown(stored)}, not curves by vehicle model")
    found: dict[str, Points] = {}
    for name, points in stored.items():
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise TrackError(f"{path}: the field curves.{name} is not a list of pairs")
        soc, power_kw = ([_real(point[k], f"curves.{name}", path) for point in points] for k in range(2))
        found[name] = tuple(zip(soc, power_kw, strict=True))
    return found


def _write_json(track: Track, path: Path) -> None:
    content = _frame(track)
    for name in _PRICES:
        content[name] = getattr(track, name).tolist()
    for name in _BY_GROUP:
        columns = getattr(track, name).T.tolist()
        content[name] = {
            group: [None if value == float("inf") else value for value in column]
            for group, column in zip(track.groups, columns, strict=True)
        }
    if track.grid is not None:
        content["grid"] = {
            **{names: list(getattr(track.grid, names)) for names in _GRID.values()},
            **{
                name: dict(zip(getattr(track.grid, names), getattr(track.grid, name).T.tolist(), strict=True))
                for name, names in _GRID.items()
            },
        }
    if track.signals.present:
        content["signals"] = {name: values.tolist() for name, values in track.signals.present.items()}
    names = fields_of(track.sessions)
    columns = [track.sessions[name].tolist() for name in names]
    content["sessions"] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _read_json(path: Path) -> dict[str, Any]:
    stored = parse_json(read_text(path, MOST_BYTES))
    content = _check_frame(stored, path)
    for name in _PRICES:
        content[name] = _floats(_take(stored, name, path), name, path)
    n_steps = len(content["buy_per_kwh"])
    for name in _BY_GROUP:
        by_group = _take(stored, name, path)
        columns = [
            _floats(_take(by_group, group, path, f"{name}."), f"{name}.{group}", path, nulls=name != "base_load_kw")
            for group in content["groups"]
        ]
        content[name] = _stack(columns, n_steps, name, content["groups"], path)
    if stored.get("grid") is not None:
        grid = content["grid"] = _element_names(stored, path)
        for name, names in _GRID.items():
            by_element = _take(stored["grid"], name, path, "grid.")
            columns = [
                _floats(_take(by_element, element, path, f"grid.{name}."), f"grid.{name}.{element}", path)
                for element in grid[names]
            ]
            grid[name] = _stack(columns, n_steps, f"grid.{name}", grid[names], path)
    signals = stored.get("signals", {})
    content["signals"] = {
        name: _floats(_take(signals, name, path), f"signals.{name}", path) for name in _known(signals)
    }
    rows = _take(stored, "sessions", path)
    if not isinstance(rows, list):
        raise TrackError(f"{path}: the field sessions must be a list")
    columns_of = {
        name: [_take(row, name, path, f"sessions[{k}].", FIELDS[name]) for k, row in enumerate(rows)]
        for name in _SESSION_TYPES
    }
    content["sessions"] = _session_arrays(columns_of, path)
    return content


def _write_parquet(track: Track, path: Path) -> None:
    columns: dict[str, pa.Array] = {name: pa.array(getattr(track, name)) for name in _PRICES}
    for name in _BY_GROUP:
        for g, group in enumerate(track.groups):
            columns[f"{name}/{group}"] = pa.array(np.ascontiguousarray(getattr(track, name)[:, g]))
    sessions = track.sessions
    bounds = np.searchsorted(sessions["arrival_step"], np.arange(track.n_steps + 1)).astype(np.int32)
    kept = fields_of(sessions)
    table = pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(sessions[name]), type=_SESSION_TYPES[name]) for name in kept],
        names=list(kept),
    )
    columns["sessions"] = pa.ListArray.from_arrays(pa.array(bounds), table)
    frame = _frame(track)
    if track.grid is not None:
        frame["grid"] = {names: list(getattr(track.grid, names)) for names in _GRID.values()}
        for name, names in _GRID.items():
            for k, element in enumerate(frame["grid"][names]):
                values = np.ascontiguousarray(getattr(track.grid, name)[:, k])
                columns[f"grid_{name}/{element}"] = pa.array(values)
    for name, values in track.signals.present.items():
        columns[f"signal/{name}"] = pa.array(values)
    metadata = {FORMAT: json.dumps(frame, ensure_ascii=False, allow_nan=False)}
    write_table(path, pa.table(columns), metadata)


def _read_parquet(path: Path) -> dict[str, Any]:
    table, told = read_table(path, MOST_STEPS)
    stored: Any = parse_json(told[FORMAT]) if FORMAT in told else None
    content = _check_frame(stored, path)
    grid = None if stored.get("grid") is None else _element_names(stored, path)
    needed = [*_PRICES, *(f"{name}/{group}" for name in _BY_GROUP for group in content["groups"]), "sessions"]
    if grid is not None:
        needed += [f"grid_{name}/{element}" for name, names in _GRID.items() for element in grid[names]]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise TrackError(f"{path}: the column{'s' * (len(missing) > 1)} {', '.join(missing)} is missing")

    def stacked(name: str, elements: tuple[str, ...]) -> np.ndarray:
        columns = [_floats(table[f"{name}/{element}"].to_pylist(), f"{name}/{element}", path) for element in elements]
        return _stack(columns, table.num_rows, name, elements, path)

    for name in _PRICES:
        content[name] = _floats(table[name].to_pylist(), name, path)
    for name in _BY_GROUP:
        content[name] = stacked(name, content["groups"])
    if grid is not None:
        powers = {name: stacked(f"grid_{name}", grid[names]) for name, names in _GRID.items()}
        content["grid"] = grid | powers
    signals = [name for name in RANGES if f"signal/{name}" in table.column_names]
    content["signals"] = {
        name: _floats(table[f"signal/{name}"].to_pylist(), f"signal/{name}", path) for name in signals
    }
    kind = table.schema.field("sessions").type
    is_table = pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)
    fields = {field.name for field in kind.value_type} if is_table else set()
    absent = [name for name in _SESSION_TYPES if name not in fields and not FIELDS[name].rare]
    if absent:
        raise TrackError(f"{path}: the column sessions lacks {', '.join(absent)}")
    rows = [row or {} for step in table["sessions"].to_pylist() for row in step or ()]
    columns_of = {name: [row.get(name) for row in rows] for name in _SESSION_TYPES if name in fields}
    content["sessions"] = _session_arrays(columns_of, path)
    return content


def _known(signals: Any) -> list[str]:
    """The signals of a file; anything else in their place is ignored, as unknown fields are."""
    return [name for name in RANGES if isinstance(signals, dict) and name in signals]


def _take(mapping: Any, key: str, path: Path, prefix: str = "", field: Field | None = None) -> Any:
    if field is not None and field.rare and isinstance(mapping, dict):
        return mapping.get(key, field.default)
    if not isinstance(mapping, dict) or key not in mapping:
        raise TrackError(f"{path}: the field {prefix}{key} is missing")
    return mapping[key]


def _element_names(stored: dict[str, Any], path: Path) -> dict[str, Any]:
    """Names of a network's loads and generators, for its content to be added."""
    found = {}
    for name in dict.fromkeys(_GRID.values()):
        values = _take(stored["grid"], name, path, "grid.")
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise TrackError(f"{path}: the field grid.{name} must be a list of names")
        found[name] = tuple(values)
    return found


def _floats(values: Any, name: str, path: Path, nulls: bool = False) -> np.ndarray:
    """A list of numbers as float64; `null` is infinity where that is allowed."""
    if not isinstance(values, list):
        raise TrackError(f"{path}: the field {name} must be a list of numbers")
    if nulls:
        values = [float("inf") if value is None else value for value in values]
    return np.array(
        [value if type(value) is float else _real(value, f"{name}[{k}]", path) for k, value in enumerate(values)],
        dtype=np.float64,
    )


def _real(value: Any, name: str, path: Path) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (isinstance(value, int) and abs(value) > LARGEST)
    ):
        raise TrackError(f"{path}: the field {name} is {shown(value)}, not a number")
    return float(value)


def _stack(columns: list[np.ndarray], n_steps: int, name: str, groups: tuple[str, ...], path: Path) -> np.ndarray:
    for group, column in zip(groups, columns, strict=True):
        if len(column) != n_steps:
            raise TrackError(
                f"{path}: the field {name}.{group} has {len(column)} values, the track has {n_steps} steps"
            )
    return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.empty((n_steps, 0))


def _session_arrays(columns: dict[str, list[Any]], path: Path) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name in columns:
        kind = _SESSION_TYPES[name]
        if kind == pa.string():
            for k, value in enumerate(columns[name]):
                if not isinstance(value, str) or len(value) > LONGEST_NAME:
                    raise TrackError(f"{path}: the field sessions[{k}].{name} is {shown(value)}, not a name")
            arrays[name] = np.array(columns[name], dtype=np.str_)
        elif kind == pa.int64():
            for k, value in enumerate(columns[name]):
                if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST:
                    raise TrackError(f"{path}: the field sessions[{k}].{name} is {shown(value)}, not a whole number")
            arrays[name] = np.array(columns[name], dtype=np.int64)
        else:
            arrays[name] = _floats(columns[name], f"sessions.{name}", path)
    return arrays
