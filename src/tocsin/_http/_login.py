"""One log-in at a time for all calls of a client.

A log-in runs in a task of its own: whoever waits for it may be cancelled or run out of time, and the others
still get their token. It tries once, and its failure is everybody's: those who wait raise it, and those who
come soon after raise it too instead of asking again, or a wrong password would lock its user out.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from anyio import Event, create_task_group, current_time

from tocsin._http._auth import LoginAuth
from tocsin.errors import AuthenticationError, ConfigurationError, StatusError, TocsinError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from anyio.abc import TaskGroup

    from tocsin._http._auth import Auth
    from tocsin._http._request import Request, Response

__all__ = ["LogIns", "log_in_refused"]

log = logging.getLogger("tocsin.http")

MARGIN: Final = 60.0
"""Seconds before its end at which a token is renewed; half its lifetime if that is less."""

SHORTEST: Final = 10.0
"""Seconds for which a token is used at least, whatever it says of itself: one that seems to end sooner comes
from clocks that differ a little, and would bring a log-in for each call. The server's 401 is believed."""

_REFUSED: Final = (
    30.0  # seconds for which a refusal stands; doubled each time, or a daemon locks its user out
)
_REFUSED_MOST: Final = 900.0
_FAILED: Final = 1.0  # the same for any other failure
# So many log-ins at most in so many seconds because tokens were refused. Processes that end each other's
# sessions, as there are more of them than the tenant allows, would else log in at every call.
_OFTEN: Final = 5
_WITHIN: Final = 60.0


class _Attempt:
    """One log-in under way."""

    __slots__ = ("done", "error")

    def __init__(self) -> None:
        self.done = Event()
        self.error: TocsinError | None = None


