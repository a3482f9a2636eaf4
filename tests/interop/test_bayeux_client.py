"""The Bayeux client against servers from npm: the lines of the checklist that only a live peer can answer.

Each on long polling, and left to choose: faye has a WebSocket, cometd-nodejs-server has none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio import to_thread

from interop.npm_servers import NpmServer, missing
from tocsin.bayeux import BayeuxClient, Event, Interruption, ReconnectPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.bayeux import Subscription

pytestmark = [
    pytest.mark.interop,
    pytest.mark.limit(50),
    pytest.mark.timeout(60),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
WAYS = {
    ("cometd", "long-polling"): "long-polling",
    ("cometd", "auto"): "long-polling",
    ("faye", "long-polling"): "long-polling",
    ("faye", "websocket"): "websocket",
    ("faye", "auto"): "websocket",
}
"""The server and what the client is told to use: what they must end up with."""
CALM = [("cometd", "auto"), ("faye", "long-polling"), ("faye", "auto")]
"""Where nothing breaks, it makes no difference whether a way was named or found."""
BURST = 20
LATELY = timedelta(seconds=0.5)
"""What arrived before an outage may be read a little after its beginning."""


class Peer:
    """A server, and how a test speaks with it."""

    def __init__(self, server: NpmServer, transport: Any) -> None:
        self.server = server
        self.transport = transport
        self.spoken = WAYS[server.kind, transport]

    def client(self, **options: Any) -> BayeuxClient:
        return BayeuxClient(
            f"{self.server.url}/notification/realtime",
            transport=self.transport,
            reconnect=ReconnectPolicy(initial=0.1, maximum=0.4),
            **options,
        )

    async def publish(self, channel: str, *data: Any) -> None:
        for each in data:
            await to_thread.run_sync(self.server.publish, channel, each)

    async def subscribed(self, *channels: str) -> None:
        """Wait until the server has taken somebody's subscriptions."""
        with anyio.fail_after(30):
            while not set(channels) <= set((await to_thread.run_sync(self.server.seen)).subscribed):
                await anyio.sleep(0.01)


@pytest.fixture(params=WAYS, ids="-".join)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    kind, transport = request.param
    with NpmServer(kind) as running:
        yield Peer(running, transport)


async def next_event(subscription: Subscription) -> Event:
    with anyio.fail_after(15):
        async for item in subscription:
            if isinstance(item, Event):
                return item
    raise AssertionError("the subscription ended")


async def nothing_within(seconds: float, subscription: Subscription) -> None:
    with anyio.move_on_after(seconds) as silence:
        await anext(subscription)
    assert silence.cancelled_caught


async def interruption_among(subscription: Subscription, events: list[Any]) -> Interruption:
    """Read on until all these events came, each once and in order; give the one interruption among them."""
    seen: list[Any] = []
    told: list[Interruption] = []
    with anyio.fail_after(30):
        while not told or len(seen) < len(events):
            item = await anext(subscription)
            if isinstance(item, Event):
                seen.append(item.json())
            else:
                told.append(item)
    assert seen == events
    assert len(told) == 1
    return told[0]


@pytest.mark.parametrize("peer", CALM, ids="-".join, indirect=True)
async def test_patterns_deliver_and_a_subscribe_completes_while_a_poll_is_held(peer: Peer) -> None:
    async with peer.client() as bayeux, bayeux.subscribe("/x/*") as one:
        began = anyio.current_time()
        async with bayeux.subscribe("/y/**") as two:
            assert anyio.current_time() - began < 3, "not behind the held poll"
            await peer.publish("/x/1", {"n": 1})
            await peer.publish("/x/1/2", {"n": 2})
            await peer.publish("/y/1/2", {"n": 3})
            event = await next_event(one)
            assert (event.channel, event.json()) == ("/x/1", {"n": 1})
            event = await next_event(two)
            assert (event.channel, event.json()) == ("/y/1/2", {"n": 3})
    assert peer.server.seen().transports == {peer.spoken}


