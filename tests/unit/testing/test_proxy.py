"""The chaos proxy: each fault is what it says, on real sockets."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from tocsin.testing import ChaosProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BROKEN = (anyio.EndOfStream, anyio.BrokenResourceError)


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    async def handle(stream: SocketStream) -> None:
        async with stream:
            try:
                async for data in stream:
                    await stream.send(data)
            except anyio.BrokenResourceError:
                pass

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def through() -> AsyncIterator[tuple[ChaosProxy, SocketStream]]:
    async with (
        echo() as port,
        ChaosProxy("127.0.0.1", port) as proxy,
        await anyio.connect_tcp("127.0.0.1", proxy.port) as stream,
    ):
        await exchange(stream)
        yield proxy, stream


async def exchange(stream: SocketStream, data: bytes = b"hello") -> None:
    await stream.send(data)
    got = b""
    while len(got) < len(data):
        got += await stream.receive()
    assert got == data


async def reach(port: int) -> SocketStream:
    with anyio.fail_after(20):
        while True:
            try:
                return await anyio.connect_tcp("127.0.0.1", port)
            except OSError:
                await anyio.sleep(0.005)


async def is_silent(stream: SocketStream) -> bool:
    with anyio.move_on_after(0.05):
        await stream.receive()
        return False
    return True


async def test_forwards_faithfully_and_passes_the_end_on() -> None:
    async with through() as (proxy, stream):
        assert proxy.connections == 1
        await exchange(stream, bytes(range(256)) * 2000)
        await stream.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_cut_resets_what_is_open_and_lets_new_ones_in() -> None:
    async with through() as (proxy, stream):
        proxy.cut()
        with pytest.raises(BROKEN):
            await stream.receive()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as again:
            await exchange(again)


async def test_refuse_is_a_refused_connection_until_healed_on_the_same_port() -> None:
    async with through() as (proxy, first):
        port = proxy.port
        proxy.refuse()
        with pytest.raises(BROKEN):
            await first.receive()
        for _ in range(3):
            with pytest.raises(OSError):  # noqa: PT011 - anyio raises a plain OSError for a refused connection
                await anyio.connect_tcp("127.0.0.1", port)
            proxy.heal()
            async with await reach(port) as again:
                await exchange(again)
                proxy.refuse()
                with pytest.raises(BROKEN):
                    await again.receive()


async def test_freeze_holds_everything_and_loses_nothing() -> None:
    async with through() as (proxy, stream):
        proxy.freeze()
        await stream.send(b"late")
        assert await is_silent(stream)
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as other:
            await other.send(b"x")
            assert await is_silent(other)
        proxy.heal()
        assert await stream.receive() == b"late"


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_half_open_stays_so_for_the_old_connection_only(direction) -> None:
    async with through() as (proxy, stream):
        proxy.half_open(direction)
        proxy.heal()
        await stream.send(b"lost")
        assert await is_silent(stream)
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as other:
            await exchange(other)
    assert proxy.faults == [f"half_open_{direction}"]


async def test_trickle_cuts_into_pieces_and_delay_waits() -> None:
    async with through() as (proxy, stream):
        proxy.trickle(size=1, every=0.001)
        await stream.send(b"abcd")
        assert await stream.receive() == b"a"
        proxy.heal()
        rest = b""
        while len(rest) < 3:
            rest += await stream.receive()
        assert rest == b"bcd"
        proxy.delay(0.05)
        began = anyio.current_time()
        await exchange(stream)
        assert anyio.current_time() - began >= 0.1


async def test_a_server_that_is_gone_closes_the_client() -> None:
    async with echo() as port:
        pass
    async with ChaosProxy("127.0.0.1", port) as proxy, await reach(proxy.port) as stream:
        with pytest.raises(BROKEN):
            await stream.receive()


async def test_a_storm_is_the_same_for_the_same_seed_and_ends_healed() -> None:
    async def storm(port: int) -> list[str]:
        async with ChaosProxy("127.0.0.1", port, rng=random.Random(7)) as proxy:
            await proxy.storm(12, hold=(0, 0.002), calm=(0, 0.002))
            async with await reach(proxy.port) as stream:
                await exchange(stream)
            return list(proxy.faults)

    async with echo() as port:
        first = await storm(port)
        assert await storm(port) == first
    assert len(set(first)) > 3


async def test_body_errors_leave_as_themselves() -> None:
    with pytest.raises(KeyError):
        async with ChaosProxy("127.0.0.1", 1):
            raise KeyError("mine")
    with pytest.raises(RuntimeError, match="not open"):
        _ = ChaosProxy("127.0.0.1", 1).url
