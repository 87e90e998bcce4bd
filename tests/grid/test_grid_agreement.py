"""Where agreement is hardest: at the edge of what has a solution, with several slacks; and the table of the docs."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pandapower = pytest.importorskip("pandapower")
pytest.importorskip("lightsim2grid")
pytest.importorskip("simbench")

import pandapower.networks as networks  # noqa: E402  they need pandapower

from ev_marl.cli import app  # noqa: E402  they need pandapower
from ev_marl.grid.model.network import Network, load_buses  # noqa: E402
from ev_marl.grid.solvers import newton  # noqa: E402
from ev_marl.grid.solvers.base import Injections, take_rows  # noqa: E402
from ev_marl.grid.solvers.checks import compare, random_states  # noqa: E402
from ev_marl.grid.solvers.choose import make_backend  # noqa: E402
from ev_marl.grid.solvers.newton import NewtonBackend  # noqa: E402
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend  # noqa: E402
from ev_marl.grid.solvers.zbus import MOST_ITERATIONS, ZBusBackend  # noqa: E402
from ev_marl.grid.studies import agreement  # noqa: E402
from ev_marl.scenario.schema.grid import Grid  # noqa: E402
from ev_marl.support.errors import NetworkError  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "grid-agreement.md"


def rural() -> Network:
    """SimBench's rural low-voltage network, with chargers at its loads."""
    grid = Grid(network="1-LV-rural1--0-sw")
    return Network.of(grid, Network.load_buses(grid))


def scaled(states: Injections, factor: np.ndarray) -> Injections:
    """Every state times its factor."""
    return Injections(*(getattr(states, field.name) * factor[:, None] for field in fields(Injections)))


@pytest.fixture(scope="module")
def edge() -> tuple[Network, Injections, np.ndarray]:
    """Eight states of a network, and the factor on each at which solutions end."""
    network = rural()
    backend, states = ZBusBackend(network), random_states(network.spec, 8, seed=5)
    low, high = np.zeros(8), np.full(8, 1000.0)
    for _ in range(28):
        middle = (low + high) / 2
        found = backend.solve(scaled(states, middle)).converged
        low, high = np.where(found, middle, low), np.where(found, high, middle)
    return network, states, low


def test_flags_agree_where_solutions_end(edge: tuple[Network, Injections, np.ndarray]) -> None:
    network, base, factor = edge
    states = scaled(base.rows(np.tile(np.arange(8), 2)), np.concatenate([0.999 * factor, 1.001 * factor]))
    flow, expected = ZBusBackend(network).solve(states), PandapowerBackend(network).solve(states)
    assert expected.converged.tolist() == [True] * 8 + [False] * 8
    assert compare(flow, expected, network.spec).problems() == []


def test_what_the_fixed_point_leaves_is_decided_by_newton(
    edge: tuple[Network, Injections, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, base, factor = edge
    states, backend = scaled(base, 0.9999 * factor), ZBusBackend(network)
    reference = PandapowerBackend(network).solve(states)
    flow = backend.solve(states)
    assert compare(flow, reference, network.spec).problems() == []
    with monkeypatch.context() as patch:
        patch.setattr(newton, "newtonpf_new", None)
        without = ZBusBackend(network).solve(states)
    left = flow.converged & ~without.converged
    assert left.any()
    assert (without.iterations[left] == MOST_ITERATIONS).all()
    kept = np.flatnonzero(without.converged)
    for field in fields(flow):
        one, other = (getattr(take_rows(each, kept), field.name) for each in (flow, without))
        np.testing.assert_array_equal(one, other)
    for row in range(8):
        alone = backend.solve(states.rows(np.array([row])))
        np.testing.assert_array_equal(alone.vm_pu[0], flow.vm_pu[row])
        np.testing.assert_array_equal(alone.slack_kw[0], flow.slack_kw[row])


def test_without_lightsim2grid_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "newtonpf_new", None)
    assert make_backend(rural()).name == "zbus"
    held = networks.case9()
    network = Network.from_net(held, "case9", load_buses(held))
    assert make_backend(network).name == "pandapower"
    with pytest.raises(NetworkError, match=r"needs lightsim2grid: pip install \"ev-marl\[grid\]\""):
        make_backend(network, "newton")


@pytest.mark.parametrize("held", [False, True])
def test_slacks_with_voltages_and_angles_of_their_own(held: bool) -> None:
    net = networks.create_cigre_network_mv()
    pandapower.create_ext_grid(net, 7, vm_pu=1.02, va_degree=0.5 - net.trafo.shift_degree.iloc[0])
    if held:
        pandapower.create_gen(net, 10, p_mw=0.5, vm_pu=1.01)
    network = Network.from_net(net, "two slacks", load_buses(net))
    states = random_states(network.spec, 8, seed=2)
    reference = PandapowerBackend(network).solve(states)
    assert reference.converged.all()
    for kind in (NewtonBackend,) if held else (NewtonBackend, ZBusBackend):
        assert compare(kind(network).solve(states), reference, network.spec).problems() == []


def test_a_number_that_only_one_of_them_has_is_a_difference() -> None:
    network = rural()
    states = random_states(network.spec, 3)
    one, other = (ZBusBackend(network).solve(states) for _ in range(2))
    assert compare(one, other, network.spec).problems() == []
    one.line_percent[1, 0] = np.nan
    assert math.isinf(compare(one, other, network.spec).line_percent)
    assert "line loadings differ by inf" in compare(one, other, network.spec).problems()[0]


def test_the_table_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "BATCH", 16)
    monkeypatch.setattr(agreement, "PASSES", 1)
    file = tmp_path / "page.md"
    command = ["grid", "agreement", "--out", str(file), "--states", "16", "--only", "ieee 14", "--only", "cigre lv"]
    assert CliRunner().invoke(app, command).exit_code == 0
    text = file.read_text()
    rows = [
        line.split(" | ")
        for line in text.partition("## Time")[0].splitlines()
        if line.startswith(("| IEEE", "| CIGRE"))
    ]
    assert [row[2] for row in rows] == ["**`zbus`**", "`newton`", "**`newton`**"]
    for row in rows:
        assert 0 < float(row[4]) <= 1e-6
        assert 0 < float(row[5]) <= 1e-3
        assert row[7].startswith("yes")
    times = [line.split(" | ") for line in text.partition("## Time")[2].splitlines() if line.startswith("| CIGRE")]
    assert float(times[0][6].replace(",", "")) > 1, "compiled code is faster than pandapower"
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "exists" in again.stderr


def test_a_backend_that_is_wrong_fails_the_command() -> None:
    options = ["--states", "8", "--no-times", "--only", "ieee 14", "--also", "grid_backend_cases:Shifted"]
    result = CliRunner().invoke(app, ["grid", "agreement", *options])
    assert result.exit_code == 1
    assert "IEEE 14, 4 generators, shifted: voltages differ by 1.0" in result.stderr
    nothing = CliRunner().invoke(app, ["grid", "agreement", "--only", "nowhere"])
    assert nothing.exit_code == 1
    assert "no network has nowhere in its title: CIGRE LV; " in nothing.stderr


def test_the_page_of_the_docs_is_of_these_networks() -> None:
    table = PAGE.read_text().partition("## Time")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert list(dict.fromkeys(row[0].removeprefix("| ") for row in rows)) == [case.title for case in agreement.CASES]
    assert sum("SimBench" in case.title for case in agreement.CASES) >= 3
    assert {row[7].rstrip(" |") for row in rows} == {"yes"}
    assert max(float(row[4]) for row in rows) <= 1e-6
