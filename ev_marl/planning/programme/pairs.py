"""The sparse skeleton of a day: one entry per (session, step) in which a vehicle is connected.

A site and a track come in; out go arrays over N pairs, ordered by step and then by port, so that the pairs below a
group at a step are one slice. Everything here is plain NumPy; the Pyomo model is built on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ev_marl.simulation.stays import stays_of
from ev_marl.site.arrays import SiteArrays
from ev_marl.site.charge_curve import energy_after
from ev_marl.world.track import Track


@dataclass(frozen=True)
class Pairs:
    """Sessions and their N (session, step) pairs; D of them can discharge; T steps, G groups, S sessions."""

    limits: np.ndarray  # STAY (S,)  those of the track that arrive before the horizon
    session: np.ndarray  # int64 (N,)
    step: np.ndarray  # int64 (N,)
    port: np.ndarray  # int64 (N,)
    previous: np.ndarray  # int64 (N,)  pair of the same session one step earlier, −1 at the first
    last: np.ndarray  # int64 (S,)  pair of the session's last step
    discharge: np.ndarray  # int64 (D,)  pairs that can discharge
    least_kwh: np.ndarray  # float64 (N,)  least energy that the battery can hold at the end of the step
    start_most_kwh: np.ndarray  # float64 (N,)  most energy that it can hold at the beginning of the step
    end_most_kwh: np.ndarray  # float64 (N,)  and at the end: full power since arrival
    group_first: np.ndarray  # int64 (T, G)  pairs below group g at step t: [group_first, group_end)
    group_end: np.ndarray  # int64 (T, G)
    group_first_discharge: np.ndarray  # int64 (T, G)  the same for positions in `discharge`
    group_end_discharge: np.ndarray  # int64 (T, G)

    def __len__(self) -> int:
        return len(self.session)

    @classmethod
    def of(cls, site: SiteArrays, track: Track) -> Pairs:
        """Pairs of a track.

        Parameters
        ----------
        site : SiteArrays
            The site.
        track : Track
            The day.
        """
        return cls.of_sessions(site, stays_of(site, track), track.n_steps, track.step_h)

    @classmethod
    def of_sessions(cls, site: SiteArrays, limits: np.ndarray, n_steps: int, step_h: float) -> Pairs:
        """Pairs of sessions; several may stand at one port at once.

        Parameters
        ----------
        site : SiteArrays
            The site.
        limits : STAY, shape (n_sessions,)
            The stays.
        n_steps : int
            Steps up to the horizon.
        step_h : float
            Length of a step [h].
        """
        first = np.minimum(limits["arrival_step"], n_steps)
        stay = np.maximum(0, limits["deadline_step"] - first)
        session = np.repeat(np.arange(len(limits)), stay)
        age = np.arange(len(session)) - np.repeat(np.cumsum(stay) - stay, stay)
        step, port = first[session] + age, limits["port"][session]
        order = np.lexsort((port, step))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        previous = np.full(len(order), -1, dtype=np.int64)
        previous[place[age > 0]] = place[np.flatnonzero(age > 0) - 1]
        last = np.where(stay > 0, place[np.minimum(np.cumsum(stay), len(place)) - 1] if len(place) else -1, -1)
        session, step, port, age = session[order], step[order], port[order], age[order]

        battery = (
            limits["charge_efficiency"][session] * limits["charge_kw"][session],
            limits["capacity_kwh"][session],
            limits["tau_h"][session],
        )
        arrival_kwh = limits["energy_kwh"][session]
        can_discharge = limits["discharge_kw"][session] > 0.0
        discharge = np.flatnonzero(can_discharge)
        key = step * (site.n_ports + 1) + port
        steps = np.arange(n_steps)[:, None] * (site.n_ports + 1)
        group_first = np.searchsorted(key, steps + site.group_first_port)
        group_end = np.searchsorted(key, steps + site.group_end_port)
        return cls(
            limits=limits,
            session=session,
            step=step,
            port=port,
            previous=previous,
            last=last,
            discharge=discharge,
            least_kwh=np.where(can_discharge, limits["floor_kwh"][session], arrival_kwh),
            start_most_kwh=energy_after(arrival_kwh, age * step_h, *battery),
            end_most_kwh=energy_after(arrival_kwh, (age + 1) * step_h, *battery),
            group_first=group_first,
            group_end=group_end,
            group_first_discharge=np.searchsorted(discharge, group_first),
            group_end_discharge=np.searchsorted(discharge, group_end),
        )

    def binding_limits(self, site: SiteArrays, lower_kw: np.ndarray, upper_kw: np.ndarray) -> np.ndarray:
        """Which group limits can bind at all: those that the vehicles there and the limits further down do not imply.

        Parameters
        ----------
        site : SiteArrays
            The tree.
        lower_kw, upper_kw : float64, shape (n_steps, n_groups)
            Clamped limits [kW].

        Returns
        -------
        bool, shape (2, n_steps, n_groups)
            Export limits first, import limits second.
        """
        binding = np.empty((2, *upper_kw.shape), dtype=bool)
        sides = (
            (-lower_kw, self.limits["discharge_kw"][self.session]),
            (upper_kw, self.limits["charge_kw"][self.session]),
        )
        for side, (limit_kw, pair_kw) in enumerate(sides):
            total_kw = np.concatenate([[0.0], np.cumsum(pair_kw)])
            # Most that can flow below each group: that of its subgroups, plus the ports that hang on it directly.
            most_kw = total_kw[self.group_end] - total_kw[self.group_first]
            for group in range(site.n_groups - 1, -1, -1):
                flow_kw = most_kw[:, group]
                binding[side, :, group] = limit_kw[:, group] < flow_kw * (1.0 - 1e-12)
                spared_kw = np.where(binding[side, :, group], flow_kw - limit_kw[:, group], 0.0)
                above = site.group_parent[group]
                while above >= 0:
                    most_kw[:, above] -= spared_kw
                    above = site.group_parent[above]
        return binding
