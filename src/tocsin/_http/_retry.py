"""When a failed call is tried again: the policy, the decision, and tenacity behind it.

The decision is a function of its arguments alone. tenacity is loaded and entered only after a first failure:
a call that succeeds pays nothing for it (0.2 µs instead of 50 to 90).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from tocsin._http._request import is_number
from tocsin.errors import ConfigurationError, StatusError, TocsinError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["JITTER", "RetryPolicy", "retried", "wait_before_retry"]

JITTER: Final = random.SystemRandom()
"""Draws for all who bring no generator of their own: one holds 2.5 kB, and forked copies would draw alike."""

_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503
# "Not Implemented" and "HTTP Version Not Supported" will be said again.
_FOR_GOOD = frozenset({501, 505})
_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how long and with which waits a failed call is tried again.

    What is retried: a call that may be repeated (GET, HEAD, PUT, DELETE, OPTIONS) after connection errors,
    time-outs, 408, 429 and 5xx but 501 and 505; any other (POST) only if its request never left this machine
    or the server refused it (429; 503 with Retry-After).

    The wait before the n-th retry is drawn evenly from 0 to ``min(wait_max, wait_initial * 2**(n - 1))``
    (full jitter). A Retry-After of the server is obeyed instead, with a draw up to `wait_initial` on top so
    that clients do not come back all at once.

    Args:
        attempts: Greatest number of attempts, the first one included.
        total: Seconds from the beginning of the call after which no attempt is begun. (`Timeouts.total`
            bounds the attempts themselves too.)
        wait_initial: Seconds; see above.
        wait_max: Seconds; see above.
        retry_after_max: Seconds. A server that asks for more is not waited for: the error is raised at once,
            with its `retry_after`.

    Raises:
        ConfigurationError: A value makes no sense.
    """

    attempts: int = 4
    total: float = 45.0
    wait_initial: float = 0.5
    wait_max: float = 20.0
    retry_after_max: float = 60.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise ConfigurationError("RetryPolicy: attempts must be 1 or more (1 means no retries)")
        for name in ("total", "wait_initial", "wait_max", "retry_after_max"):
            if not is_number(getattr(self, name)) or not getattr(self, name) >= 0:
                raise ConfigurationError(f"RetryPolicy: {name} must be 0 seconds or more")

    @classmethod
    def none(cls) -> RetryPolicy:
        """Never try again."""
        return cls(attempts=1)


def wait_before_retry(
    policy: RetryPolicy,
    error: BaseException,
    *,
    attempt: int,
    elapsed: float,
    limit: float,
    idempotent: bool,
    draw: float,
) -> float | None:
    """Decide whether a failed call is tried again, and when.

    Args:
        policy: The policy.
        error: What the last attempt ended with. Its `maybe_applied` says whether the request left.
        attempt: How many attempts were made.
        elapsed: Seconds since the call began.
        limit: Seconds after which the call may not run any more (`Timeouts.total`).
        idempotent: Whether the call may be repeated although it may have been applied.
        draw: A random number from 0 to 1.

    Returns:
        Seconds to wait, or None: raise `error`.
    """
    if attempt >= policy.attempts or not _worth_repeating(error, idempotent=idempotent):
        return None
    asked = error.retry_after if isinstance(error, StatusError) else None
    if asked is None:
        wait = draw * min(policy.wait_max, policy.wait_initial * 2 ** min(attempt - 1, _MAX_DOUBLINGS))
    elif asked > policy.retry_after_max:
        return None
    else:
        wait = asked + draw * policy.wait_initial
    return wait if elapsed + wait < min(policy.total, limit) else None


def _worth_repeating(error: BaseException, *, idempotent: bool) -> bool:
    if isinstance(error, TransportError):
        return not error.permanent and (idempotent or not error.maybe_applied)
    if not isinstance(error, StatusError):
        return False
    status = error.status
    if status == _TOO_MANY_REQUESTS or (status == _UNAVAILABLE and error.retry_after is not None):
        return True
    return idempotent and (status == _REQUEST_TIMEOUT or (status >= 500 and status not in _FOR_GOOD))


async def retried(
    call: Callable[[], Awaitable[T]],
    first: TocsinError,
    wait: float,
    decide: Callable[[BaseException, int], float | None],
    told: Callable[[BaseException, float], None],
) -> T:
    """Go on after a first failure that is worth a retry.

    Args:
        call: Makes one attempt.
        first: What the first attempt raised.
        wait: Seconds before the second attempt.
        decide: From an error and the number of attempts to seconds to wait, or None to give up.
        told: Called before each wait with the error and the seconds.

    Returns:
        What the first good attempt gave.

    Raises:
        TocsinError: What the last attempt raised, as itself.
    """
    import tenacity  # 40 ms that a run without failures never pays

    pause: float | None = wait
    pending: TocsinError | None = first

    async def attempt() -> T:
        nonlocal pending
        if pending is not None:  # tenacity's first attempt is the one that we have made already
            error, pending = pending, None
            raise error
        return await call()

    def again(state: tenacity.RetryCallState) -> bool:
        nonlocal pause
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None and error is not first:
            pause = decide(error, state.attempt_number)
        return error is not None and pause is not None

    def before_sleep(state: tenacity.RetryCallState) -> None:
        if state.outcome is not None and (error := state.outcome.exception()) is not None:
            told(error, state.upcoming_sleep)

    retrying = tenacity.AsyncRetrying(
        sleep=anyio.sleep,  # its own needs sniffio
        retry=again,
        wait=lambda _: pause or 0.0,
        stop=tenacity.stop_never,  # the decision knows the limits; stop_after_delay reads the wrong clock
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(attempt)
