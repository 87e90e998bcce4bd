"""One batched step of a site: setpoints are clipped, granted by the coordinator, and turned into energy.

Comes in: a `State` and setpoints, shape (n_batch, n_ports) [kW]. Goes out: a `Flow`, everything that happened, and the
next `State`. The step draws no random number and loops over nothing in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.thermal import AMBIENT_C, oil_at_rest_k, warm_all
from ev_marl.simulation import kernels
from ev_marl.simulation.battery import follow_curves, laxity_of_stays
from ev_marl.simulation.coordinators.base import Coordinator, Request
from ev_marl.simulation.coordinators.in_turn import keep_levels_within
from ev_marl.simulation.coordinators.scaling import measure_currents, scale_to_limits
from ev_marl.simulation.days import Days
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.state import State
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.compiled import announce_compilation
from ev_marl.support.errors import ActionError
from ev_marl.world.track import Track


class Simulator:
    """A batch of episodes of one site, all at the same step: the days, and the state that they are in.

    Parameters
    ----------
    site : SiteArrays
        The site.
    coordinator : Coordinator
        Keeps the limits: turns setpoints into granted powers.
    tracks : sequence of Track
        The days that rows can be reset to; one site, one step length, one horizon.
    grid : GridLoop, optional
        The network above the site; left out, the grid connection is ideal. The simulator works on a copy.

    Attributes
    ----------
    state : State
        The state at the start of the coming step; none before the first reset. It can be replaced by another state of
        the same days.
    days : Days
        The loaded days.
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
        self.grid = None if grid is None else replace(grid)  # its days are this simulator's own
        self.load(tracks)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles make a flow of their own: its arrays must be views of their own state."""
        return vars(self) | {"_frame": None}

    def load(self, tracks: Sequence[Track]) -> None:
        """Replace the days; a reset must follow."""
        self.days = Days.stack(self.site, tracks)
        self.tracks = tuple(tracks)
        if self.grid is not None:
            self.grid.load(tracks)
        self._frame: _Frame | None = None
        if hasattr(self, "state"):
            del self.state

    @property
    def n_batch(self) -> int:
        """B."""
        return len(self.state.day)

    @property
    def done(self) -> bool:
        """Whether the episode is over, or none has begun."""
        return not hasattr(self, "state") or self.state.step >= self.days.n_steps

    def reset(self, day: Sequence[int] | np.ndarray = (0,)) -> None:
        """Start an episode: row b runs track `day[b]`.

        Parameters
        ----------
        day : int64, shape (n_batch,)
            Index into the tracks for each row.
        """
        days = self.days
        chosen = np.array(day, dtype=np.int64)
        if chosen.min() < 0 or chosen.max() >= days.n_days:
            raise IndexError(f"day must be between 0 and {days.n_days - 1}, got {chosen}")
        self.state = self._blank(0, chosen)
        self._look_ahead(self.state)

    def state_at(self, step: int, session: np.ndarray, energy_kwh: np.ndarray, day: np.ndarray) -> State:
        """A state from measurements: which vehicles are connected, and the energy in their batteries.

        Parameters
        ----------
        step : int
            The coming step.
        session : int64, shape (n_batch, n_ports)
            Connected session as an index into `days.stays`, −1 at an empty port.
        energy_kwh : float64, shape (n_batch, n_ports)
            Energy in the connected battery [kWh], 0 at an empty port.
        day : int64, shape (n_batch,)
            The day of each row.

        Returns
        -------
        State
            Of an episode in which nothing was charged in the last step and no peak was reached so far.
        """
        state = self._blank(step, np.array(day, dtype=np.int64))
        state.session[:], state.energy_kwh[:] = session, energy_kwh
        self._look_ahead(state)
        return state

    def step_from(self, state: State, setpoint_kw: np.ndarray) -> tuple[Flow, State]:
        """Try a step from a given state; neither that state nor the state of the simulator changes.

        Parameters
        ----------
        state : State
            Of the loaded days.
        setpoint_kw : float64, shape (n_batch, n_ports)
            Setpoint of each port [kW]; clipped to what the port can do.

        Returns
        -------
        flow : Flow
            What happened.
        state : State
            The next.

        Raises
        ------
        RuntimeError, ActionError
            As `step` does.
        """
        after = state.copy()
        return self._step(after, setpoint_kw, _Frame(self, after)), after

    def step(self, setpoint_kw: np.ndarray) -> Flow:
        """Run one step; the state changes in place.

        Parameters
        ----------
        setpoint_kw : float64, shape (n_batch, n_ports)
            Setpoint of each port [kW]; clipped to what the port can do.

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
        frame = self._frame
        if frame is None or frame.state is not self.state:
            if self.done:
                raise RuntimeError("the episode is over; reset the simulator")
            self._frame = frame = _Frame(self, self.state)
        return self._step(frame.state, setpoint_kw, frame)

    def _step(self, state: State, setpoint_kw: np.ndarray, frame: _Frame) -> Flow:
        days, flow, step = self.days, frame.flow, state.step
        if step >= days.n_steps:
            raise RuntimeError("the episode is over; reset the simulator")
        if setpoint_kw.dtype.kind not in "biuf":
            raise ActionError(f"setpoints are {setpoint_kw.dtype}; they must be numbers, float64 [kW]")
        if setpoint_kw.shape != state.lo_kw.shape:
            raise ActionError(f"setpoints have shape {setpoint_kw.shape}; allowed is {state.lo_kw.shape}")
        if kernels.clip(setpoint_kw, state.ports, flow.setpoint_kw):
            b, p = np.argwhere(~np.isfinite(setpoint_kw))[0]
            raise ActionError(f"setpoint of row {b}, port {p} is {setpoint_kw[b, p]}; it must be a finite power")
        if days.beliefs is not None:
            days.beliefs.at(step)  # another state may have been tried since
        self.coordinator.grant(frame.request, state.granted_kw)
        if self.site.n_currents and self.coordinator.enforces_limits:
            scale_to_limits(frame.request, state.granted_kw)
        if self.site.has_levels:
            keep_levels_within(frame.request, state.granted_kw, enforce=self.coordinator.enforces_limits)
        if self.grid is not None:
            assert state.grid is not None
            site_limits = frame.request if self.coordinator.enforces_limits else None
            state.grid = self.grid.step(state.grid, state.rows, step, days.step_h, site_limits, state.granted_kw)
            flow.grid = state.grid.flow
        if self.site.n_currents:
            measure_currents(frame.request, state.granted_kw, flow.current_a)
            flow.current_limit_a[:] = state.currents[2]
            self._set_currents(state, step + 1)
        flow.n_due = kernels.advance(
            step,
            days.step_h,
            state.day,
            days.moving,
            days.first_session,
            days.by_step,
            days.by_group,
            self.site.above,
            state.seats,
            state.ports,
            state.groups,
            frame.memory,
        )
        if self.site.has_part_load:
            losing = (step, step + 1 == days.n_steps, days.step_h, days.moving, self.site.part_load)
            kernels.lose_at_part_load(*losing, state.seats, state.ports, frame.by_port)
        self._limit_charging(state)
        if days.beliefs is not None:
            self._believe(state, step + 1)
        if days.works is not None:
            self._switch_off(state, step + 1)
        if days.carbon_kg_per_kwh is not None:
            flow.carbon_kg_per_kwh = days.carbon_kg_per_kwh[state.day, step]
        if days.requests is not None:
            flow.requests = days.requests[state.day, step]
        if self.site.n_thermal:
            self._warm(state, flow, step)
        edge = step == 0 or step + 1 == days.n_steps
        if frame.stocked and not edge:
            flow.stock_kwh.fill(0.0)
        frame.stocked = edge
        flow.step = step
        state.step = step + 1
        flow.last = state.step >= days.n_steps
        return flow

    def _blank(self, step: int, day: np.ndarray) -> State:
        """All vehicles with their energy on arrival, and the network as at the start of an episode."""
        state = State.blank(step, day, self.site.n_ports, self.site.n_groups, self.site.n_currents)
        kernels.seat(step, day, self.days.first_session, self.days.stays, state.seats, state.ports)
        if self.grid is not None:
            state.grid = self.grid.start(state.rows, len(day))
        return state

    def _look_ahead(self, state: State) -> None:
        days = self.days
        kernels.look_ahead(
            state.step,
            days.step_h,
            state.day,
            days.moving,
            days.by_group,
            state.seats,
            state.ports,
            state.groups,
        )
        if self.site.n_thermal:  # the oil has come to rest at the base load
            state.oil_k = oil_at_rest_k(self.site.thermal, state.base_load_kw)
        if self.site.n_currents:
            self._set_currents(state, state.step)
        self._limit_charging(state)
        if days.beliefs is not None:
            self._believe(state, state.step)
        if days.works is not None:
            self._switch_off(state, state.step)

    def _warm(self, state: State, flow: Flow, step: int) -> None:
        """Oil and life of the transformers that are followed."""
        known_c = self.days.temperature_c
        ambient_c = np.full(len(state.day), AMBIENT_C) if known_c is None else known_c[state.day, step]
        flow.aged_h = np.empty_like(state.oil_k)
        net_kw = flow.group_kw + flow.base_load_kw
        warm_all(self.site.thermal, net_kw, ambient_c, self.days.step_h, state.oil_k, flow.aged_h)

    def _limit_charging(self, state: State) -> None:
        """What measured curves of vehicles, and efficiencies that depend on the power, leave of the highest powers."""
        days = self.days
        if len(days.curves):
            follow_curves(days.step_h, days.moving, days.curves, state.session, state.energy_kwh, state.hi_kw)
        if self.site.has_part_load:
            points = self.site.part_load
            kernels.reach_at_part_load(days.step_h, days.moving, days.curves, points, state.seats, state.ports)

    def _believe(self, state: State, step: int) -> None:
        """The laxity that a state shows is that of the departures that are believed."""
        days = self.days
        session, energy_kwh = state.session, state.energy_kwh
        laxity_of_stays(step, days.step_h, days.believed(step), session, energy_kwh, state.laxity_h)

    def _switch_off(self, state: State, step: int) -> None:
        """Ports that are out of order in a step can do nothing."""
        assert self.days.works is not None  # asked only if there are outages
        works = self.days.works[state.day, min(step, self.days.n_steps - 1)]
        for box_kw in (state.lo_kw, state.hi_kw):
            np.multiply(box_kw, works, out=box_kw)

    def _set_currents(self, state: State, step: int) -> None:
        state.currents[:] = self.days.by_current[:, state.day, min(step, self.days.n_steps - 1)]


