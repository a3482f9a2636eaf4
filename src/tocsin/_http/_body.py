"""Bodies: ours on the way out, the server's on the way in, decompressed within a limit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import httpx
from anyio import CancelScope, move_on_after

from tocsin._http._redact import NOTHING_SECRET
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tocsin._http._trace import Flight

__all__ = ["MAX_BYTES", "Outgoing", "read_body"]

MAX_BYTES = 64 * 2**20
_CLOSING = 2.0  # seconds that closing a connection may take while something has already gone wrong


class Outgoing(httpx.AsyncByteStream):
    """A request body whose iterator is an object.

    httpx's own is an async generator; a write that fails leaves it to the collector, with a ResourceWarning
    on trio.
    """

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._body)


class _Once:
    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body or None

    def __aiter__(self) -> _Once:
        return self

    async def __anext__(self) -> bytes:
        body, self._body = self._body, None
        if body is None:
            raise StopAsyncIteration
        return body


async def read_body(stream: object, encoding: str, limit: int, flight: Flight) -> bytes:
    """Read an answer's body whole, decompress it, and give its connection back.

    Args:
        stream: What the transport gave; it is closed in the end, however this ends.
        encoding: The answer's Content-Encoding; empty: it has none.
        limit: Greatest number of bytes after decompression.
        flight: The call. Its `on_bytes` is told the length of each piece as it arrives, before decompression.

    Raises:
        ProtocolError: It is larger, or not compressed as it says.
    """
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError("the transport gave an answer that cannot be read asynchronously")
    on_bytes = flight.on_bytes
    try:
        sink = _Sink(f"{flight.method} {flight.url}", encoding, limit)
        failure: Exception | None = None
        take_whole = getattr(stream, "take_whole", None)  # our own transport's; small ones are here already
        if take_whole is not None and (whole := take_whole()) is not None:
            if whole and on_bytes is not None:
                on_bytes(len(whole))
            sink.feed(whole)
            return sink.finish()
        # Leaving this loop by break or raise would leave nested async generators to the collector;
        # only a cancellation unwinds all of them.
        with CancelScope() as scope:
            async for piece in stream:
                if failure is None:
                    try:
                        if on_bytes is not None:
                            on_bytes(len(piece))
                        sink.feed(piece)
                    except Exception as exc:  # noqa: BLE001 - raised below
                        failure = exc
                        scope.cancel()
        if failure is not None:
            raise failure
        body = sink.finish()
    except BaseException:
        with move_on_after(_CLOSING, shield=True):
            await stream.aclose()
        raise
    await stream.aclose()
    return body


class _Sink:
    """Collects a body; decompresses never more than the limit, however small the compressed piece."""

    __slots__ = ("_asked", "_begun", "_limit", "_pieces", "_room", "_unzip")

    def __init__(self, asked: str, encoding: str, limit: int) -> None:
        self._asked = asked
        self._limit = self._room = limit
        self._pieces: list[bytes] = []
        self._begun = False
        encoding = encoding.strip().lower()
        if encoding in {"", "identity"}:
            self._unzip = None
        elif encoding in {"gzip", "x-gzip"}:
            self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        else:
            raise ProtocolError(
                f"{asked} was answered in a compression that was not asked for",
                detail=NOTHING_SECRET.clean(encoding, limit=40),
            )

    def feed(self, piece: bytes) -> None:
        self._begun = self._begun or bool(piece)
        if self._unzip is not None:
            try:
                # One byte beyond the room tells "too much" from "just enough".
                piece = self._unzip.decompress(piece, self._room + 1)
            except zlib.error as exc:
                raise ProtocolError(
                    f"the answer to {self._asked} is not the gzip that it says it is", detail=str(exc)
                ) from None
        self._room -= len(piece)
        if self._room < 0:
            raise ProtocolError(f"the answer to {self._asked} is larger than {self._limit} bytes")
        if piece:
            self._pieces.append(piece)

    def finish(self) -> bytes:
        if self._unzip is not None and self._begun and not self._unzip.eof:
            raise ProtocolError(f"the gzip answer to {self._asked} is cut off")
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
