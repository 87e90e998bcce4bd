"""Whether two backends agree on a network: states in, the largest differences out."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ev_marl.grid.model.spec import NetworkSpec
from ev_marl.grid.solvers.base import GridBackend, Injections, PowerFlow

VOLTAGE_PU = 1e-6
LOADING_PERCENT = 1e-3
POWER_SHARE = 1e-5  # of the network's own power, or what it draws if that is more, for slack and losses
LIGHTEST = 1 / 256  # of the usual random states, where a network solves no heavier ones


def tolerances(backend: GridBackend) -> dict[str, float]:
    """What a backend promises, by the arguments of `Differences.problems`: its own word, or else the usual."""
    usual = {"voltage_pu": VOLTAGE_PU, "loading_percent": LOADING_PERCENT, "power_share": POWER_SHARE}
    return {**usual, **getattr(backend, "tolerances", {})}


@dataclass(frozen=True)
class Differences:
    """How far one backend is from another on the same states."""

    states: int
    converged: int  # of the reference
    voltage_pu: float  # largest difference at any bus and state
    line_percent: float  # in percentage points
    transformer_percent: float
    power_share: float  # of slack power and losses, over the network's own power, or what it draws if that is more [-]
    same_converged: bool
    same_dead_buses: bool

    def problems(
        self,
        *,
        voltage_pu: float = VOLTAGE_PU,
        loading_percent: float = LOADING_PERCENT,
        power_share: float = POWER_SHARE,
    ) -> list[str]:
        """What is beyond a tolerance, one sentence each."""
        found = []
        if not self.converged:
            found.append("the reference solves none of the states")
        if not self.same_converged:
            found.append("the flags `converged` differ")
        if not self.same_dead_buses:
            found.append("other voltages are NaN")
        limits = (
            ("voltages", self.voltage_pu, voltage_pu, "p.u."),
            ("line loadings", self.line_percent, loading_percent, "percentage points"),
            ("transformer loadings", self.transformer_percent, loading_percent, "percentage points"),
            ("slack power and losses", self.power_share, power_share, "of the network's power"),
        )
        found += [
            f"{what} differ by {difference:.3g} {unit}, {limit:.3g} is allowed"
            for what, difference, limit, unit in limits
            if not difference <= limit
        ]
        return found


def compare(flow: PowerFlow, reference: PowerFlow, spec: NetworkSpec) -> Differences:
    """Differences of two results for the same states; values count where both converged."""
    both = flow.converged & reference.converged
    own_kw = float(np.abs(spec.load_kw).sum() + np.abs(spec.generator_kw).sum())
    largest_kw = max(1.0, own_kw, float(np.abs(reference.slack_kw[both]).max(initial=0.0)))

    def apart(name: str) -> float:
        one, other = getattr(flow, name)[both], getattr(reference, name)[both]
        difference = np.abs(one - other)[~(np.isnan(one) & np.isnan(other))]
        return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))

    return Differences(
        states=len(both),
        converged=int(reference.converged.sum()),
        voltage_pu=apart("vm_pu"),
        line_percent=apart("line_percent"),
        transformer_percent=apart("transformer_percent"),
        power_share=max(apart("slack_kw"), apart("slack_kvar"), apart("losses_kw")) / largest_kw,
        same_converged=bool((flow.converged == reference.converged).all()),
        same_dead_buses=bool((np.isnan(flow.vm_pu[both]) == np.isnan(reference.vm_pu[both])).all()),
    )


def random_states(
    spec: NetworkSpec, n_states: int, seed: int = 0, *, charger_kw: float | None = None, scale: float = 1.0
) -> Injections:
    """States of a network from light to heavy load, some with more fed in than drawn.

    Parameters
    ----------
    spec : NetworkSpec
        The network.
    n_states : int
        How many.
    seed : int
        The same one gives the same states.
    charger_kw : float, optional
        Most power at a charger bus; left out, the network's own load spread over the charger buses, 5 kW at least [kW].
    scale : float
        Factor on all powers [-].
    """
    rng = np.random.default_rng(seed)
    states = Injections.zeros(spec, n_states)
    load = rng.uniform(0.1, 1.0, (n_states, 1)) * rng.uniform(0.7, 1.3, (n_states, spec.n_loads))
    states.load_kw[:], states.load_kvar[:] = spec.load_kw * load, spec.load_kvar * load
    sun = rng.uniform(0.0, 1.0, (n_states, 1)) * rng.uniform(0.8, 1.2, (n_states, spec.n_generators))
    states.generator_kw[:], states.generator_kvar[:] = spec.generator_kw * sun, spec.generator_kvar * sun
    if spec.n_charger_buses:
        share_kw = max(5.0, float(np.abs(spec.load_kw).sum()) / spec.n_charger_buses)
        most_kw = share_kw if charger_kw is None else charger_kw
        states.charger_kw[:] = most_kw * rng.uniform(-0.5, 0.5, (n_states, 1))
        states.charger_kw += most_kw * rng.uniform(-0.2, 0.4, states.charger_kw.shape)
        states.charger_kvar[:] = rng.uniform(-0.3, 0.3, states.charger_kw.shape) * states.charger_kw
    for field in fields(Injections):
        getattr(states, field.name)[:] *= scale
    return states


def solvable_states(reference: GridBackend, n_states: int, seed: int = 0) -> tuple[Injections, PowerFlow]:
    """Random states and what the reference says; lighter ones where it finds no solution for most of them."""
    scale = 1.0
    while True:
        states = random_states(reference.spec, n_states, seed, scale=scale)
        flow = reference.solve(states)
        if 2 * flow.converged.sum() >= n_states or scale <= LIGHTEST:
            return states, flow
        scale /= 4


def differences(backend: GridBackend, reference: GridBackend, n_states: int = 8, seed: int = 0) -> Differences:
    """Solve the same random states with both, as `solvable_states` chooses them."""
    states, expected = solvable_states(reference, n_states, seed)
    return compare(backend.solve(states), expected, reference.spec)