class _Frame:
    """Arrays that the steps of one state object write: the flow, and the request to the coordinator."""

    def __init__(self, simulator: Simulator, state: State) -> None:
        n_batch, n_ports = state.lo_kw.shape
        n_groups = state.lower_kw.shape[1]
        self.state = state
        self.stocked = False  # whether the flow's stock is that of an end of the episode, and else 0
        self.memory = np.zeros(kernels.size(n_batch, n_ports, n_groups))
        ports, groups, rows = kernels.parts(self.memory, n_batch, n_ports, n_groups)
        self.by_port = ports[:, :n_batch]
        setpoint_kw = np.zeros((n_batch, n_ports))
        self.request = Request(
            setpoint_kw,
            state.lo_kw,
            state.hi_kw,
            state.lower_kw,
            state.upper_kw,
            state.laxity_h,
            state.currents,
            state.session,
            simulator.days.believed(state.step),
            simulator.site,
        )
        self.flow = Flow(
            step=state.step,
            step_h=simulator.days.step_h,
            last=False,
            n_due=0,
            site=simulator.site,
            setpoint_kw=setpoint_kw,
            granted_kw=state.granted_kw,
            energy_change_kwh=ports[kernels.CHANGE, :n_batch],
            energy_kwh=ports[kernels.AFTER, :n_batch],
            settled=state.settled,
            unmet_kwh=ports[kernels.UNMET, :n_batch],
            stock_kwh=ports[kernels.STOCK, :n_batch],
            group_kw=state.group_kw,
            lower_kw=groups[0],
            upper_kw=groups[1],
            base_load_kw=groups[2],
            current_a=np.zeros(state.currents.shape[1:]),
            current_limit_a=np.zeros(state.currents.shape[1:]),
            buy_per_kwh=rows[0],
            sell_per_kwh=rows[1],
            local_hour=rows[2],
            import_kw=rows[kernels.IMPORT],
            peak_before_kw=rows[kernels.PEAK_BEFORE],
            later_per_kwh=simulator.days.later_per_kwh[state.rows],
        )
