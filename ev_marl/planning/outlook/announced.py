"""What is known of events: those that are announced lower expected limits, have a price, and switch ports off.

The days come in; limits ahead without events go in, limits ahead with the announced ones come out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ev_marl.planning.outlook.base import Present, Rows, Truth
from ev_marl.world.events import limited, out_ports, requested


class Announced:
    """The events of days, of which those are told that are announced.

    Parameters
    ----------
    truth : Truth
        The days.
    """

    def __init__(self, truth: Truth) -> None:
        self._tracks = truth.tracks
        self._works, self._requests = truth.days.works, truth.days.requests
        bounds = [track.ordinary_bounds_kw for track in truth.tracks]
        self._lower_kw, self._upper_kw = (np.stack(parts) for parts in zip(*bounds, strict=True))

    def without(self, present: Present) -> Present:
        """The present values as they would be without events."""
        day, step = present.day, present.step
        return replace(present, lower_kw=self._lower_kw[day, step], upper_kw=self._upper_kw[day, step])

    def limits_kw(
        self, present: Present, ordinary_kw: tuple[np.ndarray, np.ndarray], base_load_kw: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest power of the vehicles, with the announced events; of the present step, as measured.

        Parameters
        ----------
        present : Present
            Measured values.
        ordinary_kw : pair of float64, shape (n_batch, n_steps − step, n_groups)
            The same without events.
        base_load_kw : float64, shape (n_batch, n_steps − step, n_groups)
            Expected base load.
        """
        lower_kw, upper_kw = (bound.copy() for bound in ordinary_kw)
        step = present.step
        for row, k in enumerate(np.arange(len(self._tracks))[present.day].tolist()):
            track = self._tracks[k]
            known = track.events[track.events["announced_step"] <= step]
            if not len(known):
                continue
            endless = np.full((track.n_steps, len(track.groups)), np.inf)
            import_kw, export_kw = (limit[step:] for limit in limited(known, track.groups, endless, endless))
            upper_kw[row] = np.minimum(upper_kw[row], np.maximum(0.0, import_kw - base_load_kw[row]))
            lower_kw[row] = np.maximum(lower_kw[row], np.minimum(0.0, -export_kw - base_load_kw[row]))
        lower_kw[:, 0], upper_kw[:, 0] = present.lower_kw, present.upper_kw
        return lower_kw, upper_kw

    def requests(self, day: Rows, step: int, *, all_known: bool) -> np.ndarray | None:
        """Requests with a penalty that are known at a step, float64, shape (n_batch, n_steps − step, 2, n_groups).

        None if the days have none. `all_known`: also those that are not announced.
        """
        if self._requests is None:
            return None
        if all_known:
            return np.asarray(self._requests[day, step:])
        found = np.zeros((len(np.arange(len(self._tracks))[day]), *self._requests[0, step:].shape))
        for row, k in enumerate(np.arange(len(self._tracks))[day].tolist()):
            track = self._tracks[k]
            known = requested(track.events[track.events["announced_step"] <= step], track.groups, track.n_steps)
            if known is not None:
                found[row] = known[step:]
        return found

    def out(self, day: Rows, step: int, *, all_known: bool) -> np.ndarray | None:
        """Ports that are known to be out of order from a step on, bool, shape (n_batch, n_steps − step, n_ports).

        None if the days have no outages. `all_known`: also those that are not announced.
        """
        if self._works is None:
            return None
        if all_known:
            return np.asarray(self._works[day, step:] == 0.0)
        out = np.zeros((len(np.arange(len(self._tracks))[day]), *self._works[0, step:].shape), dtype=bool)
        for row, k in enumerate(np.arange(len(self._tracks))[day].tolist()):
            track = self._tracks[k]
            known = out_ports(track.events[track.events["announced_step"] <= step], track.ports, track.n_steps)
            if known is not None:
                out[row] = known[step:]
        return out
