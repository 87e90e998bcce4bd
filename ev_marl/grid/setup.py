"""The network of a scenario, ready to be put into a simulator."""

from __future__ import annotations

from ev_marl.errors import NetworkError
from ev_marl.grid.loop import GridLoop
from ev_marl.grid.taps import TapChanger
from ev_marl.scenario.grid import Grid
from ev_marl.site.site import Site


def grid_loop(grid: Grid, site: Site) -> GridLoop:
    """Choose and check the backends of a site's network.

    Parameters
    ----------
    grid : Grid
        What the scenario says of the network.
    site : Site
        Made with it.

    Raises
    ------
    NetworkError
        If the backend does not agree with pandapower on this network.
    """
    from ev_marl.grid.choose import make_backend  # noqa: PLC0415  pandapower is heavy, and optional

    if site.network is None:
        raise NetworkError(f"site '{site.name}' hangs on no network; make it with `grid=`")
    backend = make_backend(site.network, grid.backend)
    reference = backend if backend.name == "pandapower" else make_backend(site.network, "pandapower")
    control = grid.tap_control
    return GridLoop(
        site=site,
        backend=backend,
        reference=reference,
        limits=grid.limits,
        chargers=grid.chargers,
        curtails=grid.coordinator == "curtail",
        safe_fraction=grid.safe_fraction,
        taps=None if control is None else TapChanger(site.network, control, backend, reference),
    )
