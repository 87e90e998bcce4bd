"""The levels of ports as integers in the programme of a day: nothing, a level, or all that the vehicle takes.

A `LinearProgram` of any power comes in; columns and rows are added to it, for every (session, step) pair whose port has
levels. With the least power m and the distance s of the levels (see `ev_marl.site.levels`)

    charge = m·on + s·more + full·takes + rest,     on + takes + fades + discharge/D <= 1

where `on`, `takes` and `fades` are 0 or 1, and `more` counts levels, up to K where on is 1. `takes` says that the
vehicle takes its full power, which need not be a level. `fades` says that its battery takes less, rest = h(e) =
(F(e) − e)/(η⁺Δ). F is concave, so h lies above its chord, and `rest` lies between the chord and h: there alone more is
allowed than a port can grant, so the bound stays one. Where a measured curve is not concave, any power is allowed.
"""

from __future__ import annotations

import numpy as np

from ev_marl.optimum.linear_program import LinearProgram
from ev_marl.planning.programme.programme import Programme
from ev_marl.planning.programme.rows import Rows
from ev_marl.site.charge_curve import curves_of, energy_after, knees_kwh, not_concave
from ev_marl.site.levels import SLACK_KW

_SAME_KW = 1e-9  # powers that differ by less are the same
_BELOW_KW = 1e-7  # chords are lowered by it, for what is rounded in a curve
_MOST_LEVELS = 100_000  # integers are exact far beyond


