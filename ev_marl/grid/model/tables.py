"""What is wrong with a network's tables: what pandapower would fail on, or calculate with, without saying where.

pandapower's network comes in, one line for each fault goes out, by table and row.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from pandapower.network_structure import get_structure_dict
from pandas.api.types import pandas_dtype

from ev_marl.support.values import shown

_BUSES = ("bus", "from_bus", "to_bus", "hv_bus", "mv_bus", "lv_bus", "bus_dc", "from_bus_dc", "to_bus_dc")
_SWITCHED = {"b": "bus", "l": "line", "t": "trafo", "t3": "trafo3w"}  # what `element` of a switch is, by its `et`
_MOST = 5  # faults that are named


def faults(net: Any) -> list[str]:
    """What is wrong, in the order of the tables; empty if nothing is.

    Columns hold what they hold in every network of pandapower's: numbers, or true and false. Buses and elements that
    are named are there, voltages of buses are above 0, and shares of a load's power are at most 100 % in all.
    """
    kinds = _column_kinds()
    found = [f"table '{name}' is missing, or no table" for name in kinds if not _is_table(net.get(name))]
    found += [f"'{name}' is not a table" for name in net if name.startswith("res_") and not _is_table(net[name])]
    if found:
        return found
    for name, columns in kinds.items():
        rows = net[name]
        found += [
            *_twice(name, rows),
            *_other_kinds(name, rows, columns),
            *_lost(name, rows, net),
            *_shares(name, rows),
        ]
    if not found and "vn_kv" in net.bus:
        found += _named("bus", net.bus.index[net.bus.vn_kv.astype(float) <= 0.0], "has a voltage vn_kv of 0 or below")
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, pd.DataFrame)


@cache
def _column_kinds() -> dict[str, dict[str, str]]:
    """Of each table of elements, what its columns hold: f, i, u: numbers; b: true and false."""
    tables = get_structure_dict()
    return {
        name: {column: pandas_dtype(kind).kind for column, kind in columns.items() if pandas_dtype(kind).kind in "fiub"}
        for name, columns in tables.items()
        if isinstance(columns, dict) and columns and not name.startswith(("_", "res_")) and name != "std_types"
    }


def shortened(found: list[str]) -> str:
    """The first faults in one line, and how many more there are."""
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"{'; '.join(found[:_MOST])}{more}"


def _twice(name: str, rows: pd.DataFrame) -> Iterator[str]:
    yield from _named(name, rows.index[rows.index.duplicated()], "is there twice")


def _other_kinds(name: str, rows: pd.DataFrame, columns: dict[str, str]) -> Iterator[str]:
    for column, kind in columns.items():
        if column not in rows or rows[column].dtype.kind in ("b" if kind == "b" else "fiub"):
            continue
        what = "neither true nor false" if kind == "b" else "no number"
        for index, value in zip(rows.index, rows[column], strict=True):
            empty = value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))
            fits = isinstance(value, Real | np.bool_) and (kind != "b" or value in (0, 1))
            if not fits and not (empty and column != "in_service"):
                yield f"table '{name}', row {index}: {column} is {shown(value)}, {what}"


def _lost(name: str, rows: pd.DataFrame, net: Any) -> Iterator[str]:
    for column in _BUSES:
        there = "bus_dc" if column.endswith("_dc") else "bus"
        if column in rows and there in net and name not in ("bus", "bus_dc"):
            wrong = ~rows[column].isin(net[there].index)
            for index in rows.index[wrong]:
                yield f"table '{name}', row {index}: {column} is {rows[column][index]}, and there is no such bus"
    if name == "switch" and {"et", "element"} <= set(rows.columns):
        for kind, other in _SWITCHED.items():
            of_kind = rows[rows["et"] == kind]
            wrong = ~of_kind["element"].isin(net[other].index)
            for index in of_kind.index[wrong]:
                yield (
                    f"table 'switch', row {index}: element is {of_kind['element'][index]}, "
                    f"and table '{other}' has no such row"
                )


def _shares(name: str, rows: pd.DataFrame) -> Iterator[str]:
    for power in ("", "p_", "q_"):
        columns = [column for column in (f"const_z_{power}percent", f"const_i_{power}percent") if column in rows]
        if columns:
            values = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
            wrong = (values < 0.0).any(axis=1) | (np.nansum(values, axis=1) > 100.0)
            yield from _named(name, rows.index[wrong], f"has {' + '.join(columns)} above 100 %, or one below 0")


def _named(name: str, index: Any, what: str) -> Iterator[str]:
    for row in index:
        yield f"table '{name}', row {row} {what}"
