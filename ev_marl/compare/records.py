"""Records that are written as JSON, and those about the network above the site.

Pydantic models, so that a file that is broken or of another version is refused with a reason.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of what is written: unknown keys are errors; NaN and infinity survive as text."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class OnGrid(Record):
    """What the network above the site did while one policy was at work for a day."""

    violations: int
    """(element, step) pairs beyond a clamped limit: buses outside the voltage band, lines and transformers above
    their highest loading."""
    lowest_pu: tuple[float, ...]
    """Lowest voltage of all buses, by step [p.u.]."""
    highest_pu: tuple[float, ...]
    """Highest voltage of all buses, by step [p.u.]."""
    transformer_percent: tuple[float, ...]
    """Highest loading of all transformers, by step [%]."""
    line_percent: float
    """Highest loading of all lines and steps [%]."""
    losses_kwh: float
    """Lost in the network [kWh]."""
    curtailed_kwh: float
    """Taken back for the network's sake, part of `PolicyDay.curtailed_kwh` [kWh]."""
    tap_moves: int
    """Of the controlled transformer."""
    failed_steps: int
    """Steps without a solution of the power flow, even without charging."""
    cut_steps: int
    """Steps in which charging was cut, since the power flow of what was granted had no solution."""
    hot_spot_c: float | None
    """Temperature of the hottest winding of all transformers and steps [°C]; none without transformers."""


class FormulationValue(Record):
    """One way to put the network into the optimum's model, and what it comes to."""

    name: str
    kind: Literal["bound", "estimate", "plan"]
    """`bound`: no policy earns more; `plan`: earned in the simulator; `estimate`: neither."""
    value: float
    """Return [currency]."""
    seconds: float
    """From the start until it was known [s]."""


class OptimumOnGrid(Record):
    """How the optimum of a day stands with the network, and what the exact power flow says of its plan."""

    formulations: tuple[FormulationValue, ...]
    """From the loosest bound to the plan."""
    steps: int
    """That needed the network in the bound; in all others its limits cannot raise it."""
    voltage_violation_pu: float
    """Of the plan, at most [p.u.]; 0 within the tolerance."""
    loading_violation_percent: float
    """Of the plan, at most [percentage points]; 0 within the tolerance."""
    checked_steps: int
    """The plan's tightest steps, solved once more by pandapower."""
    checked_voltage_violation_pu: float
    """There [p.u.]."""
    checked_loading_violation_percent: float
    """There [percentage points]."""
    curtailed_kwh: float
    """Taken back for the network's sake when the plan was replayed [kWh]."""
