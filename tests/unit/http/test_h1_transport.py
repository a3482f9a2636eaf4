"""Our own transport on real sockets, where it promises more than httpx's, or decides by itself."""

import socket

import anyio
import anyio.lowlevel
import httpx
import pytest
from h1_direct import direct, places
from http_servers import OK, replying, reset_on_close, serving, until

from tocsin._http._core import HttpCore
from tocsin._http._h1._connection import Connection, UnsentError
from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy
from tocsin.errors import RequestTimeoutError, StatusError

GET = Request("GET", "/x")
POST = Request("POST", "/x", body=b'{"a":1}')
BIG = Request("POST", "/x", body=b"x" * 20_000_000)
ONCE = RetryPolicy.none()


@pytest.mark.parametrize("after", [b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\0", None])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_an_idle_connection_that_says_or_ends_something_is_not_used(after, tls, trusting, certified):
    """Many servers send a 408 to an idle connection before they close it; it answers nothing of ours."""
    said = anyio.Event()

    async def handler(server, stream, number):
        await server.read_request(stream)
        await stream.send(OK)
        if number == 1:
            if after is not None:
                await stream.send(after)
                said.set()
                await anyio.sleep_forever()
            await stream.aclose()
            said.set()

    async with serving(handler, certified if tls else None) as server, direct(1, trusting) as transport:
        url = server.url.replace("http", "https") if tls else server.url
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.post(url, content=b"1")).status_code == 200
            await said.wait()
            (connection,) = (entry[1] for entry in transport._pool._idle) if places(transport)[1] else (None,)
            if connection is not None:
                with anyio.fail_after(20):
                    await anyio.wait_readable(connection._wire.raw)
            assert (await client.post(url, content=b"2")).status_code == 200
            assert server.connections == 2
            assert len(server.requests) == 2


async def test_tls_connections_are_kept_although_tickets_come_late(trusting, certified):
    async with serving(replying(OK), certified) as server, direct(1, trusting) as transport:
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(3):
                assert (await client.post(f"https://127.0.0.1:{server.port}", content=b"1")).json() == {}
                assert places(transport) == (0, 1, 0)
        assert server.connections == 1
        await until(lambda: server.open == 0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_large_bodies_go_both_ways(tls, trusting, certified):
    body = bytes(range(256)) * 20_000

    async def echo(server, stream, number):
        while await server.read_request(stream) is not None:
            got = server.requests[-1][1]
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(got) + got)

    async with serving(echo, certified if tls else None) as server:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
        async with HttpCore(url, verify=trusting) as client:
            for _ in range(2):
                assert (await client.send(Request("POST", "/x", body=body))).body == body
        assert server.connections == 1


@pytest.mark.parametrize("rest", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"junk"])
async def test_what_follows_an_answer_is_never_the_next_one(rest):
    async with serving(replying(OK + rest)) as server, HttpCore(server.url) as client:
        for _ in range(3):
            assert (await client.send(POST)).body == b"{}"
        assert server.connections == (3 if rest else 1)


@pytest.mark.parametrize(
    ("answer", "method", "connections"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "PUT", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "POST", 1),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "GET", 3),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "GET", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", 3),
    ],
)
async def test_a_connection_is_kept_where_the_answer_says_so(answer, method, connections):
    async with serving(replying(answer)) as server, HttpCore(server.url) as client:
        for _ in range(3):
            assert (await client.send(Request(method, "/x"))).status in {200, 204}
        assert server.connections == connections


async def test_an_early_refusal_is_heard_although_nobody_takes_the_rest():
    async def refuse(server, stream, number):
        await stream.receive(100)
        await stream.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await anyio.sleep_forever()  # neither reads on nor closes

    async with serving(refuse) as server, HttpCore(server.url, retry=ONCE) as client:
        with pytest.raises(StatusError, match="413"):
            await client.send(BIG)
        await until(lambda: places(client._shared.wire._transport) == (0, 0, 0))


