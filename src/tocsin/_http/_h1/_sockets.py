"""Sockets that never wait: bytes go in and out as far as they can at this moment.

Waiting is done by whoever holds one, for the socket behind it. So one wait serves many TLS records, a request
needs none before its answer, and closing is never an await that a cancellation could cut.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import socket

__all__ = ["PlainSocket", "SocketLike", "TlsSocket"]

_PLAIN_READ: Final = 256 * 1024
_TLS_READ: Final = 64 * 1024  # OpenSSL keeps a buffer as large as the largest read
_RECORD: Final = 16 * 1024
_TLS_WRITE: Final = 64 * 1024
_ENOUGH: Final = 512 * 1024

_WOULD_BLOCK = (BlockingIOError, InterruptedError)


class SocketLike(Protocol):
    """One connection's bytes.

    Attributes:
        raw: To wait for.
        sent: Bytes that have left.
    """

    raw: socket.socket
    sent: int

    def push(self, data: memoryview) -> int:
        """Send what can be sent now; give how many of the bytes were taken. Raises OSError."""
        ...

    @property
    def flushed(self) -> bool:
        """Whether all that was taken has left."""
        ...

    def pull(self) -> bytes | None:
        """Give what has arrived; None: nothing, b"": the end. Raises OSError."""
        ...

    def close(self) -> None:
        """Close it at once; may be called again."""
        ...


class PlainSocket:
    """TCP without TLS."""

    __slots__ = ("raw", "sent")

    flushed = True

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.sent = 0

    def push(self, data: memoryview) -> int:
        if not data:
            return 0
        try:
            count = self.raw.send(data)
        except _WOULD_BLOCK:
            return 0
        self.sent += count
        return count

    def pull(self) -> bytes | None:
        try:
            return self.raw.recv(_PLAIN_READ)
        except _WOULD_BLOCK:
            return None

    def close(self) -> None:
        self.raw.close()


class TlsSocket:
    """TLS over TCP; `shake` until it says True, before anything else."""

    __slots__ = ("_broken", "_ended", "_in", "_out", "_tls", "_unsent", "raw", "sent")

    def __init__(
        self, raw: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.raw = raw
        self.sent = 0
        self._tls = tls
        self._in = incoming
        self._out = outgoing
        self._unsent = memoryview(b"")
        self._ended = False
        self._broken: OSError | None = None

    @property
    def flushed(self) -> bool:
        return not self._unsent and not self._out.pending

    def shake(self) -> bool:
        """Go on with the handshake; True: it is done and well.

        Raises:
            ssl.SSLError: It failed.
            OSError: The connection broke.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    return False
            except ssl.SSLError:
                self._flush_alert()
                raise
            else:
                self._flush()
                return True

    def push(self, data: memoryview) -> int:
        self._flush()
        if not data or not self.flushed:
            return 0
        try:
            count = self._tls.write(data[:_TLS_WRITE])
        except ssl.SSLWantReadError:  # the server renegotiates
            return 0
        self._flush()
        return count

    def pull(self) -> bytes | None:
        pieces: list[bytes] = []
        size = 0
        while size < _ENOUGH and not self._ended and self._broken is None:
            try:
                piece = self._decrypt()
            except OSError as exc:  # told after what came before it: an answer may be whole
                exc.__context__ = None
                self._broken = exc.with_traceback(None)
                break
            if piece is None:
                break
            self._ended = not piece
            pieces.append(piece)
            size += len(piece)
        if self._out.pending and not self._ended:  # an answer to a key update
            with suppress(OSError):  # reading goes on; the next push tells it
                self._flush()
        if size:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._broken is not None:
            raise copy(self._broken)  # one that is raised holds frames, and they hold us
        return b"" if self._ended else None

    def close(self) -> None:
        self.raw.close()

    def _decrypt(self) -> bytes | None:
        """Give the next piece; None: nothing has come, b"": the end. Raises OSError."""
        while True:
            try:
                return self._tls.read(_RECORD)
            except ssl.SSLWantReadError:
                pass  # out of here, or an error below would hold this one
            except ssl.SSLError as exc:
                # As all clients do, an end without a closing alert is an end: HTTP frames its bodies.
                if not isinstance(exc, ssl.SSLZeroReturnError) and not _is_end(exc):
                    raise
                return b""
            if not self._fill():
                return None

    def _fill(self) -> bool:
        try:
            data = self.raw.recv(_TLS_READ)
        except _WOULD_BLOCK:
            return False
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return True

    def _flush(self) -> None:
        while True:
            if not self._unsent:
                if not self._out.pending:
                    return
                self._unsent = memoryview(self._out.read())
            try:
                count = self.raw.send(self._unsent)
            except _WOULD_BLOCK:
                return
            self.sent += count
            self._unsent = self._unsent[count:]

    def _flush_alert(self) -> None:
        try:
            self._flush()
        except OSError:  # the server is told why if it still listens
            return


def _is_end(exc: ssl.SSLError) -> bool:
    return isinstance(exc, ssl.SSLEOFError) or "UNEXPECTED_EOF" in (exc.reason or exc.strerror or "")
