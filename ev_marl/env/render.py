"""Rendering: a table of the site for the terminal, a picture of the day so far.

The flows of the steps come in; text or an RGB array goes out. Matplotlib is loaded when a picture is made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from ev_marl.grid.loop.flow import GridFlow
from ev_marl.simulation.flow import Flow
from ev_marl.simulation.simulator import Simulator
from ev_marl.site import Site
from ev_marl.support.errors import ArgumentError
from ev_marl.world import Track

RENDER_MODES = ("ansi", "rgb_array", "human")
"""A table as text, a picture as an array, or the table printed."""

_BAR = 20  # characters of a bar in the table
_MOST_PORTS = 40  # rows of ports in the table


def check_render_mode(mode: str | None) -> None:
    """Raise an ArgumentError unless `mode` is None or one of `RENDER_MODES`."""
    if mode is not None and mode not in RENDER_MODES:
        raise ArgumentError(f"render_mode is {mode!r}; allowed are {', '.join(RENDER_MODES)} or None")


def render(history: History | None, mode: str | None) -> str | np.ndarray | None:
    """The present state of the site, in a render mode.

    Returns
    -------
    str, uint8 array of shape (height, width, 3), or None
        A table, a picture, or nothing, since "human" prints the table.

    Raises
    ------
    RuntimeError
        If the environment has no render mode, or was not reset.
    """
    if mode is None or history is None:
        raise RuntimeError("nothing to render: give a render_mode to the constructor and call reset() first")
    if mode == "rgb_array":
        return history.picture()
    table = history.table()
    if mode == "ansi":
        return table
    print(table)
    return None


class History:
    """Records the first row of an episode, for rendering.

    Parameters
    ----------
    site : Site
        The site.
    track : Track
        The day.
    simulator : Simulator
        The simulator, just after its reset.
    """

    def __init__(self, site: Site, track: Track, simulator: Simulator) -> None:
        self._site = site
        self._track = track
        self._simulator = simulator
        self._group_kw = np.full((track.n_steps, site.arrays.n_groups), np.nan)
        self._return = 0.0
        self._steps = 0

    def add(self, flow: Flow, rewards: np.ndarray) -> None:
        """Record a step."""
        self._group_kw[flow.step] = flow.group_kw[0]
        self._return += float(rewards[0].sum())
        self._steps = flow.step + 1

    def table(self) -> str:
        """Groups with their power against the limit in the last step, stations with their vehicles; plain text."""
        site, track, state = self._site, self._track, self._simulator.state
        console = Console(file=io.StringIO(), width=100, color_system=None, legacy_windows=False)
        time = track.clock.local_times[min(self._steps, track.n_steps - 1)]
        console.print(
            f"{site.name}, {time:%a %Y-%m-%d %H:%M}, step {self._steps} of {track.n_steps}, "
            f"team return {self._return:.2f} {track.currency}"
        )
        groups = Table(box=None, pad_edge=False)
        for heading in ("group", "power kW", "limits kW", ""):
            groups.add_column(heading, justify="right" if heading.endswith("kW") else "left")
        shown = max(self._steps - 1, 0)
        for g, name in enumerate(site.groups):
            power = state.group_kw[0, g]
            lower, upper = track.lower_kw[shown, g], track.upper_kw[shown, g]
            limit = upper if power >= 0 else -lower
            limits = f"{_number(lower)} .. {_number(upper)}"
            groups.add_row("  " * int(site.arrays.group_depth[g]) + name, _number(power), limits, _bar(power, limit))
        console.print(groups)
        if state.grid is not None:
            console.print(_grid_line(state.grid.flow, state.grid.flow.spec.buses))
        stations = Table(box=None, pad_edge=False)
        for heading in ("station", "port", "power kW", "charge", "", "leaves in", "missing kWh"):
            stations.add_column(heading, justify="left" if heading in ("station", "") else "right")
        for p, port in enumerate(site.ports[:_MOST_PORTS]):
            station, _, k = port.rpartition("/")
            s = int(state.session[0, p])
            power = _number(state.granted_kw[0, p])
            if s < 0:
                stations.add_row(station, k, power, "", "-", "", "")
                continue
            energy, stay = float(state.energy_kwh[0, p]), self._simulator.days.believed(state.step)[s]
            share = energy / float(stay["capacity_kwh"])
            left_h = (int(stay["deadline_step"]) - state.step) * track.step_h
            missing = max(0.0, float(stay["due_kwh"]) - energy)
            stations.add_row(station, k, power, f"{share:.0%}", _bar(share, 1.0), f"{left_h:.1f} h", f"{missing:.1f}")
        console.print(stations)
        if len(site.ports) > _MOST_PORTS:
            console.print(f"... and {len(site.ports) - _MOST_PORTS} ports more")
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines())

    def picture(self) -> np.ndarray:
        """Power of every group against its limits so far, and states of charge; uint8, shape (height, width, 3)."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  # heavy, and rarely needed
        from matplotlib.figure import Figure  # noqa: PLC0415

        site, track, state = self._site, self._track, self._simulator.state
        figure = Figure(figsize=(9, 5), dpi=100, layout="constrained")  # no pyplot: nothing stays open
        canvas = FigureCanvasAgg(figure)
        power, charge = figure.subplots(1, 2, width_ratios=(3, 2))
        hours = np.arange(track.n_steps) * track.step_h
        for g, name in enumerate(site.groups):
            (line,) = power.step(hours, self._group_kw[:, g], where="post", label=name)
            for limit_kw in (track.upper_kw[:, g], track.lower_kw[:, g]):
                shown = np.where(np.isfinite(limit_kw), limit_kw, np.nan)
                power.step(hours, shown, where="post", color=line.get_color(), linestyle=":", linewidth=1)
        power.axhline(0.0, color="0.6", linewidth=0.5)
        power.set(
            xlim=(0, track.n_steps * track.step_h), xlabel="hours since the start", ylabel="power of vehicles, kW"
        )
        if len(site.groups) <= 8:
            power.legend(loc="best", fontsize="small")
        power.set_title(f"{site.name}: power and limits (dotted)", fontsize="medium")
        session = state.session[0]
        connected = session >= 0
        capacity = np.where(
            connected, self._simulator.days.stays["capacity_kwh"][session] if connected.any() else 1.0, 1.0
        )
        places = np.arange(len(site.ports))
        empty = places[~connected]
        charge.barh(empty, np.ones(len(empty)), color="0.93", height=1.0)  # no vehicle, which is not an empty battery
        charge.barh(places, np.where(connected, state.energy_kwh[0] / capacity, 0.0), color="tab:green")
        charge.set(xlim=(0, 1), xlabel="state of charge (grey: no vehicle)", ylim=(len(site.ports) - 0.5, -0.5))
        if len(site.ports) <= 40:
            charge.set_yticks(places, site.ports, fontsize="x-small")
        charge.set_title(f"step {self._steps} of {track.n_steps}", fontsize="medium")
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]


