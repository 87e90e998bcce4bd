"""Observations of all agents, from the tables of blocks.

Blocks, days and states come in. One float32 row per batch row and agent goes out, of the same width for all agents, and
the flat state with every number once. All tables are in one buffer; rows are made by copying precomputed runs of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from ev_marl.env.blocks import BLOCKS, Feature, ObservationBlock, Scope
from ev_marl.env.blocks.base import LookingAhead, OnGrid, Weighing
from ev_marl.env.rows import Run, append_run, copy_rows, copy_runs, row_plan
from ev_marl.grid.loop.loop import GridLoop
from ev_marl.planning.outlook import KINDS, ComposedOutlook, Kind
from ev_marl.planning.worth import Worth
from ev_marl.scenario import scenario_value
from ev_marl.scenario.schema import BlockOptions, PricesBlock, Scenario
from ev_marl.scenario.sizes import MOST_CELLS, MOST_OBSERVED
from ev_marl.simulation.days import Beliefs, Days
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.errors import NetworkError, OptionError

BlockLike = str | Mapping[str, Any] | PricesBlock | BlockOptions | ObservationBlock
"""A name ("clock"), a mapping as in a scenario ({"prices": "12 h"}, {"block": ..., "options": {...}}), or a block."""


COMPACT_SCOPES: tuple[Scope, ...] = ("site", "group")
"""Scopes of the compact state, whose size does not grow with the number of stations."""


def make_block(block: BlockLike, *, trust: bool = True) -> ObservationBlock:
    """Make an observation block from its name or its entry in a scenario file; a block is returned as it is.

    Parameters
    ----------
    block : str, mapping, PricesBlock, BlockOptions or ObservationBlock
        The block.
    trust : bool
        Whether `module:Class` may be imported; false if the name comes from a file that is not trusted.

    Raises
    ------
    UnknownNameError
        If no block has that name.
    ScenarioError
        If a mapping is not allowed in a scenario file.
    OptionError
        If the block does not have an option, or is no block.
    TrustError
        If it is custom code, and `trust` is false.
    """
    if isinstance(block, ObservationBlock):
        return block
    model = scenario_value("observation", [dict(block)])[0] if isinstance(block, Mapping) else block
    if isinstance(model, PricesBlock):
        return BLOCKS.make("prices", options={"hours": model.prices})
    if isinstance(model, BlockOptions):
        return BLOCKS.make(model.block, options=model.options, trust=trust)
    return BLOCKS.make(str(model), trust=trust)


@dataclass(frozen=True)
class _Table:
    """One block's table: `n_rows` rows of `features`, starting at number `first` of the flat state."""

    name: str  # of the block; a second one of the same name is "name_2"
    block: ObservationBlock
    features: tuple[Feature, ...]
    n_rows: int
    first: int

    @property
    def size(self) -> int:
        return self.n_rows * len(self.features)


@dataclass(frozen=True)
class ObservedFeature:
    """One column of an agent's observation, for documentation and plots."""

    label: str  # "ports.1.state_of_charge"
    low: float
    high: float
    about: str


