"""The backend of a network: the fastest that agrees with pandapower, or the one that is asked for, if it agrees."""

from __future__ import annotations

from ev_marl.grid.model.network import Network
from ev_marl.grid.solvers import newton, pandapower_backend, zbus  # noqa: F401  they register themselves
from ev_marl.grid.solvers.base import BACKENDS, GridBackend
from ev_marl.grid.solvers.checks import differences, tolerances
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend
from ev_marl.support.errors import NetworkError

SELF_CHECK_STATES = 8
IN_TURN = ("zbus", "newton")  # what `auto` tries, before pandapower itself


def make_backend(network: Network, name: str = "auto", *, trust: bool = True) -> GridBackend:
    """A backend that agrees with pandapower on random states of this very network.

    Parameters
    ----------
    network : Network
        The network.
    name : str
        "auto", a registered name ("zbus", "newton", "pandapower", or that of an entry point), or module:Class.
    trust : bool
        Whether module:Class may be imported; not where the name comes from a file that nobody trusts.

    Raises
    ------
    UnknownNameError
        If there is no such backend.
    NetworkError
        If the named backend cannot represent the network, or does not agree with pandapower on it within the
        tolerances that it states.
    """
    if name == "pandapower":
        return PandapowerBackend(network, compiled=True)
    reference = PandapowerBackend(network)
    if name != "auto":
        backend = BACKENDS.make(name, network, trust=trust)
        problems = differences(backend, reference, SELF_CHECK_STATES).problems(**tolerances(backend))
        if problems:
            raise NetworkError(
                f"grid backend '{name}' does not agree with pandapower on network '{network.spec.name}': "
                f"{'; '.join(problems)}; leave `backend` out to have one chosen"
            )
        return backend
    for candidate in IN_TURN:
        try:
            backend = BACKENDS.make(candidate, network)
        except NetworkError:  # it says so where it cannot represent the network; the next one may
            continue
        if not differences(backend, reference, SELF_CHECK_STATES).problems():
            return backend
    return PandapowerBackend(network, compiled=True)
