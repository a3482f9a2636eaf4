"""The client of one Cumulocity tenant: owns the connections, the tasks and the shared Bayeux session."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self, Unpack
from urllib.parse import urlsplit

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin._http._core import HttpCore
from tocsin._http._request import Timeouts
from tocsin._http._retry import JITTER, RetryPolicy
from tocsin._stream._backoff import ReconnectPolicy
from tocsin._stream._client import PlatformClient, PlatformOptions, utc_now
from tocsin._stream._policy import RecoveryPolicy
from tocsin.bayeux._settings import SessionSettings
from tocsin.cumulocity._login import OAuthInternal
from tocsin.cumulocity._proof import RestProof
from tocsin.cumulocity._realtime import Realtime
from tocsin.cumulocity._service import WriteTerms, processing
from tocsin.cumulocity.alarms import Alarms
from tocsin.cumulocity.changes import Following
from tocsin.cumulocity.notification2._attach import Notifications
from tocsin.errors import ConfigurationError
from tocsin.models import UNSET, Unset

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import httpx

    from tocsin._http._auth import Auth
    from tocsin._http._request import Request, Response
    from tocsin._http._transport import Certificate, Verify
    from tocsin._http._wire import Middleware
    from tocsin.cumulocity.models import ProcessingMode
    from tocsin.cumulocity.notification2._service import Notification2

__all__ = ["APPLICATION_HEADER", "ClientOptions", "Cumulocity"]

_ALLOWANCE: Final = 10.0
"""Seconds that the network may take for one exchange of the live channel."""

APPLICATION_HEADER: Final = "X-Cumulocity-Application-Key"


class ClientOptions(PlatformOptions, total=False):
    """The options of a client; see `Cumulocity`."""

    tenant: str | None
    application_key: str | None
    processing_mode: ProcessingMode | str | None
    advice_timeout: float
    liveness: float


class Cumulocity(PlatformClient):
    """A Cumulocity tenant. Enter it with `async with`, once, and leave it in the same task.

    Leaving ends all its streams. An error in the block leaves as itself.

    Args:
        base_url: Where the tenant is, such as ``https://acme.example.com``.
        auth: The credentials.
        name: What changes are marked with as their `site`; by default the tenant, or else the host.
        tenant: The tenant's id, such as ``t07007007``, if `auth` has a user but no tenant.
        application_key: Sent with each request. Without it the platform may take the traffic for a device's.
        processing_mode: What the platform does with writes, such as `ProcessingMode.QUIESCENT` to notify
            nobody; None: store and notify.
        timeouts: Time limits of each call.
        retry: When failed calls are tried again.
        reconnect: When a live channel that broke is tried again.
        recovery: How streams find what live messages did not bring.
        advice_timeout: Seconds for which the server is asked to hold a poll.
        liveness: Seconds of silence after which the live channel counts as dead.
        verify: False, a path to certificates, or an `ssl.SSLContext`, instead of the usual trust.
        cert: A client certificate.
        proxy: The URL of a proxy; None: as the environment says.
        trust_env: Whether the environment's proxies are obeyed.
        headers: Sent with each request.
        user_agent: Instead of ``tocsin/<version>``.
        transport_factory: Makes the httpx transports instead of us (docs/performance.md tells which we make).
        middleware: ``async (request, call_next)``, called for each attempt.
        max_in_flight: The most requests at a time, held polls apart; None: 32, or 8 on httpx's pool.
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
        auth: Auth | None,
        *,
        name: str | None = None,
        tenant: str | None = None,
        application_key: str | None = None,
        processing_mode: ProcessingMode | str | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        reconnect: ReconnectPolicy = ReconnectPolicy(),  # noqa: B008 - frozen
        recovery: RecoveryPolicy = RecoveryPolicy(),  # noqa: B008 - frozen
        advice_timeout: float = 30.0,
        liveness: float = 45.0,
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
        auth, tenant = _with_tenant(auth, tenant)
        clock = clock or utc_now
        rng = rng or JITTER
        settings = _session(advice_timeout, liveness, close_timeout, reconnect)
        core = HttpCore(
            base_url,
            auth=auth,
            timeouts=timeouts,
            retry=retry,
            headers={**(headers or {}), **({APPLICATION_HEADER: application_key} if application_key else {})},
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
        super().__init__(core, "Cumulocity client", open_timeout)
        self._terms = WriteTerms(processing(processing_mode))
        self._following = Following(
            core=self._core,
            owner=self._owner,
            realtime=Realtime(self._core, self._owner, settings, rng),
            notifications=Notifications(self._owner, settings, rng, clock),
            proof=RestProof(),
            site=name or tenant or urlsplit(self._core.base_url).netloc,
            recovery=recovery,
            clock=clock,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Unpack[ClientOptions]) -> Self:
        """Make a client from the variables that Cumulocity gives to a microservice.

        ``C8Y_BASEURL``; ``C8Y_TOKEN``, or ``C8Y_USER`` and ``C8Y_PASSWORD`` with ``C8Y_TENANT``; and
        ``APPLICATION_KEY`` for the application header.

        Args:
            environ: Instead of the process's environment.
            options: Further options; they win over the environment.

        Raises:
            ConfigurationError: A variable is missing; it is named.
        """
        env = os.environ if environ is None else environ
        url = env.get("C8Y_BASEURL")
        if not url:
            raise ConfigurationError("the environment variable C8Y_BASEURL is not set")
        tenant = env.get("C8Y_TENANT") or None
        settings: ClientOptions = {"tenant": tenant, "application_key": env.get("APPLICATION_KEY") or None}
        settings.update(options)
        return cls(url, _env_auth(env), **settings)

    @property
    def alarms(self) -> Alarms:
        """The alarms of the tenant."""
        following = self._following
        return Alarms(
            self._core, self._owner.start, clock=following.clock, following=following, terms=self._terms
        )

    @property
    def notification2(self) -> Notification2:
        """Notification 2.0: what feeds its topics, and how its consumers end for good."""
        from tocsin.cumulocity.notification2._service import Notification2

        return Notification2(self._core, self._following.clock)

    async def send(self, request: Request) -> Response:
        """Send any request to the tenant, with the credentials, limits and retries of this client.

        For what tocsin has no words for, and for whoever wants the answer as it came. Cancelling it leaves
        unknown whether a write took effect.

        Args:
            request: What to send; ``Request("GET", "/inventory/managedObjects", (("pageSize", "1"),))``.

        Returns:
            A 2xx answer: status, headers, body, `json()`.

        Raises:
            TocsinError: As every other call does; see `tocsin.errors`.
        """
        return await self._core.send(request)

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
        processing_mode: ProcessingMode | str | Unset | None = UNSET,
        application_key: str | Unset = UNSET,
    ) -> Self:
        """Make a view with other options. It shares connections, session and streams with the client.

        Args:
            timeout: Limits instead of the client's; a number is the limit of a whole call in seconds.
            retry: Instead of the client's.
            headers: Added to the client's.
            processing_mode: Instead of the client's.
            application_key: Instead of the client's.

        Raises:
            ConfigurationError: An argument makes no sense.
        """
        if not isinstance(application_key, Unset) and isinstance(headers, Unset | Mapping):
            given = {} if isinstance(headers, Unset) else headers
            headers = {**given, APPLICATION_HEADER: application_key}
        view = self._viewed(timeout, retry, headers)
        view._terms = self._terms
        if not isinstance(processing_mode, Unset):
            view._terms = replace(self._terms, mode=processing(processing_mode))
        view._following = replace(self._following, core=view._core)
        return view


