from datetime import UTC, datetime, timedelta

import pytest

from tocsin.emulator._clock import Clock, to_ms, to_text

EPOCH_DAY = 1_772_323_200_000  # 2026-03-01T00:00:00Z


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-03-01", 0),
        ("2026-03-01T10:00:00Z", 36_000_000),
        ("2026-03-01T10:00:00", 36_000_000),
        ("2026-03-01 10:00", 36_000_000),
        ("2026-03-01T10:00:00.25Z", 36_000_250),
        ("2026-03-01T10:00:00.250999999+01:00", 32_400_250),
        ("2026-03-01T10:00:00+0100", 32_400_000),
        ("2026-03-01T10:00:00-01", 39_600_000),
        ("2026-03-01t10:00:00,5z", 36_000_500),
    ],
)
def test_reads_the_times_that_clients_write(text, ms):
    assert to_ms(text) - EPOCH_DAY == ms


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01", "2026-03-01T25:00:00Z", "2026-03-01T10:00:00 01:00", 7]
)
def test_refuses_what_is_no_time(text):
    with pytest.raises(ValueError, match=r"date-time|month|hour"):
        to_ms(text)


@pytest.mark.parametrize("ms", [0, 1, EPOCH_DAY + 611, EPOCH_DAY + 999])
def test_writes_milliseconds_and_z(ms):
    text = to_text(ms)
    assert len(text) == 24
    assert text.endswith("Z")
    assert to_ms(text) == ms


def test_never_goes_back():
    times = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=s) for s in (5, 3, 4, 6)]
    clock = Clock(iter(times).__next__)
    assert [clock.now_ms() - EPOCH_DAY for _ in times] == [5000, 5000, 5000, 6000]
