"""Drives one consumer: subscription, token, socket, and again. All decisions are the `Course`'s."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from anyio import CancelScope, Event, create_task_group, current_time, move_on_after, sleep
from anyio.lowlevel import checkpoint

from tocsin._http._request import Request
from tocsin._stream._channel_terms import ChannelClosedError, ChannelSettings
from tocsin.cumulocity.notification2._acks import Acks
from tocsin.cumulocity.notification2._course import Course, Step
from tocsin.cumulocity.notification2._stock import Stock
from tocsin.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    TocsinError,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tocsin._http._core import HttpCore
    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin._stream._channel import TextChannel
    from tocsin.cumulocity.notification2._tokens import ConsumerToken

__all__ = ["Consumer", "ConsumerListener", "ConsumerSettings"]

_PATH: Final = "/notification2/consumer/"

log = logging.getLogger("tocsin.cumulocity")


class ConsumerListener(Protocol):
    """Whoever is told what a consumer gets. All but `room` is synchronous and must not raise."""

    def on_frame(self, frame: bytes, *, socket: int) -> None:
        """A message came."""

    def on_attached(self, *, socket: int) -> None:
        """A socket stands."""

    def on_alive(self) -> None:
        """The server has just shown that it is there."""

    def on_lost(self, cause: str) -> None:
        """There is no socket, or there is one no more."""

    def on_closed(self, error: TocsinError) -> None:
        """It is over for good."""

    def on_missed(self, cause: str, *, within: float) -> None:
        """Messages were perhaps not sent that should have been, in the last so many seconds."""

    async def room(self) -> None:
        """Wait until more can be taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """Times (seconds) of a consumer.

    Attributes:
        channel: Those of its sockets. The platform closes one that is idle for 5 minutes.
        reconnect: When to try again.
        close_timeout: How long leaving may take.
        client: The name of this client within a shared consumer.
        look_every: So often it is seen to while connected that the topic is fed; None: other reads prove it.
    """

    channel: ChannelSettings = field(default_factory=ChannelSettings)
    reconnect: ReconnectPolicy
    close_timeout: float = 2.0
    client: str | None = None
    look_every: float | None = None


