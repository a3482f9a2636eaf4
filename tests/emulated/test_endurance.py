"""Reconnecting again and again leaves nothing behind, and a crowd does not storm. More: the two modules."""

from __future__ import annotations

import pytest

from emulated.crowd import come_back
from emulated.reconnects import grown, reconnect

pytestmark = [pytest.mark.virtual_time, pytest.mark.slow, pytest.mark.limit(100_000)]


@pytest.mark.parametrize("transport", ["long-polling", "websocket"])
async def test_reconnects_leave_nothing_behind(transport: str) -> None:
    counts = await reconnect(84, transport, parts=3)
    more = grown(counts)
    assert more["tasks"] == 0
    assert more["links"] == 0
    assert more["files"] == 0
    assert more["ours"] <= 3, "an object of ours stays behind"


async def test_a_crowd_comes_back_spread_over_seconds() -> None:
    seen = await come_back(20, down=10.0)
    assert len(seen.back) == 20
    assert seen.share(1) < 45
    assert seen.share(0.9) - seen.share(0.1) > 3, "all at once"
    assert sum(seen.answered.values()) < 12 * 20


async def test_a_restart_of_no_length_is_no_storm_either() -> None:
    seen = await come_back(20, down=0.0)
    assert seen.share(1) < 6
    assert seen.share(0.9) - seen.share(0.1) > 1.5, "all at once"
