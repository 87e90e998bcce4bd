"""One batched step of a site: setpoints are clipped, granted by the coordinator, and turned into energy.

Comes in: setpoints, shape (n_batch, n_ports) [kW]. Goes out: a `Flow`, everything that the objective, the faces and
the metrics read. The step draws no random number and loops over nothing in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.simulation.battery import power_box
from ev_marl.simulation.coordinators.base import Coordinator, Request
from ev_marl.simulation.days import Days
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.tree import add_up
from ev_marl.support.compiled import announce_compilation, kernel
from ev_marl.support.errors import ActionError
from ev_marl.world.track import Track


@dataclass(slots=True)
class Flow:
    """What happened in one step; B batch rows, P ports, G groups.

    The arrays are reused: they are valid until the next step, so copy what must last.
    """

    step: int  # index t of the step
    step_h: float
    last: bool  # whether the episode ended with this step
    site: SiteArrays
    setpoint_kw: np.ndarray  # (B, P)  asked for, clipped to what the port can do
    granted_kw: np.ndarray  # (B, P)  metered, averaged over the step
    energy_change_kwh: np.ndarray  # (B, P)  of the battery
    energy_kwh: np.ndarray  # (B, P)  in the battery at the end of the step, before a departure
    settled: np.ndarray  # int64 (B, P)  session whose wish fell due with this step, −1: none
    unmet_kwh: np.ndarray  # (B, P)  due and not there, at the ports that settled [kWh]
    group_kw: np.ndarray  # (B, G)  sum of granted powers below each group
    lower_kw: np.ndarray  # (B, G)  clamped limits of this step
    upper_kw: np.ndarray  # (B, G)
    base_load_kw: np.ndarray  # (B, G)
    buy_per_kwh: np.ndarray  # (B,)
    sell_per_kwh: np.ndarray  # (B,)
    local_hour: np.ndarray  # (B,)  local clock time at the start of the step [h]
    import_kw: np.ndarray  # (B,)  power drawn by the whole site, base load included, >= 0
    peak_before_kw: np.ndarray  # (B,)  highest import of the earlier steps, 0 at the start
    grid: GridFlow | None = None  # what the network did, where there is one


@kernel
def _start(
    day: np.ndarray,
    first_session: np.ndarray,
    stays: np.ndarray,
    session: np.ndarray,
    following: np.ndarray,
    energy_kwh: np.ndarray,
) -> None:
    """Put every row at the start of its day."""
    n_batch, n_ports = session.shape
    for b in range(n_batch):
        k = day[b]
        for p in range(n_ports):
            s = first_session[k, p]
            session[b, p] = -1
            energy_kwh[b, p] = 0.0
            if s < first_session[k, p + 1] and stays[s]["arrival_step"] == 0:
                session[b, p] = s
                energy_kwh[b, p] = stays[s]["energy_kwh"]
                s += 1
            following[b, p] = s


@kernel
def _clip(setpoint_kw: np.ndarray, lo_kw: np.ndarray, hi_kw: np.ndarray, out: np.ndarray) -> int:
    """out = setpoint within [lo, hi], element by element; returns how many setpoints are not finite."""
    n_batch, n_ports = setpoint_kw.shape
    wild = 0
    for b in range(n_batch):
        for p in range(n_ports):
            setpoint = setpoint_kw[b, p]
            wild += not abs(setpoint) < np.inf
            out[b, p] = max(lo_kw[b, p], min(hi_kw[b, p], setpoint))
    return wild


@kernel
def _advance(
    step: int,
    step_h: float,
    n_steps: int,
    day: np.ndarray,
    granted_kw: np.ndarray,
    first_session: np.ndarray,
    stays: np.ndarray,
    port_group: np.ndarray,
    group_parent: np.ndarray,
    session: np.ndarray,
    following: np.ndarray,
    energy_kwh: np.ndarray,
    energy_change_kwh: np.ndarray,
    energy_after_kwh: np.ndarray,
    settled: np.ndarray,
    unmet_kwh: np.ndarray,
    group_kw: np.ndarray,
    base_load_kw: np.ndarray,
    import_kw: np.ndarray,
    peak_before_kw: np.ndarray,
    peak_kw: np.ndarray,
) -> None:
    """Move energy, settle what is due, let vehicles leave and come, sum up the groups and the site's import."""
    n_batch, n_ports = session.shape
    n_groups = len(group_parent)
    end = step + 1
    for b in range(n_batch):
        k = day[b]
        for g in range(n_groups):
            group_kw[b, g] = 0.0
        for p in range(n_ports):
            s = session[b, p]
            if s < 0:
                change = 0.0
                energy = 0.0
                settled[b, p] = -1
                unmet_kwh[b, p] = 0.0
                left = True
            else:
                stay = stays[np.uint64(s)]  # an unsigned index is not checked for being negative
                power = granted_kw[b, p]
                before = energy_kwh[b, p]
                if power >= 0.0:
                    change = stay["charge_efficiency"] * power * step_h
                else:
                    change = power * step_h / stay["discharge_efficiency"]
                group_kw[b, port_group[p]] += power
                energy = min(before + change, stay["capacity_kwh"])
                change = energy - before
                left = stay["departure_step"] == end
                due = left or end == n_steps
                settled[b, p] = s if due else -1
                unmet_kwh[b, p] = max(0.0, stay["due_kwh"] - energy) if due else 0.0
            energy_change_kwh[b, p] = change
            energy_after_kwh[b, p] = energy
            if left:
                energy = 0.0
                session[b, p] = -1
                coming = following[b, p]
                if coming < first_session[k, p + 1] and stays[coming]["arrival_step"] == end:
                    session[b, p] = coming
                    energy = stays[coming]["energy_kwh"]
                    following[b, p] = coming + 1
            energy_kwh[b, p] = energy
        add_up(group_kw[b], group_parent)
        import_kw[b] = max(0.0, group_kw[b, 0] + base_load_kw[b, 0])
        peak_before_kw[b] = peak_kw[b]
        peak_kw[b] = max(peak_kw[b], import_kw[b])


