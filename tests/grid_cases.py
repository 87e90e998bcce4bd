"""A small network that needs no library: three buses in a row, solved by the textbook fixed point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.grid.solvers.base import Injections, PowerFlow
from ev_marl.scenario.schema.grid import Chargers, GridLimits
from ev_marl.site import Site
from ev_marl.world.grid_day import GridDay

BASE_KVA = 100.0
LINE_OHM_PU = 0.05 + 0.02j  # of both lines, on 100 kVA
LINE_KVA = 80.0
_REACH = np.array([[1.0, 1.0], [1.0, 2.0]])  # lines that the paths to two buses share


def chain_spec() -> NetworkSpec:
    """Slack 0 — bus 1 — bus 2; a load and a charger bus at 1 and 2, no generator, a transformer that is line 0."""
    return NetworkSpec(
        name="chain",
        buses=("slack", "near", "far"),
        lines=("first", "second"),
        transformers=("station",),
        loads=("load near", "load far"),
        generators=(),
        charger_bus=np.array([1, 2]),
        load_bus=np.array([1, 2]),
        generator_bus=np.array([], dtype=np.int64),
        line_from_bus=np.array([0, 1]),
        line_to_bus=np.array([1, 2]),
        transformer_hv_bus=np.array([0]),
        transformer_lv_bus=np.array([1]),
        bus_kv=np.full(3, 0.4),
        line_kva=np.full(2, LINE_KVA),
        transformer_kva=np.array([100.0]),
        load_kw=np.array([10.0, 10.0]),
        load_kvar=np.zeros(2),
        generator_kw=np.array([]),
        generator_kvar=np.array([]),
        fingerprint="chain",
    )


class ChainBackend:
    """Solves the chain; `slack_pu` stands for a tap changer, `blind` for a backend that gives up on some states."""

    name = "chain"

    def __init__(self, slack_pu: float = 1.0, *, blind_above_kw: float = np.inf) -> None:
        self.spec = chain_spec()
        self.slack_pu = slack_pu
        self.blind_above_kw = blind_above_kw
        self.solved = 0

    def with_taps(self, taps: Mapping[int, int]) -> ChainBackend:
        """2 % less voltage for each position up."""
        return ChainBackend(1.0 - 0.02 * taps[0], blind_above_kw=self.blind_above_kw)

    def solve(self, injections: Injections) -> PowerFlow:
        """Fixed point V = V0 − Z·conj(S/V)."""
        self.solved += injections.n_batch
        kva = injections.charger_kw + 1j * injections.charger_kvar + injections.load_kw + 1j * injections.load_kvar
        s = kva / BASE_KVA
        v = np.full(s.shape, self.slack_pu, dtype=complex)
        change = np.full(len(s), np.inf)
        with np.errstate(all="ignore"):
            for _ in range(300):
                new = self.slack_pu - np.conj(s / v) @ (LINE_OHM_PU * _REACH).T
                change = np.abs(new - v).max(axis=1)
                v = new
            converged = (change < 1e-12) & (np.abs(v).min(axis=1) > 0.7)
            converged &= injections.charger_kw.sum(axis=1) <= self.blind_above_kw
            v[~converged] = np.nan
            current = np.conj(s / v)
            branch = np.stack([current.sum(axis=1), current[:, 1]], axis=1)
            slack = BASE_KVA * self.slack_pu * np.conj(branch[:, 0])
            losses = BASE_KVA * (np.abs(branch) ** 2 * LINE_OHM_PU.real).sum(axis=1)
        slack_vm = np.where(converged, self.slack_pu, np.nan)[:, None]
        return PowerFlow(
            vm_pu=np.concatenate([slack_vm, np.abs(v)], axis=1),
            line_percent=100.0 * np.abs(branch) * BASE_KVA / LINE_KVA,
            transformer_percent=100.0 * np.abs(branch[:, :1]),
            slack_kw=slack.real,
            slack_kvar=slack.imag,
            losses_kw=losses,
            converged=converged,
            iterations=np.zeros(len(s), dtype=np.int64),
        )


class ChainNetwork:
    """What a site needs to know of it."""

    def __init__(self) -> None:
        self.spec = chain_spec()
        self.n_own_loads = 2


def chain_site(site: Site) -> Site:
    """Hang every other port of a site on the near bus, the rest on the far one; its loads are left out."""
    site.network = ChainNetwork()  # type: ignore[assignment]
    site.port_charger = np.arange(site.arrays.n_ports) % 2
    return site


def chain_day(n_steps: int, load_kw: float = 10.0) -> GridDay:
    """The same load at both buses, all day."""
    loads = np.full((n_steps, 2), load_kw)
    none = np.zeros((n_steps, 0))
    return GridDay(("load near", "load far"), (), loads, np.zeros_like(loads), none, none)


def chain_loop(site: Site, *, limits: GridLimits | None = None, **changes: object) -> GridLoop:
    """The chain in the loop; `changes` are arguments of `GridLoop`."""
    backend = ChainBackend()
    loop = GridLoop(
        site=site,
        backend=backend,
        reference=ChainBackend(),
        limits=limits or GridLimits(),
        chargers=Chargers(),
        curtails=False,
        safe_fraction=0.5,
    )
    return replace(loop, **changes) if changes else loop
