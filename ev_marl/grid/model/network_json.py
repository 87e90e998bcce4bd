"""Network files as pandapower writes them, read without running what they name.

pandapower's JSON says of every object which module and class it is, and reading it imports that module. Here a file
may only name those that networks are made of; anything else is refused before pandapower sees the file.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from ev_marl.support.errors import NetworkError, how_to_install
from ev_marl.support.files import FileError, read_text
from ev_marl.support.values import shown

try:
    import pandapower
    import pandapower.networks
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise NetworkError(f"a scenario with `grid` needs pandapower: {how_to_install('grid')}") from error

# isort: split
from ev_marl.grid.model.tables import faults, shortened  # after the line that says how to install pandapower

MOST_BYTES = 200_000_000
DEEPEST = 20  # JSON in strings of JSON
PACKAGES = ("pandapower", "pandas", "numpy", "networkx", "shapely", "geopandas", "builtins")
"""Packages whose objects a network file may hold."""


def read_network(path: Path) -> Any:
    """The network of a file that `pandapower.to_json` wrote.

    Raises
    ------
    NetworkError
        If there is no such file, if it holds no network or a damaged one, or if it names code that no network needs.
    """
    if path.suffix != ".json":
        raise NetworkError(f"{path}: a network file is JSON, written by pandapower.to_json; pickle is not opened")
    try:
        text = read_text(path, MOST_BYTES)
    except FileError as error:
        raise NetworkError(f"{path}: {error}") from error
    try:
        check_network_json(text)
        with warnings.catch_warnings():  # pandapower converts its own older files
            warnings.simplefilter("ignore")
            net = pandapower.from_json_string(text)
        if not isinstance(net, pandapower.pandapowerNet) or not len(net.bus.index):
            raise ValueError("it has no buses")
        found = faults(net)
    except Exception as error:
        raise NetworkError(f"{path}: this is not a pandapower network: {error}") from error
    if found:
        raise NetworkError(f"{path}: {shortened(found)}")
    return net


def check_network_json(text: str) -> None:
    """Refuse what names code, or a file, that no network needs.

    Raises
    ------
    ValueError
        If it does, or is no JSON.
    """
    try:
        _check(json.loads(text), 0)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _check(value: Any, depth: int) -> None:
    """Raise a ValueError that says what a part of a file names and may not."""
    if depth > DEEPEST:
        raise ValueError("there is JSON in JSON in JSON, without end")
    if isinstance(value, dict):
        module, inside = value.get("_module", "pandapower"), value.get("_object")
        if not isinstance(module, str) or module.partition(".")[0] not in PACKAGES:
            raise ValueError(f"it names the module {shown(module)}, which would be imported; no network needs it")
        if isinstance(inside, str) and os.path.isabs(inside):
            raise ValueError(f"it names the file {shown(inside)}")
        if isinstance(inside, str) and inside.lstrip()[:1] in ("{", "["):
            _check(json.loads(inside), depth + 1)
        for part in value.values():
            _check(part, depth)
    elif isinstance(value, list):
        for part in value:
            _check(part, depth)
