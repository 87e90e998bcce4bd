"""What agents see: bounds, labels, and values worked out by hand."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from typing import Any

import networkx as nx
import numpy as np
import pytest
from builders import playable_scenarios

import ev_marl
from ev_marl.env.blocks import BLOCKS, Feature, Neighbours, Prices
from ev_marl.env.observations import Observer, make_block
from ev_marl.planning.outlook import Truth, make_outlook
from ev_marl.scenario import ScenarioError, load_scenario, scenario_from_dict
from ev_marl.simulation.coordinators import make_coordinator
from ev_marl.simulation.days import Days
from ev_marl.simulation.simulator import Simulator
from ev_marl.simulation.state import State
from ev_marl.site import Site
from ev_marl.support.errors import OptionError, UnknownNameError
from ev_marl.world import Track, session_table

ALL_BLOCKS = ["identity", "clock", "calendar", "ports", "prices", "headroom", "neighbours"]


@pytest.mark.parametrize("scenario", playable_scenarios())
def test_observations_stay_in_their_bounds(scenario: str) -> None:
    env = ev_marl.BatchedEnv(scenario, 4, n_days=4, seed=1, observation=ALL_BLOCKS)
    rng = np.random.default_rng(0)
    low, high = env.single_observation_space.low, env.single_observation_space.high
    observations = env.reset()
    seen_low, seen_high = observations.min(axis=(0, 1)), observations.max(axis=(0, 1))
    over = False
    while not over:
        observations, _, _, truncated, info = env.step(rng.uniform(-1.2, 1.2, (4, len(env.ports))))
        over = bool(truncated[0])
        shown = info.final_observation if over else observations
        assert np.isfinite(shown).all()
        assert (shown >= low).all()
        assert (shown <= high).all()
        seen_low, seen_high = np.minimum(seen_low, shown.min((0, 1))), np.maximum(seen_high, shown.max((0, 1)))
    moving = [label for label, a, b in zip(labels(env), seen_low, seen_high, strict=True) if a < b]
    for feature in ("ports.0.state_of_charge", "ports.0.missing", "ports.0.laxity", "ports.0.up", "clock.progress"):
        assert feature in moving


def labels(env: ev_marl.BatchedEnv) -> list[str]:
    return [column.label for column in env.observation_table()]


@pytest.mark.parametrize("scenario", playable_scenarios())
def test_labels_match_the_spaces(scenario: str) -> None:
    env = ev_marl.parallel_env(scenario)
    for agent in env.possible_agents:
        names = env.observation_labels(agent)
        assert len(names) == len(set(names)) == env.observation_space(agent).shape[0]
    assert len(env.state_labels()) == len(set(env.state_labels())) == env.state_space.shape[0]
    assert len(env.observation_table()) == env.observation_space(env.possible_agents[0]).shape[0]
    assert ev_marl.env(scenario).unwrapped.observation_labels(env.possible_agents[0])


def yard() -> Site:
    """Grid > lot with ac_0 (two ports, 10 kW) and ac_1 (one port, 20 kW, V2G 5 kW); dc_0 (40 kW) at the grid itself."""
    graph = nx.DiGraph()
    graph.add_node("grid", kind="grid", import_limit_kw=50.0)
    graph.add_node("lot", kind="parking_lot", import_limit_kw=20.0, export_limit_kw=10.0)
    graph.add_edge("grid", "lot")
    for station, parent, ports in (
        ("ac_0", "lot", [(10.0, 0.0), (10.0, 0.0)]),
        ("ac_1", "lot", [(20.0, 5.0)]),
        ("dc_0", "grid", [(40.0, 0.0)]),
    ):
        graph.add_node(station, kind="station")
        graph.add_edge(parent, station)
        for k, (charge_kw, discharge_kw) in enumerate(ports):
            graph.add_node(f"{station}/{k}", kind="port", charge_kw=charge_kw, discharge_kw=discharge_kw)
            graph.add_edge(station, f"{station}/{k}")
    return Site.from_graph(graph)


def a_day(site: Site, n_steps: int = 4, step_h: float = 1.0) -> Track:
    """A vehicle at ac_0/1 and one at ac_1/0, both from the start; prices 0.1, 0.2, 0.3, 0.4."""
    sessions = session_table(
        port=np.array([1, 2]),
        arrival_step=np.array([0, 0]),
        departure_step=np.array([3, 4]),
        energy_kwh=np.array([10.0, 40.0]),
        wanted_kwh=np.array([20.0, 10.0]),
        capacity_kwh=np.array([50.0, 100.0]),
        charge_kw=np.array([10.0, 20.0]),
        discharge_kw=np.array([0.0, 20.0]),
        taper_start=np.array([0.8, 0.8]),
        reserve_kwh=np.array([0.0, 0.0]),
        vehicle=["a", "b"],
    )
    limits = site.arrays.n_groups
    prices = np.linspace(0.1, 0.1 * n_steps, n_steps)
    return Track(
        start=datetime(2023, 5, 15, 6, tzinfo=UTC),
        timezone="UTC",
        step_h=step_h,
        currency="EUR",
        ports=site.ports,
        groups=site.groups,
        sessions=sessions,
        buy_per_kwh=prices,
        sell_per_kwh=prices - 0.05,
        base_load_kw=np.zeros((n_steps, limits)),
        import_limit_kw=np.tile([50.0, 20.0], (n_steps, 1)),
        export_limit_kw=np.tile([np.inf, 10.0], (n_steps, 1)),
    )


def observe(site: Site, simulator: Simulator, blocks: list[object]) -> tuple[dict[str, float], ...]:
    """Observations of all agents by label."""
    observer = Observer.from_scenario(ev_marl.load_scenario("tiny"), site, blocks)  # type: ignore[arg-type]
    outlook = make_outlook()
    outlook.begin(Truth.of(simulator), None)
    observer.load(simulator.days, outlook, simulator.grid)
    observer.fill(simulator.state)
    out = np.zeros((1, 3, observer.width), dtype=np.float32)
    observer.observe(out)
    state = np.zeros((1, observer.n_features), dtype=np.float32)
    observer.observe_state(state)
    by_label = dict(zip([number.label for number in observer.state_table()], state[0], strict=True))
    agents = [
        dict(zip(observer.labels(agent), row, strict=True)) for agent, row in zip(site.agents, out[0], strict=True)
    ]
    for agent in agents:  # what agents see is what the state holds
        for label, value in agent.items():
            if label in by_label:
                assert by_label[label] == value
    return (*agents, by_label)


def simulate(site: Site, track: Track) -> Simulator:
    simulator = Simulator(site.arrays, make_coordinator("none"), [track])
    simulator.reset([0])
    return simulator


def test_values_of_every_block() -> None:
    site = yard()
    simulator = simulate(site, a_day(site))
    simulator.step(np.array([[0.0, 10.0, -5.0, 0.0]]))  # ac_0/1: 10 -> 20 kWh; ac_1/0: 40 -> 35 kWh
    first, second, third, state = observe(site, simulator, ALL_BLOCKS)
    assert first["identity.type_ac"] == second["identity.type_ac"] == third["identity.type_dc"] == 1
    assert third["identity.type_ac"] == 0
    assert first["identity.position"] == pytest.approx(1 / 3)
    assert first["identity.charge_1"] == pytest.approx(10 / 40)
    assert second["identity.charge_1"] == 0
    assert second["identity.discharge_0"] == pytest.approx(5 / 40)

    assert first["clock.hour_sin"] == pytest.approx(np.sin(2 * np.pi * 7 / 24))
    assert first["clock.hour_cos"] == pytest.approx(np.cos(2 * np.pi * 7 / 24))
    assert first["clock.progress"] == pytest.approx(1 / 4)
    assert first["calendar.weekday_sin"] == first["calendar.weekend"] == 0  # a Monday
    assert first["calendar.season_sin"] == pytest.approx(np.sin(2 * np.pi * 134 / 365.25))

    assert [first[f"ports.0.{name}"] for name in ("connected", "missing", "time_left", "laxity", "up")] == [0.0] * 5
    assert first["ports.1.connected"] == 1
    assert first["ports.1.state_of_charge"] == pytest.approx(20 / 50)
    assert first["ports.1.missing"] == pytest.approx(10 / 50)
    assert first["ports.1.time_left"] == pytest.approx(2 / 4)
    assert first["ports.1.laxity"] == pytest.approx((2 - 1) / 4)
    assert first["ports.1.up"] == 1
    assert first["ports.1.down"] == 0
    assert second["ports.0.down"] == -1
    assert second["ports.0.state_of_charge"] == pytest.approx(35 / 100)
    assert all(second[f"ports.1(absent).{name}"] == 0 for name in ("connected", "up", "time_left"))

    assert first["prices.buy"] == pytest.approx(0.2 / 0.25)
    assert first["prices.sell"] == pytest.approx(0.15 / 0.25)
    assert first["prices.ahead_1h"] == pytest.approx(0.3 / 0.25)
    assert first["prices.ahead_11h"] == pytest.approx(0.4 / 0.25)  # the last price is held

    assert first["headroom.lot.power"] == pytest.approx(5 / 40)  # 10 − 5 kW of 10 + 10 + 20
    assert first["headroom.lot.upper"] == pytest.approx(20 / 40)
    assert first["headroom.lot.lower"] == pytest.approx(-10 / 40)
    assert first["headroom.grid.upper"] == pytest.approx(50 / 80)
    assert first["headroom.grid.lower"] == -1  # no limit
    assert third["headroom.grid.power"] == pytest.approx(5 / 80)
    assert third["headroom.1(absent).power"] == 0

    assert first["neighbours.connected"] == 1  # the one port of ac_1
    assert first["neighbours.missing"] == pytest.approx(15 / 100)
    assert first["neighbours.power"] == pytest.approx(-5 / 20)
    assert second["neighbours.connected"] == pytest.approx(1 / 2)
    assert second["neighbours.power"] == pytest.approx(10 / 20)
    assert third["neighbours.connected"] == pytest.approx(2 / 3)
    assert state["ports.ac_0/1.state_of_charge"] == pytest.approx(20 / 50)


def test_a_lonely_station_has_no_neighbours() -> None:
    graph = nx.DiGraph([("grid", "ac_0"), ("ac_0", "ac_0/0")])
    nx.set_node_attributes(graph, {"grid": "grid", "ac_0": "station", "ac_0/0": "port"}, "kind")
    graph.nodes["ac_0/0"]["charge_kw"] = 10.0
    site = Site.from_graph(graph)
    track = a_day(yard())
    sessions = track.sessions[:1].copy()
    sessions["port"] = 0
    lonely = Track(
        **{
            **vars(track),
            "ports": site.ports,
            "groups": site.groups,
            "sessions": sessions,
            "base_load_kw": track.base_load_kw[:, :1],
            "import_limit_kw": track.import_limit_kw[:, :1],
            "export_limit_kw": track.export_limit_kw[:, :1],
        }
    )
    simulator = simulate(site, lonely)
    block = Neighbours()
    features = block.bind(site)
    out = np.full((1, 1, len(features)), 9.0, dtype=np.float32)
    block.load(simulator.days)
    block.fill(simulator.state, out)
    assert (out == 0).all()


@pytest.mark.parametrize("outlook", ["known", {"name": "forecast", "options": {"price_error": 0.0}}])
@pytest.mark.parametrize(("step_h", "n_steps"), [(0.25, 24), (1.0, 6), (2.0, 3), (0.4, 15)])
def test_hours_ahead_are_means_over_the_hour_whatever_the_step(step_h: float, n_steps: int, outlook: Any) -> None:
    site = yard()
    track = a_day(site, n_steps, step_h)
    days = Days.stack(site.arrays, [track])
    block = Prices(hours=3, scale_per_kwh=1.0)
    block.bind(site)
    told = make_outlook(outlook)
    told.begin(Truth(site.arrays, [track], days), None)
    block.look(told)
    table = block.tabulate(days)[0]
    fine = np.repeat(track.buy_per_kwh, round(step_h * 1000))  # price at every thousandth of an hour
    fine = np.concatenate([fine, np.full(4000, fine[-1])])
    for t in range(n_steps + 1):
        begin = round(t * step_h * 1000)
        for k in range(3):
            assert table[t, 2 + k] == pytest.approx(fine[begin + k * 1000 : begin + (k + 1) * 1000].mean(), abs=1e-9)


def test_blocks_by_name_with_options_and_of_ones_own() -> None:
    class Constant:
        name = "mine"
        scope = "station"
        static = True

        def bind(self, site: Site) -> tuple[Feature, ...]:
            return (Feature("number", 0, 1, "half"),)

        def load(self, days: Days) -> None:
            pass

        def fill(self, state: State, out: np.ndarray) -> None:
            out[:] = 0.5

    block = {"block": "prices", "options": {"hours": 2, "scale_per_kwh": 1.0}}
    env = ev_marl.parallel_env("tiny", observation=[block, {"prices": "30 min"}, "clock", Constant()])
    observations, _ = env.reset(seed=0)
    assert observations["ac_0"].shape == (4 + 3 + 3 + 1,)
    names = env.observation_labels("ac_0")
    assert names[-1] == "mine.number"
    assert "prices_2.buy" in names
    assert len(set(names)) == len(names)
    assert observations["ac_0"][-1] == 0.5


def test_faults_in_blocks() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'clock'"):
        ev_marl.parallel_env("tiny", observation=["clok"])
    with pytest.raises(OptionError, match="hours"):
        ev_marl.parallel_env("tiny", observation=[{"block": "prices", "options": {"houres": 3}}])
    with pytest.raises(OptionError, match="at least one block"):
        ev_marl.parallel_env("tiny", observation=[])
    with pytest.raises(ValueError, match="scale_per_kwh"):
        Prices(scale_per_kwh=0.0)
    assert set(ALL_BLOCKS) <= set(BLOCKS)


@pytest.mark.parametrize("bounds", [(0.5, 1.0), (-np.inf, 0.0), (0.0, 0.0)])
def test_bounds_of_features_must_be_finite_and_enclose_zero(bounds: tuple[float, float]) -> None:
    class Bad(Neighbours):
        def bind(self, site: Site) -> tuple[Feature, ...]:
            return (Feature("bad", *bounds, ""),)

    with pytest.raises(OptionError, match="bounds of 'bad'"):
        ev_marl.parallel_env("tiny", observation=[Bad()])


def test_spaces_are_made_without_a_word_for_every_number() -> None:
    """Labels of the state are made when they are asked for: a site of 2,000 stations has 50,000 of them."""
    site = Site.from_scenario(
        scenario_from_dict(
            {
                "name": "large",
                "start": "2023-05-15",
                "site": {"name": "grid", "stations": [{"type": "ac", "count": 2000, "power": 11}]},
            }
        )
    )
    blocks = [make_block(name) for name in ("identity", "ports", "headroom", "neighbours")]
    Observer(site, blocks)  # the imports that a first use makes are not counted
    tracemalloc.start()
    observer = Observer(site, blocks)
    assert tracemalloc.get_traced_memory()[1] < 60 * observer.n_features
    tracemalloc.stop()
    low, high = zip(*((number.low, number.high) for number in observer.state_table()), strict=True)
    assert observer.n_features == len(low) > 20_000
    np.testing.assert_array_equal(observer.state_space.low, np.float32(low))
    np.testing.assert_array_equal(observer.state_space.high, np.float32(high))
    columns = observer.table()
    assert observer.width == len(columns)
    np.testing.assert_array_equal(observer.space.high, np.float32([column.high for column in columns]))


def test_observations_may_not_be_larger_than_memory() -> None:
    with pytest.raises(ScenarioError, match=r"observation: 20,000 agents would observe [0-9,]+ numbers each") as caught:
        ev_marl.parallel_env(
            scenario_from_dict(
                {
                    "name": "large",
                    "start": "2023-05-15",
                    "site": {"name": "grid", "stations": [{"type": "ac", "count": 20_000, "power": 11}]},
                    "observation": [{"prices": "8784 h"}],
                }
            )
        )
    assert "50,000,000" in str(caught.value)


@pytest.mark.parametrize(
    ("observation", "said"),
    [
        ({"prices": "1e15 h"}, "expected 0, or a magnitude"),
        ({"prices": "1e4 h"}, "found 10000 h ahead; at most 8784 h"),
        (
            {"block": "prices", "options": {"hours": 1e15}},
            "hours: found 1000000000000000.0; expected 0, or",
        ),
        ({"block": "prices", "options": {"hours": "12 h"}}, "hours: found '12 h'; expected a number"),
        ({"block": "prices", "options": {"hours": float("nan")}}, "hours: found nan; expected a finite number"),
        ({"block": "clock", "options": {"zone": 1}}, "It takes no options"),
        ({"block": "demand", "options": {"hours": 0}}, "hours must be above 0"),
    ],
)
def test_blocks_that_look_too_far_or_take_no_such_option(observation: dict[str, object], said: str) -> None:
    data = load_scenario("tiny").model_dump(mode="json", exclude_unset=True)
    with pytest.raises(ScenarioError) as caught:
        ev_marl.parallel_env(scenario_from_dict({**data, "observation": ["clock", observation]}))
    assert said in str(caught.value)
    assert caught.value.problems[0].key.startswith("observation[1]")
