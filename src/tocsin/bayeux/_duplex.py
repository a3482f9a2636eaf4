"""One session's two-way connection, with all that waits for an answer on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from anyio import CancelScope, Event, move_on_after

from tocsin.bayeux._failures import Failure
from tocsin.bayeux._link import BACKSTOP, known, retire
from tocsin.bayeux._outputs import Kind
from tocsin.bayeux._transport import Reply
from tocsin.errors import AuthenticationError, ConnectError, RequestTimeoutError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin.bayeux._outputs import Send
    from tocsin.bayeux._transport import DuplexTransport

__all__ = ["DuplexLink"]

log = logging.getLogger("tocsin.bayeux")


class DuplexLink:
    """Sends on one transport, and hands over whatever comes, until it is dropped.

    Answers are not matched here: the session does that, and whoever drives it calls `settle`.

    Args:
        transport: Owned: closed by `retire`.
        said: Is given each body that comes.
        broke: Is told when the connection broke.
        elsewhere: The owner has another transport to turn to when a session cannot be had here.
    """

    __slots__ = ("_broke", "_dropped", "_elsewhere", "_said", "_scopes", "_transport", "_waiting")

    def __init__(
        self,
        transport: DuplexTransport,
        *,
        said: Callable[[bytes], None],
        broke: Callable[[Failure], None],
        elsewhere: bool,
    ) -> None:
        self._transport = transport
        self._said = said
        self._broke = broke
        self._elsewhere = elsewhere
        self._scopes: set[CancelScope] = set()
        self._waiting: dict[Send, Event] = {}
        self._dropped = False

    async def exchange(self, send: Send, done: Callable[[Send, Reply | Failure], None]) -> None:
        """Send, and wait until the session has its answer; only a failure to get one is handed over.

        Raises:
            Nothing but a cancellation of the scope that `drop` ends here.
        """
        if self._dropped:
            return
        scope = CancelScope(shield=True)
        self._scopes.add(scope)
        answered = self._waiting[send] = Event()
        outcome: Reply | Failure | None = None
        try:
            with scope:
                outcome = await self._sent(send, answered)
        except* Exception as group:  # noqa: BLE001 - nor is a group of a transport's own task group to escape
            outcome = Failure.of(known(group))
        finally:
            self._scopes.discard(scope)
            self._waiting.pop(send, None)
        if outcome is not None and not self._dropped:
            done(send, self._judged(send, outcome))

    async def listen(self) -> None:
        """Hand over what comes, until dropped."""
        scope = CancelScope(shield=True)
        self._scopes.add(scope)
        with scope:
            while not self._dropped:
                await self._hear()

    def settle(self, awaited: Callable[[Send], bool]) -> None:
        """Let those go who wait for what the session awaits no more."""
        for send, answered in self._waiting.items():
            if not awaited(send):
                answered.set()

    def drop(self) -> None:
        """Cancel all that is in flight: it means nothing any more."""
        self._dropped = True
        for scope in list(self._scopes):
            scope.cancel()

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
        if failure is not None and not self._dropped:
            log.debug("%s", failure.error)
            self._broke(failure)

    async def _sent(self, send: Send, answered: Event) -> Reply | Failure | None:
        with move_on_after(send.total + BACKSTOP):
            try:
                await self._transport.send(send.messages, limit=send.total)
            except TocsinError as error:
                log.debug("%s", error)
                return Failure.of(error)
            if send.last:
                return Reply(b"[]")
            with move_on_after(send.total):
                await answered.wait()
                return None
        # Nothing else on it can be trusted either: a new connection tells.
        self._transport.hang_up()
        return Failure.of(
            RequestTimeoutError(
                f"the server did not answer within {send.total:.0f} s",
                maybe_applied=True,
                reason=f"no answer within {send.total:.0f} s",
            )
        )

    def _judged(self, send: Send, outcome: Reply | Failure) -> Reply | Failure:
        """Where there is another way, what rules out this one is no reason to give up.

        A server that cannot be reached can be reached in no way, and a refused password is wrong everywhere.
        """
        if not self._elsewhere or send.kind is not Kind.HANDSHAKE or isinstance(outcome, Reply):
            return outcome
        if isinstance(outcome.error, AuthenticationError | ConnectError):
            return outcome
        return Failure(
            outcome.error, lossy=outcome.lossy, moved=True, retry_after=outcome.retry_after, held=outcome.held
        )
