"""The life that the site's transformers lose: hours of normal life of their insulation, by IEC 60076-7.

What comes in is the load and the temperature of the air; the oil remembers the hours before. The law is convex in the
powers of all steps together: the steady rises of oil and winding are convex in the load, the oil is a mean of them over
time, and the rate of ageing is increasing and convex in the temperature. So plans can count it, from below: the rises
by a few tangents each, the rate of ageing by tangents where a plan needs them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ev_marl.grid.loop import thermal
from ev_marl.objective.base import TERMS, DayModel, Expression, Term
from ev_marl.objective.split import split_cost
from ev_marl.scenario.schema import Scenario, ShareRule
from ev_marl.simulation.flow import Flow
from ev_marl.site.arrays import SiteArrays
from ev_marl.support.errors import ObjectiveError

N_TANGENTS = 16  # of each rise, spread evenly over the loads that are possible
MOST_LOAD = 2.0  # over the rating: beyond, rises go on as straight lines
HOTTEST_C = 140.0  # beyond, the rate of ageing goes on as a straight line; the standard's highest for an emergency


@TERMS.register("transformer_ageing")
class TransformerAgeing:
    """Price of the life of the site's transformers, with the base load.

    Parameters
    ----------
    price_per_h : float
        Of an hour of normal life [currency/h].
    split : {"equal", "responsibility"}
        Evenly among agents, or by their charging power below the transformer.
    """

    name = "transformer_ageing"
    keys: ClassVar[tuple[str, ...]] = ("transformer_ageing",)

    def __init__(self, price_per_h: float, split: ShareRule = "responsibility") -> None:
        self.price_per_h = price_per_h
        self.split = split

    @classmethod
    def of(cls, scenario: Scenario, beside: Sequence[Term]) -> Self | None:
        """With a price above 0.

        Raises
        ------
        ObjectiveError
            If the site has no transformer.
        """
        keys = scenario.objective
        if not keys.transformer_ageing:
            return None
        if all(group.transformer is None for group in scenario.site.all_groups()):
            raise ObjectiveError("objective term 'transformer_ageing' needs a group of the site with `transformer`")
        return cls(keys.transformer_ageing, keys.split)

    def cost(self, flow: Flow, out: np.ndarray) -> None:
        """price·(hours of normal life used in the step)."""
        _check_followed(flow.site)
        assert flow.aged_h is not None
        charging_kw, part = np.maximum(0.0, flow.granted_kw), np.zeros_like(out)
        out[:] = 0.0
        for k, group in enumerate(flow.site.thermal[0].astype(np.int64).tolist()):
            below = np.zeros_like(charging_kw)
            ports = slice(flow.site.group_first_port[group], flow.site.group_end_port[group])
            below[:, ports] = charging_kw[:, ports]
            split_cost(self.price_per_h * flow.aged_h[:, k], below, flow.site, self.split, part)
            out += part

    def expression(self, day: DayModel) -> Expression:
        """The same for all steps, never more."""
        _check_followed(day.site)
        total = day.linear([], [])
        for k, (group, kva) in enumerate(day.site.thermal.T.tolist()):
            total = total + self._of_one(day, int(group), kva, float(day.oil_k[k]))
        return total

    def _of_one(self, day: DayModel, group: int, kva: float, oil_k: float) -> Expression:
        """The cost of one transformer, whose oil is so much warmer than the air at first."""
        n_steps, base_kw = day.n_steps, day.base_load_kw[:, group]
        step = np.arange(n_steps)
        ends = np.clip(
            (np.stack([day.least_kw[:, group], day.most_kw[:, group]]) + base_kw) / kva, -MOST_LOAD, MOST_LOAD
        )
        rises, bounds = [], []
        for name, value, slope in (("steady oil", _steady_oil_k, _oil_slope), ("winding", _winding_k, _winding_slope)):
            least = np.where((ends[0] < 0.0) & (ends[1] > 0.0), value(0.0), value(ends).min(axis=0))
            most = value((np.stack([day.least_kw[:, group], day.most_kw[:, group]]) + base_kw) / kva).max(axis=0)
            rise = day.variables(f"{name} {group}", least, most)
            at = np.linspace(ends[0], ends[1], N_TANGENTS)  # (n, T)
            differ = np.concatenate([np.full((1, n_steps), True), np.diff(at, axis=0) > 1e-9])
            touch, when = at[differ], np.broadcast_to(step, at.shape)[differ]
            power = day.group_power(np.full_like(when, group), when)
            steep = slope(touch) / kva
            day.at_least(
                f"{name} {group}", rise[when] - steep * power, value(touch) + steep * (base_kw[when] - touch * kva)
            )
            rises.append(rise)
            bounds.append((least, most))
        kept = math.exp(-day.step_h / thermal.OIL_TIME_H)  # of the oil's distance to where it goes
        oil_bounds = np.full((2, n_steps), oil_k)
        for t in range(1, n_steps):
            oil_bounds[:, t] = kept * oil_bounds[:, t - 1] + (1.0 - kept) * np.array(bounds[0])[:, t - 1]
        steady, winding = rises
        oil = day.variables(f"oil {group}", *oil_bounds)
        before, after = step[:-1], step[1:]
        day.equal(f"oil {group}", oil[after] - kept * oil[before] - (1.0 - kept) * steady[before], 0.0)
        n_fine = thermal.fine_steps(day.step_h)
        edges = np.exp(-np.arange(n_fine + 1) * day.step_h / n_fine / thermal.OIL_TIME_H)
        of_oil = np.tile(0.5 * (edges[1:] + edges[:-1]), n_steps)
        when = np.repeat(step, n_fine)
        least_c, most_c = (
            day.temperature_c[when]
            + of_oil * oil_bounds[i, when]
            + (1.0 - of_oil) * bounds[0][i][when]
            + bounds[1][i][when]
            for i in range(2)
        )
        aged = day.variables(f"aged {group}", _rate(least_c), _rate(most_c))
        air_c = day.temperature_c[when]
        day.above_convex(
            f"ageing {group}",
            aged,
            of_oil * oil[when] + (1.0 - of_oil) * steady[when] + winding[when],
            lambda rise_k: _rate(rise_k + air_c),
            lambda rise_k: _rate_slope(rise_k + air_c),
        )
        return day.linear(aged, np.full(len(when), self.price_per_h * day.step_h / n_fine))


def _check_followed(site: SiteArrays) -> None:
    if not site.n_thermal:
        raise ObjectiveError(
            "objective term 'transformer_ageing': the site does not follow the temperature of its transformers; make "
            "it with Site.from_scenario of a scenario with `objective: {transformer_ageing: ...}`"
        )


def _steady_oil_k(load: np.ndarray | float) -> np.ndarray:
    return np.asarray(thermal.steady_oil_rise_k(100.0 * np.abs(load)))


def _oil_slope(load: np.ndarray) -> np.ndarray:
    """By the load, over the rating."""
    relative = 2.0 * thermal.LOSS_RATIO * load / (1.0 + thermal.LOSS_RATIO * load**2)
    return np.asarray(thermal.OIL_EXPONENT * relative * _steady_oil_k(load))


def _winding_k(load: np.ndarray | float) -> np.ndarray:
    return np.asarray(thermal.HOT_SPOT_RISE_K * np.abs(load) ** thermal.WINDING_EXPONENT)


def _winding_slope(load: np.ndarray) -> np.ndarray:
    power = thermal.WINDING_EXPONENT
    return np.asarray(np.sign(load) * thermal.HOT_SPOT_RISE_K * power * np.abs(load) ** (power - 1.0))


def _rate(spot_c: np.ndarray) -> np.ndarray:
    """Hours of normal life in an hour, from `HOTTEST_C` on a straight line."""
    return np.asarray(thermal.ageing_rate(np.minimum(spot_c, HOTTEST_C)) + _rate_slope(spot_c) * _beyond(spot_c))


def _rate_slope(spot_c: np.ndarray) -> np.ndarray:
    return np.asarray(math.log(2.0) / thermal.DOUBLING_K * thermal.ageing_rate(np.minimum(spot_c, HOTTEST_C)))


def _beyond(spot_c: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, spot_c - HOTTEST_C)
