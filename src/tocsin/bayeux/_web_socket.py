"""Bayeux over a WebSocket: arrays of messages as text frames, both ways, at any time."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, Event, Lock

from tocsin._http._request import Request
from tocsin.bayeux._failures import unwelcome
from tocsin.bayeux._messages import add_ext
from tocsin.errors import ConfigurationError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin._http._session import HttpSession
    from tocsin._stream._channel import TextChannel
    from tocsin._stream._channel_terms import ChannelSettings

__all__ = ["WebSocket"]


class WebSocket:
    """One Bayeux session's sockets, one after the other: the session may outlive each.

    Args:
        open_session: Makes the HTTP session that the sockets come from; called at the first message.
        path: The path below the base URL.
        settings: Times and limits of a socket.
        ext: What goes into the `ext` of the handshake besides, such as credentials: browsers can send them in
            no other way, so servers look there. It is given the HTTP session, once a socket stands.
    """

    name = "websocket"

    def __init__(
        self,
        open_session: Callable[[], HttpSession],
        path: str,
        settings: ChannelSettings,
        *,
        ext: Callable[[HttpSession], Mapping[str, Any]] | None = None,
    ) -> None:
        self._open_session = open_session
        self._request = Request("GET", path)
        self._settings = settings
        self._ext = ext
        self._http: HttpSession | None = None
        self._stack = AsyncExitStack()
        self._channel: TextChannel | None = None
        self._spent: list[TextChannel] = []
        self._opening = Lock()
        self._opened = Event()
        self._hearing: CancelScope | None = None
        self._given_up: TocsinError | None = None
        self._handshake: bytes | None = None
        self._shaken = False
        self._closed = False

    @property
    def heard_at(self) -> float:
        """When the last byte came; see `DuplexTransport.heard_at`."""
        return float("-inf") if self._channel is None else self._channel.heard_at

    async def send(self, messages: bytes, *, limit: float) -> None:
        """Send messages; see `DuplexTransport.send`."""
        async with self._opening:
            channel = self._channel or await self._open(limit)
        if not self._shaken:
            self._shaken = True  # the first message of a transport is the handshake
            self._handshake = messages if self._ext is not None else None
            messages = self._introduced(messages)
        await self._put(channel, messages, limit)

    async def receive(self) -> list[bytes]:
        """Wait for what the server says; see `DuplexTransport.receive`."""
        while self._spent:
            await self._spent.pop().aclose()
        while (channel := self._channel) is None:
            await self._opened.wait()
        try:
            with CancelScope() as self._hearing:
                while self._given_up is None:
                    bodies = await channel.receive()
                    if self._handshake is None or not await self._tries_again(channel, bodies):
                        return bodies
            assert self._given_up is not None  # noqa: S101 - nobody else cancels the scope
            raise self._given_up
        except TocsinError:
            self._spent.append(channel)
            self._channel, self._opened, self._given_up = None, Event(), None
            raise
        finally:
            self._hearing = None

    def hang_up(self, error: TocsinError) -> bool:
        """Give the socket up; see `DuplexTransport.hang_up`."""
        if self._channel is None:
            return False
        self._given_up = self._given_up or error
        if self._hearing is not None:
            self._hearing.cancel()
        return True

    async def aclose(self) -> None:
        """Close the sockets and the HTTP session."""
        self._closed = True
        channel, self._channel = self._channel, None
        try:
            for old in (channel, *self._spent):
                if old is not None:
                    await old.aclose()
        finally:
            await self._stack.aclose()

    async def _open(self, limit: float) -> TextChannel:
        from tocsin._stream._channel import open_channel  # whoever polls does not pay for websockets

        if self._http is None:
            http = self._open_session()
            await self._stack.enter_async_context(http)
            self._http = http
        settings = replace(self._settings, open_within=min(limit, self._settings.open_within))
        channel = await open_channel(self._http, self._request, settings)
        if self._closed:  # meanwhile
            await channel.aclose()
            raise ConfigurationError("the transport is closed")
        self._channel = channel
        self._opened.set()
        return channel

    async def _put(self, channel: TextChannel, messages: bytes, limit: float) -> None:
        try:
            await channel.send(messages, within=limit)
        except TocsinError as error:
            if channel is self._channel:
                self.hang_up(error)

    def _introduced(self, messages: bytes) -> bytes:
        if self._ext is None or self._http is None:
            return messages
        return add_ext(messages, self._ext(self._http))

    async def _tries_again(self, channel: TextChannel, bodies: list[bytes]) -> bool:
        """Where the credentials in a handshake were refused, say it once more with new ones.

        What came before a handshake's answer is of no session, so that nothing is lost by its cancellation.
        """
        if not any(b"/meta/handshake" in body for body in bodies):
            return False
        handshake, self._handshake = self._handshake, None
        if handshake is None or self._http is None or not any(unwelcome(body) for body in bodies):
            return False
        if not await self._http.renew_credentials():
            return False
        await self._put(channel, self._introduced(handshake), self._settings.send_within)
        return True
