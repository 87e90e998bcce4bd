"""A published month in a garage: a day worked by hand, what is compared with what, runs that go on, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from typer.testing import CliRunner

from ev_marl.cli import app
from ev_marl.compare import garage
from ev_marl.compare.garage import Case, Month, cases_of, month_of, published_of, published_results, reproduce
from ev_marl.compare.garage_report import PICTURE, REPORT, bound, write_month
from ev_marl.scenario import load_scenario
from ev_marl.support.errors import RunError
from ev_marl.world.choices import Garage

ZONE = ZoneInfo("America/Los_Angeles")
POD = ("CA-322", "CA-493", "CA-496", "CA-320")  # behind one cable of 80 A
RULES = ("llf", "edf", "round-robin", "uncontrolled")
Stay = tuple[str, float, float, float]  # station, arrival and departure [h of the day], energy [kWh]


def sessions(path: Path, stays: Iterable[Stay]) -> Path:
    """A file as the API of ACN-Data gives it, on 3 September 2018."""
    day = datetime(2018, 9, 3, tzinfo=ZONE)
    items = [
        {
            "stationID": station,
            "connectionTime": (day + timedelta(hours=arrival)).isoformat(),
            "disconnectTime": (day + timedelta(hours=departure)).isoformat(),
            "kWhDelivered": kwh,
            "timezone": ZONE.key,
        }
        for station, arrival, departure, kwh in stays
    ]
    path.write_text(json.dumps({"_items": items}))
    return path


def one_day(path: Path, stays: Iterable[Stay], cases: tuple[Case, ...]) -> Month:
    file = sessions(path / "sessions.json", stays)
    return month_of(file, start=date(2018, 9, 3), until=date(2018, 9, 4), cases=cases, out=path / "run")


def compute(month: Month) -> dict[str, float]:
    """Percent by the name of the case."""
    found = reproduce(month, workers=1, advance=lambda: None)
    return {case.name: result.percent for case, result in found.items()}


def test_a_pod_of_80_a_worked_by_hand(tmp_path: Path) -> None:
    """Four vehicles want 6.656 kWh in an hour; 80 A at 208 V give 16.64 of the 26.624 kWh, whatever the rule."""
    cases = cases_of(["I", "II"], [150.0], ["optimum", *RULES])
    month = one_day(tmp_path, [(station, 9.0, 10.0, 6.656) for station in POD], cases)
    percents = compute(month)
    assert set(percents) == {"I-150-optimum", *(f"II-150-{rule}" for rule in RULES)}
    expected = 100.0 * 16.64 / 26.624
    in_turns = percents.pop("II-150-round-robin")
    assert percents == pytest.approx(dict.fromkeys(percents, expected), rel=1e-6)
    assert expected * (1.0 - 0.1 / 16.64) <= in_turns <= expected  # it stops where an increment of 0.1 kW does not fit


def test_levels_of_stations_worked_by_hand(tmp_path: Path) -> None:
    """At a station with 6 to 32 A in steps of 1 A: 0.35 kWh are 20.19 A for 5 min at 208 V, of which 20 A are a level,
    and what is left is less than 6 A. In the other pod, of four vehicles two get 32 A and two 8 A: all of its 80 A."""
    rules = ["llf", "edf", "round-robin"]
    month = one_day(tmp_path, [("CA-324", 9.0, 12.0, 0.35)], cases_of(["III"], [150.0], rules))
    expected = 100.0 * 20 * 0.208 / 12 / 0.35
    assert compute(month) == pytest.approx({f"III-150-{rule}": expected for rule in rules}, rel=1e-6)
    (tmp_path / "pod").mkdir()
    month = one_day(
        tmp_path / "pod", [(station, 9.0, 10.0, 6.656) for station in POD], cases_of(["III"], [150.0], rules)
    )
    assert compute(month) == pytest.approx({f"III-150-{rule}": 62.5 for rule in rules}, rel=1e-6)


def test_stations_have_levels_only_where_the_publication_has_them(tmp_path: Path) -> None:
    month = one_day(tmp_path, [(POD[0], 9.0, 10.0, 1.0)], cases_of(["II", "III"], [150.0], ["edf"]))
    ideal, real = (month.setting(Case(name, 150.0, "edf")).site.arrays for name in ("II", "V"))
    assert not ideal.has_levels
    least_kw, step_kw = real.port_levels_kw
    assert sorted(set(np.round(least_kw / 0.208, 6))) == [6.0, 8.0]
    assert sorted(set(np.round(step_kw / 0.208, 6))) == [1.0, 8.0]
    assert np.count_nonzero(step_kw > 1.0) == 8  # those of one pod


def test_the_first_to_leave_and_the_least_laxity_come_first(tmp_path: Path) -> None:
    """Behind 80 A: A leaves after 1 h, wants little, and has time; B, C, D leave after 2 h and need full power."""
    stays = [(POD[0], 9.0, 10.0, 3.328), *((station, 9.0, 11.0, 13.312) for station in POD[1:])]
    percents = compute(one_day(tmp_path, stays, cases_of(["II"], [150.0], ["llf", "edf"])))
    room, wanted = 2 * 16.64, 3.328 + 3 * 13.312  # all that the cable gives is used by both
    assert percents["II-150-edf"] == pytest.approx(100.0 * room / wanted, rel=1e-6)
    assert percents["II-150-llf"] == pytest.approx(100.0 * room / wanted, rel=0.02)


def test_a_battery_that_slows_down_wastes_what_is_reserved_for_it(tmp_path: Path) -> None:
    """One station is full of a vehicle in its taper: what it does not take is lost to the others of the pod."""
    stays = [(station, 9.0, 10.5, 7.9) for station in POD]
    percents = compute(one_day(tmp_path, stays, cases_of(["IV"], [150.0], ["optimum", "edf"])))
    assert percents["IV-150-edf"] < percents["IV-150-optimum"] - 1.0


def test_the_bound_is_that_of_the_same_batteries(tmp_path: Path) -> None:
    stays = [(station, 9.0, 10.0, 6.0) for station in POD]
    month = one_day(tmp_path, stays, cases_of(["I", "IV"], [20.0, 150.0], ["optimum", "llf"]))
    found = reproduce(month, workers=1, advance=lambda: None)
    for case, result in found.items():
        assert result.percent <= bound(case, found) + 1e-6
    of_ideal = found[Case("I", 20.0, "optimum")].bound
    assert bound(Case("I", 20.0, "optimum"), found) == pytest.approx(of_ideal)
    slower = {case: result for case, result in found.items() if case != Case("IV", 20.0, "optimum")}
    assert bound(Case("IV", 20.0, "llf"), slower) >= bound(Case("IV", 20.0, "llf"), found)
    assert np.isnan(bound(Case("I", 40.0, "optimum"), found))


def test_the_profit_of_a_pod_worked_by_hand(tmp_path: Path) -> None:
    """Drivers pay 0.30, energy costs 0.0925 before noon, and of 15.51 a kW and month a day of September pays a 30th.

    80 A give 16.64 kWh in an hour, without a limit there are 26.624. An hour pays 0.2075 for a kW, less than its 0.517,
    so a controller that knows the charge gives nothing."""
    cases = cases_of(["I", "II"], [150.0], ["optimum", "mpc", "llf", "uncontrolled"], ["profit"])
    month = one_day(tmp_path, [(station, 9.0, 10.0, 6.656) for station in POD], cases)
    found = {case.policy: result for case, result in reproduce(month, workers=1, advance=lambda: None).items()}
    for policy, kwh in (("optimum", 0.0), ("mpc", 0.0), ("llf", 16.64), ("uncontrolled", 26.624)):
        assert found[policy].energy_cost == pytest.approx(0.0925 * kwh, abs=1e-6)
        assert found[policy].demand_charge == pytest.approx(15.51 / 30 * kwh, abs=1e-6)
        assert found[policy].profit == pytest.approx((0.3 - 0.0925 - 15.51 / 30) * kwh, abs=1e-6)
    assert found["optimum"].bound == pytest.approx(0.0, abs=1e-6)


def test_of_a_longer_stay_the_cheap_hours_pay_the_demand_charge(tmp_path: Path) -> None:
    """From 9 to 13, at 0.26668 from noon on: three hours earn 0.2341, and all four hours 0.2310."""
    cases = cases_of(["I", "II"], [150.0], ["optimum", "mpc"], ["profit"])
    month = one_day(tmp_path, [(POD[0], 9.0, 13.0, 6.656)], cases)
    for result in reproduce(month, workers=1, advance=lambda: None).values():
        assert result.percent == pytest.approx(100.0, abs=1e-3)
        assert result.profit == pytest.approx((0.2075 - 15.51 / 30 / 3) * 6.656, abs=1e-4)


def test_of_a_month_the_demand_charge_is_whole(tmp_path: Path) -> None:
    file = sessions(tmp_path / "s.json", [(POD[0], 9.0, 10.0, 1.0)])
    times = [
        (date(2018, 9, 1), date(2018, 10, 1)),
        (date(2019, 5, 1), date(2019, 6, 1)),
        (date(2018, 9, 3), date(2018, 9, 10)),
    ]
    months = [month_of(file, start=start, until=until, out=tmp_path / str(start)) for start, until in times]
    prices = [month.demand_charge_per_kw for month in months]
    assert prices == pytest.approx([15.51, 15.51, 15.51 * 7 / 30])


def test_published_numbers_stand_beside_the_same_case() -> None:
    assert published_of(Case("II", 40.0, "llf")) == 77.6
    assert published_of(Case("IV", 60.0, "round-robin")) == 87.1
    assert published_of(Case("III", 20.0, "edf")) == 47.1
    assert published_of(Case("V", 150.0, "llf")) == 99.1
    assert published_of(Case("I", 20.0, "optimum")) == 55.4
    assert published_of(Case("II", 41.0, "llf")) is None
    assert published_of(Case("II", 40.0, "uncontrolled")) is None
    assert published_of(Case("II", 150.0, "mpc", "profit"), "profit") == 2788.15
    assert published_of(Case("V", 150.0, "uncontrolled", "profit"), "profit") == 763.87
    assert published_of(Case("II", 60.0, "mpc", "profit"), "profit") is None
    assert published_of(Case("II", 150.0, "llf", "profit")) is None
    for policies in published_results()["energy_delivered_percent"].values():
        assert {len(row) for row in policies.values()} == {4}


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    stays = [(station, 9.0, 10.0, 6.0) for station in POD]
    first = one_day(tmp_path, stays, cases_of(["II"], [150.0], ["edf"]))
    compute(first)
    file = first.folder / "II-150-edf.json"
    file.write_text(file.read_text().replace('"seconds"', '"seconds" '))  # still there afterwards: not computed anew
    more = one_day(tmp_path, stays, cases_of(["II"], [150.0], ["edf", "llf"]))
    assert set(compute(more)) == {"II-150-edf", "II-150-llf"}
    assert '"seconds" ' in file.read_text()
    with pytest.raises(RunError, match=r"holds the results of another month(.|\n)*sessions: "):
        one_day(tmp_path, stays[:2], cases_of(["II"], [150.0], ["edf"]))


def test_results_of_another_version_are_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = sessions(tmp_path / "s.json", [(POD[0], 9.0, 10.0, 1.0)])
    one = month_of(file, cases=cases_of(["II"], [150.0], ["edf"]))
    assert month_of(file).folder == one.folder
    monkeypatch.setattr(garage, "__version__", "0.0.1")
    assert month_of(file).folder != one.folder
    with pytest.raises(RunError, match=r"What differs:\n  ev_marl: .* there, 0\.0\.1 here"):
        month_of(file, out=one.folder)


def test_results_of_another_scenario_are_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sessions(tmp_path / "s.json", [(POD[0], 9.0, 10.0, 1.0)])
    month_of(file, out=tmp_path / "run")
    other = load_scenario("acn-caltech").model_copy(update={"step": 0.25})
    monkeypatch.setattr(garage, "load_scenario", lambda name: other)
    with pytest.raises(RunError, match=r"What differs:\n  scenario\.step: "):
        month_of(file, out=tmp_path / "run")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"percent": "much"}', "\x00", '{"percent": NaN}', '{"percent": 1.0, "more": 1}'],
    ids=["empty", "list", "nothing", "text", "binary", "nan", "other"],
)
def test_a_damaged_case_is_named(tmp_path: Path, text: str) -> None:
    month = one_day(tmp_path, [(POD[0], 9.0, 10.0, 1.0)], cases_of(["II"], [150.0], ["edf"]))
    (month.folder / "II-150-edf.json").write_text(text)
    with pytest.raises(RunError, match=r"II-150-edf.json is broken: delete it and run the same command again"):
        month.results()


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_a_damaged_record_of_a_folder_is_named(tmp_path: Path, text: str) -> None:
    file = sessions(tmp_path / "s.json", [(POD[0], 9.0, 10.0, 1.0)])
    record = month_of(file, out=tmp_path / "run").folder / garage.RECORD
    record.write_text(text)
    with pytest.raises(RunError, match=r"hoose another folder"):
        month_of(file, out=tmp_path / "run")
    record.rename(record.with_name("II-150-edf.json"))
    with pytest.raises(RunError, match=r"holds results, but no month.json"):
        month_of(file, out=tmp_path / "run")


def test_a_first_look_has_few_cases_unless_they_are_named() -> None:
    quick = cases_of(goals=garage.GOALS, quick=True)
    assert {case.scenario for case in quick if case.policy == "mpc"} == {"II", "III"}
    assert {case.rating_kva for case in quick} == {40.0, 150.0}
    assert {case.scenario for case in quick if case.goal == "profit"} == {"I", "II"}
    assert set(quick) < set(cases_of(goals=garage.GOALS))
    assert cases_of(["V"], [60.0], ["mpc"], quick=True) == (Case("V", 60.0, "mpc"),)


@pytest.mark.parametrize(("name", "station", "built"), [("jpl", "AG-1F01", [45.0, 150.0]), ("office", "01", [50.0])])
def test_other_garages_have_no_published_numbers(
    tmp_path: Path, name: Garage, station: str, built: list[float]
) -> None:
    """Half of what is built, and a vehicle alone: all of its 6.656 kWh fit behind 22.5 kVA."""
    file = sessions(tmp_path / "s.json", [(station, 9.0, 10.5, 6.656)])
    cases = cases_of(["I", "II"], [sum(built) / 2], ["optimum", "llf"])
    month = month_of(file, name, start=date(2018, 9, 3), until=date(2018, 9, 4), cases=cases, out=tmp_path / "run")
    keys = month.setting(cases[0]).scenario.model_dump(mode="json", exclude_unset=True)["site"]
    assert [each["rating"] for each in garage._transformers(keys)] == [rating / 2 for rating in built]
    found = reproduce(month, workers=1, advance=lambda: None)
    assert [result.percent for result in found.values()] == pytest.approx([100.0, 100.0], abs=1e-3)
    write_month(month, found)
    assert "published" not in (month.folder / REPORT).read_text()


def test_of_another_time_the_note_says_what_was_published(tmp_path: Path) -> None:
    month = one_day(tmp_path, [(POD[0], 9.0, 10.0, 1.0)], cases_of(["II"], [150.0], ["edf"]))
    write_month(month, reproduce(month, workers=1, advance=lambda: None))
    text = (month.folder / REPORT).read_text()
    assert "What was published is of 2018-09-01 until 2018-10-01" in text
    assert "| published |" not in text


def test_report_and_picture_are_written(tmp_path: Path) -> None:
    month = one_day(
        tmp_path, [(POD[0], 9.0, 12.0, 6.0)], cases_of(["I", "II"], None, ["optimum", "llf"], ["energy", "profit"])
    )
    write_month(month, reproduce(month, workers=1, advance=lambda: None))
    text = (month.folder / REPORT).read_text()
    assert "| II | llf | 100.0 |" in text
    assert "| II | llf | 150 | " in text
    assert (month.folder / PICTURE).read_bytes().startswith(b"\x89PNG")


def test_what_does_not_exist_is_said() -> None:
    with pytest.raises(RunError, match=r"no scenario is called 'VI'; there are I, II, III"):
        cases_of(["VI"])
    with pytest.raises(RunError, match="no policy of this study is called 'lff'"):
        cases_of(policies=["lff"])
    with pytest.raises(RunError, match="no goal is called 'fun'; there are energy, profit"):
        cases_of(goals=["fun"])
    with pytest.raises(RunError, match="must be above 0 kVA"):
        cases_of(ratings_kva=[0.0])
    with pytest.raises(RunError, match="must be above 0 kVA, got nan"):
        cases_of(ratings_kva=[60.0, float("nan")])
    with pytest.raises(RunError, match=r"scenario II has none of these policies: optimum; I has optimum only"):
        cases_of(["II"], policies=["optimum"])
    with pytest.raises(RunError, match=r"there is no file nowhere.json. .*https://ev.caltech.edu"):
        month_of("nowhere.json")


def test_a_time_without_a_day_is_refused(tmp_path: Path) -> None:
    file = sessions(tmp_path / "s.json", [(POD[0], 9.0, 10.0, 1.0)])
    with pytest.raises(RunError, match="has no day"):
        month_of(file, start=date(2018, 9, 3), until=date(2018, 9, 3), out=tmp_path / "run")


def test_the_command(tmp_path: Path) -> None:
    file = sessions(tmp_path / "s.json", [(station, 9.0, 10.0, 6.656) for station in POD])
    words = ["reproduce", "acn-caltech", "--sessions", str(file), "--start", "2018-09-03", "--until", "2018-09-04"]
    words += ["--scenario", "II", "--policies", "edf", "--capacity", "150", "--goal", "energy", "--out"]
    words += [str(tmp_path / "run")]
    table = CliRunner().invoke(app, words)
    assert table.exit_code == 0, table.output
    assert "62.5" in table.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    (row,) = told["cases"]
    assert (row["policy"], row["sessions"]) == ("edf", 4)
    assert row["percent"] == pytest.approx(62.5, rel=1e-6)
    wrong = CliRunner().invoke(app, ["reproduce", "acn-pasadena", "--sessions", str(file)])
    assert wrong.exit_code == 1
