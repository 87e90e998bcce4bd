"""How a cost that nobody causes alone is split among the ports, so that the parts sum to the whole."""

from __future__ import annotations

import numpy as np

from ev_marl.scenario.schema import ShareRule
from ev_marl.site.arrays import SiteArrays


def equal_shares(site: SiteArrays) -> np.ndarray:
    """Every agent the same; a station's part is spread evenly over its ports; float64, shape (n_ports,), sum 1."""
    ports_of_station = np.diff(site.station_first_port)
    shares: np.ndarray = 1.0 / (site.n_stations * ports_of_station[site.port_station])
    return shares


def split_cost(
    cost: np.ndarray, responsible_kw: np.ndarray, site: SiteArrays, split: ShareRule, out: np.ndarray
) -> None:
    """Split one cost per row among the ports.

    Parameters
    ----------
    cost : float64, shape (n_batch,)
        What is to be paid in this step [currency].
    responsible_kw : float64, shape (n_batch, n_ports)
        Power in the direction that causes the cost, >= 0 [kW].
    site : SiteArrays
        Stations and ports.
    split : {"equal", "responsibility"}
        Evenly among agents, or in proportion to `responsible_kw`; where nobody is responsible, evenly.
    out : float64, shape (n_batch, n_ports)
        Written: each port's part [currency].
    """
    shares = equal_shares(site)
    if split == "equal":
        np.multiply(cost[:, None], shares, out=out)
        return
    total = responsible_kw.sum(axis=1, keepdims=True)
    someone = total > 0.0
    np.divide(responsible_kw, total, out=out, where=someone)
    np.copyto(out, shares, where=~someone)
    out *= cost[:, None]
