"""The client over HTTP, in process, under a clock that jumps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel
import pytest

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin.bayeux import BayeuxClient, Event, Interruption, ReconnectPolicy
from tocsin.bayeux._failures import HeldTooLongError
from tocsin.bayeux._long_polling import LongPolling
from tocsin.bayeux._messages import parse
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RequestTimeoutError,
    SubscriptionRefusedError,
)
from tocsin.testing import VirtualWallClock, in_process
from unit.bayeux.bayeux_http import Web, web_client
from unit.bayeux.bayeux_peer import Server

pytestmark = pytest.mark.virtual_time


async def take(subscription, count=1):
    with anyio.fail_after(300):
        return [await anext(subscription) for _ in range(count)]


@pytest.fixture(params=["long-polling", "websocket"])
def way(request):
    return request.param


def web_of(way):
    web = Web(Server(way))
    web.web_socket = way == "websocket"
    return web


async def test_every_request_is_a_complete_one():
    """bayeux.md 6.55, 6.56, 6.57."""
    web = Web(Server())
    async with web_client(web, auth=BasicAuth("ada", "secret"), headers={"X-Mine": "1"}) as (client, server):
        async with client.subscribe("/a/*") as news:
            await anyio.sleep(1)
            begun = anyio.current_time()
            async with client.subscribe("/b"):
                assert anyio.current_time() - begun < 1
            web.server.publish("/a/1", {"n": 1})
            assert await take(news) == [Event("/a/1", b'{"n": 1}')]
        assert server.in_flight == 0
    assert {(s["method"], s["path"]) for s in web.seen} == {("POST", "/bayeux")}
    for seen in web.seen:
        assert seen["accept"] == "application/json"
        assert seen["content-type"].startswith("application/json")
        assert seen["authorization"].startswith("Basic ")
        assert seen["x-mine"] == "1"
        assert "cookie" in seen or b"handshake" in seen["body"]
    assert web.most == 2
    assert len({seen["port"] for seen in web.seen}) == 2
    assert not web.server.clients


async def test_two_clients_share_no_cookies():
    """bayeux.md 6.56: each session has a jar of its own, also after a new handshake."""
    web = Web(Server())
    async with (
        web_client(web) as (one, _),
        web_client(web) as (two, _),
        one.subscribe("/a") as first,
        two.subscribe("/a") as second,
    ):
        await anyio.sleep(1)
        web.server.restart()
        web.server.publish("/a", 1)
        await anyio.sleep(100)
        web.server.publish("/a", 2)
        for news in (first, second):
            assert [type(item) for item in await take(news, 2)] == [Interruption, Event]
    handshakes = [s for s in web.seen if b"/meta/handshake" in s["body"]]
    assert len(handshakes) == 4
    assert not any("cookie" in s for s in handshakes)


@pytest.mark.parametrize(
    ("heartbeat", "hold", "error"),
    [
        (0.5, 30, None),
        (None, 30, RequestTimeoutError),
        (0.5, 60, HeldTooLongError),
        (1.5, 30, RequestTimeoutError),
    ],
)
async def test_each_blank_restarts_the_limit_on_silence_and_only_that(heartbeat, hold, error):
    """bayeux.md 6.14, 6.15: silence of 1 s ends it, heartbeats do not keep it for ever."""
    web = Web(Server())
    web.heartbeat = heartbeat

    async def poll(timeout):
        message = {
            "id": "1",
            "channel": "/meta/connect",
            "clientId": "c1",
            "advice": {"timeout": timeout * 1000},
        }
        return await transport.exchange(json.dumps([message]).encode(), held=30, silence=1, total=40)

    async with (
        in_process(web) as server,
        HttpCore(server.url, transport_factory=server.transport_factory) as core,
    ):
        transport = LongPolling(core.session, "/bayeux")
        handshake = b'[{"id":"1","channel":"/meta/handshake"}]'
        reply = await transport.exchange(handshake, held=None, silence=1, total=10)
        assert reply.date == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
        begun = anyio.current_time()
        if error is None:
            assert parse((await poll(hold)).body).answers[0].successful
        else:
            with pytest.raises(error) as caught:
                await poll(hold)
            assert type(caught.value) is error
        took = anyio.current_time() - begun
        assert took == pytest.approx({None: 30, RequestTimeoutError: 1, HeldTooLongError: 40}[error], abs=0.6)
        await transport.aclose()
        await transport.aclose()


async def test_a_held_poll_that_goes_silent_is_an_outage_within_liveness():
    """bayeux.md 6.14, design §2.4."""
    web = Web(Server())
    async with web_client(web) as (client, _), client.subscribe("/a") as news:
        await anyio.sleep(1)
        web.answering = False
        begun = anyio.current_time()
        while news._outage is None:
            await anyio.sleep(0.5)
        assert anyio.current_time() - begun <= 45
        web.answering = True


async def test_each_outage_is_told_once_with_times_that_run_forward(way):
    """bayeux.md 6.28, 6.32: the wall clock is set back meanwhile; no delay and no order changes."""
    web, clock = web_of(way), VirtualWallClock()
    async with (
        web_client(web, transport=way, clock=clock) as (client, server),
        client.subscribe("/a") as news,
    ):
        await anyio.sleep(50)
        before = clock()
        server.refusing = True
        server.cut()
        clock.jump(-3600)
        await anyio.sleep(30)
        server.refusing = False
        await anyio.sleep(60)
        web.server.publish("/a", 1)
        lost, event = await take(news, 2)
        assert isinstance(lost, Interruption)
        assert isinstance(event, Event)
        assert before - timedelta(seconds=61) <= lost.since <= before  # when the last good connect was sent
        assert timedelta(0) < lost.until - lost.since < timedelta(seconds=160)
        await anyio.sleep(100)
        web.server.publish("/a", 2)
        assert await take(news) == [Event("/a", b"2")]


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError)]
)
async def test_what_is_final_is_raised_at_once(status, error):
    """bayeux.md 6.4, 6.6."""
    web = Web(Server())
    web.status = status
    async with web_client(web) as (client, _):
        begun = anyio.current_time()
        with pytest.raises(error):
            async with client.subscribe("/a"):
                pytest.fail("entered")
        assert anyio.current_time() - begun < 1
    assert len(web.seen) == 1


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"[{", b'"x"'])
async def test_junk_is_waited_out(body):
    """bayeux.md 6.20."""
    web = Web(Server())
    web.body = body
    async with web_client(web) as (client, _):
        with pytest.raises(RequestTimeoutError, match="60 s"):
            async with client.subscribe("/a"):
                pytest.fail("entered")
        assert 3 < len(web.seen) < 30
        web.body = None
        async with client.subscribe("/a"):
            pass


async def test_retry_after_reaches_the_reconnect():
    """bayeux.md 2.5."""
    web = Web(Server())
    web.status, web.headers = 503, [(b"retry-after", b"20")]
    async with web_client(web) as (client, _), anyio.create_task_group() as tasks:

        async def follow():
            async with client.subscribe("/a"):
                pass

        tasks.start_soon(follow)
        await anyio.sleep(19)
        assert len(web.seen) == 1
        web.status = 200


async def test_a_refused_channel_raises_and_leaves_the_others():
    """bayeux.md 6.31."""
    web = Web(Server())
    web.server.denied = {"/secret"}
    async with web_client(web) as (client, _), client.subscribe("/a") as news:
        with pytest.raises(SubscriptionRefusedError) as caught:
            async with client.subscribe("/secret"):
                pytest.fail("entered")
        assert caught.value.channel == "/secret"
        web.server.publish("/a", 1)
        assert await take(news) == [Event("/a", b"1")]


async def test_a_slow_consumer_loses_the_oldest_and_is_told_how_many(way):
    """bayeux.md 6.41, 6.42, 6.43: full for longer than the server's patience, and all still works."""
    web = web_of(way)
    async with web_client(web, transport=way) as (client, _), client.subscribe("/a", buffer=3) as news:
        for n in range(10):
            web.server.publish("/a", n)
            await anyio.sleep(1)
        await anyio.sleep(120)
        async with client.subscribe("/b"):
            pass
        lost, *rest = await take(news, 4)
        assert isinstance(lost, Interruption)
        assert lost.dropped == 7
        assert [event.data for event in rest] == [b"7", b"8", b"9"]
    assert web.server.numbers == 1


