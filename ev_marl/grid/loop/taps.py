"""An on-load tap changer for every batch row: one step towards the band whenever the voltage has left it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from ev_marl.grid.solvers.base import GridBackend, Injections, PowerFlow
from ev_marl.scenario.schema.grid import TapControl
from ev_marl.support.errors import NetworkError
from ev_marl.support.registry import did_you_mean

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network

_MOVED_PU = 1e-6  # a position that changes the voltage by less is none


class TapChanger:
    """Keeps the voltage on the low side of one transformer within a band.

    It looks at the end of each step and moves by one position before the next. Every position has a backend of its
    own, made when a row first gets there.

    Parameters
    ----------
    network : Network
        The network.
    control : TapControl
        Transformer and band.
    backend, reference : GridBackend
        At the positions that the network has.

    Raises
    ------
    NetworkError
        If there is no such transformer, or it has no taps, or they do not move the voltage.
    """

    def __init__(self, network: Network, control: TapControl, backend: GridBackend, reference: GridBackend) -> None:
        names = network.spec.transformers
        found = control.transformer
        position = names.index(found) if isinstance(found, str) and found in names else found
        if not isinstance(position, int) or not 0 <= position < len(names):
            near = did_you_mean(found, list(names)) if isinstance(found, str) else ""
            listed = ", ".join(f"{k}: {name}" for k, name in enumerate(names)) or "none"
            raise NetworkError(f"network '{network.spec.name}' has no transformer {found!r}.{near} It has {listed}")
        row = network.net.trafo.iloc[position]
        at = row.tap_pos if np.isfinite(row.tap_pos) else row.tap_neutral
        if not np.isfinite(at) or not row.tap_min < row.tap_max:
            raise NetworkError(
                f"network '{network.spec.name}': transformer '{names[position]}' has no taps; choose another one, or "
                "leave out `tap_control`"
            )
        self.transformer = position
        self.initial, self.lowest, self.highest = int(at), int(row.tap_min), int(row.tap_max)
        self._band = control.voltage
        self._bus = int(network.spec.transformer_lv_bus[position])
        self._backends = {(self.initial, False): backend, (self.initial, True): reference}
        self._raises = self._direction(network.spec.name, names[position])

    def _direction(self, network: str, name: str) -> int:
        """1 where a higher position gives the low side more voltage, −1 where it gives less.

        The backend is asked: it depends on the side of the taps, the sign of a step, and the type of the tap changer.
        """
        other = self.initial + 1 if self.initial < self.highest else self.initial - 1
        none = Injections.zeros(self.backend(self.initial).spec, 1)
        here, there = (self.backend(tap).solve(none).vm_pu[0, self._bus] for tap in (self.initial, other))
        if not abs(there - here) > _MOVED_PU:
            raise NetworkError(
                f"network '{network}': another position of the taps of transformer '{name}' leaves the voltage on its "
                "low side as it is; see its tap_side, tap_step_percent and tap_changer_type, choose another one, or "
                "leave out `tap_control`"
            )
        return int(np.sign(there - here)) * (other - self.initial)

    def backend(self, tap: int, *, by_reference: bool = False) -> GridBackend:
        """The backend of a position, or the reference."""
        if (tap, by_reference) not in self._backends:
            initial = self._backends[self.initial, by_reference]
            self._backends[tap, by_reference] = initial.with_taps({self.transformer: tap})
        return self._backends[tap, by_reference]

    def solve(self, taps: np.ndarray, injections: Injections, *, by_reference: bool = False) -> PowerFlow:
        """Power flow of rows at positions of their own."""
        different = np.unique(taps)
        if len(different) == 1:
            return self.backend(int(different[0]), by_reference=by_reference).solve(injections)
        rows = [np.flatnonzero(taps == tap) for tap in different]
        parts = [
            self.backend(int(tap), by_reference=by_reference).solve(injections.rows(which))
            for tap, which in zip(different, rows, strict=True)
        ]
        order = np.argsort(np.concatenate(rows))
        return PowerFlow(
            *(np.concatenate([getattr(part, field.name) for part in parts])[order] for field in fields(PowerFlow))
        )

    def next(self, taps: np.ndarray, vm_pu: np.ndarray, failed: np.ndarray) -> np.ndarray:
        """Positions for the next step; a row without a solution stays where it is.

        Parameters
        ----------
        taps : int64, shape (n_batch,)
            Positions now.
        vm_pu : float64, shape (n_batch, n_buses)
            Voltages now.
        failed : bool, shape (n_batch,)
            Rows without a solution.
        """
        voltage = vm_pu[:, self._bus]
        wanted = self._raises * ((voltage < self._band[0]).astype(np.int64) - (voltage > self._band[1]))
        return np.asarray(np.clip(taps + np.where(failed, 0, wanted), self.lowest, self.highest))
