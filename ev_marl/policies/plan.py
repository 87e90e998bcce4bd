"""Replay of a plan: a plan for a day comes in, for instance the optimum's; setpoints that follow it go out.

The setpoints follow the energies of the plan, not its powers: what was curtailed is charged as soon as there is power,
and rounding errors do not add up.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ev_marl.policies.base import POLICIES, Episode, Information, StationView
from ev_marl.scenario.sizes import MOST_CELLS
from ev_marl.site.part_load import metered_kw
from ev_marl.support.compiled import kernel
from ev_marl.support.errors import OptionError, PlanError
from ev_marl.support.files import FileError
from ev_marl.support.parquet import read_table, write_table
from ev_marl.support.values import MOST, listed, shown

FORMAT = "ev_marl plan"
VERSION = 1
COLUMNS = ("step", "port", "power_kw", "energy_kwh")


@dataclass(frozen=True)
class Plan:
    """Powers and energies of every port in one episode; T steps, P ports."""

    power_kw: np.ndarray  # float64 (T, P)  average over the step [kW]
    energy_kwh: np.ndarray  # float64 (T, P)  in the battery at the end of the step [kWh], NaN without a session

    def __post_init__(self) -> None:
        """Refuse arrays that are not of one shape (T, P)."""
        if self.power_kw.ndim != 2 or self.power_kw.shape != self.energy_kwh.shape:
            raise PlanError(
                f"a plan needs power_kw and energy_kwh of one shape (n_steps, n_ports), got {self.power_kw.shape} "
                f"and {self.energy_kwh.shape}"
            )

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.power_kw.shape[0])

    @property
    def n_ports(self) -> int:
        """P."""
        return int(self.power_kw.shape[1])

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the plan as Parquet, one row per step and port.

        Parameters
        ----------
        path : str or Path
            File to write.
        overwrite : bool
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and `overwrite` is not given.
        """
        step, port = np.indices(self.power_kw.shape, dtype=np.int64)
        table = pa.table(
            dict(
                zip(
                    COLUMNS,
                    (step.ravel(), port.ravel(), self.power_kw.ravel(), self.energy_kwh.ravel()),
                    strict=True,
                )
            )
        )
        described = {
            "format": FORMAT,
            "version": str(VERSION),
            "n_steps": str(self.n_steps),
            "n_ports": str(self.n_ports),
        }
        if not overwrite and Path(path).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        write_table(Path(path), table, described)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan that `save` wrote; the arrays are bit-identical.

        Parameters
        ----------
        path : str or Path
            Parquet file.

        Raises
        ------
        PlanError
            If the file is not a plan, or one of another version.
        """
        try:
            table, described = read_table(Path(path), MOST_CELLS)
        except FileError as error:
            raise PlanError(f"{path}: {error}") from error
        if described.get("format") != FORMAT or tuple(table.column_names) != COLUMNS:
            raise PlanError(
                f"{path}: not a plan: expected the columns {', '.join(COLUMNS)} and the format '{FORMAT}', "
                f"found {listed(table.column_names)} and {shown(described.get('format', ''))}"
            )
        if described.get("version") != str(VERSION):
            version = described.get("version")
            raise PlanError(f"{path}: a plan of version {version}; this program reads version {VERSION}")
        sizes = [described.get(name, "") for name in ("n_steps", "n_ports")]
        if not all(re.fullmatch("[0-9]{1,9}", size) for size in sizes):
            told = " and ".join(map(shown, sizes))
            raise PlanError(f"{path}: n_steps and n_ports are {told}; expected whole numbers of up to 9 digits")
        n_steps, n_ports = map(int, sizes)
        if table.num_rows != n_steps * n_ports:
            raise PlanError(f"{path}: {table.num_rows} rows, but {n_steps} steps of {n_ports} ports")
        column = {name: _column(table, name, path) for name in COLUMNS}
        place = column["step"] * n_ports + column["port"]
        if not np.array_equal(np.sort(place), np.arange(table.num_rows)) or (column["port"] >= n_ports).any():
            raise PlanError(f"{path}: the columns step and port do not name every step and port once")
        power_kw, energy_kwh = np.full((n_steps, n_ports), np.nan), np.full((n_steps, n_ports), np.nan)
        at = (column["step"], column["port"])
        power_kw[at] = column["power_kw"]
        energy_kwh[at] = column["energy_kwh"]
        return cls(power_kw, energy_kwh)


def _column(table: pa.Table, name: str, path: str | Path) -> np.ndarray:
    """Whole numbers of 0 or more for step and port, powers and energies for the others."""
    column, whole = table[name], name in ("step", "port")
    wanted = pa.int64() if whole else pa.float64()
    if column.type != wanted or column.null_count:
        raise PlanError(
            f"{path}: the column {name} is {column.type} with {column.null_count} empty; {wanted} is needed"
        )
    values: np.ndarray = column.to_numpy()
    if whole and ((values < 0) | (values > MOST_CELLS)).any():
        raise PlanError(f"{path}: the column {name} holds {values.min()} to {values.max()}; it counts from 0")
    if not whole and (np.abs(values) > MOST).any():
        raise PlanError(f"{path}: the column {name} holds {np.nanmax(np.abs(values)):g}; at most {MOST:g}")
    return values


@kernel
def _follow(
    planned_kwh: np.ndarray,
    connected: np.ndarray,
    vehicle: np.ndarray,
    step_h: float,
    out: np.ndarray,
) -> None:
    n_batch, n_ports = connected.shape
    for b in range(n_batch):
        for p in range(n_ports):
            change = planned_kwh[b, p] - vehicle[b, p]["energy_kwh"]
            if not connected[b, p] or np.isnan(change):
                out[b, p] = 0.0
            elif change >= 0.0:
                out[b, p] = change / (step_h * vehicle[b, p]["charge_efficiency"])
            else:
                out[b, p] = change * vehicle[b, p]["discharge_efficiency"] / step_h


@POLICIES.register("plan")
class PlanPolicy:
    """Replays plans, one per batch row.

    The setpoint of each step is the power that reaches the planned energy: (planned − e)/(Δ·η⁺) upwards,
    (planned − e)·η⁻/Δ downwards; 0 where the plan has no session.

    Parameters
    ----------
    plan : Plan, str, Path or a sequence of Plan
        One plan (or its Parquet file) for every batch row, or one plan per row.

    Raises
    ------
    OptionError
        If it is given none of these.
    PlanError
        From `reset`, if steps, ports or rows of the episode are not those of the plans.
    """

    name = "plan"
    information: Information = "future"

    def __init__(self, plan: Plan | str | Path | Sequence[Plan]) -> None:
        if isinstance(plan, str | Path):
            plan = Plan.load(plan)
        plans = (plan,) if isinstance(plan, Plan) else plan
        if not isinstance(plans, Sequence) or not plans or not all(isinstance(one, Plan) for one in plans):
            raise OptionError(f"policy 'plan': plan is {shown(plan)}; give a Plan, its Parquet file, or one Plan a row")
        self.plans: tuple[Plan, ...] = tuple(plans)

    def reset(self, episode: Episode) -> None:
        """Check the plans against the episode."""
        plans = self.plans * episode.n_batch if len(self.plans) == 1 else self.plans
        if len(plans) != episode.n_batch:
            raise PlanError(f"{len(plans)} plans for {episode.n_batch} batch rows; give one, or one per row")
        for row, plan in enumerate(plans):
            if (plan.n_steps, plan.n_ports) != (episode.n_steps, episode.site.n_ports):
                raise PlanError(
                    f"plan of row {row} has {plan.n_steps} steps and {plan.n_ports} ports, the episode "
                    f"{episode.n_steps} and {episode.site.n_ports}"
                )
        self._energy_kwh = np.stack([plan.energy_kwh for plan in plans], axis=1)  # (T, B, P)

    def act(self, view: StationView) -> np.ndarray:
        """Powers that reach the planned energies, float64, shape (n_batch, n_ports) [kW]."""
        setpoint_kw = np.empty(view.energy_kwh.shape)
        _follow(
            self._energy_kwh[view.step],
            view.connected,
            view.vehicle,
            view.step_h,
            setpoint_kw,
        )
        if view.part_load is not None:
            metered_kw(setpoint_kw, view.vehicle["charge_efficiency"], view.part_load)
        return setpoint_kw
