"""A microservice that serves many tenants: from its bootstrap user to one client for each of them."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from tocsin._http._auth import BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._entered import EnteredClient
from tocsin._http._request import Request
from tocsin.cumulocity.client import APPLICATION_HEADER, Cumulocity
from tocsin.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tocsin.cumulocity.client import ClientOptions

__all__ = ["Microservice", "ServiceUser"]

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


class Microservice(EnteredClient):
    """A microservice with ``MULTI_TENANT`` isolation: its bootstrap user learns who subscribed to it.

    ```python
    async with Microservice.from_env() as service:
        for user in await service.users():
            async with service.client(user) as c8y: ...
    ```

    Tenants subscribe and leave while the service runs: ask again from time to time.

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
