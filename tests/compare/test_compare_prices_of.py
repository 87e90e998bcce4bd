"""Prices of decentralisation and of anarchy: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ev_marl.compare.prices_of import price_of


def test_a_price_by_hand():
    # Two days: the optimum costs 10 and 30, the policy 12 and 36, uncontrolled charging 20 and 60.
    price = price_of(np.array([-12.0, -36.0]), np.array([-10.0, -30.0]), np.array([-20.0, -60.0]))
    assert price.ratio == pytest.approx(48 / 40)
    assert price.per_day == pytest.approx(4.0)
    assert price.points == pytest.approx(8 / 40)


def test_the_optimum_itself_has_no_price():
    bound = np.array([-10.0, -30.0])
    price = price_of(bound, bound, bound - 5.0)
    assert (price.ratio, price.per_day, price.points) == (1.0, 0.0, 0.0)


def test_where_the_optimum_earns_there_is_a_difference_but_no_ratio():
    price = price_of(np.array([-1.0]), np.array([3.0]), np.array([-5.0]))
    assert np.isnan(price.ratio)
    assert price.per_day == pytest.approx(4.0)
    assert price.points == pytest.approx(0.5)


def test_where_nothing_can_be_gained_there_are_no_points():
    price = price_of(np.array([-4.0]), np.array([-4.0]), np.array([-4.0]))
    assert price.ratio == 1.0
    assert np.isnan(price.points)
