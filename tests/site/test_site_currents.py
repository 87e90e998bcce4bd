"""Rows of current limits: worked by hand, and those of published charging networks."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
import yaml

from ev_marl.scenario import load_scenario
from ev_marl.scenario.problems import ScenarioError
from ev_marl.site import Site
from ev_marl.site.currents import line_currents

CALTECH = """
name: caltech
start: 2018-09-03
site:
  name: transformer
  transformer: {rating: 150 kVA, vector_group: Dyn11, primary: 480 V, secondary: 208 V}
  groups:
    - name: cc_pod
      current_limit: 80 A
      stations: [{type: ac, count: 8, current: 32 A, phases: L1-L2}]
    - name: av_pod
      current_limit: 80 A
      stations: [{type: ac, count: 8, current: 32 A, phases: L1-L2}]
  stations:
    - {type: ac, count: 10, current: 32 A, phases: L1-L2}
    - {type: ac, count: 14, current: 32 A, phases: L2-L3}
    - {type: ac, count: 14, current: 32 A, phases: L3-L1}
sessions: {model: acn/caltech}
prices: {constant: 0.3}
"""


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


def test_the_published_caltech_garage(tmp_path: Path) -> None:
    """Coefficients and limits of ACN-Sim 0.3.3 (Lee et al., IEEE Trans. Smart Grid 12, 2021), which takes 120 V and
    277 V for 208 V/√3 = 120.09 V and 480 V/√3 = 277.13 V."""
    site = site_of(tmp_path, CALTECH)
    rows = weights(site)
    assert set(site.currents) == {
        f"transformer {side} L{k}" for side in ("primary", "secondary") for k in (1, 2, 3)
    } | {
        "cc_pod L1",
        "av_pod L1",
    }
    kinds = [site.graph.nodes[port.partition("/")[0]]["phases"] for port in site.ports]
    angle = {"L1-L2": 30, "L2-L3": -90, "L3-L1": 150}
    published = {
        "cc_pod L1": (80.0, {"L1-L2": 1}),
        "transformer secondary L1": (416.67, {"L1-L2": 1, "L3-L1": -1}),
        "transformer secondary L2": (416.67, {"L2-L3": 1, "L1-L2": -1}),
        "transformer secondary L3": (416.67, {"L3-L1": 1, "L2-L3": -1}),
        "transformer primary L1": (180.51, {"L1-L2": 0.25, "L2-L3": 0.25, "L3-L1": -0.5}),
        "transformer primary L2": (180.51, {"L1-L2": -0.5, "L2-L3": 0.25, "L3-L1": 0.25}),
        "transformer primary L3": (180.51, {"L1-L2": 0.25, "L2-L3": -0.5, "L3-L1": 0.25}),
    }
    for name, (limit, coefficients) in published.items():
        assert site.arrays.current_limit_a[site.currents.index(name)] == pytest.approx(limit, rel=1e-3)
        expected = np.array([coefficients.get(kind, 0) * np.exp(1j * np.radians(angle[kind])) for kind in kinds])
        expected *= np.abs(rows[name]) > 0 if "pod" in name else 1
        turn = rows[name] @ expected.conj()
        mine = 0.208 * rows[name] * (abs(turn) / turn)  # a common angle does not matter
        assert mine == pytest.approx(expected, rel=1e-3, abs=1e-9)


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
    site = site_of(tmp_path, CALTECH)
    site.write_graphml(tmp_path / "site.graphml")
    again = Site.read_graphml(tmp_path / "site.graphml")
    assert again.currents == site.currents
    assert np.array_equal(again.arrays.current_weight, site.arrays.current_weight)
    assert yaml.safe_load(CALTECH)["site"]["name"] == again.name
