"""Rows of current limits: worked by hand, and those of published charging networks."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest

from ev_marl.scenario import load_scenario
from ev_marl.scenario.problems import ScenarioError
from ev_marl.site import Site
from ev_marl.site.currents import line_currents


def site_of(folder: Path, text: str) -> Site:
    (folder / "site.yaml").write_text(text)
    return Site.from_scenario(load_scenario(folder / "site.yaml"))


def of(groups: str) -> str:
    rest = "sessions: {model: elaadnl/workplace}\nprices: {constant: 0.3}\n"
    return f"name: hand\nstart: 2023-05-15\nsite: {groups}\n{rest}"


def weights(site: Site) -> dict[str, np.ndarray]:
    """Complex weight of each port, by row."""
    return {name: row[0] + 1j * row[1] for name, row in zip(site.currents, site.arrays.current_weight, strict=True)}


def test_a_port_between_phase_and_neutral_draws_in_phase_with_its_voltage() -> None:
    # 2.3 kW at 230 V: 10 A, in L2 at −120°.
    assert 2.3 * line_currents("L2", 230.0) == pytest.approx([0, 10 * np.exp(-2j * np.pi / 3), 0])


def test_a_port_between_two_phases_draws_from_one_and_feeds_the_other() -> None:
    # 4 kW at 400 V: 10 A at the angle of V_L1 − V_L2, which leads V_L1 by 30°.
    current = 10 * np.exp(1j * np.pi / 6)
    assert 4 * line_currents("L1-L2", 400 / np.sqrt(3)) == pytest.approx([current, -current, 0])
    angles = [np.degrees(np.angle(line_currents(name, 230.0)[k])) for name, k in (("L2-L3", 1), ("L3-L1", 2))]
    assert angles == pytest.approx([-90, 150])


def test_a_port_on_three_phases_draws_a_third_from_each() -> None:
    # 6.9 kW at 230 V: 10 A in each phase.
    assert np.abs(6.9 * line_currents("L1-L2-L3", 230.0)) == pytest.approx([10, 10, 10])


def test_the_power_of_a_port_follows_from_its_conductors(tmp_path: Path) -> None:
    site = site_of(
        tmp_path,
        of("{name: s, voltage: 120 V, stations: [{type: ac, count: 4, current: 30 A, phases: [L1, L2-L3, L1-L2-L3]}]}"),
    )
    assert site.arrays.port_charge_kw == pytest.approx([3.6, 3.6 * np.sqrt(3), 10.8, 3.6])
    assert site.currents == ()


def test_a_row_for_each_phase_with_ports_and_one_for_alike_phases(tmp_path: Path) -> None:
    site = site_of(
        tmp_path,
        of(
            "{name: s, groups: ["
            "{name: mixed, current_limit: 63 A, stations: [{type: ac, count: 2, current: 16 A, phases: [L1, L3]}]},"
            "{name: three, current_limit: 40 A, stations: [{type: ac, count: 2, power: 22 kW}]}]}"
        ),
    )
    assert site.currents == ("mixed L1", "mixed L3", "three L1")
    assert site.arrays.current_limit_a.tolist() == [63, 63, 40]
    assert [site.groups[g] for g in site.arrays.current_group] == ["mixed", "mixed", "three"]
    rows = weights(site)
    assert np.abs(rows["mixed L3"]) == pytest.approx([0, 1000 / 230, 0, 0])
    assert np.abs(rows["three L1"]) == pytest.approx([0, 0, 1000 / 690, 1000 / 690])
    base = site.arrays.current_base_weight[1]
    assert base == pytest.approx(1000 / 690 * np.array([np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)]))


def test_a_delta_takes_the_difference_of_two_phases(tmp_path: Path) -> None:
    # 100 A at 0° in L1 of the secondary alone: the windings of the primary's phases L1 and L2 carry
    # 100 A · (400/√3)/10,000 = 2.309 A, which is drawn from L1 and returned to L2; nothing in L3.
    site = site_of(
        tmp_path,
        of(
            "{name: t, transformer: {rating: 400 kVA, vector_group: Dyn11, primary: 10 kV, secondary: 400 V}, "
            "stations: [{type: ac, count: 3, current: 100 A, phases: [L1, L2, L3]}]}"
        ),
    )
    rows = weights(site)
    for_100_a = site.arrays.port_charge_kw[0]
    assert [abs(rows[f"t secondary {phase}"][0]) * for_100_a for phase in ("L1", "L2", "L3")] == pytest.approx(
        [100, 0, 0]
    )
    primary = [rows[f"t primary {phase}"] * for_100_a for phase in ("L1", "L2", "L3")]
    assert [abs(row[0]) for row in primary] == pytest.approx([2.3094, 2.3094, 0], abs=1e-4)
    # All three phases alike: √3 · 2.309 = 4 A, in phase with the voltages of the primary.
    assert primary[0].sum() == pytest.approx(4.0)
    limits = dict(zip(site.currents, site.arrays.current_limit_a, strict=True))
    assert limits["t secondary L2"] == pytest.approx(400_000 / np.sqrt(3) / 400)
    assert limits["t primary L3"] == pytest.approx(400_000 / np.sqrt(3) / 10_000)


@pytest.mark.parametrize("group", ["Dyn1", "Dyn5", "Dyn7", "Dyn11", "YNyn0", "Yyn0"])
def test_a_balanced_load_is_balanced_above_every_transformer(tmp_path: Path, group: str) -> None:
    site = site_of(
        tmp_path,
        of(
            f"{{name: t, current_limit: 30 A, transformer: {{rating: 400 kVA, vector_group: {group}, primary: 10 kV, "
            "secondary: 400 V}, stations: [{type: ac, power: 100 kW}, "
            "{type: bc, count: 2, current: 16 A, phases: [L1, L2]}]}"
        ),
    )
    rows = weights(site)
    angles = np.exp(1j * np.radians([0, -120, 120]))
    for phase, angle in zip(("L1", "L2", "L3"), angles, strict=True):
        assert rows[f"t primary {phase}"][0] == pytest.approx(1000 / 3 / (10_000 / np.sqrt(3)) * angle)
    single = sum(rows[f"t primary {phase}"][1] for phase in ("L1", "L2", "L3"))
    neutral_a = 1000 / (10_000 / np.sqrt(3)) if group == "YNyn0" else 0  # per kW; others have no neutral above
    assert abs(single) == pytest.approx(neutral_a, abs=1e-12)


def test_of_two_limits_of_the_same_current_the_lower_one_stays(tmp_path: Path) -> None:
    text = "{{name: t, current_limit: {amps} A, transformer: {{rating: 400 kVA, vector_group: Dyn11, primary: 10 kV, "
    text += "secondary: 400 V}}, stations: [{{type: ac, power: 100 kW}}]}}"
    assert site_of(tmp_path, of(text.format(amps=20))).currents == ("t secondary L1", "t L1")
    assert site_of(tmp_path, of(text.format(amps=30))).currents == ("t secondary L1", "t primary L1")


A, B, C = "L1-L2", "L2-L3", "L3-L1"
ANGLE = {A: 30, B: -90, C: 150}
# Of ACN-Sim 0.3.3: limit [A], and the coefficient of the current of each station between two phases.
GARAGES = {
    "acn-caltech": {
        "cc_pod L1": (80.0, {A: 1}),
        "av_pod L1": (80.0, {A: 1}),
        "garage secondary L1": (416.666667, {A: 1, C: -1}),
        "garage secondary L2": (416.666667, {A: -1, B: 1}),
        "garage secondary L3": (416.666667, {B: -1, C: 1}),
        "garage primary L1": (180.505415, {A: 0.25, B: 0.25, C: -0.5}),
        "garage primary L2": (180.505415, {A: -0.5, B: 0.25, C: 0.25}),
        "garage primary L3": (180.505415, {A: 0.25, B: -0.5, C: 0.25}),
    },
    "acn-jpl": {
        "panel_1 L1": (100.0, {A: 1, C: -1}),
        "panel_1 L2": (100.0, {A: -1}),
        "panel_1 L3": (100.0, {C: 1}),
        "panel_2 L1": (100.0, {A: 1, C: -1}),
        "panel_2 L2": (100.0, {A: -1, B: 1}),
        "panel_2 L3": (100.0, {B: -1, C: 1}),
        "first_floor secondary L1": (125.0, {A: 1, C: -1}),
        "first_floor secondary L2": (125.0, {A: -1, B: 1}),
        "first_floor secondary L3": (125.0, {B: -1, C: 1}),
        "third_floor L1": (225.0, {A: 1, C: -1}),
        "third_floor L2": (225.0, {A: -1, B: 1}),
        "third_floor L3": (225.0, {B: -1, C: 1}),
        "fourth_floor L1": (225.0, {A: 1, C: -1}),
        "fourth_floor L2": (225.0, {A: -1, B: 1}),
        "fourth_floor L3": (225.0, {B: -1, C: 1}),
        "upper_floors secondary L1": (416.666667, {A: 1, C: -1}),
        "upper_floors secondary L2": (416.666667, {A: -1, B: 1}),
        "upper_floors secondary L3": (416.666667, {B: -1, C: 1}),
    },
    "acn-office": {
        "office secondary L1": (138.888889, {A: 1, C: -1}),
        "office secondary L2": (138.888889, {A: -1, B: 1}),
        "office secondary L3": (138.888889, {B: -1, C: 1}),
        "office primary L1": (60.168472, {A: 0.25, B: 0.25, C: -0.5}),
        "office primary L2": (60.168472, {A: -0.5, B: 0.25, C: 0.25}),
        "office primary L3": (60.168472, {A: 0.25, B: -0.5, C: 0.25}),
    },
}


@pytest.mark.parametrize("name", GARAGES)
def test_the_rows_of_the_garages_are_those_of_acn_sim(name: str) -> None:
    """Of Lee et al., IEEE Trans. Smart Grid 12 (2021). Limits of primaries are for 277 V there, here for 480 V/√3."""
    site = Site.from_scenario(load_scenario(name))
    arrays, rows = site.arrays, weights(site)
    assert arrays.port_charge_kw == pytest.approx(0.208 * 32)
    assert set(arrays.charge_efficiency) == {1.0}
    assert set(site.currents) == set(GARAGES[name])
    phases = [site.graph.nodes[agent]["phases"] for agent in site.agents]
    for r, row in enumerate(site.currents):
        limit, coefficients = GARAGES[name][row]
        assert arrays.current_limit_a[r] == pytest.approx(limit, rel=5e-4 if "primary" in row else 1e-6)
        published = np.array(
            [coefficients.get(between, 0) * np.exp(1j * np.radians(ANGLE[between])) for between in phases]
        )
        g = arrays.current_group[r]
        published[: arrays.group_first_port[g]] = published[arrays.group_end_port[g] :] = 0
        turn = rows[row] @ published.conj()
        assert 0.208 * rows[row] * abs(turn) / turn == pytest.approx(published, rel=1e-6)  # but for a common angle


@pytest.mark.parametrize(
    ("name", "station", "between", "group"),
    [
        ("acn-caltech", "CA-308", A, "garage"),
        ("acn-caltech", "CA-213", B, "garage"),
        ("acn-caltech", "CA-502", C, "garage"),
        ("acn-caltech", "CA-322", A, "cc_pod"),
        ("acn-caltech", "CA-492", A, "av_pod"),
        ("acn-jpl", "AG-1F10", A, "first_floor"),
        ("acn-jpl", "AG-1F11", C, "panel_1"),
        ("acn-jpl", "AG-1F04", B, "panel_2"),
        ("acn-jpl", "AG-3F18", B, "third_floor"),
        ("acn-jpl", "AG-4F52", A, "fourth_floor"),
        ("acn-office", "07", A, "office"),
        ("acn-office", "06", C, "office"),
    ],
)
def test_stations_of_the_garages_are_where_acn_sim_has_them(name: str, station: str, between: str, group: str) -> None:
    site = Site.from_scenario(load_scenario(name))
    agent = site.station_ids[station]
    assert site.graph.nodes[agent]["phases"] == between
    assert list(site.graph.predecessors(agent)) == [group]


def test_stations_that_take_conductors_in_turn_keep_their_own_names(tmp_path: Path) -> None:
    names = [f"CA-{k}" for k in range(5)]
    site = site_of(
        tmp_path,
        of(f"{{name: s, stations: [{{type: ac, count: 5, power: 6 kW, phases: [L1, L2-L3], ids: {names}}}]}}"),
    )
    assert site.station_ids == dict(zip(names, site.agents, strict=True))
    assert [site.graph.nodes[agent]["phases"] for agent in site.agents] == list(islice(cycle(["L1", "L2-L3"]), 5))


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{name: s, current_limit: 20 A, stations: [{type: ac, current: 16 A, phases: 1}]}", "say which phases"),
        ("{name: s, stations: [{type: ac, count: 2, power: 6 kW, ids: [a]}]}", "1 names for 2 stations"),
        ("{name: s, stations: [{type: ac, count: 2, power: 6 kW, ids: [a, a]}]}", "'a' names another station"),
        ("{name: s, stations: [{type: ac, power: 6 kW, phases: L4}]}", "L1"),
        (
            "{name: s, transformer: {rating: 1, secondary: 400, primary: 9}, stations: [{type: ac, power: 6}]}",
            "vector_group",
        ),
        (
            "{name: s, current_limit: 9 A, transformer: {rating: 1, secondary: 400}, stations: [{type: ac, power: 6}]}",
            "give the transformer `primary`",
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, groups: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        site_of(tmp_path, of(groups))


def test_graphml_keeps_currents(tmp_path: Path) -> None:
    site = Site.from_scenario(load_scenario("acn-caltech"))
    site.write_graphml(tmp_path / "site.graphml")
    again = Site.read_graphml(tmp_path / "site.graphml")
    assert again.currents == site.currents
    assert np.array_equal(again.arrays.current_weight, site.arrays.current_weight)
    assert again.name == "garage"
    assert again.station_ids == site.station_ids


@pytest.mark.parametrize(
    ("scenario", "row", "limit_a", "coefficients"),
    [
        ("acn-jpl", "third_floor L1", 225.0, {"AG-3F15": (-1, 150), "AG-3F16": (1, 30), "AG-3F18": (0, 0)}),
        ("acn-jpl", "panel_1 L3", 100.0, {"AG-1F11": (1, 150), "AG-1F12": (0, 0)}),
        ("acn-jpl", "first_floor secondary L2", 125.0, {"AG-1F12": (-1, 30), "AG-1F01": (1, -90), "AG-1F02": (0, 0)}),
        ("acn-jpl", "upper_floors secondary L3", 416.67, {"AG-4F34": (1, 150), "AG-3F18": (-1, -90)}),
        ("acn-office", "office secondary L1", 138.89, {"01": (1, 30), "03": (-1, 150), "02": (0, 0)}),
        ("acn-office", "office primary L3", 60.168, {"02": (-0.5, -90), "01": (0.25, 30), "03": (0.25, 150)}),
        (
            "acn-caltech",
            "garage primary L1",
            180.51,
            {"CA-307": (-0.5, 150), "CA-308": (0.25, 30), "CA-304": (0.25, -90)},
        ),
        ("acn-caltech", "cc_pod L1", 80.0, {"CA-322": (1, 30), "CA-493": (1, 30), "CA-324": (0, 0)}),
    ],
)
def test_rows_of_shipped_garages_are_the_published_ones(
    scenario: str, row: str, limit_a: float, coefficients: dict[str, tuple[float, float]]
) -> None:
    """Limits and coefficients of ACN-Sim 0.3.3, at 208 V between lines; a common angle of a row does not matter."""
    site = Site.from_scenario(load_scenario(scenario))
    assert site.arrays.current_limit_a[site.currents.index(row)] == pytest.approx(limit_a, rel=1e-3)
    port = {name: site.ports.index(f"{agent}/0") for name, agent in site.station_ids.items()}
    mine = 0.208 * np.array([weights(site)[row][port[name]] for name in coefficients])
    published = np.array([value * np.exp(1j * np.radians(angle)) for value, angle in coefficients.values()])
    turn = np.vdot(published, mine)
    assert mine * abs(turn) / turn == pytest.approx(published, rel=2e-3, abs=1e-9)


def test_a_power_factor_makes_currents_larger_and_late(tmp_path: Path) -> None:
    # 32 A at 230 V and cos φ 0.8: 5.888 kW, still 32 A, 36.87° behind the voltage. Base load: 6.9 kW at 0.6, 10 A/0.6.
    station = "{type: ac, current: 32 A, phases: L1, power_factor: 0.8}"
    site = site_of(
        tmp_path,
        of(
            "{name: s, current_limit: 40 A, base_load: 6.9 kW, base_load_power_factor: 0.6, groups: "
            f"[{{name: lot, current_limit: 63 A, stations: [{station}, {{type: ac, power: 6.9 kW, phases: L1}}]}}]}}"
        ),
    )
    arrays = site.arrays
    assert arrays.port_charge_kw == pytest.approx([5.888, 6.9])
    angle = np.arccos(0.8)
    found = weights(site)
    assert 5.888 * found["lot L1"][0] == pytest.approx(32 * np.exp(-1j * angle))
    # both together: 32 A at −36.87° and 30 A at 0°
    together = abs(5.888 * found["lot L1"][0] + 6.9 * found["lot L1"][1])
    assert together == pytest.approx(np.hypot(32 * 0.8 + 30, 32 * 0.6))
    base = arrays.current_base_weight[:, 0] + 1j * arrays.current_base_weight[:, 1]
    of_lot, of_site = base[site.currents.index("lot L1")], base[site.currents.index("s L1")]
    assert 6.9 * of_site == pytest.approx(10 / 0.6 * np.exp(-1j * np.arccos(0.6)))
    assert of_lot == pytest.approx(of_site)  # inherited
    assert site.graph.nodes["ac_0"]["power_factor"] == 0.8


def test_a_power_factor_is_a_number_up_to_one(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"power_factor: .*1\.2"):
        site_of(tmp_path, of("{name: s, stations: [{type: ac, power: 11 kW, power_factor: 1.2}]}"))
