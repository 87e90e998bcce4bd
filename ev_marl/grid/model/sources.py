"""Where networks come from: pandapower's functions, SimBench codes, files.

What a scenario calls its network comes in; pandapower's own network goes out, kept for the next who asks: copy it
before changing it.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ev_marl.grid.model.network_json import read_network  # first: it says how to install pandapower

# isort: split
import pandapower.networks

from ev_marl.grid.model.simbench_nets import simbench_network
from ev_marl.scenario.schema.grid import NetworkChoice, NetworkFile, PandapowerNetwork, SimbenchNetwork
from ev_marl.support.errors import NetworkError
from ev_marl.support.files import is_file
from ev_marl.support.registry import did_you_mean
from ev_marl.support.values import shown

Net = Any  # pandapower's network: a dictionary of tables, without types


def network_functions() -> dict[str, Callable[..., Net]]:
    """Functions of `pandapower.networks` that make a network, by their short name (`cigre_lv`)."""
    found: dict[str, Callable[..., Net]] = {}
    for name, function in inspect.getmembers(pandapower.networks, inspect.isfunction):
        if name.startswith("_") or not function.__module__.startswith("pandapower.networks"):
            continue  # helpers that the module imports
        if any(
            p.default is p.empty and p.kind != p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()
        ):
            continue  # parts of the functions that make networks, such as one that opens a file
        short = name.removeprefix("create_").replace("_network_", "_").removesuffix("_network")
        found[short] = function
    return found


LARGEST_OPTION = 10_000  # such as how many buses a network shall have


def _check_options(name: str, options: dict[str, Any]) -> None:
    for key, value in options.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, int | float) and not abs(part) <= LARGEST_OPTION:
                raise NetworkError(f"network '{name}': {key} is {shown(part)}; it may be at most {LARGEST_OPTION:,}")


@lru_cache(maxsize=8)
def _made(key: str) -> Net:
    """A network from its JSON description; kept, since several simulators start from it."""
    choice = json.loads(key)
    if "file" in choice:
        return read_network(Path(choice["file"]))
    if "simbench" in choice:
        return simbench_network(choice["simbench"])
    functions = network_functions()
    name = str(choice["pandapower"])
    function = functions.get(name) or functions.get(
        name.removeprefix("create_").replace("_network_", "_").removesuffix("_network")
    )
    if function is None:
        known = sorted(functions)
        raise NetworkError(
            f"pandapower has no network called '{name}'.{did_you_mean(name, known)} It has: {', '.join(known)}"
        )
    _check_options(name, choice["options"])
    try:
        inspect.signature(function).bind(**choice["options"])
    except TypeError as error:
        options = ", ".join(inspect.signature(function).parameters) or "none"
        raise NetworkError(f"network '{name}': {error}. Its options: {options}") from None
    with warnings.catch_warnings():  # of pandapower's own making, nothing that a user could change
        warnings.simplefilter("ignore")
        try:
            net = function(**choice["options"])
        except Exception as error:  # whatever a function makes of options that it does not like
            raise NetworkError(f"network '{name}' with the options {choice['options']}: {error}") from error
    return net[0] if isinstance(net, tuple) else net


def opened(choice: NetworkChoice) -> Net:
    """The network that a scenario names, to be copied.

    Raises
    ------
    NetworkError
        If there is no such network, or the file holds none.
    """
    if isinstance(choice, NetworkFile):
        path = Path(choice.file)
        key: dict[str, Any] = {"file": str(path), "changed": path.stat().st_mtime_ns if is_file(path) else 0}
    elif isinstance(choice, SimbenchNetwork):
        key = {"simbench": choice.simbench}
    elif isinstance(choice, PandapowerNetwork):
        key = {"pandapower": choice.pandapower, "options": choice.options}
    else:
        code = simbench_code(choice)
        key = {"pandapower": choice, "options": {}} if code is None else {"simbench": code}
    return _made(json.dumps(key, sort_keys=True))


def simbench_code(choice: NetworkChoice) -> str | None:
    """The SimBench code, where it is such a network; a plain one begins with a digit, as no Python function does."""
    if isinstance(choice, SimbenchNetwork):
        return choice.simbench
    return choice if isinstance(choice, str) and choice[:1].isdigit() else None


def name_of(choice: NetworkChoice) -> str:
    """What to call the network."""
    if isinstance(choice, NetworkFile):
        return Path(choice.file).stem
    if isinstance(choice, SimbenchNetwork):
        return choice.simbench
    return choice.pandapower if isinstance(choice, PandapowerNetwork) else choice
