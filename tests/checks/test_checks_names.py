"""Names of plug-ins in a scenario file against the registries, and what stands behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

import ev_marl
from ev_marl.checks import checked_setting
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.world.sessions import SESSION_MODELS


def faults(folder: Path, text: str) -> list[tuple[int, str, str]]:
    """Line, key and message of every fault of a variant of `tiny`."""
    file = folder / "mine.yaml"
    file.write_text(f"extends: tiny\nname: mine\n{text}\n")
    with pytest.raises(ScenarioError) as caught:
        checked_setting(file)
    return [(problem.line, problem.key, problem.message) for problem in caught.value.problems]


def test_every_unknown_name_at_once_and_beside_other_faults(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "coordinator: {name: nearst}\n"
        "observation: [clok, {block: port}, {prices: 6 h}]\n"
        "sessions: {model: elaadnl/privat}\n"
        "policies: [llf, mcp, 'best-respons(trust=0.9)', 'rllib:folder', 'mine:Own']\n"
        "objective: {extra: {night_bonus: {}, 'mine:Term': {}}}\n"
        "horizn: 24 h",
    )
    assert [(line, key) for line, key, _ in found] == [
        (3, "coordinator.name"),
        (4, "observation[0]"),
        (4, "observation[1].block"),
        (5, "sessions.model"),
        (6, "policies[1]"),
        (6, "policies[2]"),
        (6, "policies[3]"),
        (7, "objective.extra.night_bonus"),
        (8, "horizn"),
    ]
    messages = dict(zip([key for _, key, _ in found], [message for *_, message in found], strict=True))
    assert messages["coordinator.name"] == (
        "no coordinator is called 'nearst'. Did you mean 'nearest'? Known: nearest, none, priority, proportional, "
        "round-robin; or write module:Class."
    )
    assert "Did you mean 'clock'?" in messages["observation[0]"]
    assert "Did you mean 'ports'?" in messages["observation[1].block"]
    assert "Did you mean 'elaadnl/private'?" in messages["sessions.model"]
    assert "Did you mean 'mpc'?" in messages["policies[1]"]
    assert "Did you mean 'best-response'?" in messages["policies[2]"]
    assert messages["objective.extra.night_bonus"].startswith(
        "no objective term is called 'night_bonus'. Known: battery_ageing, battery_wear, "
    )


def test_an_unknown_grid_backend_beside_other_faults(tmp_path: Path) -> None:
    found = faults(tmp_path, "grid: {network: cigre_lv, backend: newten}\nhorizn: 24 h")
    messages = {(line, key): message for line, key, message in found}
    assert (4, "horizn") in messages
    assert messages[3, "grid.backend"] == (
        "no grid backend is called 'newten'. Did you mean 'newton'? Known: newton, pandapower, zbus; "
        "or write module:Class."
    )


def test_a_registered_name_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SESSION_MODELS, "_entries", {**SESSION_MODELS._entries, "mine": SESSION_MODELS.get("highway")})
    file = tmp_path / "mine.yaml"
    file.write_text("extends: tiny\nname: mine\nsessions: {model: mine}\n")
    assert checked_setting(file).scenario.sessions.model == "mine"


def test_what_the_names_stand_for_is_made(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, "observation:\n  - clock\n  - {block: headroom, options: {far: 3}}")
    assert found[:2] == (5, "observation[1]")
    assert "far" in found[2]


def test_a_coordinator_that_lets_limits_be_broken_needs_their_price(tmp_path: Path) -> None:
    ((line, key, message),) = faults(tmp_path, "coordinator: none")
    assert (line, key) == (3, "coordinator")
    assert message == "`none` lets limits be broken; price that with `objective: {overload: 2 EUR/kWh}`"
    with pytest.raises(ScenarioError, match=r"^coordinator: `none` lets limits be broken"):
        ev_marl.parallel_env("tiny", coordinator="none")
    file = tmp_path / "mine.yaml"
    file.write_text("extends: tiny\nname: mine\ncoordinator: none\nobjective: {overload: 2 EUR/kWh}\n")
    assert not checked_setting(file).coordinator.enforces_limits
    assert ev_marl.parallel_env(load_scenario(file)).agents == []


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("mpc(", "write name or name"),
        ("", "write name or name"),
        ("mpc(nope=3)", "nope"),
        ("mpc(trust=0.5)(grid=False)", "cannot read the options"),
        ("mpc(trust=3)", "trust is a share above 0"),
        ("mpc(outlook=5)", "outlook 5 is not a valid outlook: write a name such as 'forecast'"),
        ("plan(plan=3)", "plan is 3; give a Plan, its Parquet file"),
        ("rllib:nosuch", "there is no folder nosuch"),
    ],
)
def test_policies_are_made_with_their_options(tmp_path: Path, policy: str, message: str) -> None:
    (found,) = faults(tmp_path, f'policies: [llf, "{policy}"]')
    assert found[:2] == (3, "policies[1]")
    assert message in found[2]


@pytest.mark.parametrize(
    ("outlook", "key", "message"),
    [
        ("{prices: {name: forecast, options: {price_error: -1}}}", "outlook.prices", "price_error must be 0 or more"),
        ("{name: expected, options: {tracks: nosuch}}", "outlook", "nosuch: there is no such file"),
        ("{name: expected, options: {tracks: /dev}}", "outlook", "no track files"),
        ("{tracks: /dev}", "outlook.tracks", "no track files"),
        ("{limits: {name: known, options: {x: 1}}}", "outlook.limits", "It takes no options"),
    ],
)
def test_outlooks_are_made_with_their_options(tmp_path: Path, outlook: str, key: str, message: str) -> None:
    (found,) = faults(tmp_path, f"outlook: {outlook}")
    assert found[:2] == (3, key)
    assert message in found[2]
