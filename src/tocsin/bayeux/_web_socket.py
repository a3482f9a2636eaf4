"""Bayeux over a WebSocket: arrays of messages as text frames, both ways, at any time."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anyio import CancelScope, Event, Lock

from tocsin._http._request import Request
from tocsin._stream._channel_terms import ChannelClosedError
from tocsin.bayeux._messages import add_ext
from tocsin.errors import TocsinError

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
        self._opening = Lock()
        self._opened = Event()
        self._hearing: CancelScope | None = None
        self._given_up = False
        self._shaken = False

    async def send(self, messages: bytes, *, limit: float) -> None:
        """Send messages; see `DuplexTransport.send`."""
        async with self._opening:
            channel = self._channel or await self._open(limit)
        if not self._shaken:
            self._shaken = True  # the first message of a transport is the handshake
            messages = self._introduced(messages)
        await channel.send(messages)

    async def receive(self) -> list[bytes]:
        """Wait for what the server says; see `DuplexTransport.receive`."""
        while (channel := self._channel) is None:
            await self._opened.wait()
        try:
            with CancelScope() as self._hearing:
                if not self._given_up:
                    return await channel.receive()
            raise ChannelClosedError("the connection was given up", reason="no answer")
        except TocsinError:
            self._channel, self._opened, self._given_up = None, Event(), False
            await channel.aclose()
            raise
        finally:
            self._hearing = None

    def hang_up(self) -> None:
        """Give the socket up."""
        self._given_up = self._channel is not None
        if self._hearing is not None:
            self._hearing.cancel()

    async def aclose(self) -> None:
        """Close the socket and the HTTP session."""
        channel, self._channel = self._channel, None
        try:
            if channel is not None:
                await channel.aclose()
        finally:
            await self._stack.aclose()

    async def _open(self, limit: float) -> TextChannel:
        from tocsin._stream._channel import open_channel  # whoever polls does not pay for websockets

        if self._http is None:
            http = self._open_session()
            await self._stack.enter_async_context(http)
            self._http = http
        settings = replace(self._settings, open_within=min(limit, self._settings.open_within))
        channel = self._channel = await open_channel(self._http, self._request, settings)
        self._opened.set()
        return channel

    def _introduced(self, messages: bytes) -> bytes:
        if self._ext is None or self._http is None:
            return messages
        return add_ext(messages, self._ext(self._http))
