"""What `check` warns of: each check with hand-worked numbers; shipped scenarios pass them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import playable_scenarios

from ev_marl.checks import CHECKS, Finding, SampledDays, findings
from ev_marl.checks.plausibility import check_plans, check_prices
from ev_marl.env.setup import Setting
from ev_marl.objective import Objective
from ev_marl.scenario import ScenarioError, load_scenario
from ev_marl.world.track import Track

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a variant of `tiny`."""

    def variant(text: str) -> Path:
        file = tmp_path / "mine.yaml"
        file.write_text(f"extends: tiny\nname: mine\n{text}\n")
        return file

    return variant


def by_hand(file: str | Path, sessions: Sequence[dict[str, Any]], base_load_kw: float = 0.0) -> SampledDays:
    """One day of a scenario with these sessions."""
    setting = Setting.of(file)
    root = setting.site.groups[0]
    track = Track.build(setting.site, step_h=1.0, n_steps=24, sessions=sessions, base_load_kw={root: base_load_kw})
    return SampledDays(setting, (track,))


def only(found: list[Finding], check: str) -> Finding:
    (finding,) = found
    assert finding.check == check
    return finding


@pytest.mark.parametrize("name", playable_scenarios())
def test_shipped_scenarios_pass(name: str) -> None:
    assert findings(name) == []


def test_errors_come_first(write: Write) -> None:
    with pytest.raises(ScenarioError, match="unknown key"):
        findings(write("horizn: 24 h"))


def test_every_check_says_what_it_is_about() -> None:
    assert all(check.__doc__ for check in CHECKS)


def test_unmet_energy_cheaper_than_a_delivered_kwh(write: Write) -> None:
    file = write("objective: {unmet_energy: 0.25 EUR/kWh}")
    found = only(findings(file), "refusal")
    assert found.key == "objective.unmet_energy"
    # prices from 0.10 to 0.40, wear 0.02, efficiency 93 %; above 0.25 in the 11 hours at 0.30 and 0.40
    dearest = (0.40 + 0.02) / 0.93
    assert found.numbers == pytest.approx(
        {"unmet_per_kwh": 0.25, "dearest_per_kwh": dearest, "efficiency": 0.93, "share_of_steps": 11 / 24}
    )
    for part in ("0.25 EUR/kWh", "0.452 EUR", "price 0.400 and wear of 0.02", "93%", "46%"):
        assert part in found.message
    problem = found.problem(load_scenario(file))
    assert (problem.file, problem.line) == (str(file), 3)
    assert findings(write("objective: {unmet_energy: 0.46 EUR/kWh}")) == []


STATIONS = "site: {{name: yard, import_limit: 12 kW, export_limit: null, groups: null, stations: [{}]}}"


def test_stations_that_the_mix_cannot_use(write: Write) -> None:
    found = only(findings(write(STATIONS.format("{type: ac, count: 3, power: 22 kW}"))), "stations")
    assert found.key == "site.stations[0]"
    assert found.numbers == {"port_kw": 22.0, "fastest_vehicle_kw": 11.0}
    assert "22 kW, and the fastest at AC, compact, charges with 11 kW" in found.message
    both = "{type: ac, count: 3, power: 11 kW}, {type: fast, supply: dc, power: 50 kW}"
    found = only(findings(write(STATIONS.format(both))), "stations")
    assert found.key == "site.stations[1]"
    assert "no vehicle of the mix can charge at DC ports" in found.message
    found = only(findings(write("vehicles: {v2g_share: 0}")), "stations")
    assert found.key == "site.groups[0].stations[1]"
    assert "these ports have V2G, but no vehicle has" in found.message


def test_many_vehicles_at_the_start() -> None:
    homes = load_scenario("residential-v2g")
    found = only(findings(homes.model_copy(update={"start_hour": 0.0})), "start")
    assert found.key == "start_hour"
    assert found.numbers["vehicles"] > 15.0 > 2.0 * found.numbers["fewest"]
    assert "`start_hour: 1" in found.message  # in the early afternoon


@pytest.mark.skipif("street-lv" not in playable_scenarios(), reason="needs the extra `grid`")
def test_a_network_that_limits_charging_before_the_start() -> None:
    """At 22:00 the street is at its limits, at noon it is not."""
    street = load_scenario("street-lv")
    found = [
        finding for finding in findings(street.model_copy(update={"start_hour": 22.0})) if "network" in finding.message
    ]
    assert only(found, "start").key == "start_hour"
    numbers = found[0].numbers
    assert 0.05 * numbers["first_kwh"] < numbers["too_much_kwh"] < numbers["first_kwh"]
    assert f"{numbers['too_much_kwh']:.0f} kWh more than they would" in found[0].message


