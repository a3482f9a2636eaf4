"""A microservice that serves many tenants: from its bootstrap user to one client for each of them."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from anyio import current_time, sleep_until

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._entered import EnteredClient
from tocsin._http._request import Request
from tocsin.cumulocity.client import APPLICATION_HEADER, Cumulocity
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    TocsinError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from tocsin.cumulocity.client import ClientOptions

__all__ = ["Microservice", "ServiceUser", "SubscriptionChange", "Subscriptions"]

log = logging.getLogger("tocsin.cumulocity")

_PATH: Final = "/application/currentApplication/subscriptions"
_SHARED: Final = frozenset(
    {
        "cert",
        "clock",
        "headers",
        "max_in_flight",
        "middleware",
        "proxy",
        "retry",
        "rng",
        "timeouts",
        "transport_factory",
        "trust_env",
        "user_agent",
        "verify",
    }
)
"""Options of a client that matter to the call for the subscriptions too."""


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """The service user by which a microservice acts in one tenant.

    Attributes:
        tenant: The tenant's id.
        name: The user's name.
        password: The password; never shown.
    """

    tenant: str
    name: str
    password: str = field(repr=False)

    @property
    def auth(self) -> BasicAuth:
        """The credentials."""
        return BasicAuth(self.name, self.password, tenant=self.tenant)


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """Tenants that subscribed to a microservice, or unsubscribed.

    Attributes:
        joined: The service users of tenants that are new, or whose service user changed.
        left: Those that are not good any more.
    """

    joined: tuple[ServiceUser, ...]
    left: tuple[ServiceUser, ...]


class Subscriptions:
    """An endless iterator over the changes of a microservice's subscriptions; made by `Microservice`."""

    def __init__(self, users: Callable[[], Awaitable[tuple[ServiceUser, ...]]], every: float) -> None:
        self._users = users
        self._every = every
        self._known: dict[str, ServiceUser] | None = None
        self._at = float("-inf")

    def __aiter__(self) -> Self:
        """Iterate; a second loop goes on where the first one stopped."""
        return self

    async def __anext__(self) -> SubscriptionChange:
        """Wait for the next change. Cancelling it loses none.

        Raises:
            TocsinError: The first answer is none, or the bootstrap user is refused.
        """
        while True:
            await sleep_until(self._at)
            try:
                users = await self._users()
            except (AuthenticationError, PermissionDeniedError, ConfigurationError):
                raise
            except TocsinError as error:
                if self._known is None:
                    raise
                log.warning("the subscriptions are not known for now: %s", error)
            else:
                change = self._compare({user.tenant: user for user in users})
                if change is not None:
                    return change
            finally:
                self._at = current_time() + self._every

    def _compare(self, users: dict[str, ServiceUser]) -> SubscriptionChange | None:
        """What is other than it was; None: nothing. The first answer is a change even if it is empty."""
        known, self._known = self._known, users
        before = known or {}
        joined = tuple(user for tenant, user in users.items() if before.get(tenant) != user)
        left = tuple(user for tenant, user in before.items() if users.get(tenant) != user)
        return SubscriptionChange(joined, left) if joined or left or known is None else None


class Microservice(EnteredClient):
    """A microservice with ``MULTI_TENANT`` isolation: its bootstrap user learns who subscribed to it.

    ::

        async with Microservice.from_env() as service:
            for user in await service.users():
                async with service.client(user) as c8y: ...

    Tenants subscribe and leave while the service runs: `subscriptions` tells who.

    Source: Cumulocity OpenAPI "core", ``GET /application/currentApplication/subscriptions``.

    Args:
        base_url: Where the platform is.
        auth: The bootstrap user.
        options: Options of the clients that it makes, such as `application_key`; see `Cumulocity`.

    Raises:
        ConfigurationError: An argument makes no sense.
    """

    def __init__(self, base_url: str, auth: BasicAuth, **options: Unpack[ClientOptions]) -> None:
        self._options = options
        settings: dict[str, Any] = {name: value for name, value in options.items() if name in _SHARED}
        headers = dict(options.get("headers") or {})
        if key := options.get("application_key"):
            headers[APPLICATION_HEADER] = key
        self._core = HttpCore(base_url, auth=auth, **{**settings, "headers": headers})

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """Make it from what the platform gives to a microservice.

        ``C8Y_BASEURL``, ``C8Y_BOOTSTRAP_TENANT``, ``C8Y_BOOTSTRAP_USER``, ``C8Y_BOOTSTRAP_PASSWORD``, and
        ``APPLICATION_KEY`` for the application header.

        Args:
            environ: Instead of the process's environment.
            options: Options of the clients that it makes.

        Raises:
            ConfigurationError: A variable is missing; it is named.
        """
        env = os.environ if environ is None else environ
        names = ("C8Y_BASEURL", "C8Y_BOOTSTRAP_TENANT", "C8Y_BOOTSTRAP_USER", "C8Y_BOOTSTRAP_PASSWORD")
        for name in names:
            if not env.get(name):
                raise ConfigurationError(f"the environment variable {name} is not set")
        url, tenant, user, password = (env[name] for name in names)
        settings: ClientOptions = {"application_key": env.get("APPLICATION_KEY") or None}
        settings.update(options)
        return cls(url, BasicAuth(user, password, tenant=tenant), **settings)

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        async with self._core:
            yield self

    async def users(self) -> tuple[ServiceUser, ...]:
        """The service users of all tenants that are subscribed now.

        Raises:
            TocsinError: There was no answer, or another one than this.
        """
        response = await self._core.send(Request("GET", _PATH))
        body = response.json()
        rows = body.get("users") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise ProtocolError(f"the answer to GET {_PATH} has no list users")
        return tuple(_user(row) for row in rows)

    def subscriptions(self, *, every: float = 60.0) -> Subscriptions:
        """Follow which tenants are subscribed: all of them first, then what changes.

        Failures that may pass are logged, and it is asked again at the next turn.

        Args:
            every: Seconds between two questions.

        Raises:
            ConfigurationError: `every` is no time.
        """
        if not every > 0:
            raise ConfigurationError("every must be above 0 seconds")
        return Subscriptions(self.users, every)

    def client(self, user: ServiceUser, **options: Unpack[ClientOptions]) -> Cumulocity:
        """A client of one tenant, to be entered with `async with`.

        Args:
            user: The tenant's service user.
            options: Instead of those that were given for all of them.
        """
        settings: ClientOptions = {**self._options, **options}
        return Cumulocity(self._core.base_url, user.auth, **settings)

    def __repr__(self) -> str:
        return f"<Microservice {self._core.base_url}>"


def _user(row: object) -> ServiceUser:
    match row:
        case {"tenant": str(tenant), "name": str(name), "password": str(password)} if tenant and name:
            return ServiceUser(tenant, name, password)
    raise ProtocolError(f"a user in the answer to GET {_PATH} lacks tenant, name or password")
