"""What was edited in a track: whatever differs from the content that its `source` tells of.

In memory a track keeps that content beside its fields. A file keeps a digest of each field, which an edit by hand does
not change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ev_marl.world.session_table import LONGEST_NAME, SESSION, fields_of

if TYPE_CHECKING:
    from ev_marl.world.track import Track

DIGITS = 16  # of a digest: it finds edits, it does not stop forgers


def content(track: Track) -> dict[str, Any]:
    """The fields that a `source` tells of: all others."""
    return {entry.name: getattr(track, entry.name) for entry in fields(track) if entry.name not in ("source", "told")}


def read_only_arrays(record: Any) -> None:
    """Make the arrays of a frozen dataclass read-only views, as it is made: what is given to it stays as it is."""
    for entry in fields(record):
        value = getattr(record, entry.name)
        if isinstance(value, np.ndarray) and value.flags.writeable:
            view = value.view()
            view.flags.writeable = False
            object.__setattr__(record, entry.name, view)


def same(one: object, other: object) -> bool:
    """Whether two values of a field are the same data, bit for bit."""
    if one is other:
        return True
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one.astimezone(UTC) == other.astimezone(UTC)
    return not isinstance(one, np.ndarray) and not isinstance(other, np.ndarray) and one == other


def marked(track: Track) -> dict[str, str]:
    """The track's source, which lists under `edited` the fields that were edited, now and before."""
    told, before = track.told, track.source.get("edited", "").split(", ")
    edited = [
        name
        for name, value in content(track).items()
        if name in before or name not in told or not same(value, told[name])
    ]
    return {**track.source, "edited": ", ".join(edited)} if edited else track.source


def digests(track: Track) -> dict[str, str]:
    """A digest of the content of each field, the same for both forms of a file."""
    return {name: _digest(value) for name, value in content(track).items()}


def _digest(value: object) -> str:
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()[:DIGITS]


def _parts(value: object) -> Iterator[bytes]:
    """A value as bytes, the same on all machines, and before and after a file."""
    if isinstance(value, np.ndarray) and value.dtype.names is None:
        text = value.dtype.kind == "U"
        yield json.dumps(value.shape).encode()
        yield (value.astype(f"<U{LONGEST_NAME}") if text else (value + 0.0).astype("<f8")).tobytes()  # 0.0: no −0
    elif isinstance(value, np.ndarray):
        for name in fields_of(value) if value.dtype == SESSION else value.dtype.names or ():
            yield name.encode()
            yield from _parts(value[name])
    elif is_dataclass(value):
        for entry in fields(value):
            yield entry.name.encode()
            yield from _parts(getattr(value, entry.name))
    elif isinstance(value, datetime):
        yield value.astimezone(UTC).isoformat().encode()
    else:
        yield json.dumps(float(value) if isinstance(value, int | float) else value).encode()