async def takes_nothing(server, stream, number):
    await anyio.sleep_forever()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_an_upload_that_nobody_takes_times_out_and_is_in_doubt(tls, trusting, certified):
    # Nobody accepts on the plain one: what asyncio's streams accept, they read ahead.
    async with serving(takes_nothing, certified) as server:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"https://127.0.0.1:{server.port}" if tls else f"http://127.0.0.1:{deaf.getsockname()[1]}"
            async with HttpCore(url, verify=trusting, timeouts=Timeouts(write=0.05), retry=ONCE) as client:
                with pytest.raises(RequestTimeoutError, match=r"took no data for 0.05 s") as caught:
                    await client.send(BIG)
                assert caught.value.maybe_applied is True
                assert places(client._shared.wire._transport) == (0, 0, 0)


class Wire:
    """A socket of which nothing can be sent any more, although nothing shows it yet."""

    flushed = True
    closed = False

    def __init__(self, taken):
        self.raw, self._peer = socket.socketpair()
        self.raw.setblocking(False)
        self.sent = 0
        self._taken = taken

    def push(self, data):
        if self._taken == 0:
            raise BrokenPipeError("gone")
        count = min(self._taken, len(data))
        self._taken -= count
        self.sent += count
        return count

    def pull(self):
        return None if self.sent == 0 else b""

    def close(self):
        self.raw.close()
        self._peer.close()


@pytest.mark.parametrize(
    ("used", "taken", "error"),
    [(True, 0, UnsentError), (True, 1, httpx.ReadError), (False, 1, httpx.ReadError)],
)
async def test_only_what_a_used_connection_took_nothing_of_may_go_over_another(used, taken, error):
    connection = Connection(Wire(taken))
    connection.used = used
    with pytest.raises(error):
        await connection.exchange(b"POST / HTTP/1.1\r\n\r\n", b"", "POST", write=1, read=1)
    connection.close()


class Ahead(Wire):
    """A socket that has read all there is into itself, as TLS does."""

    def __init__(self):
        super().__init__(0)
        self.pieces = [b"x" * 600_000] * 5

    def pull(self):
        return self.pieces.pop() if self.pieces else None


async def test_what_tls_has_read_ahead_is_not_waited_for_and_others_get_a_turn():
    connection = Connection(Ahead())
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        for _ in range(5):
            assert len(await connection.read(1)) == 600_000
        assert turns
        with pytest.raises(httpx.ReadTimeout):
            await connection.read(0.01)
        tasks.cancel_scope.cancel()
    connection.close()


async def test_a_post_moves_to_a_new_connection_if_the_idle_one_took_nothing_of_it():
    async with serving(replying(OK)) as server, HttpCore(server.url, retry=ONCE) as client:
        await client.send(POST)
        transport = client._shared.wire._transport
        ((origin, connection, since),) = transport._pool._idle
        gone = Connection(Wire(0))
        gone.used = True
        transport._pool._idle[0] = (origin, gone, since)
        assert (await client.send(POST)).attempts == 1
        assert (server.connections, len(server.requests)) == (2, 2)
        connection.close()


async def test_places_are_given_in_turn_and_a_wait_has_a_limit():
    order = []
    gate = anyio.Event()

    async def hold(server, stream, number):
        while await server.read_request(stream) is not None:
            await gate.wait()
            await stream.send(OK)

    async with serving(hold) as server, direct(1) as transport:
        client = httpx.AsyncClient(transport=transport)

        async def call(name):
            await client.get(f"{server.url}/{name}")
            order.append(name)

        async with anyio.create_task_group() as tasks:
            for name in range(4):
                tasks.start_soon(call, name)
                await until(lambda name=name: sum(places(transport)) == name + 1)
            with pytest.raises(httpx.PoolTimeout):
                await client.get(server.url, timeout=httpx.Timeout(1, pool=0.01))
            assert places(transport) == (1, 0, 3)
            gate.set()
        assert order == [0, 1, 2, 3]
        assert server.connections == 1


async def test_a_body_that_is_left_takes_its_connection_along():
    async def endless(server, stream, number):
        await server.read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await stream.send(b"x" * 10_000)

    async with serving(endless) as server, direct(1) as transport:
        response = await transport.handle_async_request(httpx.Request("GET", server.url))
        body = aiter(response.stream)
        assert await anext(body)
        assert places(transport) == (1, 0, 0)
        await response.stream.aclose()
        assert places(transport) == (0, 0, 0)
        with pytest.raises(httpx.StreamClosed):
            await drained(body)
        await until(lambda: server.open == 0)