async def test_a_consumer_that_keeps_up_loses_nothing_however_much_an_answer_brings():
    web, got = Web(Server()), []
    async with (
        web_client(web) as (client, _),
        client.subscribe("/a", buffer=200) as news,
        anyio.create_task_group() as tasks,
    ):

        async def publish() -> None:
            for first in range(0, 3000, 100):
                batch = [Event("/a", b"%d" % n) for n in range(first, first + 100)]
                news.on_events(batch, session=1, ordered=True)
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(publish)
        with anyio.fail_after(60):
            while len(got) < 3000:
                item = await anext(news)
                assert isinstance(item, Event), item
                got.append(int(item.data))
    assert got == list(range(3000))


async def test_a_cancelled_receive_loses_nothing(way):
    """bayeux.md 6.51."""
    web, got = web_of(way), []
    async with web_client(web, transport=way) as (client, _), client.subscribe("/a") as news:
        await anyio.sleep(1)
        for n in range(200):
            web.server.publish("/a", n)
            with anyio.move_on_after(0 if n % 3 else 0.01):
                got.append(int((await anext(news)).data))
        with anyio.move_on_after(5):
            async for event in news:
                got.append(int(event.data))  # noqa: PERF401 - the loop is cancelled
    assert got == list(range(200))


async def test_a_full_buffer_does_not_starve_other_tasks():
    web, turns = Web(Server()), 0
    async with (
        web_client(web) as (client, _),
        client.subscribe("/a") as news,
        anyio.create_task_group() as tasks,
    ):
        for n in range(1000):
            web.server.publish("/a", n)
        await anyio.sleep(1)

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(other)
        await take(news, 1000)
        assert turns >= 3  # one a batch of 256
        tasks.cancel_scope.cancel()


