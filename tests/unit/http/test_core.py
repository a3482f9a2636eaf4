"""The send path: what is sent, what middleware sees, views, states, and the limit on requests in flight."""

import gc
import weakref

import anyio
import httpx
import pytest
from http_fakes import answer, core, of_request

from tocsin import __version__
from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._request import Request, Timeouts
from tocsin._http._retry import RetryPolicy
from tocsin.errors import (
    ConfigurationError,
    RequestTimeoutError,
    ServerError,
    TocsinError,
)

GET = Request("GET", "/alarm/alarms", (("severity", "MAJOR,MINOR"), ("text", "a b+c")))
POST = Request("POST", "/alarm/alarms", body=b'{"a":1}')


async def test_a_get_is_sent_as_it_should_be():
    client, wire = core(answer(json={}), url="https://acme.example.com/base/", auth=BasicAuth("ada", "pw"))
    async with client:
        response = await client.send(GET)
    sent = wire.requests[0]
    assert str(sent.url) == "https://acme.example.com/base/alarm/alarms?severity=MAJOR%2CMINOR&text=a%20b%2Bc"
    assert sent.url.raw_path == b"/base/alarm/alarms?severity=MAJOR%2CMINOR&text=a%20b%2Bc"
    assert dict(sent.headers) == {
        "host": "acme.example.com",
        "user-agent": f"tocsin/{__version__}",
        "accept-encoding": "gzip",
        "accept": "application/json",
        "authorization": "Basic YWRhOnB3",
    }
    assert wire.bodies == [b""]
    assert response.url == "https://acme.example.com/base/alarm/alarms"
    assert client.base_url == "https://acme.example.com/base"


async def test_a_post_says_what_it_carries():
    client, wire = core(answer(201, json={}))
    async with client:
        await client.send(POST)
        await client.send(Request("PUT", "/x", accept="application/vnd.x+json"))
    assert wire.bodies == [b'{"a":1}', b""]
    assert wire.requests[0].headers["content-type"] == "application/json"
    assert wire.requests[0].headers["content-length"] == "7"
    assert wire.requests[1].headers["content-length"] == "0"
    assert "content-type" not in wire.requests[1].headers
    assert wire.requests[1].headers["accept"] == "application/vnd.x+json"


async def test_headers_of_client_view_and_request_override_in_this_order():
    client, wire = core(
        answer(json={}), headers={"X-A": "client", "X-B": "client", "X-C": "client"}, user_agent="me/1"
    )
    async with client:
        view = client.with_options(headers={"x-b": "view", "x-c": "view"})
        await view.send(Request("GET", "/", headers=(("X-C", "request"),)))
        await client.send(Request("GET", "/"))
    got = [{k: r.headers[k] for k in ("x-a", "x-b", "x-c", "user-agent")} for r in wire.requests]
    assert got[0] == {"x-a": "client", "x-b": "view", "x-c": "request", "user-agent": "me/1"}
    assert got[1] == {"x-a": "client", "x-b": "client", "x-c": "client", "user-agent": "me/1"}


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Upgrade"])
def test_headers_that_frame_the_message_are_ours(name):
    with pytest.raises(ConfigurationError, match="set by us"):
        core(headers={name: "1"})


