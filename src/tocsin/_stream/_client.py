"""What the clients of all platforms have in common: how they are entered, their options, their views."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypedDict

from tocsin._http._entered import EnteredClient
from tocsin._stream._owner import TaskOwner
from tocsin.errors import ConfigurationError
from tocsin.models import Unset

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, Callable, Sequence

    import httpx

    from tocsin._http._core import HttpCore
    from tocsin._http._request import Timeouts
    from tocsin._http._retry import RetryPolicy
    from tocsin._http._transport import Certificate, Verify
    from tocsin._http._wire import Middleware
    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin._stream._policy import RecoveryPolicy

__all__ = ["PlatformClient", "PlatformOptions", "utc_now"]


class PlatformOptions(TypedDict, total=False):
    """The options that the clients of all platforms take."""

    name: str | None
    timeouts: Timeouts
    retry: RetryPolicy
    reconnect: ReconnectPolicy
    recovery: RecoveryPolicy
    verify: Verify
    cert: Certificate | None
    proxy: str | None
    trust_env: bool
    headers: Mapping[str, str] | None
    user_agent: str | None
    transport_factory: Callable[[], httpx.AsyncBaseTransport] | None
    middleware: Sequence[Middleware]
    max_in_flight: int | None
    open_timeout: float | None
    close_timeout: float
    clock: Callable[[], datetime] | None
    rng: random.Random | None


class PlatformClient(EnteredClient):
    """Owns the connections and the tasks of one client; a view of it shares them.

    Args:
        core: Sends the requests.
        label: What the client is called in messages, such as ``Cumulocity client``.
        open_timeout: Seconds that entering a stream may take; None: for ever.

    Raises:
        ConfigurationError: An argument makes no sense.
    """

    def __init__(self, core: HttpCore, label: str, open_timeout: float | None) -> None:
        if open_timeout is not None and not open_timeout > 0:
            raise ConfigurationError("open_timeout must be above 0 seconds, or None")
        self._core = core
        self._owner = TaskOwner(label)
        self._view = False

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        if self._view:
            raise ConfigurationError("a view made by with_options() is not entered: enter the client itself")
        async with self._core, self._owner.open():
            yield self

    @property
    @abstractmethod
    def site(self) -> str:
        """What its changes are marked with."""

    def _viewed(
        self,
        timeout: Timeouts | float | Unset,
        retry: RetryPolicy | Unset,
        headers: Mapping[str, str] | Unset,
    ) -> Self:
        """Make a view with other options, all but what the platform adds.

        Raises:
            ConfigurationError: An argument makes no sense.
        """
        if not isinstance(headers, Unset | Mapping):
            raise ConfigurationError(
                f"headers is a mapping from names to values, not {type(headers).__name__}"
            )
        if isinstance(timeout, int | float):
            timeout = replace(self._core.timeouts, total=timeout)
        view = object.__new__(type(self))
        view._owner = self._owner
        view._core = self._core.with_options(timeouts=timeout, retry=retry, headers=headers)
        view._view = True
        return view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._core.base_url}, site {self.site!r}>"


def utc_now() -> datetime:
    """The clock of a client that was given none."""
    return datetime.now(UTC)