def test_who_is_there_is_counted_by_the_hour() -> None:
    """One from 0 to 5, one from 2 beyond the end, one from 22: one at the start, fewest (one) at 0, 1 and 5 to 21."""
    rows = [
        {"port": 0, "arrival": 0, "departure": 5, "wanted_kwh": 5},
        {"port": 1, "arrival": 2, "departure": 30, "wanted_kwh": 5},
        {"port": 2, "arrival": 22, "departure": 23, "wanted_kwh": 5},
    ]
    start = by_hand("tiny", rows).start
    assert (start.vehicles, start.local_time) == (1.0, "00:00")
    assert (start.fewest, start.fewest_at) == (1.0, "00:00")
    assert by_hand("tiny", rows[1:]).start.fewest == 0.0


def test_what_the_groups_would_carry(write: Write) -> None:
    """Two vehicles of 11 kW with 5 kWh and 22 kWh to charge at 93 %, the yard limited to 15 kW, a base load of 3 kW."""
    days = by_hand(
        write("site: {groups: [{name: yard, import_limit: 15 kW, stations: [{type: ac, count: 3, power: 11 kW}]}]}"),
        [
            {"port": 0, "arrival": 1, "departure": 4, "wanted_kwh": 5, "capacity_kwh": 100},
            {"port": 1, "arrival": 1, "departure": 3, "wanted_kwh": 22, "capacity_kwh": 100},
        ],
        base_load_kw=3.0,
    )
    connection, yard = days.uncontrolled_kw[0, :5].T
    most = 2 * 11 * 0.93  # what the second can get in its two hours
    assert yard == pytest.approx([0.0, 5 / 0.93 + 11.0, most / 0.93 - 11.0, 0.0, 0.0])
    assert connection == pytest.approx(yard + 3.0)
    assert pytest.approx(np.array([[3, 18, 18, 14, 3], [0, 22, 22, 11, 0]])) == days.possible_kw[0, :5].T


def test_a_limit_that_never_binds(write: Write) -> None:
    found = only(findings(write("site: {import_limit: 34 kW}")), "limits")
    assert found.key == "site.import_limit"
    assert found.numbers["limit_kw"] == 34.0
    assert 0.0 < found.numbers["possible_kw"] <= 12.0  # what the yard lets through
    assert "the limit is 34 kW or more" in found.message


def test_nothing_to_share(write: Write) -> None:
    yard = "{name: yard, stations: [{type: ac, count: 3, power: 11 kW}]}"
    wide = f"site: {{import_limit: null, export_limit: null, groups: [{yard}]}}"
    found = only(findings(write(wide)), "limits")
    assert found.key == "site"
    assert 11.0 <= found.numbers["highest_kw"] <= 33.0
    assert findings(write(f"{wide}\nobjective: {{peak_power: 1 EUR/kW}}")) == []


def test_a_current_limit_that_is_reached_is_one(write: Write) -> None:
    wide = "site: {import_limit: 1000 kW, current_limit: 20 A}"  # two vehicles of 11 kW on three phases draw 32 A
    assert not [finding for finding in findings(write(wide)) if "reaches no limit" in finding.message]


def test_a_price_above_every_alternative(write: Write) -> None:
    found = only(findings(write("objective: {peak_power: 14 EUR/kW}")), "prices")
    assert found.key == "objective.peak_power"
    assert found.numbers == pytest.approx({"peak_per_kw": 14.0, "worth_per_kw": 0.60 * 24 * 0.93})
    assert findings(write("objective: {peak_power: 13 EUR/kW}")) == []
    # from 0.10 to 0.40 EUR/kWh through both efficiencies; wear is paid on the way in and out
    gain, per_wear = 0.40 * 0.93 - 0.10 / 0.93, 1 / 0.93 + 0.93
    found = only(findings(write("objective: {battery_wear: 0.14 EUR/kWh, unmet_energy: 1 EUR/kWh}")), "prices")
    assert found.key == "objective.battery_wear"
    assert found.numbers == pytest.approx({"gain_per_kwh": gain, "wear_per_kwh": 0.14 * per_wear})
    assert findings(write("objective: {battery_wear: 0.13 EUR/kWh, unmet_energy: 1 EUR/kWh}")) == []


