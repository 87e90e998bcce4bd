"""Whether a backend of anybody's can be relied on: a backend and its network in, a `ConformanceError` out, or nothing.

pandapower is the reference; it is loaded when the check runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from ev_marl.grid.solvers.base import GridBackend, Injections, PowerFlow
from ev_marl.grid.solvers.checks import compare, solvable_states, tolerances
from ev_marl.support.errors import ConformanceError

if TYPE_CHECKING:
    from ev_marl.grid.model.network import Network

_HEAVIER = np.array([1.0, 2.0, 4.0, 16.0, 256.0])  # times a state; the last ones have no solution


def check_grid_backend(
    backend: GridBackend,
    network: Network,
    *,
    voltage_pu: float | None = None,
    loading_percent: float | None = None,
    power_share: float | None = None,
    batch: float = 0.0,
    n_states: int = 16,
    seed: int = 0,
) -> None:
    """Check a grid backend against pandapower on random states of a network.

    It must agree with pandapower within the stated tolerances, flag the same states as without a solution, and give NaN
    throughout for these and for rows with a number that is not finite; give each row the same result alone, in a batch,
    and in another order; hand out new arrays of the right shapes and types, and not write to what it is given. With
    other tap positions it must agree again, and stay itself as it was.

    Parameters
    ----------
    backend : GridBackend
        The backend to check, made for the network.
    network : Network
        The network.
    voltage_pu, loading_percent, power_share : float, optional
        Largest differences to pandapower: voltages [p.u.], loadings [percentage points], slack power and losses as a
        share of the network's own power [-]. Left out, what the backend states in `tolerances`; where it states
        nothing, 1e-6 p.u., 1e-3 percentage points and 1e-5.
    batch : float
        Largest difference between the results of a row alone and in a batch, each in its own unit; 0: the same bits.
    n_states : int
        Random states, some of them with more fed in than drawn.
    seed : int
        Of the states.

    Raises
    ------
    ConformanceError
        If it breaks a rule; the message says which, and by how much.
    """
    from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend  # noqa: PLC0415  heavy, and optional

    _require(isinstance(backend, GridBackend), f"{backend!r} lacks name, spec, solve or with_taps")
    _require(isinstance(backend.name, str), f"the name of a backend is a str, got {backend.name!r}")
    what = f"grid backend '{backend.name}' on network '{network.spec.name}'"
    _require(backend.spec.fingerprint == network.spec.fingerprint, f"{what}: its spec is not that of the network")
    reference = PandapowerBackend(network)
    asked = {"voltage_pu": voltage_pu, "loading_percent": loading_percent, "power_share": power_share}
    within = {**tolerances(backend), **{name: value for name, value in asked.items() if value is not None}}

    def agrees(one: GridBackend, other: GridBackend, states: Injections, when: str) -> PowerFlow:
        expected = other.solve(states)
        flow = one.solve(states)
        problems = compare(flow, expected, network.spec).problems(**within)
        _require(not problems, f"{what}{when}: does not agree with pandapower: {'; '.join(problems)}")
        return flow

    states, _ = solvable_states(reference, n_states, seed)
    given = states.rows(np.arange(n_states))
    flow = agrees(backend, reference, states, "")
    for field in fields(Injections):
        same = np.array_equal(getattr(states, field.name), getattr(given, field.name))
        _require(same, f"{what}: it wrote to injections.{field.name}")
    _check_form(flow, network, n_states, what)
    heavy = states.rows(np.zeros(len(_HEAVIER), dtype=np.int64))
    for field in fields(Injections):
        getattr(heavy, field.name)[:] *= _HEAVIER[:, None]
    _check_flags(agrees(backend, reference, heavy, ", states up to 256 times as heavy"), what)
    _check_rows(backend, states, flow, batch, what)
    _check_spoilt(backend, states, flow, batch, what)
    _check_taps(backend, reference, network, states, agrees, what)


def _check_form(flow: PowerFlow, network: Network, n_states: int, what: str) -> None:
    spec = network.spec
    widths = {"vm_pu": spec.n_buses, "line_percent": spec.n_lines, "transformer_percent": spec.n_transformers}
    kinds = {"converged": np.dtype(np.bool_), "iterations": np.dtype(np.int64)}
    for field in fields(PowerFlow):
        array = getattr(flow, field.name)
        shape = (n_states, widths[field.name]) if field.name in widths else (n_states,)
        kind = kinds.get(field.name, np.dtype(np.float64))
        _require(isinstance(array, np.ndarray), f"{what}: {field.name} is not an array")
        _require(array.shape == shape, f"{what}: {field.name} has shape {array.shape}, expected {shape}")
        _require(array.dtype == kind, f"{what}: {field.name} is {array.dtype}, expected {kind}")
    _check_flags(flow, what)


def _check_flags(flow: PowerFlow, what: str) -> None:
    for name in _results():
        values = getattr(flow, name)
        _require(bool(np.isnan(values[~flow.converged]).all()), f"{what}: {name} is not NaN where nothing converged")
        if name != "vm_pu":  # voltages of dead buses are NaN
            _require(bool(np.isfinite(values[flow.converged]).all()), f"{what}: {name} is not finite")


def _check_rows(backend: GridBackend, states: Injections, flow: PowerFlow, batch: float, what: str) -> None:
    """Another order, each alone, and whether earlier results live on."""
    before = {name: getattr(flow, name).copy() for name in _results()}
    order = np.random.default_rng(0).permutation(states.n_batch)
    other = backend.solve(states.rows(order))
    for name, values in before.items():
        _require(not np.shares_memory(getattr(other, name), getattr(flow, name)), f"{what}: {name} is not a new array")
        _require(np.array_equal(getattr(flow, name), values, equal_nan=True), f"{what}: a later call changed {name}")
        _require_same(getattr(other, name), values[order], batch, f"{what}: {name} depends on the order of the batch")
    for row in range(0, states.n_batch, 5):
        alone = backend.solve(states.rows(np.array([row])))
        for name, values in before.items():
            where = f"{what}: {name} of row {row} alone and in a batch"
            _require_same(getattr(alone, name), values[[row]], batch, where)


def _check_spoilt(backend: GridBackend, states: Injections, flow: PowerFlow, batch: float, what: str) -> None:
    """Rows that have no solution are flagged, and leave the others alone."""
    spoilt = states.rows(np.arange(states.n_batch))
    rows = np.arange(states.n_batch)
    for field in fields(Injections):
        table = getattr(spoilt, field.name)
        table[1] *= 1e6
        if table.shape[1]:
            table[2, -1] = np.nan
    after = backend.solve(spoilt)
    _require(not after.converged[1], f"{what}: a state a million times as heavy is not flagged")
    _require(not after.converged[2], f"{what}: a row with NaN is not flagged")
    _check_flags(after, what)
    others = (rows != 1) & (rows != 2)
    for name in _results():
        where = f"{what}: {name} of the other rows, with a NaN and a diverged row among them"
        _require_same(getattr(after, name)[others], getattr(flow, name)[others], batch, where)


def _check_taps(
    backend: GridBackend,
    reference: GridBackend,
    network: Network,
    states: Injections,
    agrees: Callable[[GridBackend, GridBackend, Injections, str], PowerFlow],
    what: str,
) -> None:
    """Another position of the first transformer that has any."""
    table = network.net.trafo
    few = states.rows(np.arange(min(4, states.n_batch)))
    before = backend.solve(few)
    taps: dict[int, int] = {}
    for k in range(network.spec.n_transformers):
        row = table.iloc[k]
        if row.tap_changer_type == "Ratio" and bool(row.in_service) and row.tap_min < row.tap_max:
            taps = {k: int(row.tap_pos) + (1 if row.tap_pos < row.tap_max else -1)}
            break
    moved = backend.with_taps(taps)
    _require(isinstance(moved, GridBackend), f"{what}: with_taps gave {moved!r}, which is not a backend")
    agrees(moved, reference.with_taps(taps), few, f", taps {taps}")
    _require(moved.spec.buses == network.spec.buses, f"{what}: with_taps changed the spec's names")
    after = backend.solve(few)
    for name in _results():
        where = f"{what}: {name} changed with the taps of another backend"
        _require_same(getattr(after, name), getattr(before, name), 0.0, where)


def _results() -> list[str]:
    return [field.name for field in fields(PowerFlow) if field.name not in ("converged", "iterations")]


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ConformanceError(message)


def _require_same(values: np.ndarray, expected: np.ndarray, most: float, where: str) -> None:
    _require(bool((np.isnan(values) == np.isnan(expected)).all()), f"{where}: other values are NaN")
    difference = float(np.nanmax(np.abs(values - expected), initial=0.0))
    _require(difference <= most, f"{where}: differ by {difference:.3g}, {most:.3g} is allowed")
