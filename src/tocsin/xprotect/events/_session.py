"""One session of the Events and State WebSocket, over as many sockets as it takes. No I/O, clock or random.

    opened ─→ startSession ─ 200 ─────────────────────────────→ attached ─→ getState, if it is still due
                   └─ 201, or refused ─→ addSubscription ─ 200 ─┘

Commands are matched to replies by their number; events come at any moment, before, between and after the
replies. A session is resumed with its id and the last event handled; where the server knows it no more, that
is no error but a new session: everything is asked for again, and what lay between is told as missed.

Source: Milestone's public samples of the API; reference `xprotect.md` 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from tocsin.errors import (
    AuthenticationError,
    BadRequestError,
    PermissionDeniedError,
    ProtocolError,
    RequestTimeoutError,
    ServerError,
    SubscriptionRefusedError,
    TransportError,
)
from tocsin.xprotect.events._frames import encode_command, read_frame
from tocsin.xprotect.events._memory import EventMemory
from tocsin.xprotect.events._outputs import Attached, Busy, HangUp, Happened, Missed, Send, Stand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.errors import TocsinError
    from tocsin.xprotect.events._frames import Reply, Row
    from tocsin.xprotect.events._outputs import Output

__all__ = ["EventSession", "SessionTimes"]

_RESUMED: Final = 200
_TWICE: Final = 2
_MOST_TOLD: Final = 100_000
"""Sources and state groups whose events are watched for while the state is read."""


class _Command(Enum):
    START = "startSession"
    SUBSCRIBE = "addSubscription"
    STATE = "getState"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimes:
    """Times (seconds) and limits of a session.

    Attributes:
        reply_within: For the reply to a command.
        state_within: For the state: a large site takes a minute or two.
        state_again: After a state that the server failed to tell. Events come meanwhile.
        window: So long the server keeps a session, and its events, after the connection broke.
        quiet: Without any event for so long, the session is resumed on a new connection: only that tells
            whether the server still knows it. One that was forgotten stays silent, and pings are answered.
        lag: So long an event may be under way before the connection counts as dead: gaps begin so much before
            the last one that came.
        remembered: So many events are told apart.
    """

    reply_within: float = 20.0
    state_within: float = 240.0
    state_again: float = 60.0
    window: float = 30.0
    quiet: float = 300.0
    lag: float = 30.0
    remembered: int = 20_000


class EventSession:
    """What was said and what is still to be said. Times are monotonic seconds.

    Args:
        filters: Of its one subscription, as the server takes them.
        state: Whether the state of all sources is asked for, at the beginning and after each loss.
        times: Limits.

    Attributes:
        duplicates: Events that came more than once.
        unreadable: Frames and rows that could not be read.
    """

    def __init__(
        self, filters: Sequence[dict[str, Any]], *, state: bool, times: SessionTimes = SessionTimes()
    ) -> None:
        self._filters = list(filters)
        self._wants_state = state
        self._times = times
        self._memory = EventMemory(times.remembered, times.window)
        self._id: str | None = None
        self._new_id: str | None = None
        self._number = 0
        self._asked: tuple[int, _Command, float] | None = None
        self._attached = False
        self._state_due = state
        self._state_at: float | None = None
        self._told: dict[tuple[str, str], str] = {}
        self._now = 0.0
        self._begun_at = 0.0  # the subscription stands since then
        self._proved_at = 0.0  # an event came, or the server said that it knows the session
        self._behind: tuple[float, float] | None = None  # resumed: told until, and until when it replays
        self._state_refusals = 0
        self._lost: tuple[float, str] | None = None
        self._out: list[Output] = []
        self.duplicates = 0
        self.unreadable = 0

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do, unless a reply comes before."""
        if self._asked is not None:
            return self._asked[2]
        times = [self._state_at, self._proved_at + self._times.quiet if self._attached else None]
        return min((at for at in times if at is not None), default=None)

    @property
    def awaits(self) -> str | None:
        """The name of the command whose reply is awaited."""
        return None if self._asked is None else self._asked[1].value

    def take(self) -> list[Output]:
        """What is to be done, in order; empties."""
        out, self._out = self._out, []
        return out

    def opened(self, now: float) -> None:
        """A socket stands."""
        self._now = now
        self._ask(_Command.START, now, sessionId=self._id or "", eventId=self._resume_point(now))

    def received(self, body: bytes, now: float) -> None:
        """A message came."""
        self._now = now
        try:
            frame = read_frame(body)
        except ProtocolError:
            self._cannot_read(1, now)
            return
        if frame.events:
            self._happened(frame.events, now)
        if frame.unreadable:
            self._cannot_read(frame.unreadable, now)
        if frame.reply is not None:
            self._answered(frame.reply, now)

    def tick(self, now: float) -> None:
        """See whether a reply is overdue, the state is to be asked for, or nothing has come for too long."""
        self._now = now
        if self._asked is None and self._state_at is not None and now >= self._state_at:
            self._ask_state(now)
        if self._asked is None:
            self._doubt(now)
            return
        if now < self._asked[2]:
            return
        _, command, _ = self._asked
        within = self._times.state_within if command is _Command.STATE else self._times.reply_within
        self._hang_up(
            RequestTimeoutError(
                f"no reply to {command.value} within {within:g} s",
                maybe_applied=True,
                reason=f"no reply to {command.value} within {within:g} s",
            )
        )

    def closed(self, cause: str) -> None:
        """The socket is gone. What `take` has not given of it yet is of no use but for what happened."""
        self._out = [item for item in self._out if not isinstance(item, Send | Attached | Busy | HangUp)]
        self._asked = None
        self._told.clear()
        self._state_at = None
        if self._attached:
            self._lost = (self._told_until(), cause)
        self._attached = False

    def handled(self, event: str) -> None:
        """The consumer is done with an event, and with all before it."""
        self._memory.done(event.lower())

    def renew_state(self, now: float) -> None:
        """Ask for the state once more, if it is asked for at all: some of what was told was dropped here."""
        if self._wants_state and not self._state_due:
            self._state_due = True
            if self._attached:
                self._state_at = now

    # ── what the server says ─────────────────────────────────────────────────────────────────────────────

    def _doubt(self, now: float) -> None:
        """After a long silence, ask on a new connection whether the session is still known."""
        if self._attached and now >= self._proved_at + self._times.quiet:
            text = f"no event within {self._times.quiet:g} s"
            self._hang_up(TransportError(f"{text}: is the session still known?", reason=text))

    def _happened(self, events: tuple[Row, ...], now: float) -> None:
        self._proved_at = now
        fresh = self._memory.new(events, now)
        self.duplicates += len(events) - len(fresh)
        if self.awaits == _Command.STATE.value:
            for row in fresh:
                if row.key is not None and len(self._told) < _MOST_TOLD:
                    self._told[row.key] = row.time
        if fresh:
            self._out.append(Happened(fresh))

    def _cannot_read(self, count: int, now: float) -> None:
        self.unreadable += count
        if self._attached or self._lost is not None:  # which may be replayed before the reply says so
            since = self._told_until() if self._lost is None else self._lost[0]
            self._out.append(Missed(since, now, "a message could not be read"))

    def _told_until(self) -> float:
        """Until when all that happened is told.

        Pings prove the connection only: if the session is gone, nobody knows since when. What a resumed
        session replays is older than its arrival.
        """
        if self._behind is not None and self._now < self._behind[1]:
            return self._behind[0]
        return max(self._begun_at, self._proved_at - self._times.lag)

    def _answered(self, reply: Reply, now: float) -> None:
        asked = self._asked
        if asked is None or reply.command != asked[0]:
            if reply.command is None and not reply.good:
                self._hang_up(_refusal("a command", reply))
            return  # else it answers what nobody asks any more
        self._asked = None
        match asked[1]:
            case _Command.START:
                self._started(reply, now)
            case _Command.SUBSCRIBE:
                self._subscribed(reply, now)
            case _Command.STATE:
                self._stated(reply, now)

    def _started(self, reply: Reply, now: float) -> None:
        if reply.status == _RESUMED and self._id is not None and _same(reply.session, self._id):
            if self._lost is not None:
                self._behind = (self._lost[0], now + self._times.window)
                self._lost = None
            self._attach(now, resumed=True)
        elif reply.good:
            self._id, self._new_id = None, reply.session
            self._memory.begin()
            self._state_due = self._wants_state
            self._ask(_Command.SUBSCRIBE, now, filters=self._filters)
        elif self._id is not None and _is_final(reply) and not _is_unwelcome(reply):
            self._id = None
            self.opened(now)
        else:
            error = _refusal("startSession", reply)
            self._hang_up(error, final=_is_final(reply) and not _is_unwelcome(reply))

    def _subscribed(self, reply: Reply, now: float) -> None:
        if not reply.good:
            error = _refusal("addSubscription", reply)
            self._hang_up(error, final=_is_final(reply) and not _is_unwelcome(reply))
            return
        # Not before: a session that is resumed without a subscription would stay silent for ever.
        self._id, self._new_id = self._new_id, None
        if self._lost is not None:
            self._out.append(Missed(self._lost[0], now, self._lost[1]))
            self._lost = None
        self._begun_at, self._behind = now, None
        self._attach(now, resumed=False)

    def _attach(self, now: float, *, resumed: bool) -> None:
        self._attached = True
        self._proved_at = now
        self._out.append(Attached(resumed, complete=not self._state_due))
        if self._state_due:
            self._ask_state(now)

    def _ask_state(self, now: float) -> None:
        self._state_at = None
        self._ask(_Command.STATE, now)
        self._out.append(Busy(now + self._times.state_within))

    def _stated(self, reply: Reply, now: float) -> None:
        self._out.append(Busy(None))
        if _is_final(reply):
            # Perhaps only because the session is no more: another one shows it.
            self._id = None
            self._state_refusals += 1
            final = reply.status == 403 or self._state_refusals >= _TWICE
            self._hang_up(_refusal("getState", reply), final=final)
            return
        if not reply.good or reply.states is None:  # no reason to give up the events
            self._told.clear()
            self._state_at = now + self._times.state_again
            return
        self._state_due, self._state_refusals = False, 0
        told, self._told = self._told, {}
        # What has happened since it was asked for is told already, and may be later than what was read.
        states = tuple(row for row in reply.states if row.key not in told or row.time > told[row.key])
        self._out += [Stand(states), Attached(resumed=True, complete=True)]

    # ── what is said to it ───────────────────────────────────────────────────────────────────────────────

    def _ask(self, command: _Command, now: float, **arguments: Any) -> None:
        self._number += 1
        times = self._times
        within = times.state_within if command is _Command.STATE else times.reply_within
        self._asked = (self._number, command, now + within)
        self._out.append(Send(encode_command(command.value, self._number, **arguments)))

    def _resume_point(self, now: float) -> str:
        return self._memory.resume_after(now) if self._id is not None else ""

    def _hang_up(self, error: TocsinError, *, final: bool = False) -> None:
        self._asked = None
        self._out.append(HangUp(error, final))


def _same(told: str | None, ours: str) -> bool:
    return told is None or told.lower() == ours.lower()


def _is_final(reply: Reply) -> bool:
    """The server would say the same again."""
    return 400 <= reply.status < 500 and reply.status not in (408, 425, 429)


def _is_unwelcome(reply: Reply) -> bool:
    """The token, or the rights behind it, were refused: a new connection has a new one."""
    return reply.status in (401, 403)


def _refusal(command: str, reply: Reply) -> TocsinError:
    said = f": {reply.error}" if reply.error else ""
    text = f"the server refused {command} ({reply.status}){said}"
    if not reply.status:
        return ProtocolError(f"the reply to {command} has no status", reason="a reply without a status")
    if reply.status == 401:
        return AuthenticationError(text, status=401, message=reply.error)
    if reply.status == 403:
        return PermissionDeniedError(text, status=403, message=reply.error)
    if _is_final(reply) and command == _Command.SUBSCRIBE.value:
        return SubscriptionRefusedError(text, channel="events", error=reply.error)
    if reply.status < 500:
        return BadRequestError(text, status=reply.status, message=reply.error)
    return ServerError(text, status=reply.status, message=reply.error)