def _session(
    advice_timeout: float, liveness: float, close_timeout: float, reconnect: ReconnectPolicy
) -> SessionSettings:
    """The live channel's settings. Who wants dead peers noticed soon means every exchange with them."""
    return SessionSettings(
        advice_timeout=advice_timeout,
        liveness=liveness,
        allowance=min(_ALLOWANCE, liveness),
        close_timeout=close_timeout,
        reconnect=reconnect,
    )


def _with_tenant(auth: Auth | None, tenant: str | None) -> tuple[Auth | None, str | None]:
    """Complete the credentials by the tenant, or the tenant by the credentials."""
    if not isinstance(auth, BasicAuth | OAuthInternal):
        return auth, tenant
    if auth.tenant is None and tenant is not None:
        return auth.of_tenant(tenant), tenant
    if tenant is not None and auth.tenant != tenant:
        raise ConfigurationError(
            f"two tenants were given: {auth.tenant!r} with the credentials, and {tenant!r}"
        )
    return auth, auth.tenant


def _env_auth(env: Mapping[str, str]) -> Auth:
    if token := env.get("C8Y_TOKEN"):
        return BearerAuth(token)
    user, password = env.get("C8Y_USER"), env.get("C8Y_PASSWORD")
    if not user or not password:
        missing = "C8Y_USER" if not user else "C8Y_PASSWORD"
        if env.get("C8Y_BOOTSTRAP_USER"):
            raise ConfigurationError(
                f"the environment variable {missing} is not set, but there is a bootstrap user: a service "
                "for many tenants begins with Microservice.from_env()"
            )
        raise ConfigurationError(f"the environment variable {missing} is not set, nor is C8Y_TOKEN")
    return BasicAuth(user, password)
