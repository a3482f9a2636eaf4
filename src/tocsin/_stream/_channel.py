"""A channel of text messages over one WebSocket (RFC 6455), on either event loop.

`Frames` is the protocol without I/O: bytes in, whole messages and bytes to send out, and when the peer
counts as dead. `TextChannel` puts it on a connection that HTTP handed over, so that credentials, TLS, proxies
and time limits are those of every other request.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from anyio import Lock, current_time, move_on_after
from anyio.lowlevel import checkpoint
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from tocsin._http._redact import NOTHING_SECRET
from tocsin._http._request import Timeouts
from tocsin._stream._channel_terms import ChannelClosedError
from tocsin.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._http._redact import Redactor
    from tocsin._http._request import Request
    from tocsin._http._session import HttpSession
    from tocsin._http._upgrade import Upgraded
    from tocsin._stream._channel_terms import ChannelSettings

__all__ = ["Frames", "TextChannel", "open_channel"]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_NORMAL: Final = 1000
_EXCERPT: Final = 100
_LOOK: Final = 0.1
"""Seconds to look for what came while nobody was in `receive`, before the peer is judged by it."""

# The library logs each frame at DEBUG, and a frame may carry credentials.
_SILENT: Final = logging.getLogger("tocsin.frames")
_SILENT.setLevel(logging.CRITICAL + 1)


class Frames:
    """One side of a WebSocket after its handshake: no I/O, no clock.

    Args:
        settings: Times and limits.
        now: Monotonic seconds.
        redactor: Cleans what the peer says of the end.
    """

    def __init__(self, settings: ChannelSettings, now: float, redactor: Redactor = NOTHING_SECRET) -> None:
        self._settings = settings
        self._redactor = redactor
        self._protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=settings.max_bytes, logger=_SILENT)
        self._begun: bytearray | None = None
        self._ping_at = now + settings.ping_every
        self._pinged: bytes | None = None
        self._pings = 0
        self._excused = now
        self.over: ChannelClosedError | ProtocolError | None = None
        """Why no message will come any more."""

    def received(self, data: bytes, now: float) -> list[bytes]:
        """Take in bytes; none at the end of the connection. Whole messages come out."""
        if self.over is not None:
            return []
        if not data:
            self._end("the connection ended without a word", None)
            return []
        self._protocol.receive_data(data)
        messages: list[bytes] = []
        for frame in self._protocol.events_received():
            if isinstance(frame, Frame):  # what else there is comes before the handshake ends
                self._take(frame, messages, now)
        broken = self._protocol.parser_exc
        if broken is not None and self.over is None:
            self.over = _breach(broken, self._settings.max_bytes)
        return messages

    def send(self, text: bytes) -> None:
        """Put a message in line."""
        if self.over is not None:
            raise self.over
        self._protocol.send_text(text)

    def close(self) -> None:
        """Put a goodbye in line, unless one was said."""
        if self.over is None:
            self._protocol.send_close(_NORMAL)
            self._end("the channel was closed here", None)

    def fail(self, why: str, reason: str) -> None:
        """Note that nothing can be sent any more."""
        self.over = self.over or ChannelClosedError(why, reason=reason)

    def beat(self, now: float) -> None:
        """Put a ping in line if it is time, or find the peer dead."""
        if self.over is not None or now < self.next_beat:
            return
        if self._pinged is not None:
            self._end(f"the peer did not answer a ping within {self._settings.pong_within:g} s", None)
            return
        self._pings += 1
        self._pinged = b"%d" % self._pings
        self._ping_at = now + self._settings.pong_within
        self._protocol.send_ping(self._pinged)

    @property
    def next_beat(self) -> float:
        """When `beat` has something to do (monotonic)."""
        return self._ping_at if self._pinged is None else max(self._ping_at, self._excused)

    def excuse(self, until: float) -> None:
        """See `TextChannel.excuse`."""
        self._excused = until

    @property
    def idle(self) -> bool:
        """No byte is in line."""
        return not self._protocol.writes

    def to_send(self) -> bytes:
        """The bytes in line; empties."""
        return b"".join(self._protocol.data_to_send())

    def _take(self, frame: Frame, messages: list[bytes], now: float) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                if self._begun is None and frame.fin:
                    messages.append(bytes(frame.data))
                    return
                # Not a list of pieces: a server can send millions of one byte, or of none.
                self._begun = bytearray() if self._begun is None else self._begun
                self._begun += frame.data
                if frame.fin:
                    messages.append(bytes(self._begun))
                    self._begun = None
            case Opcode.PONG if bytes(frame.data) == self._pinged:
                self._pinged = None
                self._ping_at = now + self._settings.ping_every
            case Opcode.CLOSE:
                self._closed_by_peer()

    def _closed_by_peer(self) -> None:
        said = self._protocol.close_rcvd
        code = None if said is None else int(said.code)
        words = "" if said is None else self._redactor.clean(said.reason, limit=_EXCERPT)
        self._end(f"the server closed the channel ({code}{': ' if words else ''}{words})", code)

    def _end(self, why: str, code: int | None) -> None:
        self.over = self.over or ChannelClosedError(why, code=code, reason=why)


def _breach(error: Exception, limit: int) -> ProtocolError:
    if isinstance(error, PayloadTooBig):
        return ProtocolError(f"a message is larger than {limit} bytes", reason="a message is too large")
    if isinstance(error, EOFError):
        return ProtocolError("the connection ended within a frame", reason="the connection broke")
    detail = NOTHING_SECRET.clean(str(error), limit=_EXCERPT)
    return ProtocolError("the server sent what is no WebSocket frame", detail=detail, reason="no WebSocket")


class TextChannel:
    """Text messages both ways. Somebody must wait in `receive` nearly always: pings go from there.

    Args:
        stream: Owned: closed with the channel.
        settings: Times and limits.
        redactor: Cleans what the peer says of the end.
    """

    def __init__(
        self, stream: Upgraded, settings: ChannelSettings, redactor: Redactor = NOTHING_SECRET
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._frames = Frames(settings, current_time(), redactor)
        self._lock = Lock()
        self._ready: list[bytes] = []
        self._closed = False
        self._broken = False  # nothing can be sent any more
        self.heard_at = current_time()
        """When the last byte came (monotonic)."""

    async def receive(self) -> list[bytes]:
        """Wait for messages: one or more, whole, in order, as the server encoded them.

        Cancelling it loses nothing.

        Raises:
            ChannelClosedError: The peer closed the channel or is dead; after the messages before that.
            ProtocolError: What came is no WebSocket, or a message is too large.
            TransportError: The connection broke.
        """
        await checkpoint()
        while not self._ready:
            if self._frames.over is not None:
                raise _again(self._frames.over)
            await self._step()
        ready, self._ready = self._ready, []
        return ready

    async def send(self, text: bytes, *, within: float = math.inf) -> None:
        """Send one message.

        Cancelling it never leaves half a message: it goes whole, perhaps a moment later, or not at all.

        Args:
            text: UTF-8.
            within: Seconds that it may take, if that is less than `ChannelSettings.send_within`.

        Raises:
            ChannelClosedError: The channel is over; or the message did not leave in time or whole, and it is
                over by that.
            ProtocolError: It is over, for what came was no WebSocket.
        """
        await checkpoint()
        if self._frames.over is not None:
            raise _again(self._frames.over)
        self._frames.send(text)
        await self._flush(within)
        if self._broken and self._frames.over is not None:
            raise _again(self._frames.over)

    def excuse(self, until: float) -> None:
        """Do not take the peer for dead before an instant (monotonic): it is known to be busy.

        A later call counts instead; `ChannelSettings.pong_within` from now on is what the peer has after it.
        """
        self._frames.excuse(max(until, current_time() + self._settings.pong_within))

    async def aclose(self) -> None:
        """Say goodbye if the peer is there to hear it, and close. Nobody may be in `receive`.

        Bounded, also when cancelled. It may be called twice.
        """
        if self._closed:
            return
        self._closed = True
        with move_on_after(self._settings.close_within, shield=True):
            try:
                if self._frames.over is None:
                    self._frames.close()
                    await self._flush(shield=False)
                    while await self._stream.read():
                        pass
            except TransportError:
                pass  # it is over either way
        await self._stream.aclose()

    async def _step(self) -> None:
        """Read once, at most until the next ping is due."""
        with move_on_after(max(_LOOK, self._frames.next_beat - current_time())):
            data = await self._stream.read()
            now = current_time()
            self.heard_at = now
            self._ready += self._frames.received(data, now)
        self._frames.beat(current_time())
        await self._flush()

    async def _flush(self, within: float = math.inf, *, shield: bool = True) -> None:
        """Send what is in line; if that fails, the channel is over.

        Never half a frame: it is bounded, but not cancelled. At the end that matters no more.
        """
        if self._frames.idle:
            return
        async with self._lock:
            if self._broken:  # what was sent last may have left in part
                return
            data = self._frames.to_send()
            if not data:  # whoever had the lock took ours along
                return
            limit = min(within, self._settings.send_within)
            why, reason = f"a message could not be sent within {limit:g} s", None
            self._broken = True
            with move_on_after(limit, shield=shield):
                try:
                    await self._stream.write(data)
                    self._broken = False
                except TransportError as error:
                    why, reason = str(error), error.reason
            if self._broken:
                self._frames.fail(why, reason or why)


async def open_channel(
    session: HttpSession,
    request: Request,
    settings: ChannelSettings,
    *,
    anonymous: bool = False,
    key: Callable[[], bytes] = lambda: secrets.token_bytes(16),
) -> TextChannel:
    """Ask a server for a WebSocket.

    Cancelling it closes the connection.

    Args:
        session: Whose connections, cookies and credentials are used.
        request: The path, the query and further headers of the request.
        settings: Times and limits.
        anonymous: Without the session's credentials: the request says itself who asks.
        key: Draws 16 bytes.

    Raises:
        ProtocolError: The server does not speak WebSocket there.
        StatusError: It refused, such as 401 for a token that expired.
        TransportError: It could not be reached in time.
    """
    nonce = base64.b64encode(key()).decode("ascii")
    asked = replace(
        request,
        method="GET",
        timeouts=Timeouts(
            connect=settings.open_within,
            read=settings.open_within,
            write=settings.open_within,
            pool=settings.open_within,
            total=settings.open_within,
        ),
    ).with_headers(
        (
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", nonce),
        )
    )
    stream = await session.upgrade(asked, anonymous=anonymous)
    headers = stream.headers
    # Nothing was offered: what a server compresses all the same could not be read (RFC 6455 §4.1).
    forced = [name for name in ("extensions", "protocol") if headers.get(f"sec-websocket-{name}")]
    if headers.get("sec-websocket-accept") != _accept(nonce) or forced:
        await stream.aclose()
        raise ProtocolError(
            f"GET {request.path}: the answer to the WebSocket handshake does not fit the question",
            reason="no WebSocket",
        )
    return TextChannel(stream, settings, stream.redactor)


def _accept(nonce: str) -> str:
    digest = hashlib.sha1(nonce.encode("ascii") + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def _again(error: ChannelClosedError | ProtocolError) -> ChannelClosedError | ProtocolError:
    """A fresh copy to raise: one error object raised twice would gather tracebacks."""
    if isinstance(error, ChannelClosedError):
        return ChannelClosedError(str(error), code=error.code, reason=error.reason)
    return ProtocolError(str(error), detail=error.detail, reason=error.reason)