async def test_copies_for_overlapping_patterns():
    """bayeux.md 6.39: one delivery each by default; copies that a server sends can be merged."""
    server = Server()
    web = Web(server)
    server.rewrite = lambda _, answers: [
        a for answer in answers for a in ([answer, answer] if "data" in answer else [answer])
    ]
    async with (
        web_client(web) as (client, _),
        client.subscribe("/e/1", "/e/*", "/**") as plain,
        client.subscribe("/e/*", unique=True) as unique,
    ):
        await anyio.sleep(1)
        for n in (1, 2):
            server.publish("/e/1", n)
        assert [e.data for e in await take(plain, 4)] == [b"1", b"1", b"2", b"2"]
        assert [e.data for e in await take(unique, 2)] == [b"1", b"2"]
        await anyio.sleep(2)
        server.publish("/e/1", 2)  # said again, not copied
        assert [e.data for e in await take(unique)] == [b"2"]
        assert len(unique._recent) == 1


async def test_an_error_in_the_body_leaves_as_itself():
    web = Web(Server())
    with pytest.raises(KeyError):
        async with web_client(web) as (client, _), client.subscribe("/a"):
            raise KeyError("mine")
    assert not web.server.clients


@pytest.mark.parametrize("after", [n / 20 for n in range(12)])
async def test_cancelling_at_any_moment_leaves_nothing(after):
    """bayeux.md 6.50."""
    server = Server()

    class Slow(Web):
        async def answer(self, *args):
            await anyio.sleep(0.11)
            await super().answer(*args)

    web = Slow(server)
    async with in_process(web) as process:
        with anyio.move_on_after(after):
            async with (
                BayeuxClient(f"{process.url}/bayeux", transport_factory=process.transport_factory) as client,
                client.subscribe("/a") as news,
            ):
                async for _ in news:
                    pass
        await anyio.sleep(0.2)
        assert process.in_flight == 0
    assert not server.clients


async def test_the_iteration_ends_when_the_client_is_closed():
    web, ended = Web(Server()), anyio.Event()
    async with anyio.create_task_group() as tasks:
        async with web_client(web) as (client, _):

            async def follow(*, task_status):
                async with client.subscribe("/a") as news:
                    task_status.started()
                    assert [item async for item in news] == []
                ended.set()

            await tasks.start(follow)
        with anyio.fail_after(5):
            await ended.wait()


