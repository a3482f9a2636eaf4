"""The course of a session: where it stands, and what follows from what happened to it. No I/O.

`Session` decides *what* happened (which reply belongs to which request, what it says); here is what that
leads to: waits, states, and what is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin._stream._backoff import Backoff
from tocsin.bayeux._advice import Advice
from tocsin.bayeux._failures import WornOutError
from tocsin.bayeux._outputs import Alive, Closed, Delayed, Dropped, Lost, Notice, Output, Send
from tocsin.bayeux._state import State, Trigger, after
from tocsin.errors import ConnectError, ProtocolError, TocsinError

if TYPE_CHECKING:
    from tocsin.bayeux._failures import Failure
    from tocsin.bayeux._settings import SessionSettings
    from tocsin.bayeux._subscriptions import Subscriptions

__all__ = ["Course"]

# A server that answers connects at once instead of holding them would make us spin. After a few such answers
# in a row we wait, in seconds: well below the ten after which CometD drops a session.
_HASTY = 1.0
_HASTY_FREE = 3
_HASTY_FIRST = 0.25
_HASTY_MAX = 5.0
# Connects in a row that fail for another reason than that nobody can be reached: the way there is no good.
_TURN = 3
# A server that keeps batches until they are acknowledged sends the same one again and again.
_UNREADABLE = 2


class Course:
    """All that a session remembers. Times are monotonic seconds.

    Attributes:
        state: Where it stands.
        number: How many sessions the server has given so far.
        link: Which transport is in use; a new one for every handshake.
        advice: The server's latest advice of this session.
        client_id: The server's name for the session; None before the handshake.
        speaks: What can be spoken on the link.
        connection_type: What was agreed on.
        acked: The last batch that was taken in, where the server keeps batches until then; None: it does not.
        main: The handshake or connect that is out. There is never more than one.
        command: The command that is out. There is never more than one.
        leaving: The command that ends the session, if it is out.
        operations: What each message of the command is about: its id → (meta channel, channel).
        at: When the next handshake or connect may go.
        command_at: When the next command may go.
        sent_at: When the connect went.
        leave_by: When leaving ends, whether the server has answered or not.
        fresh: The next connect is to be answered at once.
        grace: How much longer than asked the server holds a connect.
        brought: Events came by themselves since the connect went.
        worn: Why the owner is to look for another transport or address: the last one did not hold, or gave
            no session.
        stood: The number of the last session in which a connect succeeded.
        proved_at: All that was written until then has come.
        outputs: What is to be told.
    """

    def __init__(self, settings: SessionSettings, channels: Subscriptions) -> None:
        self._settings = settings
        self._channels = channels
        self._backoff = Backoff(settings.reconnect)
        self._command_backoff = Backoff(settings.reconnect)
        self._loss_backoff = Backoff(settings.reconnect)
        self._moved = False
        self.outputs: list[Output] = []
        self.state = State.NEW
        self.number = 0
        self.stood = 0
        self.link = 0
        self.proved_at = float("-inf")
        self.worn: TocsinError | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget all that belongs to one session: advice too, or stale advice would rule the next one."""
        self.advice = Advice()
        self.client_id: str | None = None
        self.speaks = self._settings.connection_types
        self.connection_type = self.speaks[0]
        self.acked: int | None = None
        self.main: Send | None = None
        self.command: Send | None = None
        self.leaving: Send | None = None
        self.operations: dict[str, tuple[str, str]] = {}
        self.at = self.command_at = self.sent_at = self.leave_by = 0.0
        self.fresh = True
        self.grace = 0.0
        self.brought = False
        self._hasty = 0
        self._unread = 0
        self._channels.forget_session()
        self.link += 1

    def move(self, trigger: Trigger) -> None:
        """The one door between states."""
        self.state = after(self.state, trigger)

    def opened(self) -> None:
        """Somebody wants something, for the first time or again."""
        for backoff in (self._backoff, self._command_backoff, self._loss_backoff):
            backoff.reset()
        self._moved = False
        self._begin()
        self.move(Trigger.OPEN)

    def adopt(self, advice: Advice) -> None:
        """Let new advice replace the old."""
        if advice.multiple_clients and not self.advice.multiple_clients:
            self.outputs.append(
                Notice("the server says that another session shares our cookies: it will not hold connects")
            )
        self.advice = advice

    def shaken(self, client_id: str, connection_type: str) -> None:
        """The handshake succeeded."""
        self.client_id = client_id
        self.connection_type = connection_type
        if self.state is not State.DISCONNECTING:
            self.number += 1
            self._moved = False
        self.move(Trigger.HANDSHAKEN)

    def good(self, now: float, *, empty: bool) -> None:
        """A connect succeeded."""
        interval = self.advice.interval
        if interval < 0:
            self.stop(ProtocolError("the server asked never to connect again (a negative advice.interval)"))
            return
        self.move(Trigger.GOOD)
        self._backoff.good(now)
        self._loss_backoff.good(now)
        self.stood, self._unread = self.number, 0
        held = not self.fresh
        self.fresh = False
        self.at = now + max(interval, self._haste(now, empty=empty and held and not self.brought))
        if self.command is None:  # its answer may bring what was queued before the connect went
            self.proved_at = self.sent_at
        self.outputs.append(Alive(self.proved_at))
        if interval > self._settings.liveness:
            self.outputs.append(Lost(f"the server asked to wait {interval:.0f} s", session_lost=False))

    def unsaid(self, now: float) -> None:
        """Events came without a reply to the connect: nothing is lost, but nothing says when to go on."""
        self.main = None
        self.at = now + max(self._settings.minimum_delay, self.advice.interval)

    def connect_failed(self, failure: Failure, now: float, jitter: float) -> None:
        """A connect failed; the session may still be there: the same client id, after a wait."""
        if failure.held and self.advice.timeout is not None:
            self.grace = max(0.0, self.advice.timeout - self._settings.ask)
        if self.acked is not None and isinstance(failure.error, ProtocolError):
            self._unread += 1
            if self._unread >= _UNREADABLE:
                self.lose(now, jitter, "a batch cannot be read", told=False)
                return
        self.move(Trigger.FAILED)
        self.fresh = True
        self.at = now + self._wait(now, jitter, failure)
        if self.may_turn and self._backoff.failures >= _TURN and not isinstance(failure.error, ConnectError):
            self._turn(now, failure)
        else:
            self._tell_lost(failure.cause, session_lost=False)
        self._stop_if_spent(failure.error)

    @property
    def may_turn(self) -> bool:
        """The owner has another connection type than the present one."""
        elsewhere = self._settings.elsewhere
        return elsewhere is not None and self.speaks != (elsewhere,)

    def _turn(self, now: float, failure: Failure) -> None:
        """The connection type does not hold, though the server can be reached: at once over the other one."""
        self._again(now, failure.cause)
        self.worn = WornOutError(f"{self._backoff.failures} connects failed in a row", reason=failure.cause)
        self._backoff.reset()

    def handshake_failed(self, failure: Failure, now: float, jitter: float) -> None:
        """No session came of it: again, on a fresh link, after a wait."""
        wait = self._wait(now, jitter, failure)
        if failure.moved and not self._moved and failure.retry_after is None:
            # The owner may know another address: finding it is no reason to wait, once. A server that asks
            # for time asks for it everywhere.
            self._moved, wait = True, 0.0
        self._again(now + wait, failure.cause)
        self.worn = failure.error if failure.moved else None
        self._stop_if_spent(failure.error)

    def command_failed(self, failure: Failure, now: float, jitter: float) -> None:
        """A command failed. What it asked for is still due; events in its answer may be lost."""
        self.command_at = now + self._command_backoff.failed(
            now, jitter, floor=max(self.advice.interval, 0.0), retry_after=failure.retry_after
        )
        if failure.lossy or self.state is State.SUBSCRIBING:
            self._tell_lost(failure.cause, session_lost=False)
        else:
            self.outputs.append(Delayed(failure.cause))
        if self._command_backoff.spent:
            self.stop(failure.error)

    def commanded(self, now: float) -> None:
        """A command was answered whole, though perhaps with a "not now" for one channel."""
        self.command = None
        if self.command_at <= now:
            self._command_backoff.reset()
        if self.state is State.SUBSCRIBING:
            self.move(Trigger.SUBSCRIBED)

    def lose(
        self,
        now: float,
        jitter: float,
        cause: str,
        *,
        words: str | None = None,
        told: bool = True,
        farewell: bytes | None = None,
    ) -> None:
        """The session is gone: another handshake.

        Args:
            now: Monotonic seconds.
            jitter: For the wait.
            cause: Why, in a few words.
            words: The server's own, for the log and the error.
            told: The server said so, or it was our wish: the first time in a row there is no wait but the
                advised one, and the one that spreads a crowd where connects had failed just before: then the
                server may have restarted, for all. When it comes again soon, waits grow.
            farewell: A disconnect for the session that is given up, if the server may still hold it.
        """
        floor = max(self.advice.interval, 0.0)
        wait = self._loss_backoff.failed(now, jitter, floor=floor, first_free=told)
        wait = max(wait, self._settings.reconnect.scatter(self._backoff.failures, jitter))
        self._backoff.reset()  # the server answered: what the outage before has counted is over
        self._again(now + wait, cause, words=words, farewell=farewell)
        if self._loss_backoff.spent:
            self.stop(ProtocolError(f"the session could not be kept: {words or cause}", reason=cause))

    def stop(self, error: TocsinError) -> None:
        """No further try can help."""
        self.move(Trigger.STOP)
        self._drop()
        self._channels.clear()
        self.outputs.append(Closed(error))

    def leave(self, now: float) -> None:
        """Nobody wants anything any more."""
        self.move(Trigger.LEAVE)
        self.leave_by = now + self._settings.close_timeout
        if self.client_id is None and self.main is None:
            self.gone()  # between two handshakes: the server knows nothing of us

    def gone(self) -> None:
        """Left."""
        self.move(Trigger.GONE)
        self._drop()
        self.outputs.append(Closed(None))

    def _again(
        self, at: float, cause: str, *, words: str | None = None, farewell: bytes | None = None
    ) -> None:
        self.move(Trigger.LOST)
        self._drop(farewell)
        self.at = at
        self._tell_lost(cause, session_lost=True, words=words)

    def _drop(self, farewell: bytes | None = None) -> None:
        self.outputs.append(Dropped(self.link, farewell))
        self._begin()

    def _tell_lost(self, cause: str, *, session_lost: bool, words: str | None = None) -> None:
        self.outputs.append(Lost(cause, session_lost=session_lost, words=words))

    def _wait(self, now: float, jitter: float, failure: Failure) -> float:
        return self._backoff.failed(
            now, jitter, floor=max(self.advice.interval, 0.0), retry_after=failure.retry_after
        )

    def _stop_if_spent(self, error: TocsinError) -> None:
        if self._backoff.spent and self.state is not State.CLOSED:
            self.stop(error)

    def _haste(self, now: float, *, empty: bool) -> float:
        """Return the seconds to wait because of connects that came back at once with nothing."""
        self._hasty = self._hasty + 1 if empty and now - self.sent_at < _HASTY else 0
        extra = self._hasty - _HASTY_FREE
        return 0.0 if extra <= 0 else min(_HASTY_FIRST * 2.0 ** min(extra - 1, 10), _HASTY_MAX)