@pytest.mark.parametrize(
    "options",
    [
        {"max_in_flight": 0},
        {"headers": {"X": "a\nb"}},
        {"headers": {"X": None}},
        {"headers": {"Accept-Encoding": "br"}},
        {"url": "acme"},
        {"auth": ("ada", "secret")},
        {"auth": "secret"},
        {"auth": BasicAuth},
        {"timeouts": 5},
        {"timeouts": None},
        {"retry": 3},
        {"retry": None},
        {"verify": ""},
        {"verify": None},
        {"cert": ("only.pem",)},
        {"middleware": lambda request, call_next: call_next(request)},
    ],
)
def test_settings_that_make_no_sense_are_refused_when_given(options):
    with pytest.raises(ConfigurationError) as caught:
        core(**options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("options", [{"timeouts": 5}, {"timeouts": None}, {"retry": 3}])
def test_a_view_is_given_what_a_client_is_given(options):
    client, _ = core()
    with pytest.raises(ConfigurationError):
        client.with_options(**options)


async def test_a_client_that_is_not_open_says_so():
    client, wire = core()
    with pytest.raises(ConfigurationError, match="async with"):
        await client.send(GET)
    with pytest.raises(ConfigurationError, match="async with"):
        async with client.session():
            pass
    async with client:
        with pytest.raises(ConfigurationError, match="open already"):
            await client.__aenter__()
        await client.send(GET)
    with pytest.raises(ConfigurationError, match="closed"):
        await client.send(GET)
    with pytest.raises(ConfigurationError, match="closed"):
        await client.__aenter__()
    assert wire.count == {"entered": 1, "requests": 1, "closed": 1}


async def test_a_client_belongs_to_the_event_loop_that_entered_it():
    client, wire = core()

    async def use():
        await client.send(GET)

    async with client:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await anyio.to_thread.run_sync(anyio.run, use)
        await client.send(GET)
    assert wire.count["requests"] == 1


async def test_a_view_shares_pool_and_state_and_has_options_of_its_own():
    client, wire = core(answer(500))
    view = client.with_options(retry=RetryPolicy.none(), timeouts=Timeouts(read=7))
    with pytest.raises(ConfigurationError, match="async with"):
        await view.send(GET)
    async with client:
        with pytest.raises(ConfigurationError, match="view"):
            await view.__aenter__()
        with pytest.raises(ServerError):
            await view.send(GET)
        assert wire.count["requests"] == 1
        assert wire.requests[0].extensions["timeout"]["read"] == 7
        again = view.with_options(headers={"X-A": "b"})
        assert again.timeouts == Timeouts(read=7)
    with pytest.raises(ConfigurationError, match="closed"):
        await again.send(GET)
    assert wire.count == {"entered": 1, "requests": 1, "closed": 1}


@pytest.mark.virtual_time
async def test_middleware_wraps_each_attempt_and_sees_failures_as_responses():
    seen = []

    async def outer(request, call_next):
        seen.append(("outer", request.headers))
        response = await call_next(request.with_headers((("X-Trace", str(len(seen))),)))
        seen.append(("status", response.status))
        return response

    async def inner(request, call_next):
        seen.append(("inner", request.headers))
        return await call_next(request)

    client, wire = core(
        answer(503), answer(json={}), middleware=[outer, inner], auth=BasicAuth("a", "hunter2")
    )
    async with client:
        await client.send(Request("GET", "/"))
    assert seen == [
        ("outer", ()),
        ("inner", (("X-Trace", "1"),)),
        ("status", 503),
        ("outer", ()),
        ("inner", (("X-Trace", "4"),)),
        ("status", 200),
    ]
    assert [r.headers["x-trace"] for r in wire.requests] == ["1", "4"]


async def test_middleware_may_answer_itself_and_may_fail():
    async def answering(request, call_next):
        if request.path == "/raise":
            raise KeyError("mine")
        response = await call_next(request)
        return type(response)(200, response.headers, b"7") if response.status == 404 else response

    client, wire = core(answer(404), middleware=[answering])
    async with client:
        assert (await client.send(GET)).json() == 7
        with pytest.raises(KeyError, match="mine"):
            await client.send(Request("GET", "/raise"))
    assert wire.count["requests"] == 1


async def test_a_middleware_without_a_return_is_told():
    async def forgetful(request, call_next):
        await call_next(request)

    client, _ = core(middleware=[forgetful])
    async with client:
        with pytest.raises(ConfigurationError, match=r"NoneType instead of a Response.*return"):
            await client.send(GET)


def test_a_transport_is_no_factory():
    with pytest.raises(ConfigurationError, match="give a function"):
        HttpCore("http://localhost", transport_factory=httpx.MockTransport(lambda _: httpx.Response(200)))


async def test_no_more_requests_are_in_flight_than_allowed():
    gate = anyio.Event()

    async def wait():
        await gate.wait()
        return answer(json={})()

    client, wire = core(wait, max_in_flight=3)
    async with client, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(client.send, GET)
        await anyio.wait_all_tasks_blocked()
        assert wire.in_flight == 3
        gate.set()
    assert wire.count["requests"] == 10
    assert wire.most_in_flight == 3


@pytest.mark.virtual_time
async def test_waiting_for_a_place_has_a_limit_and_the_request_never_left():
    async def hang():
        await anyio.sleep_forever()

    client, wire = core(
        hang, max_in_flight=1, retry=RetryPolicy.none(), timeouts=Timeouts(pool=5, total=None)
    )
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, POST)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(RequestTimeoutError, match="no place within 5 s") as caught:
            await client.send(POST)
        assert caught.value.maybe_applied is False
        tasks.cancel_scope.cancel()
    assert wire.count["requests"] == 1


