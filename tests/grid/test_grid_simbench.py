"""SimBench's profiles in the days of a network: the right quarters of the right elements."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

pytest.importorskip("pandapower")
pytest.importorskip("simbench")

from ev_marl.network.simbench_nets import STEPS_OF_THE_YEAR, simbench_profiles
from ev_marl.scenario import load_scenario
from ev_marl.world import World

CODE = "1-LV-rural2--2-sw"


@pytest.mark.parametrize("day", [date(2023, 5, 5), date(2023, 12, 31)])
def test_a_day_is_its_part_of_the_year(day: date) -> None:
    """Noon to noon in quarters of an hour; on the last day, on into the first of the same year of profiles."""
    world = World(load_scenario("village-2034"))
    network = world.site.network
    drawn = world.sample(3, day).network
    assert network is not None
    assert drawn is not None
    profiles = simbench_profiles(CODE)
    quarters = ((day.timetuple().tm_yday - 1) * 96 + 48 + np.arange(96)) % STEPS_OF_THE_YEAR
    expected_kw = profiles.generator_p[quarters][:, profiles.generator_profile] * network.spec.generator_kw
    np.testing.assert_allclose(drawn.generator_kw, expected_kw, rtol=0, atol=1e-9)
    names = np.array(profiles.load_names)[profiles.load_profile]
    kept = ~np.char.startswith(names, "HLS_") & ~np.char.startswith(names, "APLS_")
    load_kw = profiles.load_p[quarters][:, profiles.load_profile] * network.spec.load_kw[: network.n_own_loads] * kept
    np.testing.assert_allclose(drawn.load_kw, load_kw, rtol=0, atol=1e-9)
    assert 0 < (~kept).sum() < len(kept)


def test_storages_feed_in_by_their_own_profiles() -> None:
    """They are plants with batteries: much by day, little by night, and never the full power all day."""
    world = World(load_scenario("village-2034"))
    network = world.site.network
    assert network is not None
    assert len(network.net.storage) == network.spec.n_charger_buses
    storages = [k for k, name in enumerate(network.spec.generators) if "Storage" in name]
    assert len(storages) == 8
    assert network.spec.generator_kw[storages].sum() == pytest.approx(93.0)
    day = world.sample(0, date(2023, 6, 1)).network
    assert day is not None
    fed_kw = day.generator_kw[:, storages].sum(axis=1)  # from noon on
    assert fed_kw[:4].min() > 5.0 * fed_kw[48:60].max()
    assert fed_kw.min() >= 0.0
