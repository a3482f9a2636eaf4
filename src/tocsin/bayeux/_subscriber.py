"""Drives one session over a transport, and hands what comes to the listeners whom it concerns.

All decisions are the session's (`_session.py`). Here is one task that turns: outcomes in, exchanges out,
listeners told. Nothing in a turn awaits, so that no listener ever sees a half-changed state.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from anyio import CancelScope, create_task_group, current_time, move_on_after
from anyio import Event as Flag
from anyio.lowlevel import checkpoint

from tocsin._http._retry import JITTER
from tocsin.bayeux._channels import ChannelIndex, check_channel
from tocsin.bayeux._duplex import DuplexLink
from tocsin.bayeux._link import Link
from tocsin.bayeux._outputs import (
    Alive,
    Arrived,
    Closed,
    Delayed,
    Dropped,
    Kind,
    Lost,
    Notice,
    Output,
    Refused,
    Send,
    Stands,
    Unreadable,
)
from tocsin.bayeux._registration import Registration
from tocsin.bayeux._session import Session
from tocsin.bayeux._state import State
from tocsin.bayeux._transport import DuplexTransport, Reply
from tocsin.errors import ConfigurationError, TocsinError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from anyio.abc import TaskGroup

    from tocsin.bayeux._failures import Failure
    from tocsin.bayeux._listener import Listener
    from tocsin.bayeux._messages import Event
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.bayeux._transport import Transport

__all__ = ["Subscriber"]

log = logging.getLogger("tocsin.bayeux")

_HUSH: Final = 60.0  # seconds between two outages, or two unreadable messages, that are logged aloud


class Subscriber:
    """One Bayeux session, shared by any number of listeners.

    The first registration opens the session, after the last one has left it is ended. A session that is lost
    is replaced and every wanted channel subscribed anew, without end, until an error rules it out.

    Args:
        connect: Makes the transport of a new session. It is given the error of the last handshake that failed
            (None at first and after a success), so that it can turn to another address or to another kind of
            transport. A `TocsinError` that it raises is final.
        settings: Times and limits.
        rng: Draws the jitter.
    """

    def __init__(
        self,
        connect: Callable[[TocsinError | None], Transport | DuplexTransport],
        *,
        settings: SessionSettings,
        rng: random.Random | None = None,
    ) -> None:
        self._connect = connect
        self._settings = settings
        self._rng = rng or JITTER
        self._session = Session(settings)
        self._index: ChannelIndex[Registration] = ChannelIndex()
        self._registrations: list[Registration] = []
        self._leaving: list[Registration] = []
        self._inbox: list[tuple[Send | int, Reply | Failure]] = []
        self._renew: str | None = None
        self._links: dict[int, Link | DuplexLink] = {}
        self._date: datetime | None = None
        self._last_error: TocsinError | None = None
        self._tasks: TaskGroup | None = None
        self._wake: Flag | None = None
        self._woken = False
        self._ended = False
        self._broken = False
        self._hushed_until = self._deaf_until = float("-inf")

    # ── what the owner calls ─────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Serve until cancelled; to be started once in the owner's task group.

        Cancelling it ends the session on the server within `close_timeout`, closes every connection, tells
        the listeners, and then lets the cancellation pass. It raises nothing else.
        """
        if self._tasks is not None or self._ended:
            raise ConfigurationError("a subscriber runs once")
        async with create_task_group() as self._tasks:
            try:
                while True:
                    self._turn()
                    await self._pause()
            finally:
                self._ended = True
                with CancelScope(shield=True):
                    await self._shut()

    def add(self, listener: Listener, channels: Sequence[str]) -> Registration:
        """Let a listener have what comes on channels, and return what lets go of them.

        It takes effect at once: an event in the very answer to the subscription reaches the listener.

        Args:
            listener: Whom to tell.
            channels: Names and patterns; at least one.

        Raises:
            ConfigurationError: A name is no channel, there is none, or the subscriber has ended.
        """
        if self._ended:
            raise ConfigurationError("the Bayeux session's owner is closed")
        names = tuple(dict.fromkeys(check_channel(channel) for channel in channels))
        if not names:
            raise ConfigurationError("a subscription needs at least one channel")
        registration = Registration(self, listener, names, self._settings.close_timeout)
        self._registrations.append(registration)
        for name in names:
            self._index.add(name, registration)
            self._session.want(name)
        self._stir()
        return registration

    def renew(self, reason: str) -> None:
        """Make a new session: what this one delivers is doubted. Without a session it does nothing.

        Args:
            reason: Why, in a few words; listeners are told.
        """
        self._renew = reason
        self._stir()

    def discard(self, registration: Registration) -> bool:
        """Let go of a registration, at once; `Registration.remove` waits for the server besides."""
        if registration not in self._registrations:
            return False
        self._registrations.remove(registration)
        for name in registration.channels:
            self._index.discard(name, registration)
            self._session.unwant(name)
        if self._tasks is None:
            registration.gone.set()
        else:
            self._leaving.append(registration)
            self._stir()
        return True

    @property
    def idle(self) -> bool:
        """Nobody wants anything."""
        return not self._registrations

    @property
    def sessions(self) -> int:
        """How many sessions the server has given so far."""
        return self._session.number

    @property
    def stood(self) -> int:
        """How many sessions there had been when a connect succeeded last."""
        return self._session.stood

    # ── one turn ─────────────────────────────────────────────────────────────────────────────────────────

    def _turn(self) -> None:
        """Take in what came, send what is due, tell what happened. Never raises."""
        self._woken = False
        self._wake = Flag()
        now = current_time()
        try:
            self._take_in(now)
            for send in self._session.next(now, self._open_link):
                self._launch(send)
        except TocsinError as error:  # from the owner's `connect` or `handshake_ext`
            self._give_up(error)
        except Exception as error:
            log.exception("the Bayeux session failed inside")
            failure = ConfigurationError(f"the Bayeux session failed inside: {type(error).__name__}: {error}")
            failure.__cause__ = error
            self._give_up(failure)
        for output in self._session.take():
            self._tell(output)
        self._tell_attached()
        self._date = None
        self._release()

    def _take_in(self, now: float) -> None:
        outcomes, self._inbox = self._inbox, []
        for send, outcome in outcomes:
            if isinstance(send, int):
                self._take_unasked(send, outcome, now)
            elif isinstance(outcome, Reply):
                self._date = outcome.date or self._date
                self._session.received(send, outcome.body, now, self._rng.random())
                self._last_error = None
            else:
                self._session.failed(send, outcome, now, self._rng.random())
                if send.kind is Kind.HANDSHAKE:
                    self._last_error = outcome.error
        if self._renew is not None:
            self._session.renew(now, self._renew, self._rng.random())
            self._renew = None

    def _take_unasked(self, link: int, outcome: Reply | Failure, now: float) -> None:
        """What came on a two-way connection by itself; who waited for it may go."""
        if isinstance(outcome, Reply):
            self._session.pushed(link, outcome.body, now, self._rng.random())
        else:
            self._session.broke(link, outcome, now, self._rng.random())
        if self._session.client_id is not None:
            self._last_error = None
        if isinstance(duplex := self._links.get(link), DuplexLink):
            duplex.settle()

    def _open_link(self, number: int) -> str:
        """Have a new session's transport made; what is spoken on it."""
        assert self._tasks is not None  # noqa: S101 - only `run` turns
        transport = self._connect(self._session.worn or self._last_error)
        if isinstance(transport, DuplexTransport):
            duplex = self._links[number] = DuplexLink(
                transport,
                said=lambda body: self._done(number, Reply(body)),
                broke=lambda failure: self._done(number, failure),
                awaits=self._session.awaits,
                elsewhere=self._settings.elsewhere not in (None, transport.name),
            )
            self._tasks.start_soon(duplex.listen, name="bayeux listener")
        else:
            self._links[number] = Link(transport)
        return transport.name

    def _launch(self, send: Send) -> None:
        assert self._tasks is not None  # noqa: S101 - only `run` turns
        self._tasks.start_soon(self._links[send.link].exchange, send, self._done, name="bayeux exchange")

    def _done(self, send: Send | int, outcome: Reply | Failure) -> None:
        self._inbox.append((send, outcome))
        self._stir()

    def _stir(self) -> None:
        self._woken = True
        if self._wake is not None:
            self._wake.set()

    async def _pause(self) -> None:
        """Wait for an outcome, an intent or the session's deadline."""
        if self._woken or self._wake is None:
            await checkpoint()
            return
        deadline = self._session.deadline()
        with CancelScope(deadline=float("inf") if deadline is None else deadline):
            await self._wake.wait()

    def _give_up(self, error: TocsinError) -> None:
        """An error of our own side: end this course of the session, and say so."""
        self._session.abort(error)
        self._close_all(error)

    async def _shut(self) -> None:
        """End the session on the server, if that is possible in time, and everything here in any case."""
        self._close_all(None)
        self._session.close(current_time())
        self._turn()
        with move_on_after(self._settings.close_timeout):
            while self._session.state not in (State.NEW, State.CLOSED):
                await self._pause()
                self._turn()
        self._turn()
        for number in list(self._links):
            self._retire(number, None)

    # ── what is told ─────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, output: Output) -> None:
        match output:
            case Arrived():
                self._dispatch(output)
            case Alive():
                self._broken = False
                for registration in list(self._registrations):
                    registration.alive(output.proved)
            case Lost():
                self._log_lost(output)
                for registration in list(self._registrations):
                    registration.lost(output.cause, session_lost=output.session_lost)
            case Delayed():
                for registration in list(self._registrations):
                    registration.delayed(output.cause)
            case Refused():
                for registration in list(self._registrations):
                    if output.channel in registration.channels:
                        registration.refused(output.channel, output.error)
            case Unreadable():
                self._log_unreadable(output)
                for registration in list(self._registrations):
                    registration.unreadable(output.raw)
            case Dropped():
                self._retire(output.link, output.farewell)
            case Closed():
                if output.error is not None:
                    self._close_all(output.error)
            case Notice():
                log.warning("Bayeux: %s", output.text)
            case Stands():
                log.debug("Bayeux: subscribed to %s", output.channel)

    def _log_lost(self, lost: Lost) -> None:
        """An outage reaches the log once, and a server that flaps once a minute."""
        now = current_time()
        words = f": {lost.words}" if lost.words else ""
        loud = not self._broken and now >= self._hushed_until
        log.log(logging.INFO if loud else logging.DEBUG, "Bayeux: %s%s", lost.cause, words)
        if loud:
            self._hushed_until = now + _HUSH
        self._broken = True

    def _log_unreadable(self, unreadable: Unreadable) -> None:
        """What cannot be read reaches the log aloud once a minute: a server can send nothing else."""
        now = current_time()
        loud = now >= self._deaf_until
        if loud:
            self._deaf_until = now + _HUSH
        level = logging.WARNING if loud else logging.DEBUG
        log.log(level, "Bayeux: a message of %d bytes cannot be read", len(unreadable.raw))

    def _dispatch(self, arrived: Arrived) -> None:
        """Give each listener its events, each once, in one batch."""
        batches: dict[Registration, list[Event]] = {}
        found: dict[str, list[Registration]] = {}
        for event in arrived.events:
            registrations = found.get(event.channel)
            if registrations is None:
                registrations = found[event.channel] = self._index.find(event.channel)
            for registration in registrations:
                batches.setdefault(registration, []).append(event)
        for registration, events in batches.items():
            registration.events(events, session=self._session.number, ordered=arrived.ordered)

    def _tell_attached(self) -> None:
        """Tell those whose channels all have an answer, one of them a yes, on a session that is connected."""
        if self._session.state is not State.CONNECTED:
            return
        for registration in list(self._registrations):
            if not registration.attached and registration.stands(self._session.standing):
                registration.attach(session=self._session.number, date=self._date)

    def _close_all(self, error: TocsinError | None) -> None:
        registrations, self._registrations = self._registrations, []
        self._index = ChannelIndex()
        for registration in registrations:
            self._leaving.append(registration)
            registration.closed(error)

    def _release(self) -> None:
        """Let those go who wait for the server to have let go of their channels."""
        idle = self._session.state in (State.NEW, State.CLOSED)
        for registration in list(self._leaving):
            if idle or not any(
                self._session.holds(name) and name not in self._index for name in registration.channels
            ):
                self._leaving.remove(registration)
                registration.gone.set()

    def _retire(self, number: int, farewell: bytes | None) -> None:
        """Close a link, if it came to be at all."""
        link = self._links.pop(number, None)
        if link is None or self._tasks is None:
            return
        link.drop()
        self._tasks.start_soon(link.retire, farewell, self._settings.close_timeout, name="bayeux farewell")