async def test_a_fatal_error_ends_the_iteration_once():
    web = Web(Server())
    async with web_client(web) as (client, server), client.subscribe("/a") as news:
        await anyio.sleep(1)
        web.server.publish("/a", 1)
        await anyio.sleep(1)
        web.status = 401
        server.cut()
        assert isinstance((await take(news))[0], Event)
        with pytest.raises(AuthenticationError):
            await take(news)
        assert [item async for item in news] == []


async def test_misuse_says_what_to_do():
    web = Web(Server())
    async with web_client(web) as (client, _):
        with pytest.raises(ConfigurationError):
            client.subscribe()
        with pytest.raises(ConfigurationError):
            client.subscribe("/a/*/b")
        with pytest.raises(ConfigurationError):
            client.subscribe("/a", buffer=0)
        with pytest.raises(ConfigurationError, match="async with"):
            await anext(client.subscribe("/a"))
        async with client.subscribe("/a") as news, anyio.create_task_group() as tasks:
            with pytest.raises(ConfigurationError, match="once"):
                await news.__aenter__()
            tasks.start_soon(take, news)
            await anyio.sleep(1)
            with pytest.raises(ConfigurationError, match="another task"):
                await anext(news)
            web.server.publish("/a", 1)
    with pytest.raises(ConfigurationError):
        async with client.subscribe("/a"):
            pytest.fail("entered")
    for url in ("example.com/x", "https://a.example/x?y=1", "ftp://a.example/", "https://u:p@a.example/"):
        with pytest.raises(ConfigurationError):
            BayeuxClient(url)
    assert "secret" not in repr(BayeuxClient("https://a.example/x", auth=BasicAuth("a", "secret")))
    assert web.server.log.count("/meta/handshake") == 1


async def test_the_reconnect_policy_ends_it():
    """bayeux.md 6.5."""
    web = Web(Server())
    web.status = 502
    async with web_client(web, reconnect=ReconnectPolicy(attempts=3), open_timeout=None) as (client, _):
        with pytest.raises(Exception, match="502"):
            async with client.subscribe("/a"):
                pytest.fail("entered")
    assert len(web.seen) == 3


def test_a_client_lives_outside_of_loops_and_in_one_after_another():
    """bayeux.md 6.54."""
    server = Server()
    web = Web(server)
    factories = []
    client = BayeuxClient("http://127.0.0.1:8111/bayeux", transport_factory=lambda: factories[-1]())

    async def once():
        async with in_process(web) as process:
            factories.append(process.transport_factory)
            async with client, client.subscribe("/a") as news:
                await anyio.sleep(0.05)
                server.publish("/a", 1)
                assert await take(news) == [Event("/a", b"1")]

    for backend in ("asyncio", "trio", "asyncio"):
        anyio.run(once, backend=backend)
    assert server.numbers == 3


def test_interruptions_are_values():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert Interruption(now, now, "x") == Interruption(now, now, "x")


async def test_unreadable_messages_and_lost_sessions_are_told():
    """bayeux.md 6.40, 6.28: in one interruption where nothing came between."""
    server = Server()
    web = Web(server)
    async with web_client(web) as (client, process), client.subscribe("/a", buffer=2) as news:
        await anyio.sleep(1)
        server.rewrite = lambda _, answers: [17, *answers]
        server.publish("/a", 1)
        await anyio.sleep(1)
        server.rewrite = None
        odd, event = await take(news, 2)
        assert odd.cause == "a message could not be read"
        assert event.data == b"1"
        for _ in range(2):  # nobody listens meanwhile
            server.restart()
            process.cut()
            await anyio.sleep(100)
        (lost,) = await take(news)
        assert lost.session_lost
        assert lost.until - lost.since > timedelta(seconds=100)
        for n in range(4):
            server.publish("/a", n)
        server.restart()
        process.cut()
        await anyio.sleep(100)
        for n in range(4):
            server.publish("/a", n)
        await anyio.sleep(1)
        lost, *rest = await take(news, 3)
        assert lost.session_lost
        assert lost.dropped >= 2
        assert [event.data for event in rest] == [b"2", b"3"]
