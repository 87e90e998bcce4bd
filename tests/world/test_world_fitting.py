"""Measured drivers: the model draws what its file says, and a fit gets a known model back."""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from typer.testing import CliRunner

from ev_marl.checks.names import checked_setting
from ev_marl.cli.app import app
from ev_marl.scenario import ScenarioError
from ev_marl.scenario.schema import Sessions
from ev_marl.scenario.schema.session_file import SessionFile
from ev_marl.support.errors import DataError
from ev_marl.testing import check_session_model
from ev_marl.world.fitting import Recorded, fit_sessions, how_well, per_day_of, session_file_text
from ev_marl.world.hours import HourGrid
from ev_marl.world.measured_sessions import MeasuredSessions, read_session_file
from ev_marl.world.public_holidays import public_holidays
from ev_marl.world.readers.session_csv import read_session_csv
from ev_marl.world.sessions import SESSION_MODELS, Arrivals

ZONE = "Europe/Amsterdam"
MORNING, REST = list(range(12)), list(range(12, 24))


def shares(*hours: int) -> list[float]:
    return [1.0 / len(hours) if hour in hours else 0.0 for hour in range(24)]


KNOWN = SessionFile.model_validate(
    {
        "days": {
            "weekday": {"per_day": 40, "fano": 3},
            "friday": {"per_day": 30, "fano": 0.4},
            "saturday": {"per_day": 10},
            "sunday": {"per_day": 6},
            "holiday": {"per_day": 20},
        },
        "levels": [0, 0.5, 1],
        "workdays": {
            "arrival_share": shares(8, 9, 18),
            "stays": [
                {"hours": MORNING, "stay_h": [1, 8, 10], "energy_kwh": [2, 10, 40], "rank_correlation": 0.6},
                {"hours": REST, "stay_h": [0.5, 1, 2], "energy_kwh": [1, 5, 9]},
            ],
        },
        "weekends": {
            "arrival_share": shares(14),
            "stays": [{"hours": MORNING + REST, "stay_h": [0.5, 2, 4], "energy_kwh": [1, 5, 9]}],
        },
    }
)


def draw(
    n_days: int, n_ports: int = 1, holidays: tuple[date, ...] = (), seed: int = 0, measured: SessionFile = KNOWN
) -> tuple[HourGrid, Arrivals]:
    """Days from Monday, 1 May 2023, with as many vehicles as the file says for each port."""
    hours = HourGrid.around(datetime(2023, 5, 1, tzinfo=ZoneInfo(ZONE)), ZONE, 0.0, 24.0 * n_days, holidays)
    random = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    return hours, MeasuredSessions(per_day_of(measured), measured).draw(hours, n_ports, *random)


