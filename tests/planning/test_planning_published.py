"""Prices that a market publishes at 13 h for the next day: nobody knows more, and what is not published is expected."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ev_marl.env.setup import Setting
from ev_marl.planning.outlook import PublishedOutlook, Truth, make_outlook
from ev_marl.policies import make_policy, rollout
from ev_marl.scenario import load_scenario
from ev_marl.scenario.clock import Clock
from ev_marl.support.errors import TrackError
from ev_marl.world.signals import Signals, published_steps
from ev_marl.world.track import Track

ZONE = "Europe/Amsterdam"


def setting(published: str = ", published: 13 h") -> Setting:
    keys = f"prices: {{model: nl/2023{published}}}\nobservation: [{{prices: 24 h}}]\n"
    folder = Path(tempfile.mkdtemp())
    (folder / "two.yaml").write_text(
        f"extends: tiny\nname: two\nstart: 2023-03-25\nuntil: null\nhorizon: 48 h\nstep: 30 min\n{keys}"
    )
    return Setting.of(load_scenario(folder / "two.yaml"))


def test_how_far_prices_are_published_also_where_the_clock_changes() -> None:
    """Saturday, 25 March 2023: the next day has 23 hours."""
    clock = Clock(datetime(2023, 3, 25, tzinfo=ZoneInfo(ZONE)), ZONE, 1.0, 72)
    steps = published_steps(clock, 13.0)
    assert steps[:13].tolist() == [24] * 13
    assert steps[13:36].tolist() == [47] * (24 - 13) + [47] * 12  # on Sunday, 13 h is the twelfth hour of the day
    assert steps[36:].tolist() == [71] * (47 - 36) + [71] * 13 + [72] * (72 - 60)


def test_published_prices_are_true_and_later_ones_are_expected() -> None:
    one = setting()
    tracks = [one.world.sample(seed) for seed in (1, 2)]
    outlook = make_outlook(one.scenario.outlook)
    outlook.begin(Truth.of(one.simulator(tracks)), one.world)
    assert isinstance(outlook.of["prices"], PublishedOutlook)
    assert not outlook.knows("prices")
    assert not outlook.foresees
    every = np.arange(2)
    for step, known in ((0, 48), (25, 48), (26, 94), (80, 96)):  # 47 hours to Monday
        for got, name in zip(outlook.prices(every, step), ("buy_per_kwh", "sell_per_kwh"), strict=True):
            true = np.stack([getattr(track, name) for track in tracks])
            np.testing.assert_array_equal(got[:, : known - step], true[:, step:known])
            if known < 94:
                assert (np.abs(got[:, known - step :] - true[:, known:]).mean(axis=1) > 1e-3).all()


def test_nobody_reads_what_is_not_published() -> None:
    """Other prices after the published ones change nothing that is decided before they are published."""
    one = setting()
    track = one.world.sample(3)
    later = np.where(np.arange(96) < 48, track.buy_per_kwh, track.buy_per_kwh + np.linspace(-0.3, 0.3, 96))
    later -= np.where(np.arange(96) < 48, 0.0, later.mean() - track.buy_per_kwh.mean()) * 2.0  # the same mean
    other = track.with_prices(later)
    track = track.with_prices(track.buy_per_kwh)
    assert other.later_per_kwh == pytest.approx(track.later_per_kwh)

    def decided(day: Track, name: str) -> np.ndarray:
        kept: list[np.ndarray] = []
        simulator = one.simulator([day])
        watch = lambda flow, rewards, costs: kept.append(flow.granted_kw.copy())  # noqa: E731
        rollout(simulator, one.objective, make_policy(name), [day], world=one.world, watch=watch)
        return np.stack(kept[:26])

    for name in ("mpc", "best-response", "dual-prices"):
        np.testing.assert_allclose(decided(track, name), decided(other, name), atol=1e-6, err_msg=name)


def test_an_outlook_for_what_is_not_published_can_be_chosen() -> None:
    one = setting()
    track = one.world.sample(1)
    outlook = make_outlook({"prices": {"name": "published", "options": {"beyond": "present"}}})
    outlook.begin(Truth.of(one.simulator([track])), one.world)
    buy, _ = outlook.prices(np.arange(1), 10)
    assert set(buy[0, 38:]) == {track.buy_per_kwh[47]}


def test_without_the_key_all_prices_are_known() -> None:
    one = setting("")
    track = one.world.sample(1)
    outlook = make_outlook(one.scenario.outlook)
    outlook.begin(Truth.of(one.simulator([track])), one.world)
    assert outlook.knows("prices")
    np.testing.assert_array_equal(outlook.prices(np.arange(1), 5)[0][0], track.buy_per_kwh[5:])


def test_the_price_of_a_step_is_published_when_it_starts() -> None:
    track = setting().world.sample(1)
    with pytest.raises(TrackError, match="the price of a step must be published when it starts"):
        track.replace(signals=Signals(published_steps=np.arange(96.0))).validate()