def test_what_drivers_pay_counts_where_a_price_is_compared(write: Write) -> None:
    # Each kWh that one more kW delivers also earns the tariff.
    tariff = "driver_tariff: 0.10 EUR/kWh"
    found = only(findings(write(f"objective: {{peak_power: 17 EUR/kW, {tariff}}}")), "prices")
    assert found.numbers["worth_per_kw"] == pytest.approx(24 * (0.60 * 0.93 + 0.10))
    assert findings(write(f"objective: {{peak_power: 15 EUR/kW, {tariff}}}")) == []
    # Where service is required, no peak is too dear.
    assert findings(write("objective: {peak_power: 100 EUR/kW, service: required}")) == []
    # Drivers pay for a kWh in, and get back what comes out.
    worn = "battery_wear: 0.14 EUR/kWh, unmet_energy: 1 EUR/kWh"
    assert only(findings(write(f"objective: {{{worn}}}")), "prices").numbers["gain_per_kwh"] < 0.28
    assert findings(write(f"objective: {{{worn}, driver_tariff: 0.30 EUR/kWh}}")) == []


def test_a_price_after_the_end_that_no_hour_has(write: Write) -> None:
    found = only(findings(write("objective: {terminal_value: 0.45 EUR/kWh}")), "prices")
    assert found.key == "objective.terminal_value"
    assert found.numbers == pytest.approx({"terminal_per_kwh": 0.45, "least_per_kwh": 0.10, "most_per_kwh": 0.40})
    assert "more than any price" in found.message
    assert "charge up to their wish in every hour" in found.message
    found = only(findings(write("objective: {terminal_value: 0.05 EUR/kWh}")), "prices")
    assert "never charge more than is due" in found.message
    for fine in ("0.10 EUR/kWh", "0.40 EUR/kWh", "auto", "0 EUR/kWh"):
        assert findings(write(f"objective: {{terminal_value: {fine}}}")) == []


def test_a_price_of_overload_that_never_counts(write: Write) -> None:
    found = only(findings(write("objective: {overload: 2 EUR/kWh}")), "overload")
    assert found.key == "objective.overload"
    assert found.message == "coordinator `nearest` never allows overload; remove this key, or use `none`"
    assert findings(write("objective: {overload: 2 EUR/kWh}\ncoordinator: none")) == []


def test_a_meter_that_pays_more_for_selling_than_for_buying(write: Write) -> None:
    prices = "prices: {by_hour: [" + ", ".join(["0.20"] * 18 + ["-0.10"] * 6) + "], markup: -0.05}"
    finding = only(findings(write(f"metering: site\n{prices}")), "meter")
    assert finding.key == "metering"
    assert finding.numbers == {"share_of_steps": 1.0}
    assert not [found for found in findings(write(f"metering: port\n{prices}")) if found.check == "meter"]


def test_an_export_limit_that_never_binds(write: Write) -> None:
    found = only(findings(write("site: {export_limit: 5000 kW}")), "limits")
    assert found.key == "site.export_limit"
    assert found.numbers == {"limit_kw": 5000.0, "possible_kw": 11.0, "days": 20}  # one port with V2G
    assert findings(write("site: {export_limit: 11 kW}")) == []


def test_a_tariff_above_the_cost_of_every_kwh(write: Write) -> None:
    found = only(findings(write("objective: {driver_tariff: 5 EUR/kWh}")), "prices")
    assert found.key == "objective.driver_tariff"
    assert found.numbers == pytest.approx({"tariff_per_kwh": 5.0, "dearest_per_kwh": 0.40 + 0.02})
    assert findings(write("objective: {driver_tariff: 0.42 EUR/kWh}")) == []
    with_peak = findings(write("objective: {driver_tariff: 5 EUR/kWh, peak_power: 1 EUR/kW}"))
    assert "objective.driver_tariff" not in [found.key for found in with_peak]  # a kWh may then cost more


def test_tracking_that_leaves_vehicles_uncharged(write: Write) -> None:
    found = only(findings(write("objective: {setpoint_tracking: {weight: 50, target: 5 kW}}")), "prices")
    assert found.key == "objective.setpoint_tracking"
    assert found.numbers == pytest.approx({"tracking_per_kwh": 50.0 * 11.0, "worth_per_kwh": 0.60 * 0.93})
    assert findings(write("objective: {setpoint_tracking: {weight: 0.05, target: 5 kW}}")) == []


