"""Checks that see the whole scenario: the files it names, names of plug-ins, currencies, what goes with what.

They read the plain data, so that they report beside the errors of single keys, whatever else is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ev_marl.scenario.files import Table, read_column
from ev_marl.scenario.grid_checks import NETWORK_BLOCKS, NETWORK_TERMS, grid_problems
from ev_marl.scenario.problems import MOST_PROBLEMS, KeyPath, Problem
from ev_marl.scenario.reading import PLUG_IN_KEYS, Document
from ev_marl.scenario.schema import CURRENCY_PATTERN
from ev_marl.scenario.sizes import size_problems, steps_of
from ev_marl.scenario.tree import tree_problems
from ev_marl.scenario.units import currency_of
from ev_marl.support.files import is_file
from ev_marl.support.registry import did_you_mean, known_names

COORDINATORS = ("none", "proportional", "priority", "nearest")
BLOCKS = (
    "identity",
    "clock",
    "calendar",
    "ports",
    "prices",
    "headroom",
    "demand",
    "neighbours",
    "plans",
    "booking",
    *NETWORK_BLOCKS,
)
SESSION_MODELS = ("elaadnl/workplace", "elaadnl/private", "elaadnl/public", "acn/caltech", "acn/jpl", "highway")
POLICIES = (
    "idle",
    "uncontrolled",
    "random",
    "round-robin",
    "edf",
    "llf",
    "as-late-as-possible",
    "price-threshold",
    "booked-response",
    "dual-prices",
    "selfish",
    "mpc",
    "mpc-perfect",
    "best-response",
    "plan",
)
BUILT_IN_TERMS = (
    "energy_cost",
    "unmet_energy",
    "battery_wear",
    "overload",
    "setpoint_tracking",
    "peak_power",
    *NETWORK_TERMS,
)
MODEL_CURRENCY = "EUR"  # of every fitted price model


def whole_scenario_problems(document: Document) -> list[Problem]:
    """Every fault that no single key shows; of what is too large, only that."""
    too_large = list(size_problems(document))
    if too_large:
        return too_large
    problems = chain(
        tree_problems(document),
        grid_problems(document),
        _file_problems(document),
        _name_problems(document),
        _coordination_problems(document),
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
            column = mapping.get("column")
            try:
                if path[:1] == ("grid",):  # its columns are elements of the network
                    Table.read(Path(file)).check_length(n_steps)
                    continue
                values = read_column(Path(file), column if isinstance(column, str) else None, n_steps)
            except ValueError as error:
                yield document.problem(here, str(error))
            else:
                if path[-1] in ("import_limit", "export_limit") and min(values) < 0:
                    row = values.index(min(values)) + 2
                    message = f"file {file}, row {row}: found {min(values):g}; a limit cannot be below zero"
                    yield document.problem(here, message)


def _walk(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Everything that the scenario says, but for what plug-ins take."""
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


def _name_problems(document: Document) -> Iterator[Problem]:
    data = document.data
    coordinator = data.get("coordinator")
    if isinstance(coordinator, dict):
        yield from _unknown(document, ("coordinator", "name"), coordinator.get("name"), COORDINATORS, "coordinators")
    else:
        yield from _unknown(document, ("coordinator",), coordinator, COORDINATORS, "coordinators")
    blocks = data.get("observation")
    for i, block in enumerate(blocks if isinstance(blocks, list) else []):
        if isinstance(block, dict):
            yield from _unknown(document, ("observation", i, "block"), block.get("block"), BLOCKS, "observation_blocks")
        else:
            yield from _unknown(document, ("observation", i), block, BLOCKS, "observation_blocks")
    sessions = data.get("sessions")
    if isinstance(sessions, dict):
        yield from _unknown(document, ("sessions", "model"), sessions.get("model"), SESSION_MODELS, "session_models")
    policies = data.get("policies")
    for i, policy in enumerate(policies if isinstance(policies, list) else []):
        name = policy.partition("(")[0] if isinstance(policy, str) else policy
        yield from _unknown(document, ("policies", i), name, POLICIES, "policies")
    extra = document.value(("objective", "extra"), None)
    for name in extra if isinstance(extra, dict) else ():
        here = ("objective", "extra", name)
        if name in BUILT_IN_TERMS:
            yield document.problem(here, f"`{name}` is no term of your own; write it under `objective:` itself")
        else:
            yield from _unknown(document, here, name, (), "objective_terms", hidden=BUILT_IN_TERMS)


def _unknown(
    document: Document,
    path: KeyPath,
    name: object,
    built_in: tuple[str, ...],
    group: str,
    hidden: tuple[str, ...] = (),
) -> Iterator[Problem]:
    if not isinstance(name, str) or ":" in name:
        return
    known = list(dict.fromkeys((*built_in, *known_names(f"ev_marl.{group}"))))
    known = [entry for entry in known if entry not in hidden]
    if name not in known:
        allowed = ", ".join([*known, "or module:Class"]) if known else "module:Class"
        yield document.problem(path, f"found '{name}'.{did_you_mean(name, known)} Allowed: {allowed}")


def _coordination_problems(document: Document) -> Iterator[Problem]:
    coordinator = document.data.get("coordinator", "nearest")
    name = coordinator.get("name") if isinstance(coordinator, dict) else coordinator
    objective = document.data.get("objective")
    priced = isinstance(objective, dict) and objective.get("overload") is not None
    if name == "none" and not priced:
        message = "`none` lets limits be broken; price that with `objective: {overload: 2 EUR/kWh}`"
        yield document.problem(("coordinator",), message)
    if name in COORDINATORS and name != "none" and priced:
        message = f"coordinator `{name}` never lets limits be broken; remove this key, or use `none`"
        yield document.problem(("objective", "overload"), message)