class Simulator:
    """A batch of episodes of one site, all at the same step.

    Parameters
    ----------
    site : SiteArrays
        The site.
    coordinator : Coordinator
        Who gets power when there is not enough.
    tracks : sequence of Track
        The days that rows can be reset to; one site, one step length, one horizon.
    grid : GridLoop, optional
        The network above the site; left out, the grid connection is ideal. The simulator works on a copy.

    Attributes
    ----------
    step_index : int
        Current step t, 0 after a reset.
    rows : int64, shape (n_batch,), or slice
        Index into tables by day: `table[simulator.rows, step]` has a row for each batch row.
    session : int64, shape (n_batch, n_ports)
        Connected session as an index into `days.stays`, −1 at an empty port.
    energy_kwh : float64, shape (n_batch, n_ports)
        Energy in the connected battery [kWh], 0 at an empty port.
    lo_kw, hi_kw : float64, shape (n_batch, n_ports)
        What each port can do in the coming step [kW].
    laxity_h : float64, shape (n_batch, n_ports)
        Time left less time needed at full power [h], inf at an empty port.
    lower_kw, upper_kw, base_load_kw : float64, shape (n_batch, n_groups)
        Clamped limits and base load of the coming step [kW].
    granted_kw : float64, shape (n_batch, n_ports)
        Metered in the last step, 0 after a reset [kW].
    group_kw : float64, shape (n_batch, n_groups)
        Sum of the granted powers below each group in the last step, 0 after a reset [kW].
    grid : GridLoop or None
        The network above the site.
    """

    def __init__(
        self,
        site: SiteArrays,
        coordinator: Coordinator,
        tracks: Sequence[Track],
        grid: GridLoop | None = None,
    ) -> None:
        announce_compilation()
        self.site = site
        self.coordinator = coordinator
        self.grid = None if grid is None else replace(grid)  # taps and temperatures are this simulator's own
        self.load(tracks)

    def load(self, tracks: Sequence[Track]) -> None:
        """Replace the days; a reset must follow."""
        self.days = Days.stack(self.site, tracks)
        self.tracks = tuple(tracks)
        if self.grid is not None:
            self.grid.load(tracks)
        self.step_index = self.days.n_steps

    @property
    def n_batch(self) -> int:
        """B."""
        return len(self.day)

    @property
    def granted_kw(self) -> np.ndarray:
        """Metered in the last step."""
        return self._flow.granted_kw

    @property
    def group_kw(self) -> np.ndarray:
        """Power of the groups in the last step."""
        return self._flow.group_kw

    @property
    def done(self) -> bool:
        """Whether the episode is over."""
        return self.step_index >= self.days.n_steps

    def reset(self, day: Sequence[int] | np.ndarray = (0,)) -> None:
        """Start an episode: row b runs track `day[b]`.

        Parameters
        ----------
        day : int64, shape (n_batch,)
            Index into the tracks for each row.
        """
        self.day = np.asarray(day, dtype=np.int64)
        if self.day.min() < 0 or self.day.max() >= self.days.n_days:
            raise IndexError(f"day must be between 0 and {self.days.n_days - 1}, got {self.day}")
        # One row is looked up in the days' tables by a slice: a view, several times quicker than a copy.
        self.rows = slice(self.day[0], self.day[0] + 1) if len(self.day) == 1 else self.day
        n_batch, n_ports, n_groups = len(self.day), self.site.n_ports, self.site.n_groups
        if not hasattr(self, "session") or self.session.shape != (n_batch, n_ports):
            self._allocate(n_batch, n_ports, n_groups)
        self.step_index = 0
        self.peak_kw = np.zeros(n_batch)
        self._flow.granted_kw[:] = 0.0
        self._flow.group_kw[:] = 0.0
        _start(self.day, self.days.first_session, self.days.stays, self.session, self._following, self.energy_kwh)
        if self.grid is not None:
            self.grid.reset(self.rows, n_batch)
        self._look_ahead()

    def step(self, setpoint_kw: np.ndarray) -> Flow:
        """Run one step.

        Parameters
        ----------
        setpoint_kw : float64, shape (n_batch, n_ports)
            Power asked for at each port [kW]; clipped to what the port can do.

        Returns
        -------
        Flow
            What happened; its arrays are reused by the next step.

        Raises
        ------
        RuntimeError
            If the episode is over.
        ActionError
            If a setpoint is not finite, or their shape is wrong.
        """
        if self.done:
            raise RuntimeError("the episode is over; reset the simulator")
        flow, step = self._flow, self.step_index
        if setpoint_kw.shape != self.lo_kw.shape:
            raise ActionError(f"setpoints have shape {setpoint_kw.shape}; allowed is {self.lo_kw.shape}")
        if _clip(setpoint_kw, self.lo_kw, self.hi_kw, flow.setpoint_kw):
            b, p = np.argwhere(~np.isfinite(setpoint_kw))[0]
            raise ActionError(f"setpoint of row {b}, port {p} is {setpoint_kw[b, p]}; it must be a finite power")
        flow.lower_kw, flow.upper_kw, flow.base_load_kw = self.lower_kw, self.upper_kw, self.base_load_kw
        self._request.lower_kw, self._request.upper_kw = self.lower_kw, self.upper_kw
        self.coordinator.grant(self._request, flow.granted_kw)
        if self.grid is not None:
            flow.grid = self.grid.step(step, self.days.step_h, self._request, flow.granted_kw)
        _advance(
            step,
            self.days.step_h,
            self.days.n_steps,
            self.day,
            flow.granted_kw,
            self.days.first_session,
            self.days.stays,
            self.site.port_group,
            self.site.group_parent,
            self.session,
            self._following,
            self.energy_kwh,
            flow.energy_change_kwh,
            flow.energy_kwh,
            flow.settled,
            flow.unmet_kwh,
            flow.group_kw,
            self.base_load_kw,
            flow.import_kw,
            flow.peak_before_kw,
            self.peak_kw,
        )
        flow.step = step
        flow.buy_per_kwh = self.days.buy_per_kwh[self.rows, step]
        flow.sell_per_kwh = self.days.sell_per_kwh[self.rows, step]
        flow.local_hour = self.days.local_hour[self.rows, step]
        self.step_index = step + 1
        flow.last = self.done
        self._look_ahead()
        return flow

    def _allocate(self, n_batch: int, n_ports: int, n_groups: int) -> None:
        def ports() -> np.ndarray:
            return np.zeros((n_batch, n_ports))

        self.session = np.full((n_batch, n_ports), -1, dtype=np.int64)
        self._following = np.zeros((n_batch, n_ports), dtype=np.int64)
        self.energy_kwh, self.lo_kw, self.hi_kw, self.laxity_h = ports(), ports(), ports(), ports()
        rows, groups = np.zeros(n_batch), np.zeros((n_batch, n_groups))
        self._flow = Flow(
            step=0,
            step_h=self.days.step_h,
            last=False,
            site=self.site,
            setpoint_kw=ports(),
            granted_kw=ports(),
            energy_change_kwh=ports(),
            energy_kwh=ports(),
            settled=np.full((n_batch, n_ports), -1, dtype=np.int64),
            unmet_kwh=ports(),
            group_kw=groups,
            lower_kw=groups,
            upper_kw=groups,
            base_load_kw=groups,
            buy_per_kwh=rows,
            sell_per_kwh=rows,
            local_hour=rows,
            import_kw=np.zeros(n_batch),
            peak_before_kw=np.zeros(n_batch),
        )
        self._request = Request(
            self._flow.setpoint_kw, self.lo_kw, self.hi_kw, groups, groups, self.laxity_h, self.site
        )

    def _look_ahead(self) -> None:
        """Limits of ports and groups for the coming step; after the last step, those of the last step stay."""
        power_box(
            self.session,
            self.energy_kwh,
            self.step_index,
            self.days.step_h,
            self.days.stays,
            self.lo_kw,
            self.hi_kw,
            self.laxity_h,
        )
        step = min(self.step_index, self.days.n_steps - 1)
        self.lower_kw = self.days.lower_kw[self.rows, step]
        self.upper_kw = self.days.upper_kw[self.rows, step]
        self.base_load_kw = self.days.base_load_kw[self.rows, step]
