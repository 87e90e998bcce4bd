"""Backends of others: what the conformance check says of ours and of wrong ones, and a second engine that passes it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pandapower = pytest.importorskip("pandapower")
pytest.importorskip("lightsim2grid")
pytest.importorskip("simbench")

import grid_backend_cases as cases  # noqa: E402  they need pandapower
from grid_backend_cases import NETWORKS, network_of, saved, two_buses  # noqa: E402

from ev_marl.grid.solvers.base import Injections, PowerFlow  # noqa: E402
from ev_marl.grid.solvers.checks import differences, random_states  # noqa: E402
from ev_marl.grid.solvers.choose import make_backend  # noqa: E402
from ev_marl.grid.solvers.newton import NewtonBackend  # noqa: E402
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend  # noqa: E402
from ev_marl.grid.solvers.zbus import ZBusBackend  # noqa: E402
from ev_marl.support.errors import NetworkError  # noqa: E402
from ev_marl.testing import check_grid_backend  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples" / "grid_backends"
MAPPED = [name for name in NETWORKS if name != "case118"]


@pytest.fixture
def power_grid_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the example."""
    pytest.importorskip("power_grid_model")
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("power_grid_model_backend")


def test_the_fast_backends_conform(tmp_path: Path) -> None:
    medium = network_of(NETWORKS["medium"](tmp_path))
    check_grid_backend(ZBusBackend(medium), medium, n_states=8)
    generators = network_of("case14")
    check_grid_backend(NewtonBackend(generators), generators, n_states=8)


def test_pandapower_conforms(tmp_path: Path) -> None:
    network = network_of(saved(two_buses(), tmp_path))
    check_grid_backend(PandapowerBackend(network), network, n_states=6)


class Blind(ZBusBackend):
    """Sees a solution where there is none."""

    name = "blind"

    def solve(self, injections: Injections) -> PowerFlow:
        """Flags nothing."""
        flow = super().solve(injections)
        flow.converged[:] = True
        return flow


class Writing(ZBusBackend):
    """Uses what it is given as its own."""

    name = "writing"

    def solve(self, injections: Injections) -> PowerFlow:
        """Leaves the loads doubled."""
        flow = super().solve(injections)
        injections.load_kw *= 2.0
        return flow


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (cases.Shifted, "voltages differ by"),
        (cases.Reused, "vm_pu is not a new array"),
        (cases.Coupled, "depends on the order of the batch"),
        (cases.Deaf, r"taps \{1: 1\}: does not agree"),
        (Blind, "flags `converged` differ"),
        (Writing, "it wrote to injections.load_kw"),
    ],
)
def test_wrong_backends_are_found_out(backend: Any, message: str, tmp_path: Path) -> None:
    net = two_buses()
    high = pandapower.create_bus(net, vn_kv=20.0)
    pandapower.create_transformer(net, high, 0, std_type="0.25 MVA 20/0.4 kV")
    net.ext_grid["bus"] = high
    pandapower.create_transformer(net, high, 0, std_type="0.4 MVA 20/0.4 kV")
    net.trafo.loc[0, ["tap_min", "tap_max"]] = 0
    network = network_of(saved(net, tmp_path))
    with pytest.raises(AssertionError, match=message):
        check_grid_backend(backend(network), network, n_states=6)


@pytest.mark.parametrize("name", MAPPED)
def test_power_grid_model_agrees(name: str, power_grid_model: Any, tmp_path: Path) -> None:
    network = network_of(NETWORKS[name](tmp_path))
    backend = power_grid_model.PowerGridModelBackend(network)
    assert differences(backend, PandapowerBackend(network), 8).problems(**backend.tolerances) == []


def test_power_grid_model_differs_by_its_transformers_alone(power_grid_model: Any, tmp_path: Path) -> None:
    """pandapower runs with a T by default; with its pi, both engines say the same."""
    network = network_of(NETWORKS["semiurban"](tmp_path))
    states = random_states(network.spec, 1)
    net = network.net
    net.load["p_mw"], net.load["q_mvar"] = states.load_kw[0] / 1000, states.load_kvar[0] / 1000
    net.sgen["p_mw"], net.sgen["q_mvar"] = states.generator_kw[0] / 1000, states.generator_kvar[0] / 1000
    net.storage.loc[net.storage.index[network.charger_rows], "p_mw"] = states.charger_kw[0] / 1000
    net.storage.loc[net.storage.index[network.charger_rows], "q_mvar"] = states.charger_kvar[0] / 1000
    found = power_grid_model.PowerGridModelBackend(network).solve(states).vm_pu[0]
    apart = {}
    for model in ("t", "pi"):
        pandapower.runpp(net, trafo_model=model, tolerance_mva=1e-10, lightsim2grid=False)
        apart[model] = np.nanmax(np.abs(net.res_bus.vm_pu.to_numpy() - found))
    assert apart["t"] > 1e-7
    assert apart["pi"] < 1e-10


@pytest.mark.parametrize("name", ["islands", "medium"])
def test_power_grid_model_conforms(name: str, power_grid_model: Any, tmp_path: Path) -> None:
    network = network_of(NETWORKS[name](tmp_path))
    check_grid_backend(power_grid_model.PowerGridModelBackend(network), network, batch=1e-6, n_states=8)


def test_power_grid_model_by_its_name_in_a_scenario(power_grid_model: Any) -> None:
    network = network_of("cigre_lv")
    assert make_backend(network, "power_grid_model_backend:PowerGridModelBackend").name == "power-grid-model"
    with pytest.raises(NetworkError, match="maps no such elements: gen"):
        make_backend(network_of("case14"), "power_grid_model_backend:PowerGridModelBackend")
