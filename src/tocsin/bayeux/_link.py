"""One session's transport with all that is in flight on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from anyio import CancelScope, current_time, move_on_after

from tocsin.bayeux._failures import Failure, unanswered
from tocsin.errors import TocsinError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin.bayeux._outputs import Send
    from tocsin.bayeux._transport import Reply, Transport

__all__ = ["BACKSTOP", "Link", "known", "retire"]

log = logging.getLogger("tocsin.bayeux")

BACKSTOP = 1.0
"""Seconds by which a transport may overrun its limits."""
_CLOSING = 2.0


class Link:
    """Runs exchanges on one transport until it is dropped.

    The exchanges are shielded: when the owner is cancelled, it still has a disconnect to send, and ends them
    itself by `drop`.

    Args:
        transport: Owned: closed by `retire`.
    """

    __slots__ = ("_dropped", "_scopes", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._scopes: set[CancelScope] = set()
        self._dropped = False

    async def exchange(self, send: Send, done: Callable[[Send, Reply | Failure], None]) -> None:
        """Run one exchange and hand over what came of it; nothing if the link was dropped meanwhile.

        Raises:
            Nothing but a cancellation of the scope that `drop` ends here.
        """
        if self._dropped:
            return
        # The transport keeps the limits; this keeps the transport.
        scope = CancelScope(deadline=current_time() + send.total + BACKSTOP, shield=True)
        self._scopes.add(scope)
        outcome: Reply | Failure | None = None
        try:
            with scope:
                outcome = await self._exchanged(send)
            if outcome is None:
                outcome = Failure.of(unanswered(send.total))
        except* Exception as group:  # noqa: BLE001 - nor is a group of a transport's own task group to escape
            outcome = Failure(known(group))
        finally:
            self._scopes.discard(scope)
        if not self._dropped:
            done(send, outcome)

    def drop(self) -> None:
        """Cancel all that is in flight: it means nothing any more."""
        self._dropped = True
        for scope in list(self._scopes):
            scope.cancel()

    async def retire(self, farewell: bytes | None, limit: float) -> None:
        """Send a last message, if there is one, and close the transport. Bounded, also when cancelled.

        Args:
            farewell: A disconnect.
            limit: Seconds that it may take.
        """
        self.drop()

        async def goodbye(message: bytes) -> None:
            await self._transport.exchange(message, held=None, silence=limit, total=limit)

        await retire(goodbye, self._transport.aclose, farewell, limit)

    async def _exchanged(self, send: Send) -> Reply | Failure:
        try:
            return await self._transport.exchange(
                send.messages, held=send.held, silence=send.silence, total=send.total
            )
        except TocsinError as error:
            log.debug("%s", error)  # what is told of it is short
            return Failure.of(error)


async def retire(
    goodbye: Callable[[bytes], Awaitable[None]],
    close: Callable[[], Awaitable[None]],
    farewell: bytes | None,
    limit: float,
) -> None:
    """Say goodbye and close, each within its limit and whatever happens."""
    try:
        if farewell is not None:
            with move_on_after(limit, shield=True):
                await goodbye(farewell)
    except* Exception as group:  # noqa: BLE001 - the session is given up: nobody is left to tell
        log.debug("a session that was given up could not be ended: %s", known(group))
    try:
        with move_on_after(_CLOSING, shield=True):
            await close()
    except* Exception as group:  # noqa: BLE001 - as above
        log.debug("a transport could not be closed: %s", known(group))


def known(group: BaseExceptionGroup[Exception]) -> TocsinError:
    """Return the error in a group as one of ours."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TocsinError):
        return error
    wrapped = TransportError(f"the transport failed: {type(error).__name__}", maybe_applied=True)
    wrapped.__cause__ = error
    log.error("a transport raised an error that is not its to raise", exc_info=error)
    return wrapped