def test_a_price_of_overload_that_is_next_to_nothing_or_dominates(write: Write) -> None:
    numbers = {"saved_per_kwh": 0.40 - 0.10, "worth_per_kwh": 0.60}
    for price, said in ((1e-6, "cheaper than keeping them"), (1e5, "overload dominates every reward")):
        found = only(findings(write(f"coordinator: none\nobjective: {{overload: {price:.6f} EUR/kWh}}")), "overload")
        assert found.key == "objective.overload"
        assert found.numbers == pytest.approx({"overload_per_kwh": price, **numbers})
        assert said in found.message
    for fine in (0.31, 59.0):
        assert findings(write(f"coordinator: none\nobjective: {{overload: {fine} EUR/kWh}}")) == []
    worthless = "objective: {overload: 5 EUR/kWh, energy_cost: 0, unmet_energy: 0}"  # nothing that it could dominate
    assert "overload" not in [found.check for found in findings(write(f"coordinator: none\n{worthless}"))]


def test_a_price_of_voltage_that_makes_the_band_a_limit() -> None:
    pytest.importorskip("pandapower")
    street = load_scenario("street-lv")
    for price, tariff, n_found in ((1e6, 0.0, 1), (1e3, 0.0, 0), (1e6, 10.0, 0)):
        objective = street.objective.model_copy(update={"voltage_deviation": price, "driver_tariff": tariff})
        days = SampledDays.of(Setting.of(street.model_copy(update={"objective": objective})), 1)
        found = [finding for finding in check_prices(days) if finding.key == "objective.voltage_deviation"]
        assert len(found) == n_found


@pytest.mark.parametrize("key", ["energy_cost", "unmet_energy"])
def test_a_terminal_value_that_has_no_effect(write: Write, key: str) -> None:
    found = findings(write(f"objective: {{terminal_value: 0.3 EUR/kWh, {key}: 0, battery_wear: 0}}"))
    about = only([one for one in found if one.check == "prices"], "prices")
    assert about.key == "objective.terminal_value"
    assert f"has no effect: with `{key}: 0`" in about.message
    assert about.numbers == {"terminal_per_kwh": 0.3}


def test_a_term_that_cannot_be_planned_with() -> None:
    class Puzzle:
        name = "puzzle"

        def cost(self, flow: Any, out: np.ndarray) -> None: ...

        def expression(self, day: Any) -> str | float:
            return "cheap" if len(day.sessions) else 0.0

    setting = Setting.of("tiny")
    setting = replace(setting, objective=Objective([*setting.objective.terms, Puzzle()]))
    (found,) = check_plans(SampledDays.of(setting, 1))
    assert found.check == "plans"
    assert "objective term 'puzzle': its expression cannot be stated" in found.message


def test_signals_in_another_unit_and_a_publication_that_changes_nothing(write: Write) -> None:
    unit = only(findings(write("carbon: 4500 g/kWh")), "signals")
    assert unit.path == ("carbon",)
    assert unit.numbers == {"lowest": 4.5, "highest": 4.5}
    months = [60, 61, 62, 63, 64, 65, 66, 65, 64, 63, 62, 61]
    fahrenheit = only(findings(write(f"weather: {{temperature: {{by_month: {months}}}}}")), "signals")
    assert fahrenheit.path == ("weather", "temperature")
    prices = "prices: {model: nl/2023, published: 13 h}"
    early = only(findings(write(prices)), "signals")
    assert "every episode of 24 h lies within one calendar day" in early.message
    assert findings(write(f"{prices}\nhorizon: 48 h\ncarbon: 300 g/kWh\nweather: {{temperature: 20 °C}}")) == []


def test_drivers_who_would_say_to_leave_as_soon_as_they_come(write: Write) -> None:
    late = "sessions: {{per_port_per_day: 3, stay_scale: 0.4, declared: {{late: {{share: 1, by: {} h}}}}}}"
    found = only(findings(write(late.format(24))), "declared")
    assert found.key == "sessions.declared.late"
    assert found.numbers["share"] > 0.5
    assert f"stay, which is {found.numbers['stay_h']:.1f} h" in found.message
    assert findings(write(late.format(0.5))) == []


def test_an_event_that_never_happens_and_a_request_that_asks_for_nothing(write: Write) -> None:
    """An episode of 12 hours from midnight; two 11 kW ports behind a connection cannot draw 60 kW."""
    file = write(
        "horizon: 12 h\nevents:\n"
        "- {kind: outage, at: 18 h, lasts: 1 h}\n"
        "- {kind: demand_response, at: 9 h, lasts: 2 h, limit: 60 kW}\n"
        "- {kind: demand_response, at: 9 h, lasts: 2 h, limit: 0 kW}"
    )
    found = [finding for finding in findings(file) if finding.check == "events"]
    assert [finding.key for finding in found] == ["events[0].at", "events[1].limit"]
    assert "contains 18 h" in found[0].message
    assert 0.0 < found[1].numbers["highest_kw"] < found[1].numbers["limit_kw"] == 60.0
