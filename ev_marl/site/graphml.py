"""A site as a GraphML file, for Gephi, yEd or `networkx.read_graphml`, and back.

GraphML knows numbers and text, so series, load profiles, photovoltaic plants and transformers are written as JSON text.
"""

from __future__ import annotations

import json
import warnings
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import get_args

import networkx as nx

from ev_marl.scenario.schema import LoadProfile, Pv, PvSystem, Transformer
from ev_marl.scenario.series import Series, SeriesKind
from ev_marl.support.errors import SiteError
from ev_marl.support.files import FileError, read_text
from ev_marl.support.values import in_range, shown

MOST_BYTES = 200_000_000


def write_graph(graph: nx.DiGraph, name: str, path: Path) -> None:
    """Write a coupling graph and the site's name.

    Raises
    ------
    SiteError
        If the file exists: nothing is overwritten.
    """
    if path.exists():
        raise SiteError(f"{path} exists; delete it or choose another name")
    plain = nx.DiGraph(site=name)
    for node, attributes in graph.nodes(data=True):
        plain.add_node(node, **{key: value if key == "bus" else _to_plain(value) for key, value in attributes.items()})
    plain.add_edges_from(graph.edges)
    nx.write_graphml(plain, path)


def read_graph(path: Path) -> tuple[nx.DiGraph, str | None]:
    """A coupling graph, and the name of the site if the file has one.

    Raises
    ------
    SiteError
        If the file is missing or no GraphML, or an attribute cannot be read.
    """
    try:
        text = read_text(path, MOST_BYTES)
        with warnings.catch_warnings():  # of keys without a type; what they hold is checked
            warnings.simplefilter("ignore")
            graph = nx.parse_graphml(text)
    except FileError as error:
        raise SiteError(f"{path}: {error}") from error
    except Exception as error:
        raise SiteError(f"{path}: this is not GraphML: {type(error).__name__}: {error}") from error
    if not graph.is_directed() or graph.is_multigraph():
        raise SiteError(f"{path}: a site is a graph with one directed edge from each node to each below it")
    name = graph.graph.get("site")
    for node, attributes in graph.nodes(data=True):
        for key in ("import_limit_kw", "export_limit_kw", "base_load", "pv", "transformer"):
            if isinstance(attributes.get(key), str):
                attributes[key] = _from_text(path, str(node), key, attributes[key])
    tree = nx.DiGraph()
    tree.add_nodes_from(graph.nodes(data=True))
    tree.add_edges_from(graph.edges)
    return tree, None if name is None else str(name)


def _to_plain(value: object) -> str | float:
    if isinstance(value, str):
        return value
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Series):
        plain: dict[str, object] = {"kind": value.kind, "values": value.values}
        if value.start is not None:
            plain |= {"start": value.start.isoformat(), "interval_h": value.interval_h, "source": value.source}
        return json.dumps(plain)
    if isinstance(value, LoadProfile | Pv | PvSystem | Transformer):
        return value.model_dump_json()
    raise SiteError(f"cannot write {value!r} as GraphML")


def _from_text(path: Path, node: str, key: str, text: str) -> Series | LoadProfile | Pv | PvSystem | Transformer:
    try:
        if key == "pv":
            return (PvSystem if '"kwp"' in text else Pv).model_validate_json(text)
        if key == "transformer":
            return Transformer.model_validate_json(text)
        data = json.loads(text)
        if "profile" in data:
            return LoadProfile.model_validate(data)
        if data["kind"] not in get_args(SeriesKind):
            raise ValueError(f"found the kind {shown(data['kind'])}; expected {', '.join(get_args(SeriesKind))}")
        values = tuple(in_range(float(value), value) for value in data["values"])
        if data["kind"] != "dated":
            return Series(values, data["kind"])
        interval_h = in_range(float(data["interval_h"]), data["interval_h"])
        return Series(values, "dated", datetime.fromisoformat(data["start"]), interval_h, str(data["source"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SiteError(f"{path}: '{node}': {key} is {shown(text)}, which cannot be read: {error}") from error
