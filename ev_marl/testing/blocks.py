"""Whether an observation block shows what it says, in a batch as alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np

from ev_marl.env.blocks import Feature, ObservationBlock, Scope
from ev_marl.env.blocks.base import LookingAhead
from ev_marl.simulation.coordinators.none import NoCoordinator
from ev_marl.simulation.simulator import Simulator
from ev_marl.testing.asserting import outlook_on, require
from ev_marl.testing.cases import small_day, small_site
from ev_marl.world.track import Track


def check_block(factory: Callable[[], ObservationBlock], *, n_batch: int = 3, seed: int = 0) -> None:
    """Check an observation block on days of a small site, with random setpoints and no coordinator.

    Its features must have finite bounds that enclose 0, and its values must be finite and within them in every step
    and at the end; it must write all of them, the same for a day alone as for the day in a batch, and leave the
    simulator as it was. A block that says it is static must not change.

    Parameters
    ----------
    factory : callable
        Makes a new block, `lambda: MyBlock(...)`.
    n_batch : int
        Batch rows; row b runs `small_day(seed + b)`.
    seed : int
        Of days and setpoints.

    Raises
    ------
    ConformanceError
        If it breaks a rule; the message says which, at which step, and for which feature.
    """
    block = factory()
    require(isinstance(block, ObservationBlock), f"{block!r} lacks name, scope, static, bind, load or fill")
    require(block.scope in get_args(Scope), f"scope is one of {get_args(Scope)}, got {block.scope!r}")
    tracks = [small_day(seed + row) for row in range(n_batch)]
    together, features = _filled(block, tracks, seed)
    for step, table in enumerate(together):
        for i, feature in enumerate(features):
            where = f"block '{block.name}', feature '{feature.name}', step {step}"
            values = table[:, :, i]
            require(bool(np.isfinite(values).all()), f"{where}: not finite, or not written")
            low, high = np.float32(feature.low), np.float32(feature.high)
            inside = bool(((values >= low) & (values <= high)).all())
            require(inside, f"{where}: from {values.min()} to {values.max()}, the bounds are {low} and {high}")
        if block.static:
            require(np.array_equal(table, together[0]), f"block '{block.name}' says it is static and changes")
    for row, track in enumerate(tracks):
        alone, _ = _filled(factory(), [track], seed, row)
        for step, (one, all_rows) in enumerate(zip(alone, together, strict=True)):
            same = np.array_equal(one[0], all_rows[row])
            require(same, f"block '{block.name}', step {step}: day {row} looks different alone than in a batch")


def _filled(
    block: ObservationBlock, tracks: list[Track], seed: int, row: int | None = None
) -> tuple[list[np.ndarray], tuple[Feature, ...]]:
    """A block's tables at every step, the end included; `row` picks the setpoints of one row of a larger batch."""
    site = small_site()
    features = block.bind(site)
    for feature in features:
        bounded = -np.inf < feature.low <= 0.0 <= feature.high < np.inf and feature.low < feature.high
        require(bounded, f"block '{block.name}', feature '{feature.name}': bounds must be finite and enclose 0")
    arrays = site.arrays
    n_rows = {"site": 1, "group": arrays.n_groups, "station": arrays.n_stations, "port": arrays.n_ports}[block.scope]
    simulator = Simulator(arrays, NoCoordinator(), tracks)
    simulator.reset(np.arange(len(tracks)))
    if isinstance(block, LookingAhead):
        block.look(outlook_on(arrays, tracks))
    block.load(simulator.days)
    tables = []
    while True:
        table = np.full((len(tracks), n_rows, len(features)), np.nan, dtype=np.float32)
        state = simulator.state.copy()
        block.fill(simulator.state, table)
        for name in ("seats", "ports", "groups", "day"):
            same = np.array_equal(getattr(state, name), getattr(simulator.state, name))
            require(same, f"block '{block.name}' wrote to the state's {name}")
        tables.append(table)
        if simulator.done:
            return tables, features
        rows = range(len(tracks)) if row is None else [row]
        draws = [np.random.default_rng((seed, simulator.state.step, b)) for b in rows]
        simulator.step(np.stack([rng.uniform(-11.0, 11.0, arrays.n_ports) for rng in draws]))
