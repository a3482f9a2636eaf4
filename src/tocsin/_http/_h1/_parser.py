"""One answer out of bytes, in whatever pieces they come. No I/O.

llhttp parses (through httptools); what it leaves to its caller is decided here: answers that have no body,
bodies that end with the connection, interim answers, limits, and whether the connection can be used again.
"""

from __future__ import annotations

from typing import Final

import httptools
import httpx

__all__ = ["ResponseParser"]

_MAX_HEADERS: Final = 256
_MAX_HEAD: Final = 64 * 1024
# What frames a body (chunk sizes, extensions, trailers) may outweigh it by so much, beyond `_MAX_HEAD`.
# A blank in a chunk of its own, as heartbeats come, has 6 bytes round it.
_FRAMING_PER_BYTE: Final = 16
_SWITCHING: Final = 101
_OK: Final = 200
_BODILESS: Final = frozenset({204, 304})


class ResponseParser:
    """Parses the answer to one request.

    Args:
        method: The request's method.

    Attributes:
        status: The status.
        reason: The reason phrase.
        headers: Names and values.
        ready: Whether the head of the final answer is whole.
        done: Whether the answer is whole.
        keep: Whether the server would take another request on this connection.
        extra: Whether more came than the answer.
        upgraded: Bytes behind a 101, which are HTTP no more; None: there was none.
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_counted",
        "_fed",
        "_got",
        "_head_size",
        "_length",
        "_parser",
        "_problem",
        "_rest",
        "_until_close",
        "done",
        "extra",
        "headers",
        "keep",
        "minor",
        "ready",
        "reason",
        "status",
        "upgraded",
    )

    def __init__(self, method: str) -> None:
        self._bodiless = method == "HEAD"
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._fed = self._got = self._head_size = self._counted = 0
        self._length: int | None = None
        self._rest: int | None = None  # bytes of a body that are counted, not parsed
        self._until_close = False
        self._problem = ""
        self.status = 0
        self.reason = b""
        self.minor = 1
        self.headers: list[tuple[bytes, bytes]] = []
        self.ready = self.done = self.keep = self.extra = False
        self.upgraded: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrived.

        Raises:
            httpx.RemoteProtocolError: They are no answer in HTTP/1, or too large a head.
        """
        if self._rest is not None:
            self._count(data)
            return
        if self._parser is None:
            self.extra = self.extra or bool(data)
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self.upgraded = data[exc.args[0] :]
            self.ready = self.done = True
        except httptools.HttpParserError as exc:
            if not self.done:
                self.close()
                raise httpx.RemoteProtocolError(str(exc) or "not HTTP") from None
            self.extra = True
        self._judge()

    def end(self) -> None:
        """The connection ended.

        Raises:
            httpx.RemoteProtocolError: In the middle of an answer.
        """
        self.close()
        if self.done:
            return
        if not self._until_close:
            raise httpx.RemoteProtocolError(
                "the server closed the connection in the middle of an answer"
                if self._fed
                else "the server closed the connection without an answer"
            )
        self.keep = False
        self.done = True

    def take(self) -> bytes:
        """What came of the body since the last time."""
        body = self._body
        if not body:
            return b""
        taken = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        return taken

    def close(self) -> None:
        """Let go of the C parser, which holds this object in turn."""
        self._parser = None

    def _count(self, data: bytes) -> None:
        rest = self._rest or 0
        if len(data) > rest:
            self.extra = True
            data = data[:rest]
        if data:
            self._body.append(data)
        self._rest = rest - len(data)
        self.done = self._rest == 0

    def _judge(self) -> None:
        """After each piece: was it too much, is it whole, may the rest be counted instead of parsed?"""
        if self._fed - self._got > _MAX_HEAD + _FRAMING_PER_BYTE * self._got and not self.done:
            self._problem = self._problem or "its head, or what frames its body, is too large"
        if self._problem:
            self.close()
            raise httpx.RemoteProtocolError(f"an answer that is refused: {self._problem}")
        if self.done:
            self.close()
        elif self.ready and self._length is not None:
            self._rest = self._length - self._got
            self.close()

    # What httptools calls. After the end of the answer it may go on with what nobody asked for.

    def on_message_begin(self) -> None:
        """A head begins: the first one, or the one after an interim answer."""
        if self.done:
            self.extra = True
            return
        self.headers = []
        self.reason = b""
        self._length = None

    def on_status(self, reason: bytes) -> None:
        """A piece of the reason phrase."""
        if not self.done:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        if self.done:
            return
        self._counted += 1
        self._head_size += len(name) + len(value)
        if self._counted > _MAX_HEADERS or self._head_size > _MAX_HEAD:
            self._problem = "too many or too large headers"
        elif not self.ready:  # trailers say nothing that we use
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is whole."""
        parser = self._parser
        if self.done or parser is None:
            return
        status = self.status = parser.get_status_code()
        major, _, minor = parser.get_http_version().partition(".")
        if major != "1":
            self._problem = f"HTTP/{major}"
            return
        if status < _OK and status != _SWITCHING:
            return
        self.minor = int(minor)
        self.ready = True
        self.keep = parser.should_keep_alive()
        self._frame()

    def _frame(self) -> None:
        """Where the body ends (RFC 9112 §6.3)."""
        codings = [value for name, value in self.headers if name.lower() == b"transfer-encoding"]
        lengths = [value for name, value in self.headers if name.lower() == b"content-length"]
        if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
            self._problem = "a transfer coding other than chunked"
        elif self._bodiless or self.status in _BODILESS:
            # A body that comes all the same would be taken for the next answer.
            self.keep = self.keep and not codings and all(value.strip() == b"0" for value in lengths)
            self.done = True
        elif lengths:
            self._length = int(lengths[0])
        elif not codings:
            self._until_close = self.status != _SWITCHING

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        if self.done:
            self.extra = True
            return
        self._got += len(piece)
        self._body.append(piece)

    def on_message_complete(self) -> None:
        """An answer is whole; an interim one is followed by another."""
        if self.ready:
            self.done = True
