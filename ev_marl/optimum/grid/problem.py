"""The network of one day for the optimum: loads and generators, limits, and the exact power flow.

A loop of the simulator and a track come in; arrays over the steps of the day go out, and a function for the exact power
flow of a plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ev_marl.grid.loop.limits import Bounds
from ev_marl.grid.loop.loop import GridLoop, droop_ratio
from ev_marl.grid.solvers.base import GridBackend, Injections, PowerFlow
from ev_marl.scenario.schema.grid import VoltageDroop
from ev_marl.world.track import Track

if TYPE_CHECKING:  # pandapower is heavy, and optional
    from ev_marl.grid.solvers.internals import Admittances

_DROOP_ROUNDS = 30
_DROOP_PU = 1e-9


@dataclass(frozen=True, eq=False)
class GridProblem:
    """A network on one day; T steps, P ports, E charger buses, L loads, S generators."""

    matrices: Admittances  # of the network, taps as they are at the start
    backend: GridBackend  # solves it exactly
    port_charger: np.ndarray  # int64 (P,)  charger bus of each port
    load_kw: np.ndarray  # float64 (T, L)  drawn
    load_kvar: np.ndarray  # float64 (T, L)
    generator_kw: np.ndarray  # float64 (T, S)  fed in
    generator_kvar: np.ndarray  # float64 (T, S)
    bounds: Bounds  # of the T steps, clamped to the state without charging
    idle_losses_kw: np.ndarray  # float64 (T,)  without charging; NaN where there is no solution
    limits_are_hard: bool  # whether charging is curtailed until the limits hold, or violations are only priced
    kvar_per_kw: float = 0.0  # reactive power of the chargers, tan φ [-]
    droop: VoltageDroop | None = None  # their reactive power by voltage, instead
    relaxable: bool = (
        True  # whether the matrices are the whole network: no tap changer acts, no load follows the voltage
    )
    reference: GridBackend | None = None  # checks the plan once more
    loop: GridLoop | None = None  # for replaying a plan in the simulator

    @classmethod
    def of(cls, loop: GridLoop, track: Track, matrices: Admittances | None = None) -> GridProblem:
        """The problem of a track on the network of a simulator's loop.

        Parameters
        ----------
        loop : GridLoop
            As for the simulator; it is copied, so that its own days stay loaded.
        track : Track
            With network data.
        matrices : Admittances, optional
            Of its network; by default from pandapower, which takes the time of one power flow.

        Raises
        ------
        TrackError
            If the track has no network data, or that of another network.
        """
        own = replace(loop)
        own.load([track])
        days = own.days
        described = True
        if matrices is None:
            from ev_marl.grid.solvers.internals import admittances, unsupported  # noqa: PLC0415  pandapower is heavy

            assert own.site.network is not None  # a loop has one
            matrices = admittances(own.site.network)
            described = not (unsupported(own.site.network) or matrices.voltage_dependent)
        return cls(
            matrices=matrices,
            backend=own.backend,
            port_charger=np.asarray(own.port_charger, dtype=np.int64),
            load_kw=days.load_kw[0],
            load_kvar=days.load_kvar[0],
            generator_kw=days.generator_kw[0],
            generator_kvar=days.generator_kvar[0],
            bounds=Bounds.widened(
                own.limits, days.idle_vm_pu[0], days.idle_line_percent[0], days.idle_transformer_percent[0]
            ),
            idle_losses_kw=days.idle_losses_kw[0],
            limits_are_hard=own.curtails,
            kvar_per_kw=own.chargers.kvar_per_kw,
            droop=own.chargers.q_of_v,
            relaxable=described and own.taps is None,
            reference=own.reference,
            loop=own,
        )

    @property
    def n_steps(self) -> int:
        """T."""
        return len(self.load_kw)

    @property
    def solvable(self) -> np.ndarray:
        """Steps whose state without charging has a solution, bool, shape (n_steps,)."""
        return np.asarray(np.isfinite(self.idle_losses_kw))

    def charger_power(self, port_kw: np.ndarray) -> np.ndarray:
        """Power drawn at each charger bus, float64, shape (n_steps, n_charger_buses) [kW].

        Parameters
        ----------
        port_kw : float64, shape (n_steps, n_ports)
            Power at the ports [kW].
        """
        charger_kw: np.ndarray = np.zeros((len(port_kw), self.backend.spec.n_charger_buses))
        np.add.at(charger_kw.T, self.port_charger, port_kw.T)
        return charger_kw

    def suffered(self, steps: np.ndarray, flow: PowerFlow) -> dict[str, np.ndarray]:
        """The priced quantities in exact power flows, as `Bounds.suffered`; one row for each entry of `steps`."""
        return self.bounds.rows(steps).suffered(flow, self.backend.spec, self.idle_losses_kw[steps])

    def injected_kva(self) -> np.ndarray:
        """Injection of loads and generators at each internal row, complex128, shape (n_steps, n_rows) [kVA]."""
        spec, row = self.backend.spec, self.matrices.row
        injected: np.ndarray = np.zeros((self.matrices.ybus.shape[0], self.n_steps), dtype=np.complex128)
        for bus, drawn in (
            (spec.load_bus, self.load_kw + 1j * self.load_kvar),
            (spec.generator_bus, -(self.generator_kw + 1j * self.generator_kvar)),
        ):
            alive = row[bus] >= 0
            np.subtract.at(injected, row[bus][alive], drawn.T[alive])
        injected += self.matrices.base_kva * self.matrices.fixed_s[:, None]
        return np.asarray(injected.T)

    def flow(self, steps: np.ndarray, charger_kw: np.ndarray, *, by_reference: bool = False) -> PowerFlow:
        """The exact power flow.

        Parameters
        ----------
        steps : int64, shape (n,)
            Steps; each may come more than once.
        charger_kw : float64, shape (n, n_charger_buses)
            Drawn at the charger buses [kW].
        by_reference : bool
            Whether the reference solves, if there is one.

        Returns
        -------
        PowerFlow
            One row for each entry of `steps`.
        """
        backend = self.reference if by_reference and self.reference is not None else self.backend
        loads = (self.load_kw[steps], self.load_kvar[steps], self.generator_kw[steps], self.generator_kvar[steps])
        flow = backend.solve(Injections(*loads, charger_kw, charger_kw * self.kvar_per_kw))
        if self.droop is None:
            return flow
        vm_pu = np.nan_to_num(flow.vm_pu, nan=1.0)
        for _ in range(_DROOP_ROUNDS):
            kvar = np.abs(charger_kw) * droop_ratio(self.droop, vm_pu[:, self.backend.spec.charger_bus])
            flow = backend.solve(Injections(*loads, charger_kw, kvar))
            change = np.where(flow.converged[:, None], np.nan_to_num(flow.vm_pu, nan=1.0) - vm_pu, 0.0)
            if np.abs(change).max(initial=0.0) < _DROOP_PU:
                break
            vm_pu = vm_pu + 0.7 * change  # damped, as in the loop
        return flow
