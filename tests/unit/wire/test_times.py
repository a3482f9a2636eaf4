from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tocsin._wire import parse_time, write_time

HOUR = timezone(timedelta(hours=1))
TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T10:00:00Z", TEN),
        ("2026-03-01t10:00:00z", TEN),
        ("2026-03-01T10:00:00", TEN),
        ("2026-03-01T10:00Z", TEN),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        (" 2026-03-01 10:00:00 Z ", TEN),
        ("2026-03-01T10:00:00.Z", TEN),
        ("2026-03-01T10:00:00.250+01:00", datetime(2026, 3, 1, 10, 0, 0, 250_000, HOUR)),
        ("2026-03-01T10:00:00,250+0100", datetime(2026, 3, 1, 10, 0, 0, 250_000, HOUR)),
        ("2026-03-01T10:00:00-01", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01T10:00:00-01:30", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)),
        ("2026-03-01T10:00:00-00:00", TEN),
        ("2026-03-01T10:00:00.123456789Z", TEN.replace(microsecond=123_456)),
        ("2026-03-01T10:00:00.9999999Z", TEN.replace(microsecond=999_999)),
        ("2026-12-31T23:59:60Z", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, expected: datetime) -> None:
    read = parse_time(text)
    assert read == expected
    assert read.utcoffset() == expected.utcoffset() or "-01" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "1700000000",
        "20260301",
        "2026-13-01",
        "2026-02-30T10:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01T10:61:00Z",
        "2026-03-01T10:00:61Z",
        "2026-03-01T10:00:00+25:00",
        "2026-03-01T10:00:00+01:0",
        "2026-03-01T10:00:00.1.2Z",
        "2026-03-01T10:00:00Z tomorrow",
        "\uff12\uff10\uff12\uff16-03-01T10:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
    ],
)
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


def test_times_are_written_with_three_digits() -> None:
    assert write_time(TEN) == "2026-03-01T10:00:00.000Z"
    assert write_time(TEN.replace(microsecond=1999)) == "2026-03-01T10:00:00.001Z"
    assert write_time(datetime(2026, 3, 1, 10, tzinfo=HOUR)) == "2026-03-01T10:00:00.000+01:00"


def test_an_offset_of_odd_seconds_becomes_utc() -> None:
    odd = datetime(2026, 3, 1, 10, tzinfo=timezone(timedelta(minutes=17, seconds=30)))
    assert write_time(odd) == "2026-03-01T09:42:30.000Z"


def test_a_time_without_a_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        write_time(datetime(2026, 3, 1, 10))  # noqa: DTZ001
