from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heavylift.errors import InvalidArgument
from heavylift.timetable import Cron, Every, Timetable, timetable, upcoming

MOMENTS = st.integers(1_600_000_000_000, 2_000_000_000_000)
TABLES = st.sampled_from(
    [
        Cron("*/7 * * * *"),
        Cron("30 2 * * *", "Europe/Berlin"),
        Cron("0,30 1,2 * * *", "America/New_York"),
        Cron("15 2 * * *", "Australia/Lord_Howe"),
        Cron("20 30 2 * * *", "Europe/Berlin"),
        Cron("*/20 * * * * *", "Europe/Berlin"),
        Every(minutes=5),
        Every(days=1, offset=7),
    ]
)


def ms(text: str, zone: str = "UTC", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)


def utc(ticks: list[int]) -> list[str]:
    return [datetime.fromtimestamp(tick / 1000, UTC).strftime("%m-%d %H:%M:%S") for tick in ticks]


@pytest.mark.parametrize(
    ("expression", "zone", "day", "ticks"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28", ["03-28 01:30:00", "03-29 01:00:00", "03-30 00:30:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24", ["10-24 00:30:00", "10-25 00:30:00", "10-26 01:30:00"]),
        ("30 2 * * *", "America/New_York", "2026-03-07", ["03-07 07:30:00", "03-08 07:00:00", "03-09 06:30:00"]),
        ("30 1 * * *", "America/New_York", "2026-10-31", ["10-31 05:30:00", "11-01 05:30:00", "11-02 06:30:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03", ["10-02 15:45:00", "10-03 15:30:00", "10-04 15:15:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04", ["04-03 14:45:00", "04-04 14:45:00", "04-05 15:15:00"]),
        ("20 30 2 * * *", "Europe/Berlin", "2026-03-28", ["03-28 01:30:20", "03-29 01:00:20", "03-30 00:30:20"]),
    ],
)
def test_a_time_of_day_runs_once_when_clocks_change(expression: str, zone: str, day: str, ticks: list[str]) -> None:
    assert utc(upcoming(Cron(expression, zone), ms(day, zone) - 1, 3)) == ticks


def test_what_goes_by_the_clock_skips_the_gap_and_comes_twice_in_the_fold() -> None:
    half_hourly = Cron("*/30 2 * * *", "Europe/Berlin")
    assert utc(upcoming(half_hourly, ms("2026-03-28T12:00", "Europe/Berlin"), 1)) == ["03-30 00:00:00"]
    assert utc(upcoming(half_hourly, ms("2026-10-25", "Europe/Berlin"), 4)) == [
        "10-25 00:00:00",
        "10-25 00:30:00",
        "10-25 01:00:00",
        "10-25 01:30:00",
    ]


def shown(zone: str, day: str, hour: int) -> list[int]:
    """Every quarter of that hour that the clock shows from noon of the day on, for a day; looked at one by one."""
    noon = ms(f"{day}T12:00", zone)
    quarters = range(noon, noon + 86_400_000, 900_000)
    return [at for at in quarters if datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).hour == hour]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-28"),
        ("Europe/Berlin", "2026-10-24"),
        ("America/New_York", "2026-03-07"),
        ("America/New_York", "2026-10-31"),
        ("America/St_Johns", "2026-03-07"),
        ("America/St_Johns", "2026-10-31"),
    ],
)
def test_what_goes_by_the_clock_ticks_just_when_the_clock_shows_it(zone: str, day: str) -> None:
    for hour in range(6):
        noon = ms(f"{day}T12:00", zone)
        ticks = [tick for tick in upcoming(Cron(f"*/15 {hour} * * *", zone), noon - 1, 9) if tick < noon + 86_400_000]
        assert ticks == shown(zone, day, hour)


@pytest.mark.parametrize(("day", "hour"), [("2026-10-03", 3), ("2026-10-03", 7), ("2026-04-04", 2), ("2026-04-04", 7)])
def test_where_clocks_move_by_half_an_hour_a_later_hour_begins_half_an_hour_late_that_day(day: str, hour: int) -> None:
    """A known limit of the library: the how-to names it. Any hour is whole again the day after."""
    zone = "Australia/Lord_Howe"
    ticks = upcoming(Cron(f"*/15 {hour} * * *", zone), ms(f"{day}T12:00", zone), 6)
    assert ticks[:2] == shown(zone, day, hour)[2:]
    assert [datetime.fromtimestamp(tick / 1000, ZoneInfo(zone)).minute for tick in ticks[2:]] == [0, 15, 30, 45]
    every_hour = upcoming(Cron("*/15 * * * *", zone), ms(f"{day}T12:00", zone) - 1, 96)
    assert {later - tick for tick, later in pairwise(every_hour)} == {900_000}, "hours that are not named lose nothing"


def test_in_the_second_of_two_hours_a_time_of_day_has_passed() -> None:
    table, again = Cron("30 2 * * *", "Europe/Berlin"), ms("2026-10-25T02:10", "Europe/Berlin", fold=1)
    assert utc([table.after(again) or 0]) == ["10-26 01:30:00"]
    assert utc([table.latest(again) or 0]) == ["10-25 00:30:00"]


def test_intervals_take_no_notice_of_clocks() -> None:
    ticks = upcoming(Every(hours=6), ms("2026-03-28T12:00"), 6)
    assert {later - tick for tick, later in pairwise(ticks)} == {6 * 3_600_000}


@given(TABLES, MOMENTS)
def test_the_next_tick_is_later_and_none_lies_between(table: Timetable, at: int) -> None:
    later = table.after(at)
    latest = table.latest(at)
    assert latest is not None
    assert later is not None
    assert latest <= at < later
    assert table.after(latest) == later
    assert table.latest(later) == later
    assert table.latest(later - 1) == latest


@given(TABLES)
def test_a_timetable_survives_its_way_through_json(table: Timetable) -> None:
    assert msgspec.json.decode(msgspec.json.encode(table), type=Timetable) == table


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0 3 * * *", Cron("0 3 * * *")),
        ("@daily", Cron("@daily")),
        ("every 5 minutes", Every(minutes=5)),
        ("@every 1h 30m", Every(hours=1, minutes=30)),
        (timedelta(hours=2), Every(seconds=7200)),
    ],
)
def test_short_forms(text: str | timedelta, meant: Timetable) -> None:
    assert timetable(text) == meant


@pytest.mark.parametrize(
    "wrong", ["", "* * *", "61 * * * *", "0 0 30 2 *", "@often", "every 5 apples", "every 1m 2m", "every 0 s", 5]
)
def test_what_cannot_be_meant_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidArgument):
        timetable(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd"])
def test_an_unknown_time_zone_is_refused_by_name(zone: str) -> None:
    with pytest.raises(InvalidArgument, match="tz="):
        Cron("@daily", zone)


def test_a_machine_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heavylift.timetable.available_timezones", set)
    with pytest.raises(InvalidArgument, match="tzdata"):
        Cron("@daily", "Europe/Atlantis")
