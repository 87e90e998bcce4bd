"""The network in the loop of a simulator: granted powers in, what the network does, and powers that it can carry, out.

In each step: the chargers of a bus become one power; the grid coordinator, where there is one, takes back what breaks a
limit; rows without a solution are tried again by pandapower, then with less charging, then without; taps and
transformers' temperatures follow. Nothing here is random, and the result of a row does not depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ev_marl.grid.loop import thermal
from ev_marl.grid.loop.curtail import Curtail, bus_power
from ev_marl.grid.loop.days import GridDays
from ev_marl.grid.loop.flow import GridFlow
from ev_marl.grid.loop.limits import Bounds
from ev_marl.grid.loop.state import GridState
from ev_marl.grid.loop.taps import TapChanger
from ev_marl.grid.solvers.base import GridBackend, Injections, PowerFlow, put_rows, take_rows
from ev_marl.scenario.schema.grid import Chargers, GridLimits, VoltageDroop
from ev_marl.simulation.coordinators.base import Request
from ev_marl.site.site import Site
from ev_marl.world.track import Track

_DROOP_ROUNDS = 12  # of voltage and reactive power following each other
_DROOP_PU = 1e-7  # voltages that move less have settled


@dataclass(frozen=True, slots=True)
class _Now:
    """The step at hand."""

    step: int
    rows: np.ndarray | slice  # the day of each row
    tap: np.ndarray  # int64 (B,)


@dataclass
class GridLoop:
    """One network with its limits, its chargers, and what keeps it.

    Parameters
    ----------
    site : Site
        With a network.
    backend : GridBackend
        Solves it.
    reference : GridBackend
        Tries rows again that the backend finds no solution for.
    limits : GridLimits
        Voltage band and loadings.
    chargers : Chargers
        Reactive power.
    curtails : bool
        Whether limits are kept by taking power back.
    safe_fraction : float
        Share of the charging that is left where the power flow has no solution [-].
    taps : TapChanger, optional
        On-load tap changer.

    Attributes
    ----------
    spec : NetworkSpec
        The network.
    days : GridDays
        What happens on it on the loaded days.
    retried : int
        Rows that the reference was asked about, since the loop was made.
    """

    site: Site
    backend: GridBackend
    reference: GridBackend
    limits: GridLimits
    chargers: Chargers
    curtails: bool
    safe_fraction: float
    taps: TapChanger | None = None
    days: GridDays = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.spec = self.backend.spec
        self.port_charger = self.site.port_charger
        self._curtail = Curtail(self.port_charger, self.spec.n_charger_buses)
        self._kvar_per_kw = self.chargers.kvar_per_kw
        self._plain: dict[int, Bounds] = {}  # without anything widened, by the number of rows
        self.retried = 0

    def load(self, tracks: Sequence[Track]) -> None:
        """Replace the days; states of the days before mean nothing any more.

        Raises
        ------
        TrackError
            If a track has no network data, or that of another network.
        """
        self.days = days = GridDays.stack(self.site, self.backend, tracks)
        self._tables = Bounds.widened(
            self.limits, days.idle_vm_pu, days.idle_line_percent, days.idle_transformer_percent
        )
        self._idle_losses_kw = np.nan_to_num(days.idle_losses_kw)
        plain = Bounds.plain(self.limits, 1, self.spec)
        self._widened = np.array(
            [
                any((getattr(self._tables, name)[:, step] != getattr(plain, name)).any() for name in Bounds.__slots__)
                for step in range(days.load_kw.shape[1])
            ]
        )
        self._has_gaps = not np.isfinite(days.idle_vm_pu).all()

    def start(self, rows: np.ndarray | slice, n_batch: int) -> GridState:
        """An episode's start: no charging, taps as the network has them, transformers as warm as their load keeps them.

        Parameters
        ----------
        rows : int64, shape (n_batch,), or slice
            The day of each row.
        n_batch : int
            B.
        """
        tap = np.full(n_batch, 0 if self.taps is None else self.taps.initial, dtype=np.int64)
        now = _Now(0, rows, tap)
        none = np.zeros((n_batch, self.spec.n_charger_buses))
        flow = self._flow_of(now, none)
        unsolved = np.flatnonzero(~flow.converged)
        if len(unsolved):
            self.retried += len(unsolved)
            put_rows(self._flow_of(now, none[unsolved], unsolved, by_reference=True), unsolved, flow)
        oil_rise_k = thermal.steady_oil_rise_k(np.nan_to_num(flow.transformer_percent))
        quiet = np.zeros(n_batch, dtype=bool)
        return self._told(
            now,
            self._nothing(n_batch),
            flow,
            self._bounds(now),
            none,
            quiet,
            ~flow.converged,
            quiet * 0.0,
            tap,
            oil_rise_k,
        )

    def step(
        self,
        state: GridState,
        rows: np.ndarray | slice,
        step: int,
        step_h: float,
        request: Request | None,
        granted_kw: np.ndarray,
    ) -> GridState:
        """Let the granted powers of a step flow; they are lowered in place where the network cannot carry them.

        Parameters
        ----------
        state : GridState
            Before the step; it stays as it is.
        rows : int64, shape (B,), or slice
            The day of each row.
        step : int
            Index t of the step.
        step_h : float
            Its length [h].
        request : Request, optional
            Of the site's coordinator; None where it does not enforce the site's limits.
        granted_kw : float64, shape (B, P)
            What the site's coordinator granted [kW].

        Returns
        -------
        GridState
            After it, with what the network did.
        """
        n_batch = len(granted_kw)
        now = _Now(step, rows, state.tap)
        charger_kw = np.empty((n_batch, self.spec.n_charger_buses))
        bus_power(granted_kw, self.port_charger, charger_kw)
        flow = self._flow_of(now, charger_kw)
        bounds = self._bounds(now)
        cut = failed = np.zeros(n_batch, dtype=bool)
        curtailed_kw = np.zeros(n_batch)
        if not (bounds.kept(flow) if self.curtails else flow.converged).all():
            before_kw = np.abs(granted_kw).sum(axis=1)
            if not flow.converged.all():
                cut, failed = self._rescue(now, granted_kw, flow)
            if self.curtails and not failed.all():
                self._keep_limits(now, granted_kw, flow, bounds, failed, request)
            bus_power(granted_kw, self.port_charger, charger_kw)
            curtailed_kw = before_kw - np.abs(granted_kw).sum(axis=1)
        percent = flow.transformer_percent
        if failed.any():
            percent = np.where(failed[:, None], state.last_valid.transformer_percent, percent)
        oil_rise_k = thermal.oil_after(state.oil_rise_k, percent, step_h)
        tap = state.tap if self.taps is None else self.taps.next(state.tap, flow.vm_pu, failed)
        return self._told(now, state.last_valid, flow, bounds, charger_kw, cut, failed, curtailed_kw, tap, oil_rise_k)

    def _keep_limits(
        self,
        now: _Now,
        granted_kw: np.ndarray,
        flow: PowerFlow,
        bounds: Bounds,
        failed: np.ndarray,
        request: Request | None,
    ) -> None:
        """Curtail; a row that failed without charging has nothing to curtail."""

        def solve(rows: np.ndarray, powers: np.ndarray) -> PowerFlow:
            return self._flow_of(now, powers, rows)

        if not failed.any():
            self._curtail.curtail(granted_kw, flow, bounds, request, solve)
            return
        hidden = np.where(failed[:, None], np.inf, 0.0)
        forgiving = Bounds(
            bounds.lowest_pu - hidden,
            bounds.highest_pu + hidden,
            bounds.line_percent + hidden,
            bounds.transformer_percent + hidden,
        )
        flow.converged[failed] = True
        self._curtail.curtail(granted_kw, flow, forgiving, request, solve)
        flow.converged[failed] = False

    def _kvar(self, charger_kw: np.ndarray, vm_pu: np.ndarray) -> np.ndarray:
        """Reactive power of the chargers; by the voltage where they follow it."""
        droop = self.chargers.q_of_v
        ratio = self._kvar_per_kw if droop is None else droop_ratio(droop, vm_pu[:, self.spec.charger_bus])
        kvar: np.ndarray = (charger_kw if droop is None else np.abs(charger_kw)) * ratio
        return kvar

    def _solve(self, injections: Injections, tap: np.ndarray, by_reference: bool) -> PowerFlow:
        if self.taps is not None:
            return self.taps.solve(tap, injections, by_reference=by_reference)
        return (self.reference if by_reference else self.backend).solve(injections)

    def flow_of(
        self, states: Injections, tap: np.ndarray, *, near_pu: np.ndarray | None = None, by_reference: bool = False
    ) -> PowerFlow:
        """Power flow of any states, independent of the loaded days.

        Parameters
        ----------
        states : Injections
            B states; the chargers' reactive power is set here.
        tap : int64, shape (B,)
            Position of the controlled transformer, 0 without one.
        near_pu : float64, shape (B, N), optional
            Voltages to start from where reactive power follows them [p.u.].
        by_reference : bool
            Whether the reference solves.
        """
        if self.chargers.q_of_v is None:
            states.charger_kvar = states.charger_kw * self._kvar_per_kw
            return self._solve(states, tap, by_reference)
        vm_pu = np.ones((states.n_batch, self.spec.n_buses)) if near_pu is None else np.nan_to_num(near_pu, nan=1.0)
        states.charger_kvar = self._kvar(states.charger_kw, vm_pu)
        flow = self._solve(states, tap, by_reference)
        moving = np.arange(states.n_batch)  # a row that has settled stays as it is
        for _ in range(_DROOP_ROUNDS - 1):
            told_pu = np.nan_to_num(flow.vm_pu[moving], nan=1.0)
            change = np.where(flow.converged[moving, None], told_pu - vm_pu[moving], 0.0)
            unsettled = np.abs(change[:, self.spec.charger_bus]).max(axis=1, initial=0.0) >= _DROOP_PU
            moving = moving[unsettled]
            if not len(moving):
                break
            vm_pu[moving] += 0.7 * change[unsettled]  # damped: a steep droop on a weak bus would swing
            states.charger_kvar[moving] = self._kvar(states.charger_kw[moving], vm_pu[moving])
            put_rows(self._solve(states.rows(moving), tap[moving], by_reference), moving, flow)
        return flow

    def _flow_of(
        self, now: _Now, charger_kw: np.ndarray, rows: np.ndarray | None = None, *, by_reference: bool = False
    ) -> PowerFlow:
        """Power flow of a step with some charging, for all rows or some; reactive power included."""
        days = now.rows if rows is None else np.arange(self.days.load_kw.shape[0])[now.rows][rows]
        tap = now.tap if rows is None else now.tap[rows]
        near_pu = None if self.chargers.q_of_v is None else self.days.idle_vm_pu[days, now.step]
        states = self.days.injections(days, now.step, charger_kw, charger_kw)
        return self.flow_of(states, tap, near_pu=near_pu, by_reference=by_reference)

    def _bounds(self, now: _Now) -> Bounds:
        """Limits, widened to the state without charging at the taps of the rows."""
        n_batch = len(now.tap)
        if self.taps is not None and (now.tap != self.taps.initial).any():
            none = np.zeros((n_batch, self.spec.n_charger_buses))
            idle = self.taps.solve(now.tap, self.days.injections(now.rows, now.step, none, none))
            return Bounds.widened(self.limits, idle.vm_pu, idle.line_percent, idle.transformer_percent)
        if self._widened[now.step]:
            return self._tables.of_step(now.rows, now.step)
        if n_batch not in self._plain:
            self._plain[n_batch] = Bounds.plain(self.limits, n_batch, self.spec)
        return self._plain[n_batch]

    def _rescue(self, now: _Now, granted_kw: np.ndarray, flow: PowerFlow) -> tuple[np.ndarray, np.ndarray]:
        """Rows without a solution: the reference, then less charging, then none; `flow` and powers change in place.

        Returns
        -------
        cut, failed : bool, shape (B,)
            Rows whose charging was cut, and rows without a solution even without charging.
        """
        cut = np.zeros(len(granted_kw), dtype=bool)
        rows = np.flatnonzero(~flow.converged)
        whole_kw = granted_kw[rows]
        for share in (1.0, self.safe_fraction, 0.0):
            granted_kw[rows] = whole_kw * share
            cut[rows] = share < 1.0
            charger_kw = np.empty((len(rows), self.spec.n_charger_buses))
            bus_power(granted_kw[rows], self.port_charger, charger_kw)
            part = self._flow_of(now, charger_kw, rows)
            unsolved = np.flatnonzero(~part.converged)
            if len(unsolved):
                self.retried += len(unsolved)
                second = self._flow_of(now, charger_kw[unsolved], rows[unsolved], by_reference=True)
                put_rows(second, unsolved, part)
            put_rows(part, rows, flow)
            rows, whole_kw = rows[~part.converged], whole_kw[~part.converged]
            if not len(rows):
                break
        return cut, ~flow.converged

    def _told(
        self,
        now: _Now,
        last_valid: PowerFlow,
        flow: PowerFlow,
        bounds: Bounds,
        charger_kw: np.ndarray,
        cut: np.ndarray,
        failed: np.ndarray,
        curtailed_kw: np.ndarray,
        tap: np.ndarray,
        oil_rise_k: np.ndarray,
    ) -> GridState:
        """The step as everybody else sees it: last valid values where there are none, 1 p.u. at dead buses."""
        idle_losses_kw = self._idle_losses_kw[now.rows, now.step]
        if failed.any():
            keep = np.flatnonzero(failed)
            put_rows(take_rows(last_valid, keep), keep, flow)
            # Nobody charged, so what is told is nobody's fault.
            bounds = bounds.forgiving(failed, flow)
            idle_losses_kw = np.where(failed, flow.losses_kw, idle_losses_kw)
        vm_pu = np.nan_to_num(flow.vm_pu, nan=1.0) if self._has_gaps or failed.any() else flow.vm_pu
        told = GridFlow(
            spec=self.spec,
            charger_kw=charger_kw,
            charger_kvar=self._kvar(charger_kw, vm_pu),
            vm_pu=vm_pu,
            line_percent=flow.line_percent,
            transformer_percent=flow.transformer_percent,
            slack_kw=flow.slack_kw,
            losses_kw=flow.losses_kw,
            lowest_pu=bounds.lowest_pu,
            highest_pu=bounds.highest_pu,
            line_limit_percent=bounds.line_percent,
            transformer_limit_percent=bounds.transformer_percent,
            idle_losses_kw=idle_losses_kw,
            curtailed_kw=curtailed_kw,
            cut=cut,
            failed=failed,
            tap=tap.copy(),
            tap_moved=tap != now.tap,
            hot_spot_c=thermal.hot_spot_c(oil_rise_k, flow.transformer_percent),
        )
        return GridState(tap, oil_rise_k, flow, told)

    def _nothing(self, n_batch: int) -> PowerFlow:
        """What is told where there has been no solution yet: rated voltage, no flow."""
        spec = self.spec
        return PowerFlow(
            np.ones((n_batch, spec.n_buses)),
            np.zeros((n_batch, spec.n_lines)),
            np.zeros((n_batch, spec.n_transformers)),
            np.zeros(n_batch),
            np.zeros(n_batch),
            np.zeros(n_batch),
            np.zeros(n_batch, dtype=bool),
            np.zeros(n_batch, dtype=np.int64),
        )

    @cached_property
    def sensitivity_pu_per_kw(self) -> np.ndarray:
        """Change of each charger bus's own voltage per kW drawn there, with the network's own loads.

        float64, shape (n_charger_buses,) [p.u./kW].
        """
        spec = self.spec
        n_buses = spec.n_charger_buses
        states = Injections.zeros(spec, n_buses + 1)
        states.load_kw[:], states.load_kvar[:] = spec.load_kw, spec.load_kvar
        states.generator_kw[:], states.generator_kvar[:] = spec.generator_kw, spec.generator_kvar
        states.charger_kw[1:] = np.eye(n_buses)
        states.charger_kvar[:] = states.charger_kw * self._kvar_per_kw
        flow = self.backend.solve(states)
        if not flow.converged.all():  # the network's own loads together may be more than it carries
            states.load_kw[:], states.load_kvar[:] = 0.0, 0.0
            flow = self.backend.solve(states)
        own = np.arange(n_buses)
        return np.asarray(flow.vm_pu[own + 1, spec.charger_bus] - flow.vm_pu[0, spec.charger_bus])


def droop_ratio(droop: VoltageDroop, vm_pu: np.ndarray) -> np.ndarray:
    """Reactive over active power of a charger at some voltages [-]; below 0 it is fed in, which lifts the voltage."""
    ratio: np.ndarray = droop.share * np.interp(vm_pu, droop.voltages, [-1.0, 0.0, 0.0, 1.0])
    return ratio
