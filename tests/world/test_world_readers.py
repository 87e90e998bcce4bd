"""Readers of public data sets: every format, clock changes, gaps, and errors that say where."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ev_marl.support.errors import DataError
from ev_marl.world import import_tracks
from ev_marl.world.readers.acn import read_acn
from ev_marl.world.readers.elaadnl import read_elaadnl
from ev_marl.world.readers.prices import read_prices
from ev_marl.world.readers.session_csv import read_session_csv


def write(folder: Path, text: str, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# ---- ACN-Data ----


@pytest.mark.parametrize("name", ["acn_api.json", "acn_api.csv", "acn_website.json", "acn.csv"])
def test_acn_in_its_forms(data: Path, name: str) -> None:
    sessions = read_acn(data / name)
    assert sessions.timezone == "America/Los_Angeles"
    assert [record.station for record in sessions.records] == ["CA-301", "CA-302", "CA-301", "CA-302"]
    assert [record.delivered_kwh for record in sessions.records] == [12.5, 8.25, 30.0, 5.0]
    assert [record.requested_kwh for record in sessions.records] == [20.0, None, 32.0, 5.0]  # the last input counts
    first = sessions.records[0]
    assert first.arrival == datetime(2019, 5, 1, 15, 0, tzinfo=UTC)
    assert first.departure - first.arrival == timedelta(hours=8.5)
    assert sessions.notes == (() if name == "acn.csv" else ("left out 1 sessions without energy",))


def test_acn_gzipped(data: Path, tmp_path: Path) -> None:
    packed = tmp_path / "acn.csv.gz"
    packed.write_bytes(gzip.compress((data / "acn.csv").read_bytes()))
    assert read_acn(packed).records == read_acn(data / "acn.csv").records


def test_acn_local_times_without_offset(tmp_path: Path) -> None:
    header = "arrival,departure,delivered_energy (kWh),station_id\n"
    path = write(tmp_path, header + "2019-05-01 08:00:00,2019-05-01 09:00:00,3.5,A\n")
    assert read_acn(path).records[0].arrival == datetime(2019, 5, 1, 15, 0, tzinfo=UTC)
    assert read_acn(path, timezone="Europe/Amsterdam").records[0].arrival == datetime(2019, 5, 1, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arrival,departure,station_id\n", r"no column delivered_energy \(kWh\)"),
        (
            "arrival,departure,delivered_energy (kWh),station_id\nx,2019-05-01,1,A\n",
            r"csv:2: arrival is 'x', not a time",
        ),
        (
            "arrival,departure,delivered_energy (kWh),station_id\n2019-05-01,2019-05-02,much,A\n",
            r"csv:2: delivered_energy \(kWh\) is 'much'",
        ),
        (
            "arrival,departure,delivered_energy (kWh),station_id\n2019-05-01,2019-05-02\n",
            "csv:2: 2 fields, the header has 4",
        ),
        (
            "connectionTime,disconnectTime,kWhDelivered,spaceID,userInputs\n2019-05-01,2019-05-02,1,A,{\n",
            r"csv:2: userInputs: .*is not JSON",
        ),
        ("connectionTime,kWhDelivered\n2019-05-01,1\n", r"csv:2: connectionTime, disconnectTime, kWhDelivered are"),
        ("", "is empty"),
        ("{", "is not JSON"),
        ("{}", "has no list `_items`"),
        ('{"_items": [{"kWhDelivered": 2}]}', r"_items\[0\]: connectionTime, disconnectTime, kWhDelivered are needed"),
        (
            '{"_items": [{"connectionTime": "soon", "disconnectTime": "", "kWhDelivered": 2, "spaceID": "A"}]}',
            r"_items\[0\]: connectionTime is 'soon'",
        ),
    ],
)
def test_acn_faults_say_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_acn(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_acn(tmp_path / "absent.csv")
    table = tmp_path / "table.xlsx"
    table.write_bytes(b"PK\x03\x04\xff\xfe\x80")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_elaadnl(table)


# ---- an operator's own CSV ----

OWN = "station,arrival,departure,energy_kwh,site\n"


@pytest.mark.parametrize(
    "text",
    [
        OWN + "CP1,2023-05-01 08:12,2023-05-01 16:40,12.4,north\nCP2,2023-05-01T06:40Z,2023-05-01 17:10,22,north\n",
        "arrival;departure;station;energy_kwh\n"
        "2023-05-01 08:12;2023-05-01 16:40;CP1;12,4\n2023-05-01 08:40+02:00;2023-05-01 17:10;CP2;22\n",
    ],
)
def test_own_sessions(tmp_path: Path, text: str) -> None:
    """Comma or semicolon with decimal commas, columns in any order, others ignored; local times, or with an offset."""
    sessions = read_session_csv(write(tmp_path, text), timezone="Europe/Amsterdam")
    assert [record.station for record in sessions.records] == ["CP1", "CP2"]
    assert [record.delivered_kwh for record in sessions.records] == [12.4, 22.0]
    assert [record.requested_kwh for record in sessions.records] == [None, None]
    assert sessions.records[0].arrival == datetime(2023, 5, 1, 6, 12, tzinfo=UTC)
    assert sessions.records[1].arrival == datetime(2023, 5, 1, 6, 40, tzinfo=UTC)
    assert sessions.records[0].departure == datetime(2023, 5, 1, 14, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id;start;end;kwh\n",
            "found id, start, end, kwh. Rename the columns of the file to station",
        ),
        (
            OWN + "CP1,01.05.2023 08:12,2023-05-01 16:40,12.4,north\n",
            "csv:2: arrival is '01.05.2023 08:12', not a time like",
        ),
        (
            OWN + 'CP1,2023-05-01 08:12,2023-05-01 16:40,"12,4",north\n',
            "csv:2: energy_kwh is '12,4', not a number of kWh",
        ),
    ],
)
def test_own_faults_say_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_session_csv(write(tmp_path, text), timezone="Europe/Amsterdam")


# ---- ElaadNL ----


def test_elaadnl_local_times(data: Path) -> None:
    sessions = read_elaadnl(data / "elaadnl.csv")
    assert sessions.timezone == "Europe/Amsterdam"
    first, _, spring, autumn, doubled = sessions.records
    assert first.station == "CP_001/1"
    assert first.arrival == datetime(2019, 2, 3, 7, 15, tzinfo=UTC)  # 3 February: the day comes first
    assert first.delivered_kwh == 14.25
    assert spring.departure - spring.arrival == timedelta(hours=1)  # 01:30 to 03:30, clock put forward at 2
    assert autumn.departure - autumn.arrival == timedelta(hours=1)
    assert doubled.departure - doubled.arrival == timedelta(minutes=20)  # 02:50 summer time to 02:10 winter time
    assert sessions.notes == ("left out 1 sessions that end when they begin or before",)


def test_elaadnl_times_in_utc(data: Path) -> None:
    sessions = read_elaadnl(data / "elaadnl.csv", timezone="UTC")
    assert sessions.timezone == "Europe/Amsterdam"
    assert sessions.records[0].arrival == datetime(2019, 2, 3, 8, 15, tzinfo=UTC)
    assert "left out 2 sessions that end when they begin or before" in sessions.notes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1;A;02/13/2019 08:15;03/02/2019 17:45;1", r"csv:2: '02/13/2019 08:15': month must be in 1..12"),
        ("1;A;2019-02-03 08:15;03/02/2019 17:45;1", r"csv:2: '2019-02-03 08:15' is not a time like"),
        ("1;A;03/02/2019 08:15;03/02/2019 17:45;1,2,3", "csv:2: TotalEnergy is '1,2,3', not a number"),
    ],
)
def test_elaadnl_faults_say_where(tmp_path: Path, row: str, message: str) -> None:
    header = "TransactionId;ChargePoint;UTCTransactionStart;UTCTransactionStop;TotalEnergy\n"
    with pytest.raises(DataError, match=message):
        read_elaadnl(write(tmp_path, header + row + "\n"))
    with pytest.raises(DataError, match="no column ChargePoint"):
        read_elaadnl(write(tmp_path, header.replace(";", ","), "comma.csv"))


# ---- prices ----


def test_entsoe_day_of_23_hours(data: Path) -> None:
    old = read_prices(data / "entsoe_old_spring.csv")
    assert old.start == datetime(2023, 3, 24, 23, tzinfo=UTC)
    assert old.end == datetime(2023, 3, 27, 22, tzinfo=UTC)
    assert len(old.per_kwh) == 24 + 23 + 24
    assert old.per_kwh[:2].tolist() == pytest.approx([0.0574, 0.05957])
    ember = read_prices(data / "ember.csv", area="NLD")
    assert ember.start == old.start
    assert np.array_equal(ember.per_kwh, old.per_kwh)


def test_entsoe_day_of_25_hours(data: Path) -> None:
    old = read_prices(data / "entsoe_old_autumn.csv")
    assert len(old.per_kwh) == 24 + 25 + 24
    assert old.start == datetime(2023, 10, 27, 22, tzinfo=UTC)
    assert old.end == datetime(2023, 10, 30, 23, tzinfo=UTC)
    # of the doubled hour the summer one comes first
    assert old.per_kwh[26:28].tolist() == pytest.approx([0.05997, 0.06156])
    new = read_prices(data / "entsoe_new_local.csv")
    assert new.start == old.start
    assert np.array_equal(new.per_kwh, old.per_kwh)


def test_entsoe_sequences_and_quarter_hours(data: Path) -> None:
    series = read_prices(data / "entsoe_new_utc.csv")
    assert series.resolution_h == 0.25
    assert series.start == datetime(2025, 9, 30, 20, tzinfo=UTC)
    assert (1000 * series.per_kwh).tolist() == pytest.approx([40] * 4 + [41] * 4 + list(range(60, 68)))
    other = read_prices(data / "entsoe_new_utc.csv", sequence=2)
    assert (1000 * other.per_kwh).tolist() == pytest.approx([139, 140])
    with pytest.raises(DataError, match="no rows of sequence 3"):
        read_prices(data / "entsoe_new_utc.csv", sequence=3)


def test_area_must_be_chosen_where_there_are_several(data: Path) -> None:
    with pytest.raises(DataError, match="2 areas, choose one with `area`: Belgium, Netherlands"):
        read_prices(data / "ember.csv")
    with pytest.raises(DataError, match="no area 'FR'; found Belgium, Netherlands"):
        read_prices(data / "ember.csv", area="FR")
    with pytest.raises(DataError, match=r"no area 'BE'; found BZN\|NL"):
        read_prices(data / "entsoe_old_spring.csv", area="BE")
    assert len(read_prices(data / "entsoe_old_spring.csv", area="NL").per_kwh) == 71
    belgium = read_prices(data / "ember.csv", area="belgium")
    assert belgium.per_kwh - read_prices(data / "ember.csv", area="NLD").per_kwh == pytest.approx(0.005)
    assert len(read_prices(data / "entsoe_new_utc.csv", area="NL").per_kwh) == 16
    assert len(read_prices(data / "entsoe_new_utc.csv", area="BZN|NL").per_kwh) == 16


def test_a_missing_hour_is_named_or_filled_and_reported(data: Path) -> None:
    path = data / "prices_with_gap.csv"
    with pytest.raises(DataError, match=r"no price for 2 of 73 intervals: 2023-10-29 04:00, 2023-10-29 05:00 UTC"):
        read_prices(path)
    missing = (datetime(2023, 10, 29, 4, tzinfo=UTC), datetime(2023, 10, 29, 5, tzinfo=UTC))
    yesterday = read_prices(path, fill="previous_day")
    assert yesterday.filled == missing
    assert yesterday.per_kwh[30:32].tolist() == yesterday.per_kwh[6:8].tolist()
    line = read_prices(path, fill="interpolate")
    assert line.filled == missing
    assert np.diff(line.per_kwh[29:33]) == pytest.approx(np.diff(line.per_kwh[[29, 32]])[0] / 3)


def test_a_missing_hour_of_the_first_day_has_no_previous_day(tmp_path: Path) -> None:
    rows = "".join(f"2023-01-01T{h:02d}:00:00Z,{h}\n" for h in (0, 1, 3, 4))
    path = write(tmp_path, "datetime_utc,price_eur_per_mwh\n" + rows)
    with pytest.raises(DataError, match="no previous day"):
        read_prices(path, fill="previous_day")


@pytest.mark.parametrize("blank", ["", "-", "N/A", "n/e"])
def test_blank_prices_of_entsoe_are_missing(data: Path, tmp_path: Path, blank: str) -> None:
    text = (data / "entsoe_old_autumn.csv").read_text().replace('"62.9","EUR"', f'"{blank}","EUR"')
    path = write(tmp_path, text)
    with pytest.raises(DataError, match="2023-10-29 03:00 UTC"):
        read_prices(path)
    assert read_prices(path, fill="interpolate").filled == (datetime(2023, 10, 29, 3, tzinfo=UTC),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,price\n2023-01-01,1\n", "unknown header time, price; known are ENTSO-E"),
        (
            "datetime_utc,price_eur_per_mwh\n2023-01-01T00:00:00Z,dear\n",
            "csv:2: price: found 'dear'; expected a number",
        ),
        ("datetime_utc,price_eur_per_mwh\n2023-01-01T00:00:00Z,1_0\n", "csv:2: price: found '1_0'; expected a number"),
        ("datetime_utc,price_eur_per_mwh\n2023-01-01T00:00:00Z,١٢\n", "csv:2: price: found '١٢'; expected a number"),
        ("datetime_utc,price_eur_per_mwh\n2023-01-01T00:00:00Z,inf\n", "csv:2: price: found 'inf'; expected a number"),
        ("datetime_utc,price_eur_per_mwh\nnoon,1\n", "csv:2: 'noon' is not a time"),
        ("datetime_utc,price_eur_per_mwh\n", "has no price"),
        (
            "datetime_utc,price_eur_per_mwh\n2023-01-01T00:00:00Z,1\n2023-01-01T00:00:00Z,2\n",
            "csv:3: a second price for 2023-01-01 00:00 UTC",
        ),
        ('"MTU (PST)","Day-ahead Price [EUR/MWh]"\n', "unknown clock in the header"),
        ('"MTU (UTC)","Price"\n', "no column `Day-ahead Price`"),
        (
            '"MTU (UTC)","Day-ahead Price [EUR/MWh]"\n"2023-01-01 - 2023-01-02","1"\n',
            "csv:2: '2023-01-01' is not a time",
        ),
        (
            '"MTU (UTC)","Day-ahead Price [EUR/MWh]"\n"31.02.2023 00:00 - 31.02.2023 01:00","1"\n',
            "csv:2: .* day is out",
        ),
        (
            '"MTU (CET/CEST)","Day-ahead Price [EUR/MWh]"\n"26.03.2023 02:00 - 26.03.2023 03:00","1"\n',
            "does not exist: the clock is put forward",
        ),
        ("Datetime (UTC),Country\n2023-01-01,A\n", "no column `Price"),
    ],
)
def test_price_faults_say_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_prices(write(tmp_path, text))


def test_other_currencies_are_read_from_the_header(tmp_path: Path) -> None:
    text = '"MTU (UTC)","Day-ahead Price [GBP/MWh]"\n"01.01.2023 00:00 - 01.01.2023 01:00","100"\n'
    assert read_prices(write(tmp_path, text)).currency == "GBP"


def test_a_price_series_is_written_and_read_again(data: Path, tmp_path: Path) -> None:
    series = read_prices(data / "prices_with_gap.csv", fill="interpolate")
    path = tmp_path / "filled.csv"
    series.save(path)
    again = read_prices(path)
    assert again.start == series.start
    assert again.per_kwh == pytest.approx(series.per_kwh, rel=1e-15)
    with pytest.raises(FileExistsError):
        series.save(path)


HOURS = "datetime_utc,price_eur_per_mwh\n" + "".join(f"2025-05-01T{hour:02d}:00:00Z,50\n" for hour in range(24))


@pytest.mark.parametrize(
    ("year", "said"),
    [
        ("6025", "file.csv:14: '6025-05-01T12:00:00Z' is of the year 6025; data are from 1980 to 2100"),
        ("2052", "file.csv:14: 9,862 days lie between this price and the one before; .* Is a time mistyped?"),
    ],
)
def test_one_mistyped_year(tmp_path: Path, year: str, said: str) -> None:
    file = tmp_path / "file.csv"
    file.write_text(HOURS.replace("2025-05-01T12", f"{year}-05-01T12"))
    with pytest.raises(DataError, match=said):
        read_prices(file, fill="interpolate")


def test_two_prices_a_second_apart(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(HOURS + "2025-05-01T23:00:01Z,50\n2099-01-01T00:00:00Z,50\n")
    with pytest.raises(DataError, match=r"intervals of 0\.0166667 min from 2025-05-01 00:00 \(line 2\) to 2099"):
        read_prices(file, fill="interpolate")


def test_sessions_a_lifetime_apart(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(
        "arrival,departure,delivered_energy (kWh),station_id\n"
        "2019-05-01 08:00,2019-05-01 09:00,5,a\n2091-05-01 08:00,2091-05-01 09:00,5,a\n"
    )
    with pytest.raises(DataError, match=r"file\.csv: the first session is of 2019-05-01, the last of 2091-05-01"):
        import_tracks("acn", file, "tiny")
