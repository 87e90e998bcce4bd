"""The network of a scenario, ready to be put into a simulator."""

from __future__ import annotations

from ev_marl.grid.loop.loop import GridLoop
from ev_marl.grid.loop.taps import TapChanger
from ev_marl.scenario.problems import ScenarioError
from ev_marl.scenario.schema import Scenario
from ev_marl.site.site import Site
from ev_marl.support.errors import NetworkError


def grid_loop(scenario: Scenario, site: Site) -> GridLoop | None:
    """Choose and check the backends of a site's network; None where the scenario has none.

    Parameters
    ----------
    scenario : Scenario
        What happens on the network.
    site : Site
        Made with it.

    Raises
    ------
    ScenarioError
        If there is no such backend, or it does not agree with pandapower on this network, or if there is nothing to
        control taps of; or if it is to curtail ports that have levels.
    """
    grid = scenario.grid
    if grid is None:
        return None
    from ev_marl.grid.solvers.choose import make_backend  # noqa: PLC0415  pandapower is heavy, and optional
    from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend  # noqa: PLC0415

    if site.network is None:
        raise NetworkError(f"site '{site.name}' has no network; make it with `grid=`")
    with scenario.places.blamed("grid", "backend"):
        backend = make_backend(site.network, grid.backend, trust=scenario.trusted)
        reference = backend if backend.name == "pandapower" else PandapowerBackend(site.network)
    with scenario.places.blamed("grid", "tap_control"):
        control = grid.tap_control
        taps = None if control is None else TapChanger(site.network, control, backend, reference)
    if site.arrays.has_levels and grid.coordinator == "curtail":
        message = "stations with a least power or levels cannot be curtailed by a network; choose `none`"
        raise ScenarioError([scenario.places.problem(("grid", "coordinator"), message)])
    return GridLoop(
        site=site,
        backend=backend,
        reference=reference,
        limits=grid.limits,
        chargers=grid.chargers,
        curtails=grid.coordinator == "curtail",
        safe_fraction=grid.safe_fraction,
        taps=taps,
    )
