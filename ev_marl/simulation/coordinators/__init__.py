"""Coordinators: setpoints come in, granted powers that keep every shared limit go out.

`none` grants everything, `proportional` scales, `priority` serves the least laxity first, `round-robin` grants
increments in turn, `nearest` stays as close to the setpoints as the limits allow. Your own is a class with the
`Coordinator` protocol, named in YAML as `module:Class`.
"""

from __future__ import annotations

from ev_marl.scenario.schema import CoordinatorOptions
from ev_marl.simulation.coordinators import nearest, none, priority, proportional, round_robin
from ev_marl.simulation.coordinators.base import COORDINATORS, Coordinator, Request

__all__ = [
    "COORDINATORS",
    "Coordinator",
    "Request",
    "make_coordinator",
    "nearest",
    "none",
    "priority",
    "proportional",
    "round_robin",
]


def make_coordinator(model: str | CoordinatorOptions, *, trust: bool = True) -> Coordinator:
    """Make the coordinator that a scenario names.

    Parameters
    ----------
    model : str or CoordinatorOptions
        A registered name or `module:Class`, with options where it takes some.
    trust : bool
        Whether `module:Class` may be imported; false if the name comes from a file that is not trusted.

    Returns
    -------
    Coordinator
        A new one.

    Raises
    ------
    UnknownNameError
        If there is no such coordinator; the message lists those that exist.
    OptionError
        If it does not take these options, the message lists those that exist; or if it is no coordinator.
    TrustError
        If it is custom code, and `trust` is false.
    """
    if isinstance(model, str):
        model = CoordinatorOptions(name=model)
    return COORDINATORS.make(model.name, options=model.options, trust=trust)
