"""The course of a consumer: what it does next, and what follows from what failed. No I/O, clock or random.

    SUBSCRIBE ─→ TOKEN ─→ OPEN ─→ LISTEN
                  ↑ 401 ───┘        │ closed, whatever the code
                  └─────────────────┴ after a wait

The platform refuses at the WebSocket's handshake, not by close codes (reference `cumulocity.md` 4.3): 401 is
a token that expired, 409 another connection of the same exclusive consumer. After a crash the platform may
take the dead one for connected for a while, so 409 is waited out.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from tocsin._stream._backoff import Backoff
from tocsin.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    StatusError,
    TransportError,
    UnprocessableError,
)

if TYPE_CHECKING:
    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin.errors import TocsinError

__all__ = ["Course", "Step"]

_OCCUPIED: Final = 5.0
"""Seconds between two tries, at least, while another connection holds the consumer; twice that at most. A
dead one does so for about a minute: longer waits would sleep through the moment in which it is let go."""
_REFUSALS: Final = 3
"""Refusals in a row before a consumer that was connected believes them."""


class Step(Enum):
    """What a consumer does next."""

    SUBSCRIBE = "subscribe"
    TOKEN = "token"  # noqa: S105 - a step's name
    OPEN = "open"
    LISTEN = "listen"
    OVER = "over"


class Course:
    """Where a consumer stands. Times are monotonic seconds.

    Attributes:
        step: What to do next.
        at: When.
        sockets: How many have been opened.
        error: Why it is over.
        cause: Why it is not connected, in a few words.
    """

    def __init__(self, policy: ReconnectPolicy) -> None:
        self._backoff = Backoff(policy)
        self._new_token = False
        self._refusals = 0
        self.step = Step.SUBSCRIBE
        self.at = 0.0
        self.sockets = 0
        self.error: TocsinError | None = None
        self.cause = "not yet connected"

    def subscribed(self) -> None:
        """The topic is fed."""
        self.step = Step.TOKEN

    def expired(self) -> None:
        """The token at hand can be used no more."""
        if self.step is Step.OPEN:
            self.step = Step.TOKEN

    def got_token(self) -> None:
        """There is a new token."""
        self._new_token = True
        self.step = Step.OPEN

    def opened(self, now: float) -> None:
        """The socket stands."""
        self._new_token = False
        self._refusals = 0
        self._backoff.good(now)
        self.sockets += 1
        self.step = Step.LISTEN

    def renewed(self) -> None:
        """A new socket is wanted, over a subscription that is looked at again."""
        self.step = Step.SUBSCRIBE

    def failed(self, error: TocsinError, now: float, jitter: float) -> None:
        """The step at hand failed.

        Args:
            error: How.
            now: Monotonic seconds.
            jitter: A number drawn evenly from [0, 1).
        """
        failed, self.cause = self.step, error.reason
        if self._is_final(error):
            self._end(error)
            return
        if failed is Step.LISTEN:
            self.step = Step.OPEN
        elif isinstance(error, AuthenticationError) and failed is Step.OPEN:
            stale, self._new_token, self.step = not self._new_token, False, Step.TOKEN
            if stale:  # it expired while it lay here: a new one is tried at once
                self.at = now
                return
            self._refusals += 1
        elif isinstance(error, AuthenticationError):
            self._refusals += 1
        elif isinstance(error, NotFoundError | UnprocessableError | BadRequestError):
            self.step = Step.SUBSCRIBE  # somebody deleted what was there
        asked = error.retry_after if isinstance(error, StatusError) else None
        wait = self._backoff.failed(now, jitter, retry_after=asked)
        if isinstance(error, ConflictError):
            self.cause = "another connection holds this consumer"
            wait = wait if asked else _OCCUPIED * (1.0 + jitter)
        self.at = now + wait
        if self._backoff.spent or self._refusals >= _REFUSALS:
            self._end(error)

    def _is_final(self, error: TocsinError) -> bool:
        """Whether no further try can help."""
        if isinstance(error, ConfigurationError):
            return True
        if self.sockets:
            return False
        if isinstance(error, TransportError) and error.permanent:
            return True
        if isinstance(error, AuthenticationError):  # a token that was just made is good, or none will be
            return self.step is not Step.OPEN or self._new_token
        return isinstance(error, PermissionDeniedError | NotFoundError | UnprocessableError | BadRequestError)

    def _end(self, error: TocsinError) -> None:
        self.step, self.error = Step.OVER, error