async def test_a_killed_server_is_found_again_without_help(peer: Peer) -> None:
    """Started again at once, and after it was away: all that is published from the subscribe on is given."""
    async with peer.client() as bayeux, bayeux.subscribe("/x/1", "/y/**") as subscription:
        await peer.publish("/x/1", "before")
        assert (await next_event(subscription)).json() == "before"
        for away in (0, 0.5):
            await to_thread.run_sync(peer.server.kill)
            down = datetime.now(UTC)
            await nothing_within(away, subscription)
            up = datetime.now(UTC)
            await to_thread.run_sync(peer.server.start)
            await peer.subscribed("/x/1", "/y/**")
            burst = [f"{away}-{number}" for number in range(BURST)]
            await peer.publish("/x/1", *burst[: BURST // 2])
            await peer.publish("/y/1/2", *burst[BURST // 2 :])
            told = await interruption_among(subscription, burst)
            assert told.session_lost
            assert told.since <= down + LATELY
            assert told.until >= up
            seen = await to_thread.run_sync(peer.server.seen)
            assert seen.transports == {peer.spoken}
            assert (seen.count("/meta/handshake"), seen.count("/meta/subscribe")) == (1, 2)


async def test_a_frozen_server_keeps_its_session(peer: Peer) -> None:
    async with peer.client() as bayeux, bayeux.subscribe("/x/1") as subscription:
        peer.server.freeze()
        await nothing_within(0.5, subscription)
        peer.server.thaw()
        await peer.publish("/x/1", "thawed")
        item = await anext(subscription)
        assert isinstance(item, Event), "nothing was interrupted"
        assert item.json() == "thawed"
    seen = peer.server.seen()
    assert (seen.count("/meta/handshake"), seen.count("/meta/subscribe")) == (1, 1)


async def test_a_server_that_was_frozen_for_too_long_is_given_up_and_found_again(peer: Peer) -> None:
    """On both sides lie connections that the other one holds for dead, or does not know of."""
    client = peer.client(liveness=0.8, allowance=0.8)
    async with client as bayeux, bayeux.subscribe("/x/1") as subscription:
        await peer.publish("/x/1", "before")
        assert (await next_event(subscription)).json() == "before"
        down = datetime.now(UTC)
        peer.server.freeze()
        await nothing_within(1.6, subscription)
        up = datetime.now(UTC)
        peer.server.thaw()
        with anyio.fail_after(20):
            told = await anext(subscription)
        assert isinstance(told, Interruption)
        assert told.since <= down + LATELY
        assert told.until >= up
        await peer.publish("/x/1", *range(BURST))
        assert [(await next_event(subscription)).json() for _ in range(BURST)] == list(range(BURST))
        seen = await to_thread.run_sync(peer.server.seen)
        assert seen.count("/meta/subscribe") == 1 + told.session_lost, "a session that was kept is used"


@pytest.mark.parametrize("peer", CALM, ids="-".join, indirect=True)
async def test_leaving_says_goodbye(peer: Peer) -> None:
    async with peer.client() as bayeux:
        async with bayeux.subscribe("/x/1"):
            messages = (await to_thread.run_sync(peer.server.seen)).messages
            session = next(message["clientId"] for message in messages if "clientId" in message)
        with anyio.fail_after(5):
            while not (await to_thread.run_sync(peer.server.seen)).count("/meta/disconnect"):
                await anyio.sleep(0.01)
    body = [{"channel": "/meta/connect", "clientId": session, "connectionType": "long-polling", "id": "9"}]
    async with httpx.AsyncClient() as http:
        response = await http.post(f"{peer.server.url}/notification/realtime", json=body)
    assert response.json()[0]["successful"] is False, "the server has forgotten the session"


@pytest.mark.parametrize("peer", CALM, ids="-".join, indirect=True)
async def test_overlapping_patterns_can_be_had_once(peer: Peer) -> None:
    async with peer.client() as bayeux, bayeux.subscribe("/x/*", "/x/1", "/**", unique=True) as subscription:
        await peer.publish("/x/1", "first")
        assert (await next_event(subscription)).json() == "first"
        await peer.publish("/x/1", "second")
        assert (await next_event(subscription)).json() == "second"
