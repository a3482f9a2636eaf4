"""One log-in at a time for all calls of a client.

A log-in runs in a task of its own: whoever waits for it may be cancelled or run out of time, and the others
still get their token. It tries once, and its failure is everybody's: those who wait raise it, and those who
come soon after raise it too instead of asking again, or a wrong password would lock its user out.
"""

from __future__ import annotations

import copy
import logging
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

__all__ = ["LogIns"]

log = logging.getLogger("tocsin.http")

MARGIN: Final = 60.0
"""Seconds before its end at which a token is renewed; half its lifetime if that is less."""

_REFUSED: Final = 30.0  # seconds for which a refusal stands
_FAILED: Final = 1.0  # the same for any other failure


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
        "_learn",
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
            False if a new one would be refused too: the last one was, just after it was given.

        Raises:
            TocsinError: There is none.
        """
        if self.version > version:
            return True
        if self._vain == version and current_time() < self._settled_at + _REFUSED:
            return False
        await self._wait()
        return True

    def refused(self, version: int) -> None:
        """A token was refused although it is new: logging in again is of no use for a while."""
        self._vain = max(self._vain, version)

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
            lifetime = self._auth.lifetime
            self._expires = float("inf") if lifetime is None else now + lifetime
            self._renew_at = self._expires - min(MARGIN, (lifetime or 0.0) / 2)
            self.version += 1
            self._learn(self._auth.secrets)
            if self.version > 1:
                for listener in self.listeners:
                    listener()
        else:
            self._error_until = now + _hold_off(attempt.error)
            log.debug("a log-in failed: %s", attempt.error)
        attempt.done.set()


def _hold_off(error: TocsinError) -> float:
    """Seconds for which a failure is not tried again."""
    if isinstance(error, AuthenticationError | ConfigurationError):
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
