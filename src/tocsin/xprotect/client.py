"""The client of one XProtect site: owns the connections, the tasks and the token."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self, Unpack
from urllib.parse import urlsplit

from tocsin._http._auth import Auth, BasicAuth
from tocsin._http._core import HttpCore
from tocsin._http._request import Timeouts
from tocsin._http._retry import JITTER, RetryPolicy
from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._client import PlatformClient, PlatformOptions, utc_now
from tocsin._stream._policy import RecoveryPolicy
from tocsin.errors import ConfigurationError
from tocsin.models import UNSET, Unset
from tocsin.xprotect._discovery import Site
from tocsin.xprotect._following import Following, Kept
from tocsin.xprotect._gateway import Gateway
from tocsin.xprotect._login import BasicUser, Credentials, TokenAuth, WindowsUser

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import httpx

    from tocsin._http._pages import Pages
    from tocsin._http._request import Request, Response
    from tocsin._http._transport import Certificate, Verify
    from tocsin._http._wire import Middleware
    from tocsin.xprotect._configuration import Configuration
    from tocsin.xprotect.alarms import Alarms
    from tocsin.xprotect.events import Events
    from tocsin.xprotect.models import AlarmDefinition, Camera, EventType

__all__ = ["ClientOptions", "XProtect"]

_PAGE_SIZE: Final = 1000
"""Items of a page of a configuration list."""


class ClientOptions(PlatformOptions, total=False):
    """The options of a client; see `XProtect`."""


class XProtect(PlatformClient):
    """An XProtect site. Enter it with `async with`, once, and leave it in the same task.

    Leaving ends all its streams. An error in the block leaves as itself.

    Args:
        base_url: Where the management server with its API Gateway is, such as ``https://vms.example.com``.
        auth: Who logs in: `BasicUser`, `WindowsUser` or `ClientCredentials`; or a `BearerAuth` for a token
            that somebody else has obtained.
        name: What changes are marked with as their `site`; by default the host.
        timeouts: Time limits of each call.
        retry: When failed calls are tried again.
        reconnect: When a live channel that broke is tried again.
        recovery: How streams find what live messages did not bring.
        verify: False, a path to certificates, or an `ssl.SSLContext`, instead of the usual trust.
        cert: A client certificate.
        proxy: The URL of a proxy; None: as the environment says.
        trust_env: Whether the environment's proxies are obeyed.
        headers: Sent with each request.
        user_agent: Instead of ``tocsin/<version>``.
        transport_factory: Makes the httpx transports instead of us (docs/performance.md tells which we make).
        middleware: ``async (request, call_next)``, called for each attempt.
        max_in_flight: The most requests at a time; None: 32, or 8 on httpx's pool.
        open_timeout: Seconds that entering a stream may take; None: for ever.
        close_timeout: Seconds that taking leave of the server may take.
        clock: Aware UTC now.
        rng: Draws the jitter.

    Raises:
        ConfigurationError: An argument makes no sense.
    """

    def __init__(
        self,
        base_url: str,
        auth: Credentials | Auth | None,
        *,
        name: str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        reconnect: ReconnectPolicy = ReconnectPolicy(),  # noqa: B008 - frozen
        recovery: RecoveryPolicy = RecoveryPolicy(),  # noqa: B008 - frozen
        verify: Verify = True,
        cert: Certificate | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        transport_factory: Callable[[], httpx.AsyncBaseTransport] | None = None,
        middleware: Sequence[Middleware] = (),
        max_in_flight: int | None = None,
        open_timeout: float | None = 60.0,
        close_timeout: float = 2.0,
        clock: Callable[[], datetime] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        clock = clock or utc_now
        rng = rng or JITTER
        site = Site(base_url)
        core = HttpCore(
            site.base_url,
            auth=_auth(auth, site),
            timeouts=timeouts,
            retry=retry,
            headers=headers,
            user_agent=user_agent,
            verify=verify,
            cert=cert,
            proxy=proxy,
            trust_env=trust_env,
            transport_factory=transport_factory,
            middleware=middleware,
            max_in_flight=max_in_flight,
            rng=rng,
            clock=clock,
        )
        super().__init__(core, "XProtect client", open_timeout)
        self._events: Events | None = None
        gateway = Gateway(self._core, site)
        self._following = Following(
            gateway=gateway,
            kept=Kept(gateway),
            owner=self._owner,
            site=name or urlsplit(self._core.base_url).netloc,
            reconnect=reconnect,
            recovery=recovery,
            clock=clock,
            rng=rng,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """Make a client from the environment.

        ``XPROTECT_URL``, ``XPROTECT_USER`` and ``XPROTECT_PASSWORD``; ``XPROTECT_AUTH`` is ``basic`` or
        ``windows``, and without it a user with a backslash is one of Windows.

        Args:
            environ: Instead of the process's environment.
            options: Further options; they win over the environment.

        Raises:
            ConfigurationError: A variable is missing or makes no sense; it is named.
        """
        env = os.environ if environ is None else environ
        for name in ("XPROTECT_URL", "XPROTECT_USER", "XPROTECT_PASSWORD"):
            if not env.get(name):
                raise ConfigurationError(f"the environment variable {name} is not set")
        return cls(env["XPROTECT_URL"], _env_auth(env), **options)

    @property
    def alarms(self) -> Alarms:
        """The alarms of the site."""
        from tocsin.xprotect.alarms import Alarms

        following = self._following
        return Alarms(
            following.gateway,
            self._owner.start,
            clock=following.clock,
            following=following,
            lookups=following.kept.lookups,
        )

    @property
    def events(self) -> Events:
        """The events of the site and the states of its devices."""
        if self._events is None:  # made once, because it keeps the names that it has asked for
            from tocsin.xprotect.events import Events

            self._events = Events(self._following)
        return self._events

    def cameras(self, *, include_disabled: bool = False, page_size: int = _PAGE_SIZE) -> Pages[Camera]:
        """List the cameras that the user may see. Await the result for its first page, iterate it for all.

        Args:
            include_disabled: Those that are not in use too.
            page_size: Cameras of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        return self._configuration.cameras(include_disabled=include_disabled, page_size=page_size)

    def event_types(self, *, page_size: int = _PAGE_SIZE) -> Pages[EventType]:
        """List the types of events. Await the result for its first page, iterate it for all.

        Args:
            page_size: Types of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        return self._configuration.event_types(page_size=page_size)

    def alarm_definitions(
        self, *, include_disabled: bool = False, page_size: int = _PAGE_SIZE
    ) -> Pages[AlarmDefinition]:
        """List what makes alarms of events. Await the result for its first page, iterate it for all.

        Args:
            include_disabled: Those that are not in use too.
            page_size: Definitions of a page, 1 to 2000.

        Raises:
            ConfigurationError: `page_size` is out of range.
        """
        return self._configuration.alarm_definitions(include_disabled=include_disabled, page_size=page_size)

    @property
    def _configuration(self) -> Configuration:
        from tocsin.xprotect._configuration import Configuration

        return Configuration(self._following.gateway, self._owner.start)

    async def send(self, request: Request) -> Response:
        """Send any request to the REST services, with the credentials, limits and retries of this client.

        For what tocsin has no words for, and for whoever wants the answer as it came. Cancelling it leaves
        unknown whether a write took effect.

        Args:
            request: What to send, its path below the REST base; ``Request("GET", "/cameras")``.

        Returns:
            A 2xx answer: status, headers, body, `json()`.

        Raises:
            TocsinError: As every other call does; see `tocsin.errors`.
        """
        return await self._following.gateway.send(request)

    @property
    def site(self) -> str:
        """What its changes are marked with."""
        return self._following.site

    def with_options(
        self,
        *,
        timeout: Timeouts | float | Unset = UNSET,
        retry: RetryPolicy | Unset = UNSET,
        headers: Mapping[str, str] | Unset = UNSET,
    ) -> Self:
        """Make a view with other options. It shares connections, token and streams with the client.

        Args:
            timeout: Limits instead of the client's; a number is the limit of a whole call in seconds.
            retry: Instead of the client's.
            headers: Added to the client's.

        Raises:
            ConfigurationError: An argument makes no sense.
        """
        view = self._viewed(timeout, retry, headers)
        gateway = Gateway(view._core, self._following.gateway.site)
        view._following = replace(self._following, gateway=gateway)
        view._events = None
        return view


def _auth(auth: object, site: Site) -> Auth | None:
    """What gives the requests their token.

    Raises:
        ConfigurationError: Credentials of another kind of platform.
    """
    if isinstance(auth, Credentials):
        return TokenAuth(auth, site)
    if auth is not None and (isinstance(auth, type | BasicAuth) or not isinstance(auth, Auth)):
        raise ConfigurationError(
            "auth is BasicUser(user, password), WindowsUser(user, password), ClientCredentials(id, secret) "
            f"or BearerAuth(token), not {'a class' if isinstance(auth, type) else type(auth).__name__}"
        )
    return auth


def _env_auth(env: Mapping[str, str]) -> Credentials:
    user, password = env["XPROTECT_USER"], env["XPROTECT_PASSWORD"]
    kind = env.get("XPROTECT_AUTH") or ("windows" if "\\" in user else "basic")
    if kind not in {"basic", "windows"}:
        raise ConfigurationError("the environment variable XPROTECT_AUTH is basic or windows")
    return WindowsUser(user, password) if kind == "windows" else BasicUser(user, password)
