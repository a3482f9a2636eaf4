"""`tocsin watch` against Bayeux servers that nobody here wrote, killed and restarted under it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interop.npm_servers import KINDS, NpmServer, missing
from interop.watching import Watch

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(150),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


@pytest.mark.parametrize("kind", KINDS)
def test_watch_lives_through_a_killed_server(kind: str) -> None:
    with NpmServer(kind) as server, Watch(server.url) as watch:
        watch.wait_state("connected", "degraded", "recovering", seconds=20)
        server.publish_alarm(1)
        change = watch.wait_change(1, seconds=20)
        assert (change["action"], change["origin"], change["level"]) == ("CREATE", "live", "MAJOR")
        assert change["alarm"]["source"] == {"id": "4711"}
        for number in (2, 3):
            down = datetime.now(UTC)
            server.kill()
            watch.wait_state("reconnecting", seconds=20)
            up = datetime.now(UTC)
            server.start()
            watch.wait_state("connected", "degraded", "recovering", seconds=60)
            server.publish_alarm(number)
            watch.wait_change(number, seconds=20)
            gap = watch.gaps()[-1]
            assert datetime.fromisoformat(gap["since"]) <= down + timedelta(seconds=1)
            assert datetime.fromisoformat(gap["until"]) >= up - timedelta(seconds=1)
            assert gap["recovered"] is None, "there is no REST API to recover from"
        assert len(watch.gaps()) >= 2
        ids = [line["id"] for line in watch.lines if line["event"] == "change"]
        assert ids == ["1", "2", "3"], "each once, in order"
        assert watch.interrupt() == 0
        assert "Traceback" not in watch.end()


@pytest.mark.parametrize("kind", KINDS)
def test_watch_sees_what_was_published_while_the_server_was_frozen(kind: str) -> None:
    with NpmServer(kind) as server, Watch(server.url) as watch:
        watch.wait_state("connected", "degraded", "recovering", seconds=20)
        server.publish_alarm(1)
        watch.wait_change(1, seconds=20)
        server.freeze()
        with pytest.raises(AssertionError, match="no state"):
            watch.wait_state("reconnecting", "closed", seconds=3)
        server.thaw()
        server.publish_alarm(1, "UPDATE", severity="CRITICAL", lastUpdated="2026-01-01T00:00:05.000Z")
        change = watch.wait_change(1, seconds=20)
        assert (change["action"], change["level"]) == ("UPDATE", "CRITICAL")
        server.publish("/alarms/4711", {"realtimeAction": "DELETE", "data": "1"})
        gone = watch.wait_change(1, seconds=20)
        assert (gone["action"], gone["alarm"]) == ("DELETE", None)
        assert watch.gaps() == []
        assert watch.interrupt() == 0
