"""Bodies are read whole within a limit, and every way out gives the connection back."""

import gzip
import tracemalloc
import zlib

import anyio
import httpx
import pytest
from http_fakes import Pieces, answer, core

from tocsin._http._body import Outgoing
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ProtocolError, TransportError

GET = Request("GET", "/x", max_bytes=1000)


def streamed(*pieces, encoding=None):
    stream = Pieces(*pieces)
    headers = {"Content-Encoding": encoding} if encoding else {}
    return stream, lambda: httpx.Response(200, headers=headers, stream=stream)


async def read(*pieces, encoding=None, request=GET):
    stream, step = streamed(*pieces, encoding=encoding)
    client, _ = core(step, retry=RetryPolicy.none())
    try:
        async with client:
            return (await client.send(request)).body
    finally:
        assert stream.closed == 1


@pytest.mark.parametrize(
    ("pieces", "encoding", "body"),
    [
        ((), None, b""),
        ((b"",), None, b""),
        ((b"ab", b"", b"c"), None, b"abc"),
        ((b"x" * 1000,), None, b"x" * 1000),
        ((b"ab",), "identity", b"ab"),
        ((gzip.compress(b"y" * 1000),), "gzip", b"y" * 1000),
        ((gzip.compress(b"y"),), "X-GZip ", b"y"),
        (tuple(bytes([b]) for b in gzip.compress(b"byte by byte")), "gzip", b"byte by byte"),
        ((), "gzip", b""),
    ],
)
async def test_bodies_are_read_whole(pieces, encoding, body):
    assert await read(*pieces, encoding=encoding) == body


@pytest.mark.parametrize(
    ("pieces", "encoding", "says"),
    [
        ((b"x" * 1001,), None, "larger than 1000 bytes"),
        ((b"x" * 600, b"x" * 600, b"x"), None, "larger than 1000 bytes"),
        ((gzip.compress(b"y" * 1001),), "gzip", "larger than 1000 bytes"),
        ((gzip.compress(b"y" * 500)[:-9],), "gzip", "cut off"),
        ((gzip.compress(b"y")[:10],), "gzip", "cut off"),
        ((b"not gzip at all",), "gzip", "not the gzip"),
        ((gzip.compress(b"y")[:10], b"\xff" * 9), "gzip", "not the gzip"),
        ((b"x",), "br", "not asked for"),
        ((b"x",), "gzip, gzip", "not asked for"),
        ((zlib.compress(b"x"),), "deflate", "not asked for"),
    ],
)
async def test_bodies_that_lie_are_one_clear_error(pieces, encoding, says):
    with pytest.raises(ProtocolError, match=says) as caught:
        await read(*pieces, encoding=encoding)
    assert "GET http://localhost:8111/x" in str(caught.value)


async def test_a_bomb_is_stopped_before_it_unfolds():
    bomb = gzip.compress(b"\0" * 200_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="larger than 1000000 bytes"):
            await read(bomb, encoding="gzip", request=Request("GET", "/x", max_bytes=1_000_000))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


async def test_the_rest_of_a_body_that_is_too_large_is_not_read():
    seen = []

    class Endless(Pieces):
        async def _run(self):
            for n in range(1_000_000):
                seen.append(n)
                await anyio.lowlevel.checkpoint()
                yield b"x" * 100

    client, _ = core(lambda: httpx.Response(200, stream=Endless()))
    async with client:
        with pytest.raises(ProtocolError, match="larger"):
            await client.send(GET)
    assert len(seen) <= 12


async def test_a_body_that_breaks_off_closes_its_stream():
    with pytest.raises(TransportError, match="broke"):
        await read(b"half", httpx.ReadError("gone"))


async def test_a_body_that_may_only_be_read_synchronously_is_a_bug_of_the_transport():
    class Sync(httpx.SyncByteStream):
        def __iter__(self):
            yield b""

    client, _ = core(lambda: httpx.Response(200, stream=Sync()))
    async with client:
        with pytest.raises(TypeError, match="asynchronously"):
            await client.send(GET)


async def test_our_own_body_is_one_piece_and_can_be_sent_again():
    body = Outgoing(b"abc")
    assert [piece async for piece in body] == [b"abc"]
    assert [piece async for piece in body] == [b"abc"]
    assert [piece async for piece in Outgoing(b"")] == []


async def test_an_error_page_is_limited_too():
    client, _ = core(answer(500, body=b"x" * 2000))
    async with client:
        with pytest.raises(ProtocolError, match="larger"):
            await client.send(GET)
