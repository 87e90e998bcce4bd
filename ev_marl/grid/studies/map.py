"""A picture of a network: lines, transformers, chargers, and a number at each bus as a colour.

A `Network` and one number a bus come in, a PNG goes out. Buses stand where the network's own coordinates put them;
where it has none, the layout shows what is connected with what, and no distances.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable

import networkx as nx
import numpy as np
import pandapower.topology as topology
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ev_marl.compare.drawing import GREY, HALO, INK, ORANGE, PALE
from ev_marl.grid.model.network import Network

_MOST_FOR_SPRINGS = 400  # buses; a larger network is laid out by a faster, rougher method
_NAMED = 3  # buses with the worst values


def draw_network(network: Network, values: np.ndarray, label: str, title: str, *, chargers_only: bool = False) -> bytes:
    """The picture as a PNG.

    Parameters
    ----------
    network : Network
        The network.
    values : float64, shape (n_buses,)
        Low is bad; NaN: none.
    label : str
        What the values are, with their unit.
    title : str
        Headline.
    chargers_only : bool
        Whether only buses with chargers have a value; the others are drawn small.
    """
    spec = network.spec
    at = bus_positions(network)
    figure = Figure(figsize=(10.0, 7.5), dpi=140, layout="constrained")
    axes = figure.add_subplot()
    _draw_branches(axes, network, at)
    known = np.isfinite(values)
    plain = ~known
    axes.scatter(at[plain, 0], at[plain, 1], s=10, color=GREY, zorder=2, linewidths=0)
    charging = np.isin(np.arange(spec.n_buses), spec.charger_bus)
    span = Normalize(*((values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)))
    for mask, size, edge in ((known & ~charging, 22, "none"), (known & charging, 62, INK)):
        x, y = at[mask].T
        dots = axes.scatter(x, y, c=values[mask], s=size, edgecolors=edge, linewidths=0.7, norm=span, zorder=3)
    if known.any():
        bar = figure.colorbar(dots, ax=axes, shrink=0.7, pad=0.01)
        bar.set_label(label, color=INK)
        bar.outline.set_visible(False)
    _name(axes, spec.buses, at, [int(k) for k in np.argsort(np.where(known, values, np.inf))[:_NAMED] if known[k]])
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=INK)
    what = "circles with a rim: buses with chargers" if not chargers_only else "circles: buses with chargers"
    axes.text(
        0.0, -0.02, f"Square: external grid; thick: transformer; dashed: open; {what}", transform=axes.transAxes,
        fontsize=8.5, color=GREY, va="top",
    )  # fmt: skip
    axes.set_axis_off()
    axes.margins(0.05)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()


def bus_positions(network: Network) -> np.ndarray:
    """Where buses are drawn, float64, shape (n_buses, 2): the network's own coordinates where all buses have some."""
    net = network.net
    own = _coordinates(net.bus.geo) if "geo" in net.bus else None
    if own is not None:
        return own
    graph = nx.Graph(topology.create_nxgraph(net, respect_switches=False, multi=False))
    graph.add_nodes_from(net.bus.index)
    plain = nx.Graph(graph.edges())
    plain.add_nodes_from(graph)
    few = plain.number_of_nodes() <= _MOST_FOR_SPRINGS
    places = nx.kamada_kawai_layout(plain) if few else nx.spring_layout(plain, seed=0)
    return np.array([places[bus] for bus in net.bus.index], dtype=np.float64)


def _coordinates(column: Iterable[object]) -> np.ndarray | None:
    """Points of GeoJSON texts; None where a bus has none, or all lie at one place."""
    places = []
    for text in column:
        try:
            x, y = json.loads(text)["coordinates"][:2]  # type: ignore[arg-type]
        except (TypeError, ValueError, KeyError):
            return None
        places.append((float(x), float(y)))
    found = np.array(places)
    return found if np.isfinite(found).all() and np.ptp(found, axis=0).max() > 0.0 else None


def _draw_branches(axes: Axes, network: Network, at: np.ndarray) -> None:
    net, spec = network.net, network.spec
    closed = nx.MultiGraph(topology.create_nxgraph(net, respect_switches=True, multi=True))
    lines = {index for _, _, (kind, index) in closed.edges(keys=True) if kind == "line"}
    ends = np.stack([at[spec.line_from_bus], at[spec.line_to_bus]], axis=1)
    on = np.array([index in lines for index in net.line.index], dtype=bool)
    axes.add_collection(LineCollection(list(ends[on]), colors=GREY, linewidths=1.1, zorder=1))
    axes.add_collection(LineCollection(list(ends[~on]), colors=PALE, linewidths=1.1, linestyles="--", zorder=0))
    ends = np.stack([at[spec.transformer_hv_bus], at[spec.transformer_lv_bus]], axis=1)
    axes.add_collection(LineCollection(list(ends), colors=ORANGE, linewidths=4.0, zorder=1))
    position = {index: k for k, index in enumerate(net.bus.index)}
    tied = [(one, other) for one, other, (kind, _) in closed.edges(keys=True) if kind == "switch"]
    if tied:
        segments = [at[[position[one], position[other]]] for one, other in tied]
        axes.add_collection(LineCollection(segments, colors=INK, linewidths=1.1, linestyles=":", zorder=1))
    slack = [position[bus] for bus in net.ext_grid.bus[net.ext_grid.in_service]]
    axes.scatter(at[slack, 0], at[slack, 1], s=90, marker="s", color=INK, zorder=4)


def _name(axes: Axes, names: tuple[str, ...], at: np.ndarray, which: list[int]) -> None:
    for k in which:
        axes.annotate(
            names[k], at[k], xytext=(7, 5), textcoords="offset points", fontsize=9, color=INK, path_effects=HALO,
            zorder=5,
        )  # fmt: skip
