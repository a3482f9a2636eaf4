"""One client's side of Bayeux, as a pure state machine: no I/O, no clock, no random.

The driver's part, in a loop:

1. Call intents (`want`, `unwant`, `renew`, `close`) whenever somebody has one.
2. Give the outcome of every exchange: `received` or `failed`, and nothing for one whose link was dropped.
3. Start every exchange that `next` returns; a HANDSHAKE on a fresh transport.
4. Pass on what `take` returns.
5. Do it again when an exchange ends, somebody has an intent, or `deadline` has come.

`now` is monotonic seconds, `jitter` a number drawn evenly from [0, 1) for the wait that may follow.
What the states mean is told in `_state.py`. Rules come from Bayeux 1.0 and from what servers were seen to do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tocsin.bayeux._advice import Advice, Reconnect
from tocsin.bayeux._course import Course
from tocsin.bayeux._failures import Failure, refusal, session_unknown
from tocsin.bayeux._messages import Answer, error_code, parse
from tocsin.bayeux._outputs import Arrived, Kind, Output, Refused, Send, Stands, Unreadable
from tocsin.bayeux._requests import Requests
from tocsin.bayeux._state import State
from tocsin.bayeux._subscriptions import Standing, Subscriptions
from tocsin.errors import ConfigurationError, ProtocolError, SubscriptionRefusedError

if TYPE_CHECKING:
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.errors import TocsinError

__all__ = ["Session"]

_CONNECTING = (State.CONNECTING, State.CONNECTED, State.RETRYING)
_LIVE = (State.SUBSCRIBING, *_CONNECTING)
_OPEN = (State.HANDSHAKING, *_LIVE)
_OLD_VERSION = re.compile(r"0*(\.|$)")
# Answers to a subscribe that say "not now" rather than "no".
_PASSING = (408, 429)


class Session:
    """One session after another with one server: see the module's text."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._requests = Requests(settings)
        self._channels = Subscriptions()
        self._course = Course(settings, self._channels)

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._course.state

    @property
    def number(self) -> int:
        """How many sessions the server has given so far."""
        return self._course.number

    # ── intents ──────────────────────────────────────────────────────────────────────────────────────────

    def want(self, channel: str) -> None:
        """Somebody wants a channel. The first one opens the session."""
        self._channels.want(channel)

    def unwant(self, channel: str) -> None:
        """Somebody does so no more. When the last one has gone, the session is ended."""
        self._channels.unwant(channel)

    def renew(self, now: float, reason: str, jitter: float) -> None:
        """Begin a new session in place of this one. Joins a handshake that is already under way."""
        course = self._course
        if self.state in _LIVE and course.client_id is not None:
            farewell = self._requests.disconnect(course.link, course.client_id).messages
            course.lose(now, jitter, reason, farewell=farewell)

    def close(self, now: float) -> None:
        """Leave: all channels are let go, the server is told. Done when `state` is CLOSED or NEW."""
        self._channels.clear()
        self._leave_if_unwanted(now)

    def abort(self, error: TocsinError) -> None:
        """End it for good because of an error of our own side."""
        self._channels.clear()
        if self.state in _OPEN:
            self._course.stop(error)
        elif self.state is State.DISCONNECTING:
            self._course.gone()

    def standing(self, channel: str) -> Standing:
        """Return what the server has said about a channel in this session."""
        return self._channels.standing(channel)

    def holds(self, channel: str) -> bool:
        """Whether a channel is wanted or still stands on the server."""
        return self._channels.holds(channel)

    # ── what to do ───────────────────────────────────────────────────────────────────────────────────────

    def next(self, now: float) -> list[Send]:
        """Return the exchanges to start now; calling it again at once returns nothing."""
        course = self._course
        self._leave_if_unwanted(now)
        if self.state is State.DISCONNECTING:
            farewell = self._next_while_leaving(now)
            if self.state is State.DISCONNECTING:
                return farewell
        if self.state in (State.NEW, State.CLOSED) and self._channels.wanted:
            course.opened()
        sends = self._next_command(now)
        if course.main is None and now >= course.at:
            if self.state is State.HANDSHAKING:
                course.main = self._requests.handshake(course.link)
                sends.append(course.main)
            elif self.state in _CONNECTING and course.client_id is not None:
                ask = 0.0 if course.fresh else self._settings.ask
                course.main = self._requests.connect(
                    course.link,
                    course.client_id,
                    course.connection_type,
                    ask=ask,
                    grace=course.grace if ask else 0.0,
                )
                course.sent_at = now
                sends.append(course.main)
        return sends

    def take(self) -> list[Output]:
        """Return what has happened since the last call, in order."""
        outputs, self._course.outputs = self._course.outputs, []
        return outputs

    def deadline(self) -> float | None:
        """Return when `next` has something to do though nothing came in; None: not by itself."""
        course = self._course
        if self.state is State.DISCONNECTING:
            return course.leave_by
        times = []
        if course.main is None and self.state in (State.HANDSHAKING, *_CONNECTING):
            times.append(course.at)
        if self._commands_due():
            times.append(course.command_at)
        return min(times, default=None)

    def _commands_due(self) -> bool:
        """Whether a command may go as soon as its time has come.

        One at a time: the two connections of a session are not to be three. None before the first connect
        of the session and while connects fail: a server in trouble is asked one thing at a time.
        """
        return (
            self.state in (State.SUBSCRIBING, State.CONNECTED)
            and self._course.command is None
            and bool(self._channels.to_subscribe() or self._channels.to_unsubscribe())
        )

    def _next_command(self, now: float) -> list[Send]:
        course = self._course
        if self._commands_due():
            if now < course.command_at or course.client_id is None:
                return []
            subscribe, unsubscribe = self._channels.to_subscribe(), self._channels.to_unsubscribe()
            course.command = self._requests.subscriptions(
                course.link, course.client_id, subscribe=subscribe, unsubscribe=unsubscribe
            )
            about = [("/meta/unsubscribe", n) for n in unsubscribe]
            about += [("/meta/subscribe", n) for n in subscribe]
            course.operations = dict(zip(course.command.ids, about, strict=True))
            return [course.command]
        return []

    def _leave_if_unwanted(self, now: float) -> None:
        if self.state in _OPEN and not self._channels.wanted:
            self._course.leave(now)

    def _next_while_leaving(self, now: float) -> list[Send]:
        """The disconnect goes on the commands' connection, behind a command that is still out."""
        course = self._course
        if now >= course.leave_by:
            course.gone()
        elif course.client_id is not None and course.command is None:
            course.leaving = course.command = self._requests.disconnect(course.link, course.client_id)
            course.operations = {course.command.ids[0]: ("/meta/disconnect", "")}
            return [course.command]
        return []

    # ── what came of it ──────────────────────────────────────────────────────────────────────────────────

    def received(self, send: Send, body: bytes, now: float, jitter: float) -> None:
        """Take in the response to an exchange, whole."""
        course = self._course
        if send.link != course.link:
            return
        try:
            batch = parse(body)
        except ProtocolError as exc:
            self.failed(send, Failure.of(exc), now, jitter)
            return
        course.outputs.extend(Unreadable(raw) for raw in batch.unreadable)
        if batch.events:
            course.outputs.append(Arrived(tuple(batch.events), ordered=send.kind is Kind.CONNECT))
        for advice in batch.advice:
            course.adopt(Advice.read(advice, course.connection_type))
        for answer in batch.answers:
            if send.link == course.link:
                self._answered(answer, now, jitter, empty=not batch.events)
        if send.link == course.link:
            self._completed(send, now, jitter, empty=not batch.events)

    def failed(self, send: Send, failure: Failure, now: float, jitter: float) -> None:
        """Take in that an exchange brought no messages."""
        course = self._course
        if send.link != course.link:
            return
        if send is course.main:
            course.main = None
        elif send is course.command:
            course.command, course.operations = None, {}
        else:
            return
        if self.state is State.DISCONNECTING:
            if send is course.leaving or send.kind is Kind.HANDSHAKE:
                course.gone()
        elif failure.fatal or (failure.hopeless and not self.number):
            course.stop(failure.error)
        elif send.kind is Kind.HANDSHAKE:
            course.handshake_failed(failure, now, jitter)
        elif failure.rejected:
            course.lose(now, jitter, failure.cause, told=False)
        elif send.kind is Kind.COMMAND:
            course.command_failed(failure, now, jitter)
        else:
            course.connect_failed(failure, now, jitter)

    def _completed(self, send: Send, now: float, jitter: float, *, empty: bool) -> None:
        """An exchange is over: what it left without a reply has failed."""
        course = self._course
        if send is course.command and (course.operations or self.state is State.DISCONNECTING):
            error = ProtocolError("the server did not answer every message of a request")
            self.failed(send, Failure(error), now, jitter)
        elif send is course.command:
            course.commanded(now)
        elif send is course.main and send.kind is Kind.CONNECT and not empty and self.state in _CONNECTING:
            course.unsaid(now)
        elif send is course.main:
            error = ProtocolError(f"the server did not answer the {send.kind.name.lower()}")
            self.failed(send, Failure(error), now, jitter)

    def _answered(self, answer: Answer, now: float, jitter: float, *, empty: bool) -> None:
        """Match a reply by id and channel, without an id by channel; what matches nothing is ignored."""
        main = self._course.main
        if answer.channel in ("/meta/handshake", "/meta/connect"):
            kind = Kind.HANDSHAKE if answer.channel == "/meta/handshake" else Kind.CONNECT
            if main is None or main.kind is not kind or answer.id not in (None, *main.ids):
                return
            self._course.main = None
            if kind is Kind.HANDSHAKE:
                self._on_handshake(answer, now, jitter)
            elif self.state is not State.DISCONNECTING:  # to one who leaves, faye says "retry"
                self._on_connect(answer, now, jitter, empty=empty)
        elif (operation := self._operation(answer)) is not None:
            self._on_command(answer, *operation, now, jitter)
        elif answer.channel == "/meta/disconnect" and answer.id is None and self.state in _LIVE:
            self._on_kick(answer, now, jitter)

    def _operation(self, answer: Answer) -> tuple[str, str] | None:
        """Find and forget what a reply to a command is about."""
        operations = self._course.operations
        for number, (channel, name) in operations.items():
            if channel == answer.channel and (
                answer.id == number or (answer.id is None and answer.subscription in (None, name))
            ):
                return operations.pop(number)
        return None

    # ── what the replies say ─────────────────────────────────────────────────────────────────────────────

    def _on_handshake(self, answer: Answer, now: float, jitter: float) -> None:
        course = self._course
        advised = self._advised(answer)
        if not answer.successful:
            error = refusal("the server refused the handshake", answer.error)
            final = advised is Reconnect.NONE or (advised is None and error_code(answer.error) in (401, 403))
            self._handshake_refused(Failure(error, fatal=final), now, jitter)
            return
        offered = answer.connection_types
        common = [t for t in self._settings.connection_types if offered is None or t in offered]
        if answer.client_id is None:
            error = ProtocolError("the server accepted the handshake but gave no clientId")
            self._handshake_refused(Failure(error), now, jitter)
        elif not common:
            ours, theirs = ", ".join(self._settings.connection_types), ", ".join(offered or ())
            text = f"no common connection type: we speak {ours}, the server {theirs or 'none'}"
            self._handshake_refused(Failure(ConfigurationError(text), fatal=True), now, jitter)
        elif answer.version is not None and _OLD_VERSION.match(answer.version):
            error = ProtocolError(
                f"the server speaks Bayeux {answer.version}; 1.0 is the least we understand"
            )
            self._handshake_refused(Failure(error, fatal=True), now, jitter)
        elif advised is Reconnect.NONE and self.state is not State.DISCONNECTING:
            course.stop(refusal("the server asked not to connect", answer.error))
        else:
            course.shaken(answer.client_id, common[0])

    def _handshake_refused(self, failure: Failure, now: float, jitter: float) -> None:
        if self.state is State.DISCONNECTING:
            self._course.gone()
        elif failure.fatal:
            self._course.stop(failure.error)
        else:
            self._course.handshake_failed(failure, now, jitter)

    def _on_connect(self, answer: Answer, now: float, jitter: float, *, empty: bool) -> None:
        """Decide by advice; by the text only where there is none."""
        advised = self._advised(answer)
        if advised is None and not answer.successful:
            # 401 and 403 without advice: whether we are still welcome shows at the next handshake.
            gone = session_unknown(answer.error) or error_code(answer.error) in (401, 403)
            advised = Reconnect.HANDSHAKE if gone else Reconnect.RETRY
        if advised is Reconnect.NONE:
            self._course.stop(refusal("the server asked not to connect again", answer.error))
        elif advised is Reconnect.HANDSHAKE:
            self._lose(answer, now, jitter)
        elif answer.successful:
            self._course.good(now, empty=empty)
        else:
            error = ProtocolError(f"the server refused a connect: {answer.error or 'no reason given'}")
            self._course.connect_failed(Failure(error), now, jitter)

    def _on_command(self, answer: Answer, channel: str, name: str, now: float, jitter: float) -> None:
        course = self._course
        if channel == "/meta/disconnect":
            course.gone()  # "unknown session" is as good as a success
            return
        unknown = not answer.successful and answer.advice is None and session_unknown(answer.error)
        refused = not answer.successful and not unknown
        # `none` on a refused channel is about that channel: the others must not die of it.
        advised = self._advised(answer) if answer.successful or not _says_none(answer) else None
        if self.state is State.DISCONNECTING:
            return
        if unknown or advised is Reconnect.HANDSHAKE:
            self._lose(answer, now, jitter)
        elif advised is Reconnect.NONE:
            course.stop(refusal("the server asked not to connect again", answer.error))
        elif channel == "/meta/unsubscribe":
            self._channels.ended(name)
        elif not refused:
            self._channels.confirmed(name)
            course.outputs.append(Stands(name))
        elif (error_code(answer.error) or 0) >= 500 or error_code(answer.error) in _PASSING:
            text = f"the server did not subscribe {name}: {answer.error}"
            course.command_failed(Failure(ProtocolError(text), lossy=False), now, jitter)
        elif self._channels.refused(name):
            text = f"the server refused to deliver {name}: {answer.error or 'no reason given'}"
            error = SubscriptionRefusedError(text, channel=name, error=answer.error)
            course.outputs.append(Refused(name, error))

    def _on_kick(self, answer: Answer, now: float, jitter: float) -> None:
        """The server ended the session of its own accord."""
        if self._advised(answer) is Reconnect.NONE:
            self._course.stop(refusal("the server ended the session for good", answer.error))
        else:
            self._course.lose(now, jitter, "session ended by the server", words=answer.error, told=False)

    def _lose(self, answer: Answer, now: float, jitter: float) -> None:
        self._course.lose(now, jitter, "session lost", words=answer.error)

    def _advised(self, answer: Answer) -> Reconnect | None:
        """Adopt the advice of a reply, and return what it says to do next."""
        if answer.advice is None:
            return None
        advice = Advice.read(answer.advice, self._course.connection_type)
        self._course.adopt(advice)
        return advice.reconnect


def _says_none(answer: Answer) -> bool:
    return answer.advice is not None and answer.advice.get("reconnect") == Reconnect.NONE.value
