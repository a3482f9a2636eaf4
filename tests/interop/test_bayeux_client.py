"""The Bayeux client against servers from npm: the lines of the checklist that only a live peer can answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from anyio import to_thread

from interop.npm_servers import KINDS, NpmServer, missing
from tocsin.bayeux import BayeuxClient, Event, Interruption, ReconnectPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tocsin import Request, Response
    from tocsin.bayeux import Subscription

pytestmark = [
    pytest.mark.interop,
    pytest.mark.limit(50),
    pytest.mark.timeout(60),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[NpmServer]:
    with NpmServer(request.param) as running:
        yield running


class Recorder:
    """Middleware that remembers which Bayeux messages were sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    async def __call__(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        self.sent += json.loads(request.body or b"[]")
        return await call_next(request)

    def count(self, channel: str) -> int:
        return sum(message["channel"] == channel for message in self.sent)


def client(server: NpmServer, recorder: Recorder | None = None) -> BayeuxClient:
    """On faye it speaks WebSocket, unless requests are counted: frames pass no middleware."""
    return BayeuxClient(
        f"{server.url}/notification/realtime",
        transport="long-polling" if recorder else "auto",
        reconnect=ReconnectPolicy(initial=0.2, maximum=1.0),
        middleware=[recorder] if recorder else (),
    )


async def published(server: NpmServer, channel: str, data: Any) -> None:
    await to_thread.run_sync(server.publish, channel, data)


async def next_event(subscription: Subscription) -> Event:
    with anyio.fail_after(15):
        async for item in subscription:
            if isinstance(item, Event):
                return item
    raise AssertionError("the subscription ended")


async def test_patterns_deliver_and_a_subscribe_completes_while_a_poll_is_held(server: NpmServer) -> None:
    async with client(server) as bayeux, bayeux.subscribe("/x/*") as one:
        began = anyio.current_time()
        async with bayeux.subscribe("/y/**") as two:
            assert anyio.current_time() - began < 3, "not behind the held poll"
            await published(server, "/x/1", {"n": 1})
            await published(server, "/x/1/2", {"n": 2})
            await published(server, "/y/1/2", {"n": 3})
            event = await next_event(one)
            assert (event.channel, event.json()) == ("/x/1", {"n": 1})
            event = await next_event(two)
            assert (event.channel, event.json()) == ("/y/1/2", {"n": 3})


async def test_a_killed_server_is_found_again_without_help(server: NpmServer) -> None:
    recorder = Recorder()
    async with client(server, recorder) as bayeux, bayeux.subscribe("/x/1") as subscription:
        await published(server, "/x/1", "before")
        assert (await next_event(subscription)).json() == "before"
        await to_thread.run_sync(server.kill)
        await to_thread.run_sync(server.start)
        with anyio.fail_after(30):
            item = await anext(subscription)
        assert isinstance(item, Interruption)
        assert item.session_lost
        await published(server, "/x/1", "after")
        assert (await next_event(subscription)).json() == "after"
    assert recorder.count("/meta/handshake") == recorder.count("/meta/subscribe") == 2


async def test_a_frozen_server_keeps_its_session(server: NpmServer) -> None:
    recorder = Recorder()
    async with client(server, recorder) as bayeux, bayeux.subscribe("/x/1") as subscription:
        server.freeze()
        with anyio.move_on_after(2):
            await anext(subscription)
        server.thaw()
        await published(server, "/x/1", "thawed")
        assert (await next_event(subscription)).json() == "thawed"
    assert recorder.count("/meta/handshake") == recorder.count("/meta/subscribe") == 1


async def test_leaving_says_goodbye(server: NpmServer) -> None:
    recorder = Recorder()
    async with client(server, recorder) as bayeux:
        async with bayeux.subscribe("/x/1"):
            session = next(message["clientId"] for message in recorder.sent if "clientId" in message)
        assert recorder.count("/meta/disconnect") == 1
    body = [{"channel": "/meta/connect", "clientId": session, "connectionType": "long-polling", "id": "9"}]
    async with httpx.AsyncClient() as http:
        response = await http.post(f"{server.url}/notification/realtime", json=body)
    assert response.json()[0]["successful"] is False, "the server has forgotten the session"


async def test_overlapping_patterns_can_be_had_once(server: NpmServer) -> None:
    async with client(server) as bayeux, bayeux.subscribe("/x/*", "/x/1", "/**", unique=True) as subscription:
        await published(server, "/x/1", "first")
        assert (await next_event(subscription)).json() == "first"
        await published(server, "/x/1", "second")
        assert (await next_event(subscription)).json() == "second"