class Consumer:
    """One consumer's sockets, one after the other. It is a stream's `Attachment`.

    Args:
        core: Gives the connections.
        token: The right to consume.
        subscribe: Sees to it that the topic is fed; whether it had ceased to be.
        listener: Is told what comes.
        settings: Times.
        rng: Draws the jitter.
    """

    def __init__(
        self,
        core: HttpCore,
        token: ConsumerToken,
        subscribe: Callable[[], Awaitable[bool]],
        listener: ConsumerListener,
        settings: ConsumerSettings,
        rng: random.Random,
    ) -> None:
        self._core = core
        self._token = token
        self._subscribe = subscribe
        self._listener = listener
        self._settings = settings
        self._rng = rng
        self._course = Course(settings.reconnect)
        self._acks = Acks()
        self._stock = Stock()
        self._scope = CancelScope()
        self._hearing: CancelScope | None = None
        self._renewal: str | None = None
        self._fed_at = 0.0
        self._ended = Event()

    def acknowledge(self, socket: int, ack: bytes) -> None:
        """Say that a message was handled. It counts only on the socket that brought it."""
        self._acks.put(socket, ack)

    async def run(self) -> None:
        """The task: until removed, or until no further try can help. Raises nothing but a cancellation."""
        try:
            with self._scope:
                while self._course.step is not Step.OVER:
                    await self._turn()
                if self._course.error is not None:
                    self._listener.on_closed(self._course.error)
        except* Exception as group:
            log.exception("a Notification 2.0 consumer failed", exc_info=group)
            self._listener.on_closed(ProtocolError("the consumer ended by a fault of its own"))
        finally:
            self._ended.set()

    def renew(self, reason: str) -> None:
        """Ask for a new socket: what was not acknowledged comes again."""
        if self._hearing is not None:
            self._renewal = reason
            self._hearing.cancel()

    async def remove(self) -> None:
        """Send the acknowledgements that are due, and hang up. The durable backlog stays. Bounded."""
        try:
            with move_on_after(self._settings.close_timeout / 2):
                if self._hearing is not None:
                    await self._acks.wait_sent()
        finally:  # whoever leaves may have less time than that: the connection must not stay
            self._scope.cancel()
        with move_on_after(self._settings.close_timeout, shield=True):
            await self._ended.wait()

    async def _turn(self) -> None:
        course = self._course
        await sleep(max(0.0, course.at - current_time()))
        listened = False
        try:
            match course.step:
                case Step.SUBSCRIBE:
                    await self._feed()
                    course.subscribed()
                case Step.TOKEN:
                    await self._token.make()
                    course.got_token()
                case _:
                    token = self._token.value
                    if token is None:
                        course.expired()
                        return
                    async with AsyncExitStack() as stack:
                        channel = await self._open(stack, token)
                        listened = True
                        await self._listen(channel)
        except TocsinError as error:
            failure = error
        else:
            return
        self._failed(failure, listened=listened)

    def _failed(self, error: TocsinError, *, listened: bool) -> None:
        course = self._course
        if not listened and course.step is Step.OPEN:
            self._token_refused(error)
        course.failed(error, current_time(), self._rng.random())
        if self._renewal is not None and listened and course.step is not Step.OVER:
            course.renewed()
        self._renewal = None
        log.info("Notification 2.0: %s", error)
        if course.step is not Step.OVER:  # else its end is told, not that it is tried again
            self._listener.on_lost(course.cause)

    def _token_refused(self, error: TocsinError) -> None:
        if isinstance(error, AuthenticationError | NotFoundError | PermissionDeniedError):
            self._token.drop()

    async def _open(self, stack: AsyncExitStack, token: str) -> TextChannel:
        from tocsin._stream._channel import open_channel  # whoever polls does not pay for websockets

        query = [("token", token)]
        if self._settings.client is not None:
            query.append(("consumer", self._settings.client))
        http = await stack.enter_async_context(self._core.session())
        channel = await open_channel(
            http, Request("GET", _PATH, tuple(query)), self._settings.channel, anonymous=True
        )
        stack.push_async_callback(channel.aclose)
        return channel

    async def _listen(self, channel: TextChannel) -> None:
        """Take in, hand on and acknowledge until the socket ends.

        Raises:
            TocsinError: How it ended; always one.
        """
        course = self._course
        course.opened(current_time())
        self._acks.begin(course.sockets)
        self._stock = Stock()
        self._listener.on_attached(socket=course.sockets)
        failure: TocsinError | None = None
        try:
            async with create_task_group() as tasks:
                self._hearing = tasks.cancel_scope
                tasks.start_soon(self._hand_on, course.sockets)
                tasks.start_soon(self._acks.send, channel)
                tasks.start_soon(self._feel, channel)
                tasks.start_soon(self._look)
                try:
                    while True:
                        await self._stock.wait_room()
                        self._stock.put(await channel.receive())
                except TocsinError as error:
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            self._hearing = None
            self._acks.begin(0)
        raise failure or ChannelClosedError("the connection was given up", reason=self._renewal)

    async def _hand_on(self, socket: int) -> None:
        while True:
            await self._stock.wait_filled()
            await checkpoint()
            for frame in self._stock.take():
                await self._listener.room()
                self._listener.on_frame(frame, socket=socket)

    async def _feel(self, channel: TextChannel) -> None:
        """Say that the server is there whenever something was heard of it, be it a pong."""
        told = channel.heard_at
        while True:
            await sleep(self._settings.channel.ping_every / 2)
            if channel.heard_at > told:
                told = channel.heard_at
                self._listener.on_alive()

    async def _look(self) -> None:
        """See to it, now and then, that the topic is fed: somebody may delete what feeds it."""
        while self._settings.look_every is not None:
            await sleep(self._settings.look_every)
            try:
                await self._feed()
            except TocsinError as error:
                log.info("Notification 2.0: whether its topic is fed is not known: %s", error)

    async def _feed(self) -> None:
        missing = await self._subscribe()
        since, self._fed_at = self._fed_at, current_time()
        if missing and self._settings.look_every is not None:
            self._listener.on_missed("a subscription had been deleted", within=self._fed_at - since)