def numbers(n_days: int, n_ports: int = 1, holidays: tuple[date, ...] = ()) -> np.ndarray:
    _, drawn = draw(n_days, n_ports, holidays)
    return np.bincount((drawn.arrival_h // 24).astype(int), minlength=n_days)


def test_kinds_of_day_and_their_spread() -> None:
    number = numbers(7 * 1000).reshape(-1, 7)
    assert number.mean(axis=0) == pytest.approx([40, 40, 40, 40, 30, 10, 6], rel=0.05)
    fano = number.var(axis=0) / number.mean(axis=0)
    assert fano == pytest.approx([3, 3, 3, 3, 0.4, 1, 1], rel=0.15)


def test_the_level_of_a_day_does_not_depend_on_the_size_of_the_site() -> None:
    """Variance over mean squared of the level is (3 − 1)/40 = 0.05; ten times the ports: F = 1 + 400·0.05 = 21."""
    number = numbers(7 * 1000, n_ports=10).reshape(-1, 7)[:, :4]
    assert number.var() / number.mean() == pytest.approx(21.0, rel=0.1)


def test_a_holiday_is_a_day_of_its_own() -> None:
    tuesdays = tuple(date(2023, 5, 2) + timedelta(days=7 * k) for k in range(300))
    hours, drawn = draw(2100, holidays=tuesdays)
    number = np.bincount((drawn.arrival_h // 24).astype(int), minlength=2100).reshape(-1, 7)
    assert number[:, :2].mean(axis=0) == pytest.approx([40, 20], rel=0.05)
    tuesday = (drawn.arrival_h // 24) % 7 == 1
    summer = drawn.arrival_h < 24 * 150  # no clock change
    assert set((drawn.arrival_h[tuesday & summer] % 24 // 1).tolist()) == {14.0}
    assert (hours.weekend[hours.weekday == 7] == 1).all()


def test_stays_by_hour() -> None:
    _, drawn = draw(140)
    hour, workday = drawn.arrival_h % 24, drawn.arrival_h // 24 % 7 < 5
    morning = drawn.stay_h[workday & (hour < 12)]
    assert np.quantile(morning, [0.25, 0.5, 0.75]) == pytest.approx([4.5, 8, 9], abs=0.4)
    assert drawn.stay_h[workday & (hour > 12)].max() <= 2.0
    wanted = drawn.wanted_kwh[workday & (hour < 12)]
    ranks = [np.argsort(np.argsort(values)) for values in (morning, wanted)]
    assert np.corrcoef(ranks[0], ranks[1])[0, 1] == pytest.approx(0.6, abs=0.05)


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, drawn = draw(140, seed=3)
    start = datetime(2023, 5, 1, tzinfo=ZoneInfo(ZONE)).timestamp()
    rows = ["station,arrival,departure,energy_kwh"]
    for arrival_h, stay_h, kwh in zip(drawn.arrival_h, drawn.stay_h, drawn.wanted_kwh, strict=True):
        times = (datetime.fromtimestamp(start + 3600 * h, ZoneInfo(ZONE)) for h in (arrival_h, arrival_h + stay_h))
        rows.append(",".join(["A", *(time.isoformat(timespec="seconds") for time in times), f"{kwh:.3f}"]))
    path = tmp_path_factory.mktemp("data") / "sessions.csv"
    path.write_text("\n".join(rows))
    return path


def test_a_known_model_comes_back(csv: Path) -> None:
    recorded = Recorded.of([read_session_csv(csv, timezone=ZONE)])
    found = fit_sessions(recorded, "synthetic")
    for kind, rel in (("weekday", 0.05), ("friday", 0.08), ("saturday", 0.2), ("sunday", 0.25)):
        assert found.days[kind].per_day == pytest.approx(KNOWN.days[kind].per_day, rel=rel)  # type: ignore[index]
    assert 2.0 < found.days["weekday"].fano < 4.2
    assert found.days["friday"].fano < 0.9
    assert "holiday" not in found.days
    assert found.workdays.arrival_share == pytest.approx(KNOWN.workdays.arrival_share, abs=0.03)
    entry = next(entry for entry in found.workdays.stays if 9 in entry.hours)
    assert entry.stay_h[found.levels.index(0.5)] == pytest.approx(8.0, abs=0.2)
    assert entry.rank_correlation == pytest.approx(0.6, abs=0.08)
    fit = how_well(recorded, MeasuredSessions(per_day_of(found), found))
    assert max(fit.arrival, fit.stay, fit.departure, fit.energy) < 0.04
    wrong = how_well(
        recorded, MeasuredSessions(per_day_of(KNOWN), KNOWN.model_copy(update={"workdays": KNOWN.weekends}))
    )
    assert wrong.stay > 0.3


def test_the_command_writes_what_a_scenario_plays(csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "drivers.yaml"
    asked = ["fit", "sessions", str(csv), "--timezone", ZONE, "--ports", "20", "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    scenario = tmp_path / "site.yaml"
    scenario.write_text("extends: tiny\nname: site\nsessions: {file: drivers.yaml, per_port_per_day: 8}\n")
    track = checked_setting(scenario).world.sample(1)
    assert len(track.sessions) + track.turned_away > 5
    before = out.read_text()
    assert CliRunner().invoke(app, asked).exit_code == 1
    assert out.read_text() == before
    assert CliRunner().invoke(app, [*asked[:3], "--out", str(tmp_path / "other.yaml")]).exit_code == 1  # no time zone


def test_too_few_sessions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("station,arrival,departure,energy_kwh\nA,2023-05-01 08:00,2023-05-01 09:00,3\n")
    with pytest.raises(DataError, match=r"few.csv: 1 sessions are too few"):
        Recorded.of([read_session_csv(path, timezone=ZONE)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("per_day: 40", "per_day: 0"), r"drivers.yaml:\d+: days: needs `weekday`"),
        (("per_day: 40.0", "per_day: many"), r"drivers.yaml:\d+: days.weekday.per_day: found 'many'"),
        (("levels: [0.0, 0.5, 1.0]", "levels: [0.0, 0.5, 0.9]"), "levels: must rise from 0 to 1"),
        (("[1.0, 8.0, 10.0]", "[1.0, 8.0, 7.0]"), "`stay_h` needs 3 values that do not fall"),
        (("hours: [0, 1,", "hours: [1,"), "each clock hour"),
    ],
)
def test_faults_of_a_file_say_where(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path, text = tmp_path / "drivers.yaml", session_file_text(KNOWN)
    assert change[0] in text
    path.write_text(text)
    assert read_session_file(path) == KNOWN
    path.write_text(text.replace(*change))
    with pytest.raises(ScenarioError, match=said):
        read_session_file(path)


def test_model_and_file_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("extends: tiny\nname: site\nsessions: {model: highway, file: drivers.yaml}\n")
    with pytest.raises(ScenarioError, match="model"):
        checked_setting(path)


@pytest.mark.parametrize("name", ["acn/caltech-2019", "acn/jpl-2019"])
def test_shipped_models_are_sound(name: str) -> None:
    check_session_model(SESSION_MODELS.get(name), Sessions(model=name, per_port_per_day=1.2))


def test_holidays_need_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    public_holidays.cache_clear()
    monkeypatch.setitem(sys.modules, "holidays", None)
    path = tmp_path / "site.yaml"
    path.write_text("extends: tiny\nname: site\nsessions: {holidays: NL}\n")
    with pytest.raises(ScenarioError, match=r"site.yaml:3: sessions.holidays: .*pip install 'ev_marl\[holidays\]'"):
        checked_setting(path)


def test_holidays_of_a_country() -> None:
    pytest.importorskip("holidays")
    found = public_holidays("NL", 2023, 2024)
    assert {date(2023, 4, 27), date(2024, 12, 25)} <= found
    assert date(2023, 4, 28) not in found
    with pytest.raises(DataError, match="US-QQ"):
        public_holidays("US-QQ", 2023, 2023)