class LogIns:
    """Keeps the token of one client good.

    Args:
        auth: The client's own copy of the credentials.
        clock: Aware UTC now.
        learn: Told the secrets after each log-in.

    Attributes:
        version: How many tokens there have been; 0: none yet.
        listeners: Called after each token but the first. They must neither block nor raise.
    """

    __slots__ = (
        "_auth",
        "_clock",
        "_error",
        "_error_until",
        "_expires",
        "_given",
        "_learn",
        "_recent",
        "_refusals",
        "_renew_at",
        "_send",
        "_settled_at",
        "_tasks",
        "_under_way",
        "_vain",
        "listeners",
        "version",
    )

    def __init__(
        self,
        auth: LoginAuth,
        *,
        clock: Callable[[], datetime],
        learn: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._auth = auth
        self._send: Callable[[Request], Awaitable[Response]] | None = None
        self._clock = clock
        self._learn = learn
        self._tasks: TaskGroup | None = None
        self._under_way: _Attempt | None = None
        self._error: TocsinError | None = None
        self._error_until = 0.0
        self._renew_at = self._expires = float("-inf")
        self._settled_at = 0.0
        self._vain = 0
        self._given = auth.given
        self._refusals = 0
        self._recent: deque[float] = deque(maxlen=_OFTEN)
        self.version = 0
        self.listeners: list[Callable[[], None]] = []

    @classmethod
    def of(
        cls,
        auth: Auth | None,
        *,
        clock: Callable[[], datetime],
        learn: Callable[[tuple[str, ...]], None],
    ) -> Self | None:
        """Make it for credentials that need a log-in; None for all others."""
        return cls(auth, clock=clock, learn=learn) if isinstance(auth, LoginAuth) else None

    async def open(self, send: Callable[[Request], Awaitable[Response]]) -> None:
        """Begin; to be closed in the same task.

        Args:
            send: Sends a request as it is; raises for all answers but 2xx.
        """
        self._send = send
        self._tasks = await create_task_group().__aenter__()

    async def aclose(self) -> None:
        """Give up a log-in under way: those who wait for it are told that the client is closed."""
        tasks, self._tasks = self._tasks, None
        try:
            if tasks is not None:
                tasks.cancel_scope.cancel()
                await tasks.__aexit__(None, None, None)
        finally:
            # They lead back to the client: its secrets must not outlive it until the next garbage collection.
            self._send = self._error = None
            self.listeners.clear()

    async def current(self) -> int:
        """See to it that there is a token that has not expired, and say which one.

        Shortly before it expires the next one is fetched on the side: nobody waits for it.

        Raises:
            TocsinError: There is none.
        """
        now = current_time()
        if now >= self._renew_at:
            if now >= self._expires:
                await self._wait()
            elif now >= self._error_until:
                self._begin()
        return self.version

    async def renewed(self, version: int) -> bool:
        """After a 401: see to it that there is a newer token than the one that was refused.

        Returns:
            False if a new one would be of no use: the last one was refused just after it was given, or
            there have been too many of late.

        Raises:
            TocsinError: There is none.
        """
        if self.version > version:
            return True
        now = current_time()
        if self._vain == version and now < self._settled_at + _REFUSED:
            return False
        if self._under_way is None and len(self._recent) == _OFTEN and now < self._recent[0] + _WITHIN:
            log.debug("a token was refused, but there were %d log-ins in %.0f s", _OFTEN, _WITHIN)
            return False
        await self._wait()
        return True

    def refused(self, version: int) -> None:
        """A token was refused although it is new: logging in again is of no use for a while."""
        self._vain = max(self._vain, version)

    def answered(self) -> None:
        """An answer came: the server may have prolonged the session of its own accord."""
        if self._given != self._auth.given:
            self._given = self._auth.given
            self._use_for(self._auth.lifetime)

    def _use_for(self, lifetime: float | None) -> None:
        if lifetime is None:
            self._expires = self._renew_at = float("inf")
        else:
            lifetime = max(lifetime, SHORTEST)
            self._expires = current_time() + lifetime
            self._renew_at = self._expires - min(MARGIN, lifetime / 2)

    async def _wait(self) -> None:
        """Wait for the log-in under way, or for a new one."""
        attempt = self._under_way
        if attempt is None:
            if self._error is not None and current_time() < self._error_until:
                raise _copy(self._error)
            attempt = self._begin()
        await attempt.done.wait()
        if attempt.error is not None:
            raise _copy(attempt.error)

    def _begin(self) -> _Attempt:
        if self._tasks is None:
            raise ConfigurationError("the client is closed; make a new one")
        if self._under_way is None:
            self._under_way = _Attempt()
            self._tasks.start_soon(self._run, self._under_way, name="tocsin log-in")
        return self._under_way

    async def _run(self, attempt: _Attempt) -> None:
        """Log in; never raises."""
        attempt.error = ConfigurationError("the client was closed while it logged in")
        try:
            await self._auth.log_in(self._send_hiding, self._clock)
        except TocsinError as error:
            attempt.error = error.with_traceback(None)  # it holds this frame, and this frame the attempt
        except Exception as error:
            log.exception("a log-in failed inside")
            attempt.error = ConfigurationError(f"the log-in failed inside: {type(error).__name__}")
            attempt.error.__cause__ = error
        else:
            attempt.error = None
        finally:
            self._settle(attempt)

    async def _send_hiding(self, request: Request) -> Response:
        self._learn(self._auth.secrets)  # a second factor, say: the answer may repeat it
        if self._send is None:
            raise ConfigurationError("the client is closed; make a new one")
        return await self._send(request)

    def _settle(self, attempt: _Attempt) -> None:
        """Note how a log-in ended and let go of those who wait."""
        now = self._settled_at = current_time()
        self._under_way = None
        self._error = attempt.error
        if attempt.error is None:
            self._refusals = 0
            self._recent.append(now)
            self._given = self._auth.given
            self._use_for(self._auth.lifetime)
            self.version += 1
            self._learn(self._auth.secrets)
            if self.version > 1:
                for listener in self.listeners:
                    listener()
        else:
            refused = isinstance(attempt.error, AuthenticationError)
            self._error_until = now + _hold_off(attempt.error, self._refusals)
            self._refusals += refused
            log.debug("a log-in failed: %s", attempt.error)
        attempt.done.set()


def log_in_refused(text: str, error: StatusError) -> AuthenticationError:
    """The error for a log-in that an answer refuses, with what that answer said.

    It is a 401 whatever the status was: a 404 of the log-in must not look like a thing that is not there.

    Args:
        text: What happened, as a sentence.
        error: The answer.
    """
    return AuthenticationError(
        text,
        status=401,
        error=error.error,
        message=error.message,
        info=error.info,
        method=error.method,
        url=error.url,
        attempts=error.attempts,
    )


def _hold_off(error: TocsinError, refusals: int) -> float:
    """Seconds for which a failure is not tried again, after so many refusals in a row."""
    if isinstance(error, AuthenticationError):
        return min(_REFUSED * 2.0 ** min(refusals, 10), _REFUSED_MOST)
    if isinstance(error, ConfigurationError):
        return _REFUSED
    asked = error.retry_after if isinstance(error, StatusError) else None
    return max(_FAILED, min(asked or 0.0, _REFUSED))


def _copy(error: TocsinError) -> TocsinError:
    """An error for one of those who wait: one object raised in many tasks would gather their tracebacks."""
    made = copy.copy(error)
    made.__cause__ = error.__cause__
    if isinstance(made, TransportError):
        made.maybe_applied = False  # the log-in was; the call itself has not left
    return made
