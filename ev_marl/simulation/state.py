"""The state at the start of a step: connected vehicles, energies of the batteries, possible powers of the coming step.

A State is plain arrays over (batch, port) and (batch, group). It can be copied, pickled and put back. It holds the
whole memory of an episode: equal states and equal setpoints give equal results.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ev_marl.grid.loop.state import GridState

# Unused rows. Without them, quantities of a batch of 1,024 would be at the same offset of different memory pages,
# which processors mistake for the same address (4K aliasing): a step would take a third longer.
SPARE = 1

# Rows of the state's arrays.
SESSION, FOLLOWING, SETTLED = 0, 1, 2  # of `seats`
ENERGY, LO, HI, LAXITY, GRANTED = 0, 1, 2, 3, 4  # of `ports`
LOWER, UPPER, BASE_LOAD, GROUP, PEAK = 0, 1, 2, 3, 4  # of `groups`


class State:
    """The state of B rows; P ports, G groups, R current limits. The step changes it in place.

    Keep a `copy` if you need it later.

    Parameters
    ----------
    step : int
        The coming step t; after the last step, the number of steps.
    day : int64, shape (n_batch,)
        The day that each row plays, an index into the loaded days.
    seats : int64, shape (3, n_batch, n_ports)
        `session`, `following`, `settled`.
    ports : float64, shape (5, n_batch, n_ports)
        `energy_kwh`, `lo_kw`, `hi_kw`, `laxity_h`, `granted_kw`.
    groups : float64, shape (5, n_batch, n_groups)
        `lower_kw`, `upper_kw`, `base_load_kw`, `group_kw`, and the highest import of each group so far, 0 at the start.
    currents : float64, shape (3, n_batch, n_currents)
        Of each current limit in the coming step, the current of the base load, real and imaginary part, and the clamped
        limit; after the end, those of the last step [A].
    grid : GridState, optional
        The network above the site, if there is one.
    oil_k : float64, shape (n_batch, n_thermal), optional
        Rise of the oil above the air of each transformer whose temperature is followed [K].

    Attributes
    ----------
    rows : int64, shape (n_batch,), or slice
        The days as an index into tables by day: `table[state.rows, step]` has a row for each batch row.
    session : int64, shape (n_batch, n_ports)
        Connected session as an index into the days' stays, −1 at an empty port.
    following : int64, shape (n_batch, n_ports)
        The next session that may come to the port, as an index into the days' stays.
    settled : int64, shape (n_batch, n_ports)
        Session whose wish fell due with the last step, −1: none.
    energy_kwh : float64, shape (n_batch, n_ports)
        Energy in the connected battery [kWh], 0 at an empty port.
    lo_kw, hi_kw : float64, shape (n_batch, n_ports)
        What each port can do in the coming step [kW].
    laxity_h : float64, shape (n_batch, n_ports)
        Time left less time needed at full power [h], inf at an empty port.
    granted_kw : float64, shape (n_batch, n_ports)
        Metered in the last step, 0 at the start [kW].
    lower_kw, upper_kw, base_load_kw : float64, shape (n_batch, n_groups)
        Clamped limits and base load of the coming step; after the end, those of the last step [kW].
    group_kw : float64, shape (n_batch, n_groups)
        Sum of the granted powers below each group in the last step, 0 at the start [kW].
    peak_kw : float64, shape (n_batch,)
        Highest import of the site so far, 0 at the start [kW].
    """

    __slots__ = (
        "base_load_kw",
        "currents",
        "day",
        "energy_kwh",
        "following",
        "granted_kw",
        "grid",
        "group_kw",
        "groups",
        "hi_kw",
        "laxity_h",
        "lo_kw",
        "lower_kw",
        "oil_k",
        "peak_kw",
        "ports",
        "rows",
        "seats",
        "session",
        "settled",
        "step",
        "upper_kw",
    )

    def __init__(
        self,
        step: int,
        day: np.ndarray,
        seats: np.ndarray,
        ports: np.ndarray,
        groups: np.ndarray,
        currents: np.ndarray,
        grid: GridState | None = None,
        oil_k: np.ndarray | None = None,
    ) -> None:
        self.oil_k = np.zeros((len(day), 0)) if oil_k is None else oil_k
        self.step, self.day, self.currents, self.grid = step, day, currents, grid
        self.seats, self.ports, self.groups = seats, ports, groups
        self.session, self.following, self.settled = seats[:, : len(day)]
        self.energy_kwh, self.lo_kw, self.hi_kw, self.laxity_h, self.granted_kw = ports[:, : len(day)]
        self.lower_kw, self.upper_kw, self.base_load_kw, self.group_kw, peaks_kw = groups
        self.peak_kw = peaks_kw[:, 0]
        # A single row is selected by a slice: a view is several times faster than a copy.
        self.rows: np.ndarray | slice = slice(int(day[0]), int(day[0]) + 1) if len(day) == 1 else day

    @classmethod
    def blank(cls, step: int, day: np.ndarray, n_ports: int, n_groups: int, n_currents: int) -> State:
        """No vehicles, and limits not set yet."""
        n_batch = len(day)
        return cls(
            step,
            day,
            np.full((3, n_batch + SPARE, n_ports), -1, dtype=np.int64),
            np.zeros((5, n_batch + SPARE, n_ports)),
            np.zeros((5, n_batch, n_groups)),
            np.zeros((3, n_batch, n_currents)),
        )

    @property
    def n_batch(self) -> int:
        """B."""
        return len(self.day)

    def copy(self) -> State:
        """An independent copy."""
        arrays = (self.seats.copy(), self.ports.copy(), self.groups.copy(), self.currents.copy())
        return State(self.step, self.day.copy(), *arrays, self.grid, self.oil_k.copy())

    def __reduce__(self) -> tuple[type[State], tuple[Any, ...]]:
        """Copies and pickles hold the arrays of which the named arrays are views, so that these stay views."""
        arrays = (self.seats, self.ports, self.groups, self.currents)
        return State, (self.step, self.day, *arrays, self.grid, self.oil_k)
