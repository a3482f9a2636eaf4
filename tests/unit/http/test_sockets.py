"""Real loopback sockets: did the request leave, broken and silent servers, on both loops alike."""

import gzip

import anyio
import pytest
from http_servers import OK, replying, reset_on_close, serving, until

from tocsin._http._core import HttpCore
from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ConnectError, ProtocolError, RequestTimeoutError, TransportError

pytestmark = pytest.mark.usefixtures("transport")

GET = Request("GET", "/x")
POST = Request("POST", "/x", body=b'{"a":1}')
ONCE = RetryPolicy.none()
QUICK = RetryPolicy(wait_initial=0.001)


async def close_on_accept(server, stream, number):
    return


async def reset_on_accept(server, stream, number):
    reset_on_close(stream)


async def read_then_close(server, stream, number):
    await server.read_request(stream)


async def read_then_reset(server, stream, number):
    await server.read_request(stream)
    reset_on_close(stream)


def says(text):
    async def handler(server, stream, number):
        await server.read_request(stream)
        await stream.send(text)

    return handler


BROKEN = {
    "closed on accept": close_on_accept,
    "reset on accept": reset_on_accept,
    "closed after reading": read_then_close,
    "reset after reading": read_then_reset,
    "half a head": says(OK[:20]),
    "garbage": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "half a body": says(OK[:-1]),
    "half a chunked body": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
    "bad chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    "endless head": says(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"x" * 200_000),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_answer_is_one_error_on_both_loops_and_a_post_is_in_doubt(how):
    async with serving(BROKEN[how]) as server, HttpCore(server.url) as client:
        with pytest.raises(TransportError, match="may have been applied") as caught:
            await client.send(POST)
        assert type(caught.value) is TransportError
        assert caught.value.maybe_applied is True
        assert server.connections == 1
        assert f"127.0.0.1:{server.port}" in str(caught.value)
    await until(lambda: server.open == 0)


@pytest.mark.parametrize("how", BROKEN)
async def test_a_get_is_repeated_over_a_new_connection(how):
    async def handler(server, stream, number):
        if number < 3:
            await BROKEN[how](server, stream, number)
        else:
            await replying(OK)(server, stream, number)

    async with serving(handler) as server, HttpCore(server.url, retry=QUICK) as client:
        response = await client.send(GET)
    assert (response.json(), response.attempts) == ({}, 3)


async def test_a_refused_connection_says_so_and_nothing_left():
    async with serving(replying(OK)) as server:
        url = server.url
    for request in (GET, POST):
        async with HttpCore(url, retry=ONCE) as client:
            with pytest.raises(
                ConnectError, match=rf"cannot connect to {url[7:]}: connection refused$"
            ) as caught:
                await client.send(request)
        assert caught.value.maybe_applied is False


async def test_an_unknown_host_says_so():
    async with HttpCore("https://nothing.invalid", retry=ONCE) as client:
        with pytest.raises(ConnectError, match=r"nothing.invalid:443: the host name cannot be resolved"):
            await client.send(GET)


async def test_a_post_is_repeated_when_only_the_connection_failed():
    """The first address refuses; then a server stands there."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    seen = []

    async def answer_late(stream):
        async with stream:
            seen.append(await stream.receive())
            await stream.send(OK)

    async def serve_and_close(listener):
        async with listener:
            await listener.serve(answer_late)

    async def note(request, call_next):
        try:
            return await call_next(request)
        except ConnectError:
            again = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port, reuse_port=False)
            tasks.start_soon(serve_and_close, again)
            raise

    async with (
        anyio.create_task_group() as tasks,
        HttpCore(f"http://127.0.0.1:{port}", middleware=[note], retry=QUICK) as client,
    ):
        response = await client.send(POST)
        tasks.cancel_scope.cancel()
    assert (response.status, response.attempts, len(seen)) == (200, 2, 1)


async def test_a_keep_alive_connection_that_was_closed_meanwhile_is_not_used():
    async def one_each(server, stream, number):
        await server.read_request(stream)
        await stream.send(OK)

    async with serving(one_each) as server, HttpCore(server.url, retry=ONCE) as client:
        for _ in range(3):
            await client.send(POST)
            await until(lambda: server.open == 0)
        assert server.connections == 3


async def test_connections_are_reused_and_closed_with_the_client():
    async with serving(replying(OK)) as server:
        async with HttpCore(server.url) as client:
            for _ in range(5):
                await client.send(POST)
            assert server.connections == 1
        await until(lambda: server.open == 0)
    assert server.requests[-1][1] == POST.body


async def test_an_early_refusal_during_an_upload_is_an_answer_or_a_broken_connection():
    async def refuse(server, stream, number):
        await stream.receive(100)
        await stream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    big = Request("POST", "/x", body=b"x" * 5_000_000)
    async with serving(refuse) as server, HttpCore(server.url) as client:
        with pytest.raises(Exception, match=r"413|broke") as caught:
            await client.send(big)
    assert not isinstance(caught.value, ConnectError)


async def test_silence_is_noticed_and_a_post_is_in_doubt():
    async def silent(server, stream, number):
        await server.read_request(stream)
        await anyio.sleep_forever()

    limits = Timeouts(read=0.05)
    async with serving(silent) as server, HttpCore(server.url, timeouts=limits, retry=QUICK) as client:
        with pytest.raises(
            RequestTimeoutError, match=r"was silent for 0.05 s.*may have been applied"
        ) as caught:
            await client.send(POST)
        assert caught.value.maybe_applied is True
        with pytest.raises(RequestTimeoutError, match=r"\(4 attempts\)"):
            await client.send(GET)
    await until(lambda: server.open == 0)


async def test_a_drip_outlives_the_silence_limit_and_ends_at_the_total():
    async def drip(server, stream, number):
        await server.read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send(b" ")
            await anyio.sleep(0.01)

    # All three run in one thread: whatever holds it up for the silence limit is silence to the client.
    limits = Timeouts(read=0.6, total=0.9)
    async with serving(drip) as server, HttpCore(server.url, timeouts=limits, retry=ONCE) as client:
        started = anyio.current_time()
        with pytest.raises(RequestTimeoutError, match=r"no whole answer within 0.9 s"):
            await client.send(GET)
        assert anyio.current_time() - started > 0.89
        await until(lambda: server.open == 0)


async def test_a_gzip_bomb_is_stopped_and_the_client_still_works():
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with serving(replying(head + bomb)) as server, HttpCore(server.url) as client:
        for _ in range(2):
            with pytest.raises(ProtocolError, match="larger than 100000 bytes"):
                await client.send(Request("GET", "/x", max_bytes=100_000))


async def test_a_large_body_is_stopped_in_the_middle_without_a_warning():
    """On trio an abandoned body would be a ResourceWarning, which is an error here."""

    async def endless(server, stream, number):
        await server.read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    async with serving(endless) as server, HttpCore(server.url) as client:
        for _ in range(3):
            with pytest.raises(ProtocolError, match="larger than 50000 bytes"):
                await client.send(Request("GET", "/x", max_bytes=50_000))
        await until(lambda: server.open == 0)


async def test_a_session_opens_at_most_two_connections_of_its_own():
    gate = anyio.Event()

    async def hold(server, stream, number):
        while await server.read_request(stream) is not None:
            await gate.wait()
            await stream.send(OK)

    async with serving(hold) as server, HttpCore(server.url) as client, client.session() as session:
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(session.send, POST)
            await until(lambda: len(server.requests) == 2)
            for _ in range(5):
                await anyio.wait_all_tasks_blocked()
            assert server.connections == 2
            gate.set()
        assert (server.connections, len(server.requests)) == (2, 4)


async def test_heartbeats_arrive_while_the_poll_is_held():
    beats = []
    enough = anyio.Event()

    def note(count):
        beats.append(count)
        if len(beats) == 3:
            enough.set()

    async def beating(server, stream, number):
        await server.read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for heard in range(3):
            await stream.send(b" ")
            await until(lambda heard=heard: len(beats) > heard)
        await enough.wait()
        await stream.send(b"[]")

    async with serving(beating) as server, HttpCore(server.url) as client, client.session() as session:
        response = await session.send(POST, on_bytes=note)
    assert response.body == b"   []"
    assert beats == [1, 1, 1, 2]
