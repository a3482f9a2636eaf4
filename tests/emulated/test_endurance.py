"""Reconnecting again and again leaves nothing behind, and a crowd does not storm. More: the two modules."""

from __future__ import annotations

import pytest

from emulated.crowd import come_back
from emulated.reconnects import grown, reconnect

pytestmark = [pytest.mark.virtual_time, pytest.mark.slow, pytest.mark.limit(100_000)]


@pytest.mark.parametrize("transport", ["long-polling", "websocket"])
async def test_reconnects_leave_nothing_behind(transport: str) -> None:
    counts = await reconnect(150, transport)
    more = grown(counts)
    assert more["tasks"] == 0
    assert more["links"] == 0
    assert more["files"] == 0


async def test_a_crowd_comes_back_spread_over_seconds() -> None:
    seen = await come_back(40, down=10.0)
    assert len(seen.back) == 40
    assert seen.share(1) < 45
    assert seen.share(0.9) - seen.share(0.1) > 3, "all at once"
    assert sum(seen.answered.values()) < 12 * 40
