"""What the server's replies say, and what follows from each: the half of a session that takes things in.

No I/O. `Session` is the other half, which decides what to send.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tocsin.bayeux._advice import Advice, Reconnect
from tocsin.bayeux._course import Course
from tocsin.bayeux._failures import Failure, refusal, session_unknown
from tocsin.bayeux._messages import Answer, error_code, parse
from tocsin.bayeux._outputs import Arrived, Kind, Refused, Send, Stands, Unreadable
from tocsin.bayeux._state import CONNECTING, LIVE, State
from tocsin.bayeux._subscriptions import Subscriptions
from tocsin.errors import (
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    SubscriptionRefusedError,
)

if TYPE_CHECKING:
    from tocsin.bayeux._messages import Batch
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.errors import TocsinError

__all__ = ["Replies"]

_OLD_VERSION = re.compile(r"0*(\.|$)")
# Answers to a subscribe that say "not now" rather than "no".
_PASSING = (408, 429)


class Replies:
    """Takes in what came of exchanges.

    Args:
        settings: Times and limits.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._channels = Subscriptions()
        self._course = Course(settings, self._channels)

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._course.state

    @property
    def client_id(self) -> str | None:
        """The server's name for the session; None while there is none."""
        return self._course.client_id

    @property
    def number(self) -> int:
        """How many sessions the server has given so far."""
        return self._course.number

    @property
    def stood(self) -> int:
        """The number of the last session in which a connect succeeded."""
        return self._course.stood

    @property
    def worn(self) -> TocsinError | None:
        """Why another transport or address is to be tried; None: the last one will do."""
        return self._course.worn

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
        self._taken(batch, send.link, now, jitter, ordered=send.kind is Kind.CONNECT)
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

    def pushed(self, link: int, body: bytes, now: float, jitter: float) -> None:
        """Take in what the server said unasked, or in answer to what is out."""
        course = self._course
        if link != course.link or not body.strip():  # a blank is a heartbeat, as on a held poll
            return
        try:
            batch = parse(body)
        except ProtocolError:
            course.outputs.append(Unreadable(body))  # the connection carries whole messages: the next is good
            return
        if batch.events:
            course.brought = True
        # What comes with the reply to a command has an order of its own.
        ordered = all(answer.channel == "/meta/connect" for answer in batch.answers)
        self._taken(batch, link, now, jitter, ordered=ordered)
        command = course.command
        if link == course.link and command is not None and not course.operations:
            course.commanded(now)

    def broke(self, link: int, failure: Failure, now: float, jitter: float) -> None:
        """Take in that a two-way connection broke: all that is out on it, and what was under way, is lost."""
        course = self._course
        if link != course.link:
            return
        command, main = course.command, course.main
        if command is not None:
            told = (
                main is not None and main.kind is Kind.CONNECT
            )  # what it may have cost is told of the connect
            self.failed(command, replace(failure, lossy=False) if told else failure, now, jitter)
        if main is not None:
            self.failed(main, failure, now, jitter)
        elif command is None and self.state in CONNECTING:
            course.connect_failed(failure, now, jitter)

    def awaits(self, send: Send) -> bool:
        """Whether an exchange still lacks its answer."""
        return send is self._course.main or send is self._course.command

    def _taken(self, batch: Batch, link: int, now: float, jitter: float, *, ordered: bool) -> None:
        """Take in a body's messages: events first, for servers put them before or after the reply."""
        course = self._course
        course.outputs.extend(Unreadable(raw) for raw in batch.unreadable)
        if batch.events:
            course.outputs.append(Arrived(tuple(batch.events), ordered=ordered))
        for advice in batch.advice:
            course.adopt(Advice.read(advice, course.connection_type))
        for answer in batch.answers:
            if link == course.link:
                self._answered(self._shown(answer), now, jitter, empty=not batch.events)

    def _shown(self, answer: Answer) -> Answer:
        """A reply as it may be shown: servers echo what they were sent. Its code is ours to read."""
        error, hide = answer.error, self._settings.hide
        if error is None or hide is None:
            return answer
        code = error[:4] if error_code(error) is not None else ""
        return replace(answer, error=code + hide(error.removeprefix(code)))

    def _completed(self, send: Send, now: float, jitter: float, *, empty: bool) -> None:
        """An exchange is over: what it left without a reply has failed."""
        course = self._course
        if send is course.command and (course.operations or self.state is State.DISCONNECTING):
            error = ProtocolError("the server did not answer every message of a request")
            self.failed(send, Failure(error), now, jitter)
        elif send is course.command:
            course.commanded(now)
        elif send is course.main and send.kind is Kind.CONNECT and not empty and self.state in CONNECTING:
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
        elif answer.channel == "/meta/disconnect" and answer.id is None and self.state in LIVE:
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
            # There the credentials come in another place, and the answer is the last word.
            turns = final and course.may_turn and isinstance(error, PermissionDeniedError)
            failure = Failure(error, fatal=final and not turns, moved=turns)
            self._handshake_refused(failure, now, jitter)
            return
        offered = answer.connection_types
        common = [t for t in course.speaks if offered is None or t in offered]
        if answer.client_id is None:
            error = ProtocolError("the server accepted the handshake but gave no clientId")
            self._handshake_refused(Failure(error), now, jitter)
        elif not common:
            ours, theirs = ", ".join(course.speaks), ", ".join(offered or ())
            text = f"no common connection type: we speak {ours}, the server {theirs or 'none'}"
            elsewhere = course.may_turn
            failure = Failure(ConfigurationError(text), fatal=not elsewhere, moved=elsewhere)
            self._handshake_refused(failure, now, jitter)
        elif answer.version is not None and _OLD_VERSION.match(answer.version):
            error = ProtocolError(
                f"the server speaks Bayeux {answer.version}; 1.0 is the least we understand"
            )
            self._handshake_refused(Failure(error, fatal=True), now, jitter)
        elif advised is Reconnect.NONE and self.state is not State.DISCONNECTING:
            course.stop(refusal("the server asked not to connect", answer.error))
        else:
            course.shaken(answer.client_id, common[0])
            course.acked = 0 if _acks(answer) else None

    def _handshake_refused(self, failure: Failure, now: float, jitter: float) -> None:
        if self.state is State.DISCONNECTING:
            self._course.gone()
        elif failure.fatal:
            self._course.stop(failure.error)
        else:
            other, here = self._settings.elsewhere, self._course.speaks
            self._course.handshake_failed(failure, now, jitter)
            if other is not None and other not in here:
                self._course.worn = failure.error  # perhaps it gives a session over the other transport

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
            self._acknowledge(answer)
            self._course.good(now, empty=empty)
        else:
            error = ProtocolError(f"the server refused a connect: {answer.error or 'no reason given'}")
            self._course.connect_failed(Failure(error), now, jitter)

    def _acknowledge(self, answer: Answer) -> None:
        """Note the batch that came with a good connect: the next connect tells the server that it is here."""
        number = answer.ext.get("ack")
        if self._course.acked is not None and type(number) is int:
            self._course.acked = number

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


def _acks(answer: Answer) -> bool:
    """Whether the server keeps what it sends until it is acknowledged (CometD, acknowledge extension)."""
    ack = answer.ext.get("ack")
    return ack is True or (isinstance(ack, dict) and ack.get("enabled") is True)


def _says_none(answer: Answer) -> bool:
    return answer.advice is not None and answer.advice.get("reconnect") == Reconnect.NONE.value