def _grid_line(flow: GridFlow, buses: Sequence[str]) -> str:
    """Lowest and highest voltage of the network, in one line."""
    vm_pu = flow.vm_pu[0]
    lowest, highest = int(vm_pu.argmin()), int(vm_pu.argmax())
    parts = [f"{vm_pu[lowest]:.3f} p.u. at {buses[lowest]} to {vm_pu[highest]:.3f} p.u. at {buses[highest]}"]
    for name, percent in (("lines", flow.line_percent[0]), ("transformers", flow.transformer_percent[0])):
        if len(percent):
            parts.append(f"{name} up to {percent.max():.0f} %")
    if flow.failed[0]:
        parts.append("no solution: these are the last valid ones")
    return "network: " + ", ".join(parts)


def _bar(value: float, limit: float) -> str:
    """A bar that is full at the limit; empty without a limit."""
    if not np.isfinite(limit):
        return ""
    share = 1.0 if limit <= 0.0 and value else abs(value) / limit if limit > 0.0 else 0.0
    filled = min(_BAR, round(_BAR * share))
    return "#" * filled + "." * (_BAR - filled)


def _number(power_kw: float) -> str:
    """One decimal, "none" without a limit, and no minus sign before zero."""
    return f"{round(float(power_kw), 1) + 0.0:.1f}" if np.isfinite(power_kw) else "none"