async def drained(body):
    return [piece async for piece in body]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n[1,"])
async def test_closing_the_transport_ends_what_is_under_way_and_never_as_a_whole_answer(answer):
    async def hold(server, stream, number):
        await server.read_request(stream)
        if answer:
            await stream.send(answer)
        await stream.receive()

    failed = []

    async with serving(hold) as server:
        transport = direct(1)
        client = httpx.AsyncClient(transport=transport)

        async def call():
            with pytest.raises((httpx.ReadError, httpx.ConnectError)) as caught:
                await client.get(server.url)
            failed.append(str(caught.value))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await until(lambda: len(server.requests) == 1)
            tasks.start_soon(call)
            await until(lambda: places(transport)[2] == 1)
            await anyio.wait_all_tasks_blocked()
            await transport.aclose()
        assert sorted(failed) == ["the connection was closed by us", "the transport is closed"]
        await until(lambda: server.open == 0)


async def test_closing_the_transport_closes_a_connection_whose_body_nobody_reads():
    async def half(server, stream, number):
        await server.read_request(stream)
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await stream.receive()

    async with serving(half) as server:
        transport = direct(1)
        response = await transport.handle_async_request(httpx.Request("GET", server.url))
        await transport.aclose()
        await until(lambda: server.open == 0)
        await response.stream.aclose()


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
async def test_every_address_of_a_name_is_tried(family):
    try:
        listener = await anyio.create_tcp_listener(local_host=family)
    except OSError:
        pytest.skip("no IPv6 here")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def answer(stream):
        async with stream:
            await stream.receive()
            await stream.send(OK)

    async with listener, anyio.create_task_group() as tasks, direct() as transport:
        tasks.start_soon(listener.serve, answer)
        client = httpx.AsyncClient(transport=transport)
        try:
            assert (await client.get(f"http://localhost:{port}")).json() == {}
        except httpx.ConnectError:
            known = {found[4][0] for found in await anyio.getaddrinfo("localhost", port)}
            assert family not in known
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({b"X": b"a\r\nX-Injected: b"}, "line break"),
        ({b"X": b"a\nb"}, "line break"),
        ({b"X": b"a\0b"}, "NUL"),
        ({b"X y": b"a"}, "name"),
        ({b"": b"a"}, "name"),
        ({b"Content-Length": b"7"}, "Content-Length"),
    ],
)
async def test_what_would_not_be_one_request_is_not_sent(extra, problem):
    async with serving(replying(OK)) as server, direct() as transport:
        request = httpx.Request("GET", server.url, headers=list(extra.items()))
        with pytest.raises(httpx.LocalProtocolError, match=problem):
            await transport.handle_async_request(request)
        assert places(transport) == (0, 0, 0)
        assert server.connections == 0


async def test_bodies_of_unknown_length_are_sent_with_their_length():
    async def pieces():
        yield b"ab"
        yield b"cd"

    async with serving(replying(OK)) as server, direct() as transport:
        client = httpx.AsyncClient(transport=transport)
        assert (await client.post(server.url, content=pieces())).json() == {}
        ((head, body),) = server.requests
        assert body == b"abcd"
        assert b"Content-Length: 4" in head
        assert b"chunked" not in head


async def test_a_connection_that_is_reset_while_idle_is_not_used():
    async def reset(server, stream, number):
        await server.read_request(stream)
        await stream.send(OK)
        reset_on_close(stream)

    async with serving(reset) as server, HttpCore(server.url, retry=ONCE) as client:
        for _ in range(3):
            await client.send(POST)
            await until(lambda: server.open == 0)
        assert (server.connections, len(server.requests)) == (3, 3)


async def test_schemes_other_than_http_are_refused():
    async with direct() as transport:
        with pytest.raises(httpx.UnsupportedProtocol):
            await transport.handle_async_request(httpx.Request("GET", "ftp://127.0.0.1/x"))
