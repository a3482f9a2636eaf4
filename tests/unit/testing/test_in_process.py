"""The in-process server: what httpx sees must be what a socket would show it."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tocsin.testing import InProcessServer, in_process

pytestmark = pytest.mark.virtual_time


async def respond(send, *chunks: bytes, headers=(), status=200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def client(server: InProcessServer, **options) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=server.transport_factory(), base_url=server.url, **options)


async def test_scope_and_body_arrive_as_they_were_sent() -> None:
    seen = {}

    async def app(scope, receive, send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        seen.update(scope, body=body)
        await respond(send, b"o", b"k")

    async def upload():
        yield b"a" * 100_000
        yield b"b"

    async with in_process(app) as server, client(server) as http:
        response = await http.post("/a%2Fb/c?x=1%2B1&y=%20", content=upload(), headers={"X-One": "1"})
    assert response.text == "ok"
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("POST", "/a/b/c", b"/a%2Fb/c")
    assert seen["query_string"] == b"x=1%2B1&y=%20"
    assert (b"x-one", b"1") in seen["headers"]
    assert seen["body"] == b"a" * 100_000 + b"b"


async def test_takes_an_object_that_has_an_app() -> None:
    async def endpoint(request):
        return PlainTextResponse("from starlette")

    emulator = SimpleNamespace(app=Starlette(routes=[Route("/", endpoint)]))
    async with in_process(emulator) as server, client(server) as http:
        assert (await http.get("/")).text == "from starlette"


async def test_heartbeats_stream_and_restart_the_read_timeout() -> None:
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await anyio.sleep(8)
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await send({"type": "http.response.body", "body": b"[]"})

    async with in_process(app) as server, client(server, timeout=10) as http:
        began = anyio.current_time()
        async with http.stream("GET", "/") as response:
            times = [anyio.current_time() - began async for _ in response.aiter_raw()]
    assert times == pytest.approx([8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 80])


@pytest.mark.parametrize("started", [False, True])
async def test_silence_ends_by_the_read_timeout(started: bool) -> None:
    told = anyio.Event()

    async def app(scope, receive, send) -> None:
        await receive()
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"[", "more_body": True})
        scope["extensions"]["tocsin.wire"].silence()
        await send({"type": "http.response.body", "body": b"]", "more_body": False})
        assert (await receive())["type"] == "http.disconnect"
        told.set()

    async with in_process(app) as server, client(server, timeout=7) as http:
        began = anyio.current_time()
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/")
        assert anyio.current_time() - began == pytest.approx(7)
        await told.wait()


@pytest.mark.parametrize(("how", "error"), [("abort", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
@pytest.mark.parametrize("after", ["nothing", "head", "part"])
async def test_a_broken_connection(after: str, how: str, error: type[Exception]) -> None:
    async def app(scope, receive, send) -> None:
        if after != "nothing":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if after == "part":
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        getattr(scope["extensions"]["tocsin.wire"], how)()

    got = b""
    async with in_process(app) as server, client(server) as http:
        with pytest.raises(error):  # noqa: PT012 - what came before the reset is asserted too
            async with http.stream("GET", "/") as response:
                async for chunk in response.aiter_raw():
                    got += chunk
    assert got == (b"half" if after == "part" else b"")


async def test_a_body_shorter_than_announced_is_an_error() -> None:
    async def app(scope, receive, send) -> None:
        await respond(send, b"half", headers=[(b"content-length", b"8")])

    async with in_process(app) as server, client(server) as http:
        with pytest.raises(httpx.RemoteProtocolError, match="received 4 bytes, expected 8"):
            await http.get("/")


async def test_an_app_that_ends_in_the_middle_breaks_the_connection() -> None:
    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async with in_process(app) as server, client(server) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/")


@pytest.mark.parametrize("how", ["cancel", "close body", "close transport"])
async def test_the_app_sees_the_client_go_and_may_then_fail(how: str) -> None:
    told = anyio.Event()

    async def app(scope, receive, send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        told.set()
        await send({"type": "http.response.body", "body": b"late", "more_body": False})
        raise OSError("the peer left")

    async with in_process(app) as server:
        transport = server.transport_factory()
        request = httpx.Request("GET", server.url)
        response = await transport.handle_async_request(request)
        chunks = aiter(response.stream)
        assert await anext(chunks) == b" "
        match how:
            case "cancel":
                with anyio.move_on_after(3) as scope:
                    await anext(chunks)
                assert scope.cancelled_caught
            case "close body":
                await response.aclose()
            case "close transport":
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(transport.aclose)
                    with pytest.raises(httpx.ReadError):
                        await anext(chunks)
        await told.wait()
        await anyio.wait_all_tasks_blocked()
        assert server.in_flight == 0
    assert server.errors == []


async def test_what_an_app_raises_is_a_500_and_fails_the_test() -> None:
    async def app(scope, receive, send) -> None:
        raise ValueError("a bug in the emulator")

    with pytest.raises(ValueError, match="a bug in the emulator"):
        async with in_process(app) as server, client(server) as http:
            assert (await http.get("/")).status_code == 500


async def test_trace_tells_a_request_that_left_from_one_that_did_not() -> None:
    async def app(scope, receive, send) -> None:
        await respond(send, b"ok")

    events: list[str] = []

    async def trace(name: str, info: object) -> None:
        events.append(name)

    async with in_process(app) as server, client(server) as http:
        server.refusing = True
        with pytest.raises(httpx.ConnectError):
            await http.get("/", extensions={"trace": trace})
        assert not any(name.endswith("send_request_headers.started") for name in events)
        server.refusing = False
        await http.get("/", extensions={"trace": trace})
        assert any(name.endswith("send_request_headers.started") for name in events)
    with pytest.raises(httpx.ConnectError):
        await server.transport_factory().handle_async_request(httpx.Request("GET", server.url))


async def test_cut_resets_held_polls_and_connections_are_reused() -> None:
    ports: list[int] = []

    async def app(scope, receive, send) -> None:
        ports.append(scope["client"][1])
        if scope["path"] == "/held":
            await receive()
            await receive()
        await respond(send, b"ok")

    async with in_process(app) as server, client(server) as http, client(server) as other:
        await http.get("/")
        await http.get("/")
        assert ports[0] == ports[1]
        async with anyio.create_task_group() as tasks:

            async def held() -> None:
                with pytest.raises(httpx.ReadError):
                    await http.get("/held", timeout=None)

            tasks.start_soon(held)
            await anyio.wait_all_tasks_blocked()
            await other.get("/")
            assert server.in_flight == 1
            server.cut()
        await http.get("/")
    assert len(set(ports)) == server.connections == 3
    assert ports[2] == ports[0], "the held poll ran on the idle connection"
    assert ports[4] not in ports[:4], "a cut connection is not used again"


async def test_body_errors_leave_as_themselves_and_nothing_stays_behind() -> None:
    async def app(scope, receive, send) -> None:
        await anyio.sleep_forever()

    async def ask(server: InProcessServer) -> None:
        with pytest.raises(httpx.ReadError):
            await client(server).get("/", timeout=None)

    async with anyio.create_task_group() as tasks:
        with pytest.raises(KeyError):  # noqa: PT012
            async with in_process(app) as server:
                tasks.start_soon(ask, server)
                await anyio.wait_all_tasks_blocked()
                raise KeyError("mine")


async def test_starlette_streams_stop_when_the_client_goes() -> None:
    beats = 0

    async def endpoint(request):
        async def body():
            nonlocal beats
            while True:
                beats += 1
                yield b" "
                await anyio.sleep(5)

        return StreamingResponse(body())

    async with in_process(Starlette(routes=[Route("/", endpoint)])) as server, client(server) as http:
        with anyio.move_on_after(22):
            await http.get("/", timeout=None)
        await anyio.sleep(100)
        assert server.in_flight == 0
    assert beats == 5


async def test_an_upload_that_the_app_does_not_read_stalls() -> None:
    async def app(scope, receive, send) -> None:
        await anyio.sleep(60)
        await respond(send, b"ok")

    async with in_process(app) as server, client(server, timeout=5) as http:
        with pytest.raises(httpx.WriteTimeout):
            await http.post("/", content=b"x" * 200_000)