class Observer:
    """Observations of all agents.

    Parameters
    ----------
    site : Site
        The site.
    blocks : sequence of ObservationBlock
        The blocks, in this order.

    Attributes
    ----------
    n_batch : int
        Rows of the last `fill`, 0 before the first.
    width : int
        Numbers in an agent's observation.
    space : gymnasium.spaces.Box
        Of an agent's observation, float32, shape (width,); the same for all agents.
    state_space : gymnasium.spaces.Box
        Of the state, float32, shape (n_features,).
    """

    def __init__(self, site: Site, blocks: Sequence[ObservationBlock]) -> None:
        if not blocks:
            raise OptionError("an observation needs at least one block")
        self.site = site
        self._tables: list[_Table] = []
        first = 0
        for block in blocks:
            features = _checked(block, block.bind(site))
            before = sum(table.block.name == block.name for table in self._tables)
            name = f"{block.name}_{before + 1}" if before else block.name
            self._tables.append(_Table(name, block, features, _n_rows(block.scope, site), first))
            first += self._tables[-1].size
        self.n_features = first
        self._n_ports = int(np.diff(site.arrays.station_first_port).max())
        stations = site.arrays.port_group[site.arrays.station_first_port[:-1]].tolist()
        chains = {group: [int(g) for g in site.ancestors[group] if g >= 0] for group in set(stations)}
        self._chains = [chains[group] for group in stations]
        self._depth = max(map(len, chains.values()))
        self.width = sum(self._places(table) * len(table.features) for table in self._tables)
        if self.width * len(stations) > MOST_OBSERVED:
            raise OptionError(
                f"{len(stations):,} agents would observe {self.width:,} numbers each; all together may observe "
                f"{MOST_OBSERVED:,}"
            )
        self.space = self._box([self._places(table) for table in self._tables])
        self.state_space = self._box([table.n_rows for table in self._tables])
        self.n_compact_features = sum(table.size for table in self._tables if table.block.scope in COMPACT_SCOPES)
        # Asking a block what it can do takes a fifth of a reset's time: once is enough.
        self._looking_ahead = [block for block in blocks if isinstance(block, LookingAhead)]
        self._on_grid = [(block.name, block) for block in blocks if isinstance(block, OnGrid)]
        self._beliefs: Beliefs | None = None  # which change the stays that the blocks read, in place
        self.n_batch = 0

    @classmethod
    def from_scenario(
        cls, scenario: Scenario, site: Site, blocks: Sequence[BlockLike] | None = None, *, trust: bool = True
    ) -> Observer:
        """The observations of a scenario, or of `blocks` instead; see `make_block` for `trust`."""
        if isinstance(blocks, str) or not isinstance(blocks, Sequence | None):
            blocks = scenario_value("observation", blocks)
        if blocks is not None:
            return cls(site, [make_block(block, trust=trust) for block in blocks])
        made = []
        for i, block in enumerate(scenario.observation):
            with scenario.places.blamed("observation", i):
                made.append(make_block(block, trust=scenario.trusted))
        with scenario.places.blamed("observation"):
            observer = cls(site, made)
            n_tabulated = sum(len(table.features) for table in observer._tables if table.block.scope == "site")
            if (scenario.n_steps + 1) * n_tabulated > MOST_CELLS:
                raise OptionError(
                    f"{n_tabulated:,} numbers about the site in {scenario.n_steps:,} steps; the product may be "
                    f"{MOST_CELLS:,}"
                )
        return observer

    def table(self) -> list[ObservedFeature]:
        """Columns of an agent's observation, in order."""
        columns = []
        for table in self._tables:
            name = table.name
            places = {
                "site": [name],
                "station": [name],
                "group": [f"{name}.{level}" for level in range(self._depth)],
                "port": [f"{name}.{k}" for k in range(self._n_ports)],
            }[table.block.scope]
            columns += [_observed(place, feature) for place in places for feature in table.features]
        return columns

    def labels(self, agent: str) -> list[str]:
        """The name of each number of an agent's observation, such as "headroom.lot_north.upper" or "ports.0.missing".

        Places that the agent does not have are marked "(absent)"; their value is 0.
        """
        a = self.site.agents.index(agent)
        groups = [self.site.groups[g] for g in self._chains[a]]
        n_ports = int(np.diff(self.site.arrays.station_first_port)[a])
        labels = []
        for table in self._tables:
            name, names = table.name, [feature.name for feature in table.features]
            if table.block.scope == "group":
                places = [
                    f"{name}.{groups[k]}" if k < len(groups) else f"{name}.{k}(absent)" for k in range(self._depth)
                ]
            elif table.block.scope == "port":
                places = [f"{name}.{k}" if k < n_ports else f"{name}.{k}(absent)" for k in range(self._n_ports)]
            else:
                places = [name]
            labels += [f"{place}.{feature}" for place in places for feature in names]
        return labels

    def state_table(self) -> list[ObservedFeature]:
        """Numbers of the state, in order."""
        numbers = []
        for table in self._tables:
            name = table.name
            rows = {
                "site": [name],
                "station": [f"{name}.{agent}" for agent in self.site.agents],
                "group": [f"{name}.{group}" for group in self.site.groups],
                "port": [f"{name}.{port}" for port in self.site.ports],
            }[table.block.scope]
            numbers += [_observed(row, feature) for row in rows for feature in table.features]
        return numbers

    def _box(self, repeats: Sequence[int]) -> spaces.Box:
        """Bounds of all tables, with the given numbers of rows."""
        bounds = []
        for side in ("low", "high"):
            rows = [[getattr(feature, side) for feature in table.features] for table in self._tables]
            bounds.append(np.concatenate([np.tile(row, count) for row, count in zip(rows, repeats, strict=True)]))
        return spaces.Box(bounds[0].astype(np.float32), bounds[1].astype(np.float32), dtype=np.float32)

    def weigh(self, worth: Worth) -> None:
        """Pass the objective to the blocks that need it."""
        for table in self._tables:
            if isinstance(table.block, Weighing):
                table.block.weigh(worth)

    @property
    def looks_at(self) -> set[Kind]:
        """Kinds of later values that are shown."""
        return {kind for block in self._looking_ahead for kind in getattr(block, "looks_at", KINDS)}

    def load(self, days: Days, outlook: ComposedOutlook, grid: GridLoop | None) -> None:
        """Pass the new days of the simulator to the blocks, with the stays from the outlook.

        Blocks that look ahead also get the outlook, and blocks about the network get the network.

        Raises
        ------
        NetworkError
            If a block needs a network, and there is none.
        """
        told = outlook.stays(0)
        self._beliefs = days.beliefs if told is days.believed(0) else None
        believed = replace(days, stays=told, beliefs=self._beliefs)
        for block in self._looking_ahead:
            block.look(outlook)
        for name, on_grid in self._on_grid:
            if grid is None:
                raise NetworkError(
                    f"observation block '{name}' needs a simulator with a network: `Simulator(..., grid=)`"
                )
            on_grid.connect(grid)
        for table in self._tables:
            table.block.load(believed)

    def fill(self, state: State) -> None:
        """Update all tables to the coming step."""
        if self.n_batch != state.n_batch:
            self._allocate(state)
        if self._beliefs is not None:
            self._beliefs.at(state.step)  # another state may have been tried since
        for block, view in self._moving:
            block.fill(state, view)

    def observe(self, out: np.ndarray) -> None:
        """Write the observations of all agents, as of the last `fill`, to `out`, shape (n_batch, n_agents, width)."""
        copy_rows(self._memory, self._plan, self._rows, self.n_batch, out.reshape(-1))

    def observe_state(self, out: np.ndarray) -> None:
        """Write every number once, as of the last `fill`, to `out`, float32, shape (n_batch, n_features)."""
        base, stride, target, length = self._state
        copy_runs(self._memory, base, stride, target, length, out)

    def observe_compact_state(self, out: np.ndarray) -> None:
        """Write the numbers of the site and its groups to `out`, float32, shape (n_batch, n_compact_features)."""
        base, stride, target, length = self._compact_state
        copy_runs(self._memory, base, stride, target, length, out)

    def _allocate(self, state: State) -> None:
        """Make the buffer for another number of rows, fill its constant parts, and compute the runs."""
        n_batch = self.n_batch = state.n_batch
        self._memory = np.zeros(n_batch * self.n_features, dtype=np.float32)
        self._moving = self._views(static=False)
        for block, view in self._views(static=True):
            block.fill(state, view)
        self._state = _columns([(n_batch * table.first, table.size, table.first, table.size) for table in self._tables])
        compact, target = [], 0
        for table in self._tables:
            if table.block.scope in COMPACT_SCOPES:
                compact.append((n_batch * table.first, table.size, target, table.size))
                target += table.size
        self._compact_state = _columns(compact)
        self._plan, n_families = self._families()
        self._rows = np.zeros(n_families * self.width, dtype=np.float32)

    def _views(self, *, static: bool) -> list[tuple[ObservationBlock, np.ndarray]]:
        """Blocks with their places in the buffer, shape (n_batch, n_rows, n_features)."""
        views = []
        for table in self._tables:
            if table.block.static == static:
                base = self.n_batch * table.first
                shape = (self.n_batch, table.n_rows, len(table.features))
                views.append((table.block, self._memory[base : base + self.n_batch * table.size].reshape(shape)))
        return views

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy of a view is no view of the copied buffer: make the views again."""
        self.__dict__.update(state)
        if self.n_batch:
            self._moving = self._views(static=False)

    def _families(self) -> tuple[np.ndarray, int]:
        """Plan of `copy_rows` and number of families: agents with the same groups above share all but their own station
        and ports."""
        first: dict[tuple[int, ...], int] = {}  # the first agent of each family
        for a, chain in enumerate(self._chains):
            first.setdefault(tuple(chain), a)
        number = {chain: f for f, chain in enumerate(first)}
        family = [number[tuple(chain)] for chain in self._chains]
        shared = [self._runs_of(a, ("site", "group")) for a in first.values()]
        own = [self._runs_of(a, ("station", "port")) for a in range(len(family))]
        return row_plan(shared, family, own), len(first)

    def _places(self, table: _Table) -> int:
        """Number of rows of a table that an agent observes."""
        return {"site": 1, "station": 1, "group": self._depth, "port": self._n_ports}[table.block.scope]

    def _runs_of(self, a: int, scopes: tuple[Scope, ...]) -> list[Run]:
        """Positions of the numbers of some scopes of agent a."""
        runs: list[Run] = []
        target = 0
        first, end = self.site.arrays.station_first_port[a : a + 2].tolist()
        for table in self._tables:
            width = len(table.features)
            base = self.n_batch * table.first
            if table.block.scope in scopes:
                rows = {"site": [0], "station": [a], "group": self._chains[a], "port": range(first, end)}
                for k, row in enumerate(rows[table.block.scope]):
                    append_run(runs, (base + row * width, table.size, target + k * width, width))
            target += self._places(table) * width
        return runs


def _columns(runs: list[Run]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(column, dtype=np.int64) for column in np.array(runs, dtype=np.int64).reshape(-1, 4).T)


def _n_rows(scope: Scope, site: Site) -> int:
    arrays = site.arrays
    return {"site": 1, "group": arrays.n_groups, "station": arrays.n_stations, "port": arrays.n_ports}[scope]


def _checked(block: ObservationBlock, features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    for feature in features:
        if not -np.inf < feature.low <= 0.0 <= feature.high < np.inf or feature.low == feature.high:
            raise OptionError(
                f"observation block '{block.name}': the bounds of '{feature.name}' are "
                f"[{feature.low}, {feature.high}]; they must be finite, differ, and enclose 0"
            )
    if not features:
        raise OptionError(f"observation block '{block.name}' has no features")
    return features


def _observed(place: str, feature: Feature) -> ObservedFeature:
    return ObservedFeature(f"{place}.{feature.name}", float(feature.low), float(feature.high), feature.about)
