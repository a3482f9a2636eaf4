"""Cancelled at any await, a call leaves no connection, no place taken, and a client that still works."""

import anyio
import anyio.lowlevel
import httpx
import pytest
from http_servers import OK, serving, until

from tocsin._http._core import HttpCore
from tocsin._http._h1._transport import DirectTransport
from tocsin._http._request import Request, Timeouts

POST = Request("POST", "/x", body=b"x" * 50_000)


pytestmark = pytest.mark.usefixtures("transport")


def busy(transport):
    """Places of a pool that are neither idle nor free."""
    if isinstance(transport, DirectTransport):
        return transport._pool.held + transport._pool.waiting
    return len([c for c in transport._pool.connections if not (c.is_idle() or c.is_closed())])


async def drop_idle(transport):
    if isinstance(transport, DirectTransport):
        transport._pool.close()
        transport._pool.closed = False
    else:
        await transport._pool.aclose()


async def dawdle(server, stream, number):
    """Answers in many small steps, with a checkpoint between them."""
    while await server.read_request(stream) is not None:
        for at in range(0, len(OK), 7):
            await stream.send(OK[at : at + 7])
            await anyio.sleep(0.0005)


class CancelAt:
    """Cancels a scope at the n-th event of a call."""

    def __init__(self, at):
        self.at = at
        self.scope = anyio.CancelScope()

    def tick(self):
        self.at -= 1
        if self.at == 0:
            self.scope.cancel()


@pytest.mark.parametrize("held", [False, True], ids=["call", "session"])
async def test_a_call_cancelled_at_each_network_event_leaves_nothing_behind(held, transport):
    """Cancel at each event that is traced: connect, head (and body) out, head (and body) in, close."""
    stages = 0
    async with serving(dawdle) as server, HttpCore(server.url, max_in_flight=1) as client:
        for at in range(1, 40):
            cancel = CancelAt(at)
            client._shared.wire._transport = Watched(client._shared.wire._transport, cancel.tick)
            done = False
            async with client.session() as session:
                wire = session._wire
                wire._transport = Watched(wire._transport, cancel.tick)
                with cancel.scope:
                    await (session.send(POST) if held else client.send(POST))
                    done = True
                assert not busy((wire if held else client._shared.wire)._transport.inner)
            client._shared.wire._transport = client._shared.wire._transport.inner
            if done and not cancel.scope.cancel_called:
                break
            stages += 1
            with anyio.fail_after(20):
                assert (await client.send(POST)).status == 200
            await drop_idle(client._shared.wire._transport)  # so that each round begins with a connect
        assert stages >= {"httpx": 12, "direct": 5}[transport]
        assert done
    await until(lambda: server.open == 0)


class Watched(httpx.AsyncBaseTransport):
    """Calls `tick` at each trace event and at each piece of the body."""

    def __init__(self, inner, tick):
        self.inner = inner
        self.tick = tick

    async def handle_async_request(self, request):
        trace = request.extensions["trace"]

        async def watch(name, info):
            await trace(name, info)
            self.tick()  # no await here: the cancellation strikes at the next one that httpcore makes

        request.extensions["trace"] = watch
        return await self.inner.handle_async_request(request)

    async def aclose(self):
        await self.inner.aclose()


@pytest.mark.parametrize("delay", [n / 2000 for n in range(16)])
async def test_many_calls_cancelled_at_once_leave_a_client_that_works(delay):
    async with serving(dawdle) as server, HttpCore(server.url, max_in_flight=2) as client:
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(client.send, POST)
            await anyio.sleep(delay)
            tasks.cancel_scope.cancel()
        assert not busy(client._shared.wire._transport)
        with anyio.fail_after(20):
            assert (await client.send(POST)).status == 200
    await until(lambda: server.open == 0)


@pytest.mark.parametrize("size", [1, 3])
async def test_calls_cancelled_after_any_number_of_turns_of_the_loop_leave_nothing_behind(size):
    """Wherever they stand, waiting for a place included; the loops take 20 to 60 turns for such a call."""
    async with serving(dawdle) as server, HttpCore(server.url, max_in_flight=size) as client:
        for turns in range(40):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(client.send, POST)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert not busy(client._shared.wire._transport)
        with anyio.fail_after(20):
            assert (await client.send(POST)).status == 200
        assert server.open <= size
    await until(lambda: server.open == 0)


async def test_leaving_the_client_while_cancelled_closes_its_connections():
    async with serving(dawdle) as server:
        with anyio.CancelScope() as scope:
            async with HttpCore(server.url) as client, client.session() as session:
                await client.send(POST)
                await session.send(POST)
                assert server.open == 2
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        await until(lambda: server.open == 0)


async def test_a_time_out_of_the_callers_is_the_callers():
    async def silent(server, stream, number):
        await server.read_request(stream)
        await anyio.sleep_forever()

    async with serving(silent) as server, HttpCore(server.url) as client:
        with pytest.raises(TimeoutError) as caught, anyio.fail_after(0.05):
            await client.send(Request("GET", "/", timeouts=Timeouts(total=5)))
        assert type(caught.value) is TimeoutError
