"""One session's two-way connection, with all that waits for an answer on it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import CancelScope, Event, current_time, move_on_after

from tocsin.bayeux._failures import Failure, unanswered
from tocsin.bayeux._link import BACKSTOP, known, retire
from tocsin.bayeux._outputs import Kind
from tocsin.bayeux._transport import Reply
from tocsin.errors import AuthenticationError, ConnectError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.bayeux._outputs import Send
    from tocsin.bayeux._transport import DuplexTransport

__all__ = ["DuplexLink"]

log = logging.getLogger("tocsin.bayeux")


class _Waiting:
    """One exchange that lacks its answer."""

    __slots__ = ("answered", "leaving", "scope")

    def __init__(self) -> None:
        self.scope = CancelScope(shield=True)
        self.answered = Event()
        self.leaving = True
        """It has not been handed to a connection yet."""


class DuplexLink:
    """Sends on one transport, and hands over whatever comes, until it is dropped.

    Answers are not matched here: the session does that, and whoever drives it calls `settle`. Whatever goes
    wrong is told once: by the exchange where there is no connection, else as a break of the connection.

    Args:
        transport: Owned: closed by `retire`.
        said: Is given each body that comes.
        broke: Is told when the connection broke.
        awaits: Whether an exchange still lacks its answer.
        elsewhere: The owner has another transport to turn to when a session cannot be had here.
    """

    __slots__ = (
        "_awaits",
        "_broke",
        "_dropped",
        "_elsewhere",
        "_listening",
        "_said",
        "_transport",
        "_waiting",
    )

    def __init__(
        self,
        transport: DuplexTransport,
        *,
        said: Callable[[bytes], None],
        broke: Callable[[Failure], None],
        awaits: Callable[[Send], bool],
        elsewhere: bool,
    ) -> None:
        self._transport = transport
        self._said = said
        self._broke = broke
        self._awaits = awaits
        self._elsewhere = elsewhere
        self._listening: CancelScope | None = None
        self._waiting: dict[Send, tuple[_Waiting, Callable[[Send, Reply | Failure], None]]] = {}
        self._dropped = False

    async def exchange(self, send: Send, done: Callable[[Send, Reply | Failure], None]) -> None:
        """Send, and wait until the session has its answer; only a failure to get one is handed over.

        Raises:
            Nothing but a cancellation of the scope that `drop` ends here.
        """
        if self._dropped or not self._awaits(send):
            return
        waiting = _Waiting()
        self._waiting[send] = (waiting, done)
        outcome: Reply | Failure | None = None
        try:
            with waiting.scope:
                outcome = await self._sent(send, waiting)
        except* Exception as group:  # noqa: BLE001 - nor is a group of a transport's own task group to escape
            outcome = Failure.of(known(group))
        finally:
            self._waiting.pop(send, None)
        if outcome is not None and not self._dropped:
            done(send, self._judged(send, outcome))

    async def listen(self) -> None:
        """Hand over what comes, until dropped."""
        if self._dropped:
            return
        with CancelScope(shield=True) as self._listening:
            while not self._dropped:
                await self._hear()

    def settle(self) -> None:
        """Let those go whom the session awaits no more; what has not left yet does not leave."""
        for send, (waiting, _) in self._waiting.items():
            if not self._awaits(send):
                waiting.answered.set()
                if waiting.leaving:
                    waiting.scope.cancel()

    def drop(self) -> None:
        """Cancel all that is in flight: it means nothing any more."""
        self._dropped = True
        for waiting, _ in list(self._waiting.values()):
            waiting.scope.cancel()
        if self._listening is not None:
            self._listening.cancel()

    async def retire(self, farewell: bytes | None, limit: float) -> None:
        """Send a last message, if there is one, and close the transport. Bounded, also when cancelled.

        Args:
            farewell: A disconnect. Its answer is not waited for: some servers give none.
            limit: Seconds that it may take.
        """
        self.drop()

        async def goodbye(message: bytes) -> None:
            await self._transport.send(message, limit=limit)

        await retire(goodbye, self._transport.aclose, farewell, limit)

    async def _hear(self) -> None:
        failure: Failure | None = None
        try:
            for body in await self._transport.receive():
                self._said(body)
        except* Exception as group:  # noqa: BLE001 - as above
            failure = Failure.of(known(group))
        if failure is None or self._dropped:
            return
        log.debug("%s", failure.error)
        for send, (_, done) in self._waiting.items():
            if send.kind is Kind.HANDSHAKE:  # a server that hangs up at it may not speak Bayeux here
                done(send, self._judged(send, failure))
                return
        self._broke(failure)

    async def _sent(self, send: Send, waiting: _Waiting) -> Reply | Failure | None:
        began = current_time()
        with move_on_after(send.total + BACKSTOP):
            try:
                await self._transport.send(send.messages, limit=send.total)
            except TocsinError as error:
                log.debug("%s", error)
                return Failure.of(error)
            waiting.leaving = False
            if send.last:
                return Reply(b"[]")
            with move_on_after(send.total):
                await waiting.answered.wait()
                return None
        heard = self._transport.heard_at
        alive = heard > began and current_time() - heard < send.silence
        overdue = unanswered(send.total, alive=bool(send.held) and alive)
        # Nothing else on it can be trusted either: a new connection tells.
        told = self._transport.hang_up(overdue) and send.kind is not Kind.HANDSHAKE
        return None if told else Failure.of(overdue)

    def _judged(self, send: Send, outcome: Reply | Failure) -> Reply | Failure:
        """Where there is another way, what rules out this one is no reason to give up.

        A server that cannot be reached can be reached in no way, and a refused password is wrong everywhere.
        """
        if not self._elsewhere or isinstance(outcome, Reply):
            return outcome
        if isinstance(outcome.error, AuthenticationError | ConnectError):
            return outcome
        if send.kind is not Kind.HANDSHAKE:  # a new handshake finds out what is to be had
            return replace(outcome, fatal=False, rejected=outcome.rejected or outcome.fatal)
        return Failure(
            outcome.error, lossy=outcome.lossy, moved=True, retry_after=outcome.retry_after, held=outcome.held
        )
