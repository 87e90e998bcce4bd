"""Networks are found by what a scenario calls them, made ready for a site, and say what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pandapower = pytest.importorskip("pandapower")
pytest.importorskip("simbench")

import pandapower.networks as networks  # noqa: E402  they need pandapower

from ev_marl.grid.model.network import Network, bus_index, load_buses  # noqa: E402
from ev_marl.grid.model.sources import network_functions  # noqa: E402
from ev_marl.grid.solvers.base import Injections  # noqa: E402
from ev_marl.grid.solvers.pandapower_backend import PandapowerBackend  # noqa: E402
from ev_marl.grid.solvers.zbus import ZBusBackend  # noqa: E402
from ev_marl.scenario.schema.grid import AddedPv, Grid  # noqa: E402
from ev_marl.site import Site  # noqa: E402
from ev_marl.support.errors import NetworkError  # noqa: E402


def street() -> Any:
    """CIGRE's low-voltage network, each test's own."""
    return networks.create_cigre_network_lv()


def fingerprint(net: Any) -> str:
    """Of the network with chargers at one bus."""
    return Network.from_net(net, "street", ["Bus R11"]).spec.fingerprint


@pytest.mark.parametrize(
    ("choice", "n_buses"),
    [
        ("cigre_lv", 44),
        ("create_cigre_network_lv", 44),
        ("case33bw", 33),
        ("create_kerber_landnetz_freileitung_1", 15),
        ({"pandapower": "cigre_mv", "options": {"with_der": "pv_wind"}}, 15),
        ("1-LV-rural1--0-sw", 15),
        ({"simbench": "1-LV-rural1--0-sw"}, 15),
    ],
)
def test_networks_by_name(choice: Any, n_buses: int) -> None:
    grid = Grid(network=choice)
    bus = Network.load_buses(grid)[0]
    network = Network.of(grid, [bus])
    assert network.spec.n_buses == n_buses
    assert network.spec.buses[network.spec.charger_bus[0]] in network.net.storage.name.iloc[-1]
    assert network.simbench == ("1-LV-rural1--0-sw" if "LV-rural1" in str(choice) else None)


def test_dickert_and_kerber_networks_are_known() -> None:
    known = network_functions()
    assert {"cigre_lv", "cigre_mv", "dickert_lv", "kerber_dorfnetz", "case118", "mv_oberrhein"} <= set(known)
    assert not {"deepcopy", "bus", "line", "empty", "load"} & set(known)


def test_a_file_is_the_network_it_was(tmp_path: Path) -> None:
    path = tmp_path / "street.json"
    pandapower.to_json(street(), str(path))
    network = Network.of(Grid(network={"file": str(path)}), ["Bus R11"])
    assert network.spec.name == "street"
    assert network.spec.fingerprint == fingerprint(street())
    net = street()
    net.load["p_mw"] = 0.001
    pandapower.to_json(net, str(path))
    assert Network.of(Grid(network={"file": str(path)}), ["Bus R11"]).spec.load_kw.tolist() == [1.0] * len(net.load)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("own", {"_module": "harm", "_class": "Own", "_object": "{}"}),
        ("own", {"_module": "os", "_class": "function", "_object": "system"}),
        ("own", {"_module": "pandas.core.frame", "_class": "DataFrame", "_object": "/etc/hosts.json"}),
        (
            "own",
            {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": '{"x": {"_module": "harm"}}'},
        ),
        ("own", {"\\u005fmodule": "harm", "_class": "Own", "_object": "{}"}),
    ],
)
def test_a_file_imports_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: dict[str, str]
) -> None:
    (tmp_path / "harm.py").write_text("from pathlib import Path\nPath(__file__).with_name('harmed').touch()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "street.json"
    pandapower.to_json(street(), str(path))
    stored = json.loads(path.read_text())
    stored["_object"][key] = value
    path.write_text(json.dumps(stored).replace("\\\\u005f", "\\u005f"))
    with pytest.raises(NetworkError, match=r"this is not a pandapower network: it names the (module|file)"):
        Network.of(Grid(network={"file": str(path)}), ["Bus R11"])
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", ["../../secret", "a/b", "1-LV\0", "x" * 200])
def test_a_code_is_no_path(name: str) -> None:
    with pytest.raises(NetworkError, match="SimBench has no network"):
        Network.of(Grid(network={"simbench": name}), ["Bus R11"])


def test_an_option_that_is_too_large() -> None:
    with pytest.raises(NetworkError, match=r"n_branches is 1000000000; it may be at most 10,000"):
        Network.of(Grid(network={"pandapower": "kerber_dorfnetz", "options": {"n_branches": 10**9}}), ["x"])


def test_what_a_site_brings_comes_last() -> None:
    net = street()
    before = {table: net[table].copy() for table in ("load", "sgen", "storage")}
    network = Network.from_net(net, "street", ["Bus R11", 17], ["Bus C1"], pv=AddedPv(buses=["Bus I2"], peak=12.0))
    spec = network.spec
    for table, frame in before.items():
        assert net[table].equals(frame), "the network that was given stays as it is"
    assert spec.loads[-1] == "site at Bus C1"
    assert spec.load_kw[-1] == 0.0
    assert network.n_own_loads == spec.n_loads - 1 == len(net.load)
    assert spec.generators == ("pv at Bus I2",)
    assert spec.generator_kw.tolist() == [12.0]
    assert network.n_own_generators == 0
    assert [spec.buses[k] for k in spec.charger_bus] == ["Bus R11", net.bus.name[17]]
    assert network.net.storage.bus.tolist() == [bus_index(net, "Bus R11"), 17]
    every = Network.from_net(street(), "street", ["Bus R11"], pv=AddedPv(peak=5.0)).spec
    assert sorted(every.generator_bus) == sorted(set(every.load_bus))


def test_ratings_are_those_of_pandapower() -> None:
    net = street()
    net.line["df"], net.line["parallel"], net.trafo["parallel"], net.trafo["df"] = 0.8, 2, 2, 0.9
    spec = Network.from_net(net, "street", ["Bus R11"]).spec
    np.testing.assert_allclose(spec.line_kva, np.sqrt(3) * spec.bus_kv[spec.line_from_bus] * net.line.max_i_ka * 1600)
    np.testing.assert_allclose(spec.transformer_kva, net.trafo.sn_mva * 1800)


def test_scaling_and_switched_off_elements_are_in_the_values() -> None:
    net = street()
    net.load.loc[net.load.index[0], "scaling"] = 0.5
    net.load.loc[net.load.index[1], "in_service"] = False
    network = Network.from_net(net, "street", ["Bus R11"])
    own = 1000.0 * net.load.p_mw.to_numpy()
    assert network.spec.load_kw[:3].tolist() == [own[0] / 2, 0.0, own[2]]
    states = Injections.zeros(network.spec, 1)
    states.load_kw[0, :2] = [20.0, 10.0]  # what an element draws is what it is given
    one, other = ZBusBackend(network).solve(states), PandapowerBackend(network).solve(states)
    np.testing.assert_allclose(one.slack_kw, 30.0 + one.losses_kw, atol=1e-3)
    np.testing.assert_allclose(other.slack_kw, one.slack_kw, atol=1e-3)


def test_storages_of_the_network_keep_feeding_in() -> None:
    net = street()
    pandapower.create_storage(net, bus_index(net, "Bus R15"), p_mw=-0.02, q_mvar=0.001, max_e_mwh=1.0, scaling=0.5)
    pandapower.create_storage(net, bus_index(net, "Bus R15"), p_mw=-9.0, max_e_mwh=1.0, in_service=False)
    network = Network.from_net(net, "street", ["Bus R15"])
    states = Injections.zeros(network.spec, 2)
    states.charger_kw[1] = 10.0
    for backend in (ZBusBackend(network), PandapowerBackend(network)):
        flow = backend.solve(states)
        np.testing.assert_allclose(flow.slack_kw - flow.losses_kw, [-10.0, 0.0], atol=1e-3)


def test_options_in_a_file_do_not_loosen_the_reference() -> None:
    net = street()
    pandapower.set_user_pf_options(net, tolerance_mva=1e-2, trafo_loading="power")
    states = Injections.zeros(Network.from_net(net, "street", ["Bus R11"]).spec, 1)
    states.charger_kw[:] = 60.0
    one, other = (
        PandapowerBackend(Network.from_net(each, "street", ["Bus R11"])).solve(states) for each in (net, street())
    )
    np.testing.assert_array_equal(one.vm_pu, other.vm_pu)
    np.testing.assert_array_equal(one.transformer_percent, other.transformer_percent)


def test_the_fingerprint_knows_what_changes_a_power_flow() -> None:
    def changed(table: str, column: str, value: float) -> Any:
        net = street()
        net[table].loc[net[table].index[-1], column] = value
        return net

    fast = street()
    fast.f_hz = 60.0
    nets = [
        street(),
        fast,
        changed("line", "length_km", 0.031),
        changed("line", "c_nf_per_km", 1e-12),
        changed("trafo", "tap_pos", 1),
        changed("ext_grid", "vm_pu", 1.01),
        changed("switch", "closed", False),
        changed("load", "q_mvar", 0.0),
    ]
    assert len({fingerprint(net) for net in nets}) == len(nets)
    assert fingerprint(street()) == fingerprint(street())


def test_buses_by_name_and_index() -> None:
    net = street()
    net.bus.loc[5, "name"] = net.bus.name[4]
    net.bus.loc[6, "name"] = None
    twin = net.bus.name[4]
    names = Network.from_net(net, "street", [9]).spec.buses
    assert names[4:7] == (f"{twin} #4", f"{twin} #5", "bus 6")
    for bus, index in ((names[4], 4), (names[5], 5), (names[6], 6), (6, 6), (net.bus.index[7], 7)):
        assert bus_index(net, bus) == index, "every name of the results can be used in a scenario"
    with pytest.raises(NetworkError, match=f"2 buses called '{twin}'; say which, by index or as '{twin} #4'"):
        bus_index(net, twin)
    with pytest.raises(NetworkError, match=r"no bus called 'Bus R111'\. Did you mean 'Bus R11'"):
        bus_index(net, "Bus R111")
    with pytest.raises(NetworkError, match="no bus with the index 99; its indices lie between 0 and 43"):
        bus_index(net, 99)


def test_nothing_hangs_on_a_bus_without_a_connection() -> None:
    net = street()
    pandapower.create_bus(net, 0.4, name="lonely")
    net.bus.loc[bus_index(net, "Bus R18"), "in_service"] = False
    pandapower.create_load(net, bus_index(net, "lonely"), p_mw=0.01)
    assert bus_index(net, "lonely") not in load_buses(net)
    assert bus_index(net, "Bus R18") not in load_buses(net)
    for chargers, loads, pv in (
        (["lonely"], [], None),
        (["Bus R18"], [], None),
        (["Bus R11"], ["lonely"], None),
        (["Bus R11"], [], AddedPv(buses=["lonely"], peak=1.0)),
    ):
        with pytest.raises(NetworkError, match="no connection to an external grid"):
            Network.from_net(net, "street", chargers, loads, pv=pv)
    with pytest.raises(NetworkError, match="'Bus R11' is named twice for chargers"):
        Network.from_net(net, "street", ["Bus R11", bus_index(net, "Bus R11")])
    net.ext_grid["in_service"] = False
    with pytest.raises(NetworkError, match="no external grid in service"):
        Network.from_net(net, "street", ["Bus R11"])


def test_a_bus_named_here_and_counted_there_is_one_charger_bus() -> None:
    import networkx as nx  # noqa: PLC0415

    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", import_limit_kw=100.0)
    for a, bus in enumerate(["Bus R11", bus_index(street(), "Bus R11"), "Bus R15"]):
        graph.add_node(f"ac_{a}", kind="station", type="ac", supply="ac", bus=bus)
        graph.add_node(f"ac_{a}/0", kind="port", charge_kw=11.0, discharge_kw=0.0, supply="ac")
        graph.add_edge("grid", f"ac_{a}")
        graph.add_edge(f"ac_{a}", f"ac_{a}/0")
    site = Site.from_graph(graph, grid=Grid(network="cigre_lv"))
    assert site.port_charger.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("cigre_lvv", "no network called 'cigre_lvv'. Did you mean 'cigre_lv'"),
        ("create_bus", "no network called 'create_bus'"),
        ({"pandapower": "cigre_mv", "options": {"der": 1}}, "unexpected keyword argument 'der'.*with_der"),
        ("1-LV-rural9--0-sw", "Did you mean"),
    ],
)
def test_unknown_networks(choice: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Network.of(Grid(network=choice), [0])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("net.json", "not json", "this is not a pandapower network"),
        ("net.json", "{}", "this is not a pandapower network"),
        ("net.json", "[1]", "this is not a pandapower network"),
        ("net.json", '{"bus": 3}', "this is not a pandapower network"),
        ("net.p", "", "pickle is not opened"),
        ("net.json", None, "there is no such file"),
    ],
)
def test_files_that_hold_no_network(file: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / file).write_text(text)
    with pytest.raises(NetworkError, match=message):
        Network.of(Grid(network={"file": str(tmp_path / file)}), [0])


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ("load", "q_mvar", "load 'Load R11' has no q_mvar"),
        ("line", "r_ohm_per_km", "line 'Line R1-R2' has no r_ohm_per_km"),
        ("trafo", "vk_percent", "trafo 'Trafo R0-R1' has no vk_percent"),
    ],
)
def test_what_a_power_flow_needs_is_missed_by_name(table: str, column: str, message: str, tmp_path: Path) -> None:
    net = street()
    net[table].loc[net[table].name == message.split("'")[1], column] = np.nan
    pandapower.to_json(net, str(tmp_path / "net.json"))
    choice = Grid(network={"file": str(tmp_path / "net.json")})
    with pytest.raises(NetworkError, match=message):
        Network.faults(choice, [])
    with pytest.raises(NetworkError, match=message):
        Network.of(choice, ["Bus R11"])
    del net[table][column]
    with pytest.raises(NetworkError, match=f"table '{table}' has no column '{column}'"):
        Network.from_net(net, "cut", ["Bus R11"])


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("load", "bus", 99, r"table 'load', row 0: bus is 99, and there is no such bus"),
        ("line", "to_bus", -1, r"table 'line', row 0: to_bus is -1, and there is no such bus"),
        ("switch", "element", 99, r"table 'switch', row 0: element is 99, and table '\w+' has no such row"),
        ("load", "const_z_p_percent", 101.0, r"table 'load', row 0 has const_z_p_percent \+ .* above 100 %"),
        ("load", "const_i_q_percent", -1.0, r"table 'load', row 0 has .*, or one below 0"),
        ("bus", "vn_kv", 0.0, r"table 'bus', row 0 has a voltage vn_kv of 0 or below"),
        ("line", "length_km", "long", r"table 'line', row 0: length_km is .*long.*, no number"),
        ("bus", "in_service", None, r"table 'bus', row 0: in_service is nothing, neither true nor false"),
    ],
)
def test_damaged_tables_are_refused_by_file_table_and_row(
    table: str, column: str, value: Any, message: str, tmp_path: Path
) -> None:
    net = street()
    net[table][column] = net[table][column].astype(object)
    net[table].loc[net[table].index[0], column] = value
    net[table].index.name = None
    path = tmp_path / "street.json"
    pandapower.to_json(net, str(path))
    with pytest.raises(NetworkError, match=rf"street\.json: {message}"):
        Network.of(Grid(network={"file": str(path)}), ["Bus R11"])
    with pytest.raises(NetworkError, match=f"network 'given': {message}"):
        Network.from_net(net, "given", ["Bus R11"])


def test_every_fault_is_counted_and_the_first_are_named() -> None:
    net = street()
    net.load.loc[:, "bus"] = 99
    with pytest.raises(NetworkError, match=r"row 4: bus is 99, and there is no such bus, and \d+ more$"):
        Network.from_net(net, "given", ["Bus R11"])
