"""The vehicles' powers by charger bus: from columns of the program to kW, and back to rows in those columns.

A day and its programme come in; rows in the vehicles' powers go out, which describe the network without its states.
"""

from __future__ import annotations

import numpy as np

from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.optimum.model import PyomoDay
from ev_marl.planning.programme.rows import Rows


class ChargerColumns:
    """The columns of the power at each charger bus and step.

    Parameters
    ----------
    day : PyomoDay
        The day.
    program : LinearProgram
        Its program.
    port_charger : int64, shape (n_ports,)
        Charger bus of each port.
    n_chargers : int
        Number of charger buses.
    """

    def __init__(self, day: PyomoDay, program: LinearProgram, port_charger: np.ndarray, n_chargers: int) -> None:
        pairs = day.pairs
        bus = port_charger[pairs.port]
        self._shape = (day.n_steps, n_chargers)
        self._step = np.concatenate([pairs.step, pairs.step[pairs.discharge]])
        self._bus = np.concatenate([bus, bus[pairs.discharge]])
        self._column = np.concatenate([program.columns(day.charge), program.columns(day.discharge)])
        self._sign = np.repeat([1.0, -1.0], [len(pairs), len(pairs.discharge)])
        order = np.argsort(self._step, kind="stable")
        self._of_step = np.split(order, np.searchsorted(self._step[order], np.arange(1, day.n_steps)))

    def power_kw(self, x: np.ndarray) -> np.ndarray:
        """Power drawn at each charger bus at a point, float64, shape (n_steps, n_chargers) [kW]."""
        power_kw: np.ndarray = np.zeros(self._shape)
        np.add.at(power_kw, (self._step, self._bus), self._sign * x[self._column])
        return power_kw

    def row(self, step: int, weights: np.ndarray, lower: float, column: int | None = None) -> Rows:
        """(variable of the column, if any) + Σ over buses of weight·power >= lower, in one step.

        Parameters
        ----------
        step : int
            The step.
        weights : float64, shape (n_chargers,)
            Of the power at each bus [1/kW].
        lower : float
            Right-hand side.
        column : int, optional
            A variable with weight 1.
        """
        here = self._of_step[step]
        values = self._sign[here] * weights[self._bus[here]]
        there = values != 0.0
        columns, values = self._column[here[there]], values[there]
        if column is not None:
            columns, values = np.concatenate([[column], columns]), np.concatenate([[1.0], values])
        return one_row(columns, values, lower)

    def held(self, step: int, most_kw: np.ndarray) -> Rows:
        """Bounds at each bus: charging at most the given power, discharging at most the given power below zero.

        Parameters
        ----------
        step : int
            The step.
        most_kw : float64, shape (n_chargers,)
            Powers [kW].
        """
        here, rows = self._of_step[step], [Rows.stack([])]
        for bus, power_kw in enumerate(most_kw.tolist()):
            for sign in (1.0, -1.0):
                columns = self._column[here[(self._bus[here] == bus) & (self._sign[here] == sign)]]
                if len(columns):
                    rows.append(one_row(columns, -np.ones(len(columns)), -max(0.0, sign * power_kw)))
        return Rows.stack(rows)


def one_row(columns: np.ndarray, values: np.ndarray, lower: float) -> Rows:
    """One row: values·columns >= lower.

    Parameters
    ----------
    columns : int64, shape (n,)
        Columns.
    values : float64, shape (n,)
        Their coefficients.
    lower : float
        Right-hand side.
    """
    return Rows(np.array([0, len(columns)]), columns, values, np.array([lower]), np.array([np.inf]))
