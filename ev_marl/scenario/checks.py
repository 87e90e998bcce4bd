"""Checks that see the whole scenario: the tree of groups, the files it names, currencies, what needs a network.

They read the plain data, so that they report beside the errors of single keys, whatever else is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

from ev_marl.scenario.choices import Fill
from ev_marl.scenario.dated import read_dated
from ev_marl.scenario.files import Table, read_column
from ev_marl.scenario.grid_checks import grid_problems
from ev_marl.scenario.phase_checks import phase_problems
from ev_marl.scenario.problems import MOST_PROBLEMS, KeyPath, Problem
from ev_marl.scenario.reading import PLUG_IN_KEYS, Document
from ev_marl.scenario.schema import CURRENCY_PATTERN, Objective
from ev_marl.scenario.sizes import size_problems, steps_of
from ev_marl.scenario.tree import tree_problems
from ev_marl.scenario.units import Quantity, carbon, currency_of, irradiance, power, temperature
from ev_marl.support.errors import UnknownNameError
from ev_marl.support.files import is_file, is_folder
from ev_marl.support.registry import Registry, is_own_code

MODEL_CURRENCY = "EUR"  # of every fitted price model
QUANTITIES: dict[KeyPath, Quantity] = {("carbon",): carbon, ("weather", "temperature"): temperature}
"""What files hold at some keys; at all others, powers."""
_FILE_KEYS = ("column", "time", "timezone", "unit", "fill")


def whole_scenario_problems(document: Document) -> list[Problem]:
    """Every fault that is not one of a single key; if something is too large, only that."""
    too_large = list(size_problems(document))
    if too_large:
        return too_large
    problems = chain(
        tree_problems(document),
        phase_problems(document),
        grid_problems(document),
        _file_problems(document),
        _folder_problems(document),
        _extra_problems(document),
        _currency_problems(document),
    )
    return list(islice(problems, MOST_PROBLEMS))


def _file_problems(document: Document) -> Iterator[Problem]:
    n_steps = steps_of(document.data)
    for path, mapping in _walk(document.data, ()):
        file = mapping.get("csv") if isinstance(mapping, dict) else None
        if not isinstance(file, str):
            continue
        here = (*path, "csv")
        if not is_file(file):
            yield document.problem(here, f"there is no file {file}; paths are relative to the scenario file")
        elif n_steps is not None and path != ("prices",):
            try:
                if path[:1] == ("grid",):  # its columns are elements of the network
                    table = Table.read(Path(file))
                    if "time" not in mapping:
                        table.check_length(n_steps)
                    continue
                columns = [mapping[key] for key in ("ghi", "dni", "dhi") if isinstance(mapping.get(key), str)]
                for column in columns or [mapping.get("column")]:
                    quantity = irradiance if columns else QUANTITIES.get(path, power)
                    values = _values(document, mapping | {"column": column}, n_steps, quantity)
            except ValueError as error:
                yield document.problem(here, str(error))
            else:
                if path[-1] in ("import_limit", "export_limit", "carbon") and min(values) < 0:
                    what = "carbon" if path == ("carbon",) else "a limit"
                    where = "" if "time" in mapping else f", row {values.index(min(values)) + 2}"
                    message = f"file {file}{where}: found {min(values):g}; {what} cannot be below zero"
                    yield document.problem(here, message)


def _values(document: Document, mapping: dict[str, Any], n_steps: int, quantity: Quantity) -> Sequence[float]:
    """The values of a file that a mapping names, with or without dates.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    text = {key: value for key in _FILE_KEYS if isinstance(value := mapping.get(key), str)}
    path, column = Path(mapping["csv"]), text.get("column")
    if "time" not in mapping:
        return read_column(path, column, n_steps)
    zone = text.get("timezone") or document.data.get("timezone", "Europe/Amsterdam")
    fill: Any = text.get("fill") if text.get("fill") in get_args(Fill) else None
    return read_dated(
        path,
        column=column,
        time=text.get("time", ""),
        timezone=zone,
        quantity=quantity,
        unit=text.get("unit"),
        fill=fill,
    ).values


def _folder_problems(document: Document) -> Iterator[Problem]:
    for key in (("tracks",), ("outlook", "tracks")):
        folder = document.value(key, None)
        if isinstance(folder, str) and not is_folder(folder):
            yield document.problem(key, f"there is no folder {folder}; paths are relative to the scenario file")


def _walk(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Every value of the scenario and its key, except the options of plug-ins."""
    yield path, data
    if isinstance(data, dict):
        for key, value in data.items():
            if key not in PLUG_IN_KEYS:
                yield from _walk(value, (*path, key))
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from _walk(value, (*path, i))


def _currency_problems(document: Document) -> Iterator[Problem]:
    currency = document.data.get("currency", "EUR")
    if not isinstance(currency, str) or not re.match(CURRENCY_PATTERN, currency):
        return  # the key itself is reported
    for path, value in _walk(document.data, ()):
        found = currency_of(value) if isinstance(value, str) else None
        if found not in (None, currency):
            yield document.problem(path, f"found '{value}'; the scenario counts in {currency} (key `currency`)")
    model = document.value(("prices", "model"), None)
    if model is not None and currency != MODEL_CURRENCY:
        message = f"found '{model}', a model of prices in {MODEL_CURRENCY}; the scenario counts in {currency}"
        yield document.problem(("prices", "model"), message)


def _extra_problems(document: Document) -> Iterator[Problem]:
    extra = document.value(("objective", "extra"), None)
    for name in extra if isinstance(extra, dict) else ():
        if name in Objective.model_fields:
            message = f"`{name}` is not a custom term; write it directly under `objective:`"
            yield document.problem(("objective", "extra", name), message)


def unknown_name(document: Document, path: KeyPath, registry: Registry[Any], name: object = None) -> Iterator[Problem]:
    """A name of a plug-in that its registry does not know, for the rooms above, which have the registries.

    Parameters
    ----------
    document : Document
        The file.
    path : tuple
        Key of the name.
    registry : Registry
        What should know it; own code is not looked at.
    name : str, optional
        The name; left out, what stands at the key, if that is text.
    """
    if name is None:
        name = document.value(path, None)
    if isinstance(name, str) and not is_own_code(name):
        try:
            registry.get(name)
        except UnknownNameError as error:
            yield document.problem(path, str(error))
