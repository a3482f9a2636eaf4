"""Where the gap of what a slow consumer lost begins."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tocsin.xprotect.events._frames import Row
from tocsin.xprotect.events._reader import Parcel

ARRIVED = datetime(2026, 1, 5, 10, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "begins"),
    [
        ("2026-01-05T10:11:12.1234567Z", datetime(2026, 1, 5, 10, 11, 12, 123456, tzinfo=UTC)),  # replayed
        ("2026-01-05T11:11:30Z", ARRIVED),  # the server's clock is ahead
        ("", ARRIVED),
        ("0000-00-00T99:99:99Z", ARRIVED),
        ("soon", ARRIVED),
    ],
)
def test_an_event_that_came_late_lies_in_the_gap(time: str, begins: datetime) -> None:
    row = Row("c0de", None, time, b"{}")
    assert Parcel((row,), ARRIVED, "vms").received_at == begins
    assert Parcel((row,), ARRIVED, "vms", stands=True).received_at == ARRIVED
