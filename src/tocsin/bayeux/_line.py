"""A subscriber with all that it needs to find its server: addresses to try, and ways to speak there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from anyio import Event, current_time, sleep

from tocsin._http._request import Request
from tocsin._stream._channel_terms import ChannelSettings
from tocsin.bayeux._link import known
from tocsin.bayeux._long_polling import LongPolling
from tocsin.bayeux._subscriber import Subscriber
from tocsin.bayeux._ways import Ways
from tocsin.bayeux._web_socket import WebSocket
from tocsin.errors import ConnectError, NotFoundError, TocsinError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from tocsin._http._core import HttpCore
    from tocsin._http._session import HttpSession
    from tocsin._stream._owner import TaskOwner
    from tocsin.bayeux._settings import SessionSettings

__all__ = ["MAX_MESSAGE_BYTES", "BayeuxTransport", "Line"]

log = logging.getLogger("tocsin.bayeux")

BayeuxTransport: TypeAlias = Literal["auto", "websocket", "long-polling"]

MAX_MESSAGE_BYTES: Final = 16 * 2**20

_SECRET: Final = 8


class Line:
    """One Bayeux session after another, over what was found to work.

    Args:
        core: Gives the connections.
        paths: Where the server may listen, the likeliest first.
        settings: Times and limits of a session.
        rng: Draws the jitter.
        transport: ``auto`` prefers a WebSocket, and serves by long polling while there is none to be had.
        max_bytes: The largest answer or message that is read.
        ext: What goes into the `ext` of a handshake over a WebSocket; see `WebSocket`.
    """

    def __init__(
        self,
        core: HttpCore,
        paths: Sequence[str],
        settings: SessionSettings,
        rng: random.Random | None,
        transport: BayeuxTransport = "auto",
        *,
        max_bytes: int = MAX_MESSAGE_BYTES,
        ext: Callable[[HttpSession], Mapping[str, Any]] | None = None,
    ) -> None:
        self._core = core
        self._paths = list(paths)
        self._transport = transport
        self._max_bytes = max_bytes
        self._ext = ext
        self._ways = Ways("websocket", "long-polling")
        self._turned = Event()
        self._stood = 0
        self._settings = replace(
            settings,
            elsewhere="long-polling" if transport == "auto" else None,
            handshake_ext=None if settings.handshake_ext is None else self._own_ext,
            hide=core.hidden,
        )
        self._given_ext = settings.handshake_ext
        self.subscriber = Subscriber(self._connect, settings=self._settings, rng=rng)

    def start(self, owner: TaskOwner) -> None:
        """Have it run by its owner, until that one ends."""
        owner.start(self.subscriber.run, "bayeux session")
        if self._transport == "auto":
            owner.start(self._look_back, "bayeux, the way back")
        # Another token needs another session: that of some platforms is bound to the log-in it began with.
        self._core.on_new_token(lambda: self.subscriber.renew("the log-in was renewed"))

    def _own_ext(self) -> Mapping[str, Any]:
        """The owner's part of the `ext`: what it holds is for the server alone."""
        assert self._given_ext is not None  # noqa: S101 - else nobody asks
        ext = self._given_ext()
        self._core.hide(*_texts(ext))
        return ext

    async def _look_back(self) -> None:
        """While the second transport serves, see now and then whether the first can be had again."""
        while True:
            await self._turned.wait()
            due = self._ways.back_at
            if due is None:
                self._turned = Event()
                continue
            await sleep(max(0.0, due - current_time()))
            if self._ways.back_at != due:
                continue
            if self.subscriber.idle:
                self._ways.stay(current_time(), looked=False)
            elif not await self._has_web_socket():
                self._ways.stay(current_time())
            else:
                self._ways.go_back()
                self.subscriber.renew("a WebSocket can be had again")

    async def _has_web_socket(self) -> bool:
        from tocsin._stream._channel import open_channel  # whoever polls does not pay for websockets

        found = False
        try:
            async with self._core.session() as http:
                channel = await open_channel(http, Request("GET", self._paths[0]), self._channel())
                await channel.aclose()
                found = True
        except* Exception as group:  # noqa: BLE001 - this task is the client's: nothing may escape from it
            log.debug("no WebSocket yet: %s", known(group))
        return found

    def _connect(self, error: TocsinError | None) -> LongPolling | WebSocket:
        """A transport for a new session, chosen by what the last try came to."""
        if self.subscriber.stood > self._stood:
            self._stood = self.subscriber.stood
            self._ways.worked()
        before = self._ways.current
        name = self._transport
        if name == "auto":
            name = "websocket" if self._ways.choose(error, current_time()) == "websocket" else "long-polling"
        if name == "long-polling" and self._transport == "auto":
            self._turned.set()
        if error is not None and before == self._ways.current:
            self._turn_to_next_path(error)
        if name == "websocket":
            return WebSocket(self._core.session, self._paths[0], self._channel(), ext=self._ext)
        return LongPolling(self._core.session, self._paths[0], max_bytes=self._max_bytes)

    def _turn_to_next_path(self, error: TocsinError) -> None:
        """At the other address if nobody answers as Bayeux at the last.

        404 says so. Until a session has stood, so does any other answer or silence of a server that can be
        reached: some answer 400 to what they do not know, some never answer it.

        Raises:
            NotFoundError: There is but one address, and nothing was ever there.
        """
        proved = self.subscriber.sessions > 0
        missing = isinstance(error, NotFoundError)
        if len(self._paths) == 1:
            if missing and not proved:
                raise error
        elif missing or not (proved or isinstance(error, ConnectError)):
            self._paths.append(self._paths.pop(0))

    def _channel(self) -> ChannelSettings:
        """A peer that is dead is noticed within `liveness`, and a little earlier than by its connect."""
        settings = self._settings
        return ChannelSettings(
            open_within=settings.allowance,
            ping_every=settings.liveness * 0.45,
            pong_within=settings.liveness * 0.25,
            send_within=settings.allowance,
            close_within=settings.close_timeout,
            max_bytes=self._max_bytes,
        )


def _texts(value: object) -> list[str]:
    """The texts in a JSON value that are long enough to be secrets."""
    if isinstance(value, str):
        return [value] if len(value) >= _SECRET else []
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [text for item in inner for text in _texts(item)]
