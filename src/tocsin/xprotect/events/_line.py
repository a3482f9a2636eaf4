"""Drives one session: a socket, what the session wants said on it, and again. All rules are the session's."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from anyio import current_time, move_on_after, sleep

from tocsin._http._request import Request
from tocsin._stream._backoff import Backoff
from tocsin._stream._channel_terms import ChannelSettings
from tocsin._stream._wall import Past
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    StatusError,
    TocsinError,
    TransportError,
)
from tocsin.xprotect.events._outputs import Attached, Busy, HangUp, Happened, Missed, Send, Stand
from tocsin.xprotect.events._session import EventSession, SessionTimes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from tocsin._stream._channel import TextChannel
    from tocsin.xprotect._following import Following
    from tocsin.xprotect.events._frames import Row
    from tocsin.xprotect.events._outputs import Output

__all__ = ["EventLine", "EventListener", "LineSettings"]

log = logging.getLogger("tocsin.xprotect")

_LOOK: Final = 10.0
"""Seconds after which it is noted that a quiet connection is alive."""
_REFUSALS: Final = 3
"""Refusals in a row before a line that was attached believes them."""


class EventListener(Protocol):
    """Whoever is told what a line brings. All is synchronous, and must neither raise nor block."""

    def on_events(self, events: Sequence[Row]) -> None:
        """These happened, in order."""

    def on_states(self, states: Sequence[Row]) -> None:
        """So things stand."""

    def on_missed(self, since: datetime, until: datetime, cause: str) -> None:
        """Events may have been missed for good."""

    def on_attached(self, *, resumed: bool, complete: bool) -> None:
        """What comes is whole from here on; see `Attached`."""

    def on_alive(self) -> None:
        """The server has just shown that it is there, or a while has passed."""

    def on_lost(self, cause: str) -> None:
        """There is no connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """Times and limits of a line.

    Attributes:
        channel: Those of its sockets. The state of a large site is one message of some megabytes.
        session: Those of its session.
    """

    channel: ChannelSettings = field(default_factory=lambda: ChannelSettings(max_bytes=64 * 2**20))
    session: SessionTimes = field(default_factory=SessionTimes)


class EventLine:
    """One session's sockets, one after the other.

    Args:
        following: What the client lends.
        filters: Of the subscription, as the server takes them.
        state: Whether the state of all sources is asked for.
        listener: Is told what comes.
        settings: Times and limits.
    """

    def __init__(
        self,
        following: Following,
        filters: Sequence[dict[str, Any]],
        *,
        state: bool,
        listener: EventListener,
        settings: LineSettings,
    ) -> None:
        self._following = following
        self._listener = listener
        within = min(settings.channel.close_within, max(following.close_timeout, 0.1))
        self._channel = replace(settings.channel, close_within=within)
        self.session = EventSession(filters, state=state, times=settings.session)
        self._backoff = Backoff(following.reconnect)
        self._past = Past()
        self._listening = False
        self._down = False
        self._was_attached = False
        self._refusals = 0
        self._final = False

    async def run(self) -> None:
        """Go on until cancelled.

        Raises:
            TocsinError: No further try can help.
        """
        while True:
            self._listening = False
            error = await self._connection()
            self.session.closed(error.reason)
            await self._do(None)
            log.log(logging.DEBUG if self._down else logging.INFO, "Events and State: %s", error)
            self._down = True
            self._refusals += isinstance(error, AuthenticationError | PermissionDeniedError)
            asked = error.retry_after if isinstance(error, StatusError) else None
            wait = self._backoff.failed(current_time(), self._following.rng.random(), retry_after=asked)
            if self._final or self._is_final(error) or self._backoff.spent:
                raise error
            self._listener.on_lost(error.reason)
            await sleep(wait)

    async def _connection(self) -> TocsinError:
        """Make one connection and use it for as long as it holds; how it ended."""
        from tocsin._stream._channel import open_channel  # who does not listen does not pay for websockets

        following = self._following
        try:
            async with AsyncExitStack() as stack:
                path = (await following.gateway.paths()).socket
                http = await stack.enter_async_context(following.gateway.core.session())
                channel = await open_channel(http, Request("GET", path), self._channel)
                stack.push_async_callback(channel.aclose)
                await self._listen(channel)
        except NotFoundError as error:
            return self._nowhere(error)
        except TocsinError as error:
            return error
        raise AssertionError("a connection ends with an error")

    async def _listen(self, channel: TextChannel) -> None:
        """Say what is to be said and take in what comes, until the connection ends.

        Raises:
            TocsinError: How it ended; always one.
        """
        session = self.session
        self._listening = True
        self._note()
        session.opened(current_time())
        await self._do(channel)
        while True:
            due = _LOOK if session.deadline is None else min(_LOOK, session.deadline - current_time())
            bodies: list[bytes] = []
            with move_on_after(max(due, 0.0)):
                bodies = await channel.receive()
            self._note()
            now = current_time()
            for body in bodies:
                session.received(body, now)
            session.tick(now)
            self._listener.on_alive()
            await self._do(channel)

    async def _do(self, channel: TextChannel | None) -> None:
        """Do what the session wants done."""
        for output in self.session.take():
            match output:
                case Send() if channel is not None:
                    await channel.send(output.command)
                case Busy() if channel is not None:
                    channel.excuse(0.0 if output.until is None else output.until)
                case HangUp():
                    self._final = output.final
                    raise output.error
                case _:
                    self._tell(output)

    def _tell(self, output: Output) -> None:
        match output:
            case Happened():
                self._listener.on_events(output.events)
            case Stand():
                self._listener.on_states(output.states)
            case Missed():
                since, until = sorted((self._past.at(output.since), self._past.at(output.until)))
                self._listener.on_missed(since, until, output.cause)
            case Attached():
                if self._down:
                    log.info("Events and State: %s", "resumed" if output.resumed else "subscribed anew")
                self._was_attached, self._down, self._refusals = True, False, 0
                self._backoff.good(current_time())
                self._listener.on_attached(resumed=output.resumed, complete=output.complete)

    def _note(self) -> None:
        self._past.note(current_time(), self._following.clock())

    def _nowhere(self, error: NotFoundError) -> TocsinError:
        if self._was_attached or self._listening:
            return error
        self._final = True
        return ConfigurationError(
            f"{error.url} was not found: the Events and State WebSocket needs XProtect 2023 R3 or later, "
            "with its API Gateway"
        )

    def _is_final(self, error: TocsinError) -> bool:
        """Whether trying again cannot help. Once it has worked, most of what fails passes by itself."""
        if isinstance(error, ConfigurationError):
            return True
        if self._was_attached:
            return self._refusals >= _REFUSALS
        if isinstance(error, AuthenticationError | PermissionDeniedError):
            return True
        if isinstance(error, ProtocolError):
            return not self._listening  # no WebSocket there
        return isinstance(error, TransportError) and error.permanent
