"""Held polls: a cookie jar of their own, cookies for addresses too, bytes told, nothing retried."""

import anyio
import httpx
import pytest
from http_fakes import Pieces, Scripted, answer, core

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._request import Request, Timeouts
from tocsin.errors import ConfigurationError, RequestTimeoutError, ServerError, TransportError

POST = Request("POST", "/notification/realtime", body=b"[]")


def sessions(*scripts, url="http://10.0.0.7:8111", **options):
    """A core whose transports are scripted one by one: the first is the core's own."""
    made = [Scripted(*script) for script in scripts]
    left = list(made)
    return HttpCore(url, transport_factory=lambda: left.pop(0), **options), made


@pytest.mark.parametrize(
    "url", ["http://10.0.0.7:8111", "http://localhost:8111", "https://acme.example.com", "http://[::1]:81"]
)
async def test_cookies_are_kept_for_any_host_and_apart_for_each_session(url):
    script = [
        answer(json=[], headers={"Set-Cookie": "BAYEUX_BROWSER=one; Path=/; HttpOnly"}),
        answer(json=[]),
    ]
    client, wires = sessions([answer(json={})], list(script), list(script), url=url)
    async with client:
        async with client.session() as first, client.session() as second:
            await first.send(POST)
            await first.send(POST)
            await second.send(POST)
        await client.send(Request("GET", "/"))
    assert [r.headers.get("cookie") for r in wires[1].requests] == [None, "BAYEUX_BROWSER=one"]
    assert [r.headers.get("cookie") for r in wires[2].requests] == [None]
    assert [r.headers.get("cookie") for r in wires[0].requests] == [None]


async def test_the_calls_of_a_client_keep_no_cookies():
    client, wire = core(answer(json={}, headers={"Set-Cookie": "sid=1; Path=/"}))
    async with client:
        await client.send(Request("GET", "/"))
        await client.send(Request("GET", "/"))
    assert "cookie" not in wire.requests[1].headers


async def test_secure_cookies_stay_off_plain_http_and_cookies_are_renewed_and_removed():
    client, wires = sessions(
        [answer(json={})],
        [
            answer(json=[], headers={"Set-Cookie": "a=1; Path=/; Secure"}),
            answer(json=[], headers={"Set-Cookie": "b=1; Path=/"}),
            answer(json=[], headers={"Set-Cookie": "b=2; Path=/"}),
            answer(json=[], headers={"Set-Cookie": "b=; Path=/; Max-Age=0"}),
            answer(json=[]),
        ],
    )
    async with client, client.session() as session:
        for _ in range(5):
            await session.send(POST)
    assert [r.headers.get("cookie") for r in wires[1].requests] == [None, None, "b=1", "b=2", None]


async def test_sessions_have_auth_headers_and_middleware_of_the_client_and_no_retries():
    seen = []

    async def note(request, call_next):
        seen.append(request.path)
        return await call_next(request)

    client, wires = sessions(
        [answer(json={})],
        [answer(503)],
        auth=BasicAuth("a", "b"),
        headers={"X-A": "1"},
        middleware=[note],
        url="https://acme.example.com",
    )
    async with client, client.session() as session:
        with pytest.raises(ServerError):
            await session.send(POST)
    assert seen == ["/notification/realtime"]
    assert wires[1].count == {"entered": 1, "requests": 1, "closed": 1}
    assert wires[1].requests[0].headers["authorization"].startswith("Basic ")
    assert wires[1].requests[0].headers["x-a"] == "1"


async def test_a_broken_poll_is_one_error_that_is_not_retried():
    client, wires = sessions([answer(json={})], [httpx.RemoteProtocolError("x")])
    async with client, client.session() as session:
        with pytest.raises(TransportError):
            await session.send(POST)
    assert wires[1].count["requests"] == 1


async def test_heartbeats_are_told_as_they_arrive():
    told = []
    client, _ = sessions([answer(json={})], [lambda: httpx.Response(200, stream=Pieces(b" ", b" ", b"[]"))])
    async with client, client.session() as session:
        response = await session.send(POST, on_bytes=told.append)
    assert told == [1, 1, 2]
    assert response.json() == []


async def test_a_listener_that_raises_ends_the_poll_and_closes_its_stream():
    stream = Pieces(b" ", b" ")

    def broken(count):
        raise RuntimeError("a bug of the caller")

    client, _ = sessions([answer(json={})], [lambda: httpx.Response(200, stream=stream)])
    async with client, client.session() as session:
        with pytest.raises(RuntimeError, match="a bug"):
            await session.send(POST, on_bytes=broken)
    assert stream.closed == 1


@pytest.mark.virtual_time
async def test_a_poll_that_is_kept_alive_for_ever_ends_at_its_total():
    stream = Pieces(*[b" ", 10] * 1000)
    client, _ = sessions([answer(json={})], [lambda: httpx.Response(200, stream=stream)])
    async with client, client.session() as session:
        started = anyio.current_time()
        with pytest.raises(RequestTimeoutError, match="within 95 s"):
            await session.send(Request("POST", "/", timeouts=Timeouts(read=15, total=95)))
        assert anyio.current_time() - started == pytest.approx(95)
    assert stream.closed == 1


async def test_held_polls_take_no_place_from_the_calls():
    async def hang():
        await anyio.sleep_forever()

    client, wires = sessions([answer(json={})], [hang], max_in_flight=1)
    async with client, client.session() as session, anyio.create_task_group() as tasks:
        tasks.start_soon(session.send, POST)
        tasks.start_soon(session.send, POST)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(20):
            await client.send(Request("GET", "/"))
        tasks.cancel_scope.cancel()
    assert wires[1].in_flight == 0


async def test_a_session_is_entered_once_and_ends_with_its_client():
    client, wires = sessions([answer(json={})], [answer(json=[])], [answer(json=[])])
    async with client:
        session = client.session()
        with pytest.raises(ConfigurationError, match="not open"):
            await session.send(POST)
        async with session:
            await session.send(POST)
            with pytest.raises(ConfigurationError, match="once"):
                await session.__aenter__()
        with pytest.raises(ConfigurationError, match="closed"):
            await session.send(POST)
        forgotten = client.session()
        await forgotten.__aenter__()
    with pytest.raises(ConfigurationError, match="closed"):
        await forgotten.send(POST)
    assert [wire.count["closed"] for wire in wires] == [1, 1, 1]


async def test_a_view_gives_its_sessions_its_own_headers_and_limits():
    client, wires = sessions([answer(json={})], [answer(json=[])])
    async with client:
        view = client.with_options(headers={"X-A": "view"}, timeouts=Timeouts(read=3))
        async with view.session() as session:
            await session.send(POST)
    assert wires[1].requests[0].headers["x-a"] == "view"
    assert wires[1].requests[0].extensions["timeout"]["read"] == 3