@pytest.mark.virtual_time
async def test_a_write_that_was_refused_and_then_waits_in_vain_was_not_applied():
    """The first attempt got its answer, the second never began: nothing is in doubt."""

    @of_request
    async def refuse_writes(request):
        if request.method == "PUT":
            tasks.start_soon(client.send, blocking)  # takes the only place for good
            return answer(503)()
        await anyio.sleep_forever()
        return answer()()

    blocking = Request("GET", "/", timeouts=Timeouts(total=None))
    client, wire = core(refuse_writes, max_in_flight=1, timeouts=Timeouts(pool=50, total=20))
    async with client, anyio.create_task_group() as tasks:
        with pytest.raises(RequestTimeoutError, match="within 20 s") as caught:
            await client.send(Request("PUT", "/x", body=b"{}"))
        tasks.cancel_scope.cancel()
    assert caught.value.maybe_applied is False
    assert [request.method for request in wire.requests] == ["PUT", "GET"]


async def test_a_cancelled_wait_for_a_place_takes_none():
    gate = anyio.Event()

    @of_request
    async def wait(request):
        await gate.wait()
        return answer(json={})()

    client, wire = core(wait, max_in_flight=1)
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, GET)
        await anyio.wait_all_tasks_blocked()
        for _ in range(5):
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(client.send, GET)
                await anyio.wait_all_tasks_blocked()
                waiting.cancel_scope.cancel()
        gate.set()
    client, wire = core(answer(json={}), max_in_flight=1)
    async with client:
        for _ in range(3):
            await client.send(GET)
    assert wire.count["requests"] == 3


async def test_places_come_back_after_errors_of_every_kind():
    client, _ = core(
        httpx.ReadError("x"),
        answer(404),
        RuntimeError("bug"),
        answer(json={}),
        max_in_flight=1,
        retry=RetryPolicy.none(),
    )
    async with client:
        for _ in range(3):
            with pytest.raises(Exception):  # noqa: B017, PT011 - each is tested elsewhere
                await client.send(GET)
        with anyio.fail_after(20):
            assert (await client.send(GET)).status == 200


async def test_the_error_of_the_body_leaves_as_itself_and_everything_is_closed():
    client, wire = core()
    with pytest.raises(KeyError, match="mine"):
        async with client:
            raise KeyError("mine")
    assert wire.count["closed"] == 1


async def test_a_transport_that_cannot_be_opened_is_closed():
    class Stubborn(httpx.AsyncBaseTransport):
        closed = 0

        async def __aenter__(self):
            raise OSError("no")

        async def handle_async_request(self, request):
            raise AssertionError

        async def aclose(self):
            self.closed += 1

    stubborn = Stubborn()
    client = HttpCore("http://localhost", transport_factory=lambda: stubborn)
    with pytest.raises(OSError, match="no"):
        await client.__aenter__()
    assert stubborn.closed == 1


@pytest.mark.virtual_time
async def test_closing_takes_no_longer_than_its_limit_and_survives_errors():
    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return answer(json={})()

        async def aclose(self):
            await anyio.sleep(1000)

    class Broken(Slow):
        async def aclose(self):
            raise httpx.CloseError("x")

    for factory in (Slow, Broken):
        started = anyio.current_time()
        async with (
            HttpCore("http://localhost", transport_factory=factory) as client,
            client.session() as session,
        ):
            await session.send(GET)
        assert anyio.current_time() - started <= 4.1


@pytest.mark.parametrize("step", [httpx.ReadError("x"), answer(404)])
async def test_an_error_dies_with_its_last_reference(step):
    """A cycle through a frame would keep the request, and with it the credentials, until a collection.

    (A retried call has such a cycle inside tenacity; the collector finds it.)
    """
    client, _ = core(step, retry=RetryPolicy.none())
    kept = context = None
    async with client:
        gc.collect()
        gc.disable()
        try:
            try:
                await client.send(POST)
            except TocsinError as exc:
                kept, context = weakref.ref(exc), exc.__context__
            assert kept is not None
            assert context is None
            assert kept() is None
        finally:
            gc.enable()


def test_the_repr_shows_where_and_in_which_state():
    client, _ = core(auth=BasicAuth("ada", "hunter2"))
    assert repr(client) == "<HttpCore http://localhost:8111, new>"
