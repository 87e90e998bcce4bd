"""Whether a scenario can be set up: names of plug-ins against the registries, then everything that they name is made.

A scenario file comes in; its setting goes out, or all errors with file, line, known names and the nearest one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ev_marl.env.blocks import BLOCKS
from ev_marl.env.interface import Interface
from ev_marl.env.setup import Setting
from ev_marl.grid.solvers.base import BACKENDS
from ev_marl.objective import TERMS
from ev_marl.planning.outlook import KINDS, OUTLOOKS
from ev_marl.policies import make_policy
from ev_marl.policies.make import members
from ev_marl.scenario import Problem, load_scenario
from ev_marl.scenario.checks import unknown_name
from ev_marl.scenario.grid_checks import WITHOUT_GRID
from ev_marl.scenario.problems import KeyPath
from ev_marl.scenario.reading import Document
from ev_marl.scenario.schema import Objective
from ev_marl.scenario.sizes import sessions_below
from ev_marl.simulation.coordinators import COORDINATORS
from ev_marl.support.errors import EvMarlError, NetworkError, TrustError
from ev_marl.world.sessions import SESSION_MODELS


def checked_setting(name_or_path: str | Path, *, trust: bool = False) -> Setting:
    """Read a scenario and make everything that it names, observations and actions included.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped scenario, or path of a YAML file.
    trust : bool
        Whether custom code that it names as module:Class may be run.

    Raises
    ------
    ScenarioError
        If there is anything wrong; all problems of the text at once, each with file, line and key.
    """
    setting = Setting.of(load_scenario(name_or_path, trust=trust, also=partial(plug_in_problems, trust=trust)))
    Interface(setting.scenario, setting.site, setting.objective)
    track = setting.world.sample(0)
    with setting.scenario.places.blamed("coordinator"):
        simulator = setting.simulator([track])
        simulator.reset(np.zeros(1, dtype=np.int64))
        simulator.step(np.zeros((1, setting.site.arrays.n_ports)))
    return setting


def plug_in_problems(document: Document, *, trust: bool) -> Iterator[Problem]:
    """Plug-ins that are in no registry or need a network in a scenario without one, and policies that cannot be made.

    Parameters
    ----------
    document : Document
        The file.
    trust : bool
        Whether policies may be made that are custom code, or name some in their options.
    """
    coordinator: KeyPath = ("coordinator",)
    is_mapping = isinstance(document.value(coordinator, None), dict)
    yield from unknown_name(document, (*coordinator, "name") if is_mapping else coordinator, COORDINATORS)
    for where in (("sessions",), *sessions_below(document)):
        yield from unknown_name(document, (*where, "model"), SESSION_MODELS)
    for key in (("outlook",), *(("outlook", kind) for kind in KINDS)):
        yield from unknown_name(document, key, OUTLOOKS)
        yield from unknown_name(document, (*key, "name"), OUTLOOKS)
    without_grid = document.value(("grid",), None) is None
    for i, block in enumerate(_entries(document, "observation")):
        path: KeyPath = ("observation", i, "block") if isinstance(block, dict) else ("observation", i)
        unknown = list(unknown_name(document, path, BLOCKS))
        yield from unknown
        name = document.value(path, None)
        if without_grid and not unknown and name in BLOCKS and getattr(BLOCKS.get(name), "needs_grid", False):
            yield document.problem(path, WITHOUT_GRID)
    for i, policy in enumerate(_entries(document, "policies")):
        try:
            for member in members(policy) if isinstance(policy, str) else ():
                make_policy(member, trust=trust)
        except TrustError:
            pass  # the scenario names all custom code itself
        except EvMarlError as error:
            yield document.problem(("policies", i), str(error))
    extra = document.value(("objective", "extra"), None)
    for name in extra if isinstance(extra, dict) else ():
        if name not in Objective.model_fields:  # else it is reported that it stands in the wrong place
            yield from unknown_name(document, ("objective", "extra", name), TERMS, name)
    if document.value(("grid", "backend"), "auto") != "auto":
        yield from _unknown_backend(document)


def _unknown_backend(document: Document) -> Iterator[Problem]:
    try:
        import ev_marl.grid.solvers.choose  # noqa: F401, PLC0415  registers them; pandapower is heavy, and optional
    except NetworkError:  # reported when the network is opened
        return
    yield from unknown_name(document, ("grid", "backend"), BACKENDS)


def _entries(document: Document, key: str) -> list[Any]:
    value = document.value((key,), None)
    return value if isinstance(value, list) else []
