"""What is kept of a finished day, and how it stands in a file: one JSON document a day.

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


class PolicyDay(Record):
    """One policy on one day."""

    policy: str
    """As it was asked for: name, `name(option=...)` or module:Class; `optimum` is the replayed plan."""
    information: str
    """What it knows: own, messages, site or future."""
    team_return: float
    """Sum of all agents' rewards [currency]."""
    costs: dict[str, float]
    """By term of the objective [currency]; they sum to minus the return."""
    charged_kwh: float
    """Metered into vehicles [kWh]."""
    discharged_kwh: float
    """Metered out of vehicles, >= 0 [kWh]."""
    peak_kw: float
    """Highest import of the site, base load included [kW]."""
    curtailed_kwh: float
    """|setpoint − granted| [kWh]."""
    violations: int
    """(step, group) pairs beyond a clamped limit."""
    violation_kwh: float
    """Energy beyond clamped limits, summed over groups [kWh]."""
    satisfaction: tuple[float, ...]
    """By session that is owed energy: delivered over owed [-]."""
    fairness: float
    """Jain's index of the stations' mean satisfactions [-]; NaN without a session."""
    policy_ms: float
    """Time in the policy per step [ms]."""
    simulator_ms: float
    """Time in the simulator and the objective per step [ms]."""
    group_kw: tuple[tuple[float, ...], ...]
    """Power of the watched groups, base load included, by group and step [kW]."""
    grid: OnGrid | None = None
    """What the network above the site did; none where the scenario has none."""


class DayResult(Record):
    """One finished day: the optimum and every policy on the same track."""

    index: int
    """Number of the day in the run, from 0."""
    seed: int
    """`World.sample(seed)` gives the track."""
    start: str
    """Local start of the day, ISO 8601."""
    step_h: float
    """Length of a step [h]."""
    bound: float
    """No policy's return is above it [currency]."""
    achieved: float
    """Return of the optimum's plan, replayed with exact limits [currency]."""
    exact: bool
    """Whether the replay proves the bound within the solver's tolerance."""
    looseness: str
    """Why not, empty if exact."""
    solve_seconds: float
    """Building, solving and replaying [s]."""
    sessions: int
    """Vehicles that came to a port."""
    owed: int
    """Of them, those that are owed energy."""
    turned_away: int
    """Vehicles that found no free port."""
    unavoidable_kwh: float
    """Energy by which base load alone exceeds limits, summed over groups [kWh]."""
    watched_groups: tuple[str, ...]
    """Groups whose power was kept; the grid connection first."""
    limit_kw: tuple[tuple[float, ...], ...]
    """Import limit of the watched groups, by group and step [kW]."""
    base_load_kw: tuple[tuple[float, ...], ...]
    """Base load of the watched groups, by group and step [kW]."""
    local_hour: tuple[float, ...]
    """Local clock time of each step [h]."""
    grid: OptimumOnGrid | None = None
    """How the optimum stands with the network above the site; none where the scenario has none."""
    policies: tuple[PolicyDay, ...]
    """`optimum` first, then as in the manifest."""

    def of(self, policy: str) -> PolicyDay:
        """What a policy did."""
        return next(entry for entry in self.policies if entry.policy == policy)