class LevelColumns:
    """Columns and rows of the levels of ports; N pairs whose port has levels.

    Parameters
    ----------
    day : Programme
        The day.
    program : LinearProgram
        Its programme; columns and rows are appended.
    charge, discharge, energy : int64, shape (N_all,), (D,), (N_all,)
        Columns of the charging and discharging powers, and of the energies at the end, of all its pairs; −1 for
        energies that the solver does not see.

    Attributes
    ----------
    pair : int64, shape (N,)
        The pairs.
    rows : Rows
        The rows, also appended to the programme.
    columns : int64, shape (n_new,)
        The new columns.
    """

    def __init__(
        self, day: Programme, program: LinearProgram, charge: np.ndarray, discharge: np.ndarray, energy: np.ndarray
    ) -> None:
        pairs, step_h = day.pairs, day.step_h
        stays = pairs.stays
        levels = day.site.port_levels_kw
        full_kw = program.upper[charge]
        self.pair = pair = np.flatnonzero(day.site.is_leveled[pairs.port] & (full_kw > 0.0))
        self._charge = charge[pair]
        session, before = pairs.session[pair], pairs.previous[pair]
        self._full = full = full_kw[pair]
        self._least, distance = levels[:, pairs.port[pair]]
        self._any = any_power = distance == 0.0
        self._unit = np.where(any_power, 1.0, distance)
        beyond = (full - self._least) / self._unit
        most = np.where(any_power, beyond, np.floor(beyond + _SAME_KW)).clip(0.0, _MOST_LEVELS)
        has_level = beyond >= -_SAME_KW

        # What the battery takes at the lowest and at the highest possible energy at the start of the step.
        hull = curves_of(stays, hull=True)
        battery = (
            stays["rate_kw"][session],
            stays["capacity_kwh"][session],
            stays["tau_h"][session],
            None if hull is None else hull[session],
        )
        bends = not_concave(stays)[session]
        efficiency = stays["charge_efficiency"][session]
        first_kwh = np.where(before >= 0, pairs.least_kwh[before], stays["energy_kwh"][session])
        last_kwh = pairs.start_most_kwh[pair]
        if hull is None:  # below here, the battery takes its full power
            straight = knees_kwh(*battery) - stays["rate_kw"][session] * step_h
            first_kwh = np.minimum(np.maximum(first_kwh, straight), last_kwh)
        at_first, at_last = (
            np.minimum(full, (energy_after(kwh, step_h, *battery) - kwh) / (efficiency * step_h))
            for kwh in (first_kwh, last_kwh)
        )
        known = last_kwh - first_kwh <= 0.0  # before the first step: what it takes is known
        takes_kw = np.where(known, at_last, full)
        fades = ~known & (np.minimum(at_first, at_last) < full - _SAME_KW)
        fades &= ~any_power | ~has_level | (np.minimum(at_first, at_last) < self._least)
        fades |= bends  # the curve lies below its hull, maybe anywhere
        reaches = np.where(any_power, has_level, np.abs(self._least + most * self._unit - full) <= _SAME_KW)
        takes = (~reaches | (known & (at_last < full - SLACK_KW))) & (takes_kw > 0.0)
        slope = np.divide(at_last - at_first, last_kwh - first_kwh, out=np.zeros(len(pair)), where=~known)
        constant = at_first - slope * first_kwh - _BELOW_KW
        least_kwh = np.where(before >= 0, pairs.least_kwh[before], first_kwh)
        chord_most = np.maximum(0.0, constant + np.maximum(slope * least_kwh, slope * last_kwh))
        slope, constant, chord_most = (np.where(bends, 0.0, part) for part in (slope, constant, chord_most))
        self._takes_kw, self._chord = takes_kw, (constant, slope)

        n = len(pair)
        self._on = self._add(program, "level_on", has_level, np.ones(n), integer=True)
        self._more = np.full(n, -1)
        for name, kind in (("level_more", ~any_power), ("level_power", any_power)):
            columns = self._add(program, name, has_level & (most > 0.0) & kind, most, integer=name == "level_more")
            self._more = np.maximum(self._more, columns)
        self._takes = self._add(program, "level_full", takes, np.ones(n), integer=True)
        self._fades = self._add(program, "level_fades", fades, np.ones(n), integer=True)
        self._rest = self._add(program, "level_rest", fades, full, integer=False)
        new = np.concatenate([self._on, self._more, self._takes, self._fades, self._rest])
        self.columns = np.sort(new[new >= 0])

        drain = np.full(len(pairs), -1)
        drain[pairs.discharge] = discharge
        drain, start = drain[pair], np.where(before >= 0, energy[before], -1)
        drains = (drain >= 0) & (program.upper[np.maximum(drain, 0)] > 0.0)
        one, nothing = np.ones(n), np.zeros(n)
        drain_share = np.divide(1.0, program.upper[np.maximum(drain, 0)], out=np.zeros(n), where=drains)
        alone = drains.astype(np.int64) + (self._on >= 0) + (self._takes >= 0) + (self._fades >= 0)
        self.rows = Rows.stack(
            [
                _rows(
                    np.ones(n, dtype=bool),
                    [
                        (self._charge, one),
                        (self._on, -self._least),
                        (self._more, -self._unit),
                        (self._takes, -takes_kw),
                        (self._rest, -one),
                    ],
                    nothing,
                    nothing,
                ),
                _rows(self._more >= 0, [(self._more, one), (self._on, -most)], np.full(n, -np.inf), nothing),
                _rows(fades, [(self._rest, one), (self._fades, -full)], np.full(n, -np.inf), nothing),
                _rows(
                    fades & ~bends & (start >= 0),
                    [(self._rest, one), (start, -slope), (self._fades, -chord_most)],
                    constant - chord_most,
                    np.full(n, np.inf),
                ),
                _rows(
                    alone > 1,
                    [
                        (self._on, one),
                        (self._takes, one),
                        (self._fades, one),
                        (np.where(drains, drain, -1), drain_share),
                    ],
                    np.full(n, -np.inf),
                    one,
                ),
            ]
        )
        program.add_rows(self.rows)

    def __len__(self) -> int:
        return len(self.pair)

    def values_of(self, power_kw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The integer columns of powers that ports can grant, and their values.

        Parameters
        ----------
        power_kw : float64, shape (N,)
            Charging power of each pair, 0 or below where it does not charge [kW].

        Returns
        -------
        columns : int64, shape (n,)
            The integer columns.
        values : float64, shape (n,)
            Their values.
        """
        more = (power_kw - self._least) / self._unit
        nearest = np.where(self._any, more, np.round(more))
        level = (self._on >= 0) & (more > -_SAME_KW) & (np.abs(more - nearest) <= 1e-6)
        charges = power_kw > SLACK_KW
        takes = charges & ~level & (self._takes >= 0) & (np.abs(power_kw - self._takes_kw) <= 1e-6)
        fades = charges & ~level & ~takes
        level &= charges
        parts = [
            (self._on, level),
            (np.where(self._any, -1, self._more), np.where(level, nearest, 0.0)),
            (self._takes, takes),
            (self._fades, fades),
        ]
        columns, values = (np.concatenate([np.asarray(part[k], dtype=float) for part in parts]) for k in (0, 1))
        return columns[columns >= 0].astype(np.int64), values[columns >= 0]

    @staticmethod
    def _add(program: LinearProgram, name: str, which: np.ndarray, most: np.ndarray, *, integer: bool) -> np.ndarray:
        """New columns of some pairs, int64, shape (N,); −1 for the others."""
        columns = np.full(len(which), -1)
        if which.any():
            upper = most[which]
            columns[which] = program.add_columns(name, np.zeros(len(upper)), upper, integer=integer)
        return columns


def _rows(which: np.ndarray, terms: list[tuple[np.ndarray, np.ndarray]], lower: np.ndarray, upper: np.ndarray) -> Rows:
    """A row for each of some pairs, of the terms (column, coefficient) whose column is there."""
    chosen = np.flatnonzero(which)
    row = np.tile(np.arange(len(chosen)), len(terms))
    column = np.concatenate([columns[chosen] for columns, _ in terms])
    value = np.concatenate([values[chosen] for _, values in terms])
    there = (column >= 0) & (value != 0.0)
    return Rows.of_entries(row[there], column[there], value[there], lower[chosen], upper[chosen])
