"""What a policy knows: its own information, and whether the outlook that it uses tells the future.

A policy that uses an outlook which foresees more than prices knows the whole future, whatever its name: also a station
that plans by itself on a known base load. Known prices alone are no foresight, since day-ahead prices are published.
"""

from __future__ import annotations

from collections.abc import Iterable

from ev_marl.env.interface import Interface
from ev_marl.objective import Objective
from ev_marl.planning.outlook import KINDS, ComposedOutlook, Kind
from ev_marl.planning.worth import OWN_PRICES, Worth
from ev_marl.policies.base import Information, ObservingPolicy, Policy


def looks_at(policy: Policy | ObservingPolicy, objective: Objective, *, with_grid: bool) -> tuple[Kind, ...]:
    """Kinds of later values that a policy uses besides prices, from its attribute `looks_at`.

    Without that attribute they are all kinds that it is told: with information "own", those in the view of a station.

    Parameters
    ----------
    policy : Policy or ObservingPolicy
        The policy.
    objective : Objective
        Says where energy is billed: at a meter of each port, the base load means nothing to a station.
    with_grid : bool
        Whether there is a network above the site.
    """
    told = OWN_PRICES if policy.information == "own" else KINDS
    return _that_matter(policy, getattr(policy, "looks_at", told), objective, with_grid=with_grid)


def known_to(
    policy: Policy | ObservingPolicy,
    outlook: ComposedOutlook,
    objective: Objective,
    interface: Interface | None,
    *,
    with_grid: bool,
) -> Information:
    """What a policy knows where it runs; "future" where something foresees that it looks at.

    Parameters
    ----------
    policy : Policy or ObservingPolicy
        The policy.
    outlook : ComposedOutlook
        Its outlook: that of the scenario, with the keys that it sets itself.
    objective, with_grid : Objective, bool
        As for `looks_at`.
    interface : Interface, optional
        What it observes and answers by, with the outlook of the scenario; None: it has a view.
    """
    foresees = outlook.foresees_any(looks_at(policy, objective, with_grid=with_grid))
    if interface is not None:
        shown = _that_matter(policy, interface.looks_at, objective, with_grid=with_grid)
        foresees = foresees or interface.outlook.foresees_any(shown)
    return "future" if foresees else policy.information


def _that_matter(
    policy: Policy | ObservingPolicy, kinds: Iterable[Kind], objective: Objective, *, with_grid: bool
) -> tuple[Kind, ...]:
    absent: set[Kind] = {"prices"}
    if not with_grid:
        absent.add("grid")
    if Worth.of(objective).metering == "port" and policy.information in ("own", "messages"):
        absent.add("base_load")
    return tuple(kind for kind in kinds if kind not in absent)
