"""The send path: one request value in, one answer or one typed error out.

send ─ limit on the whole call ─ retries ─ attempt: middleware ─ auth flow ─ place in flight ─ transport
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import Semaphore, current_time
from anyio.lowlevel import current_token

from tocsin._http._arguments import check_hooks, check_kinds, encoded
from tocsin._http._auth import LoginAuth
from tocsin._http._login import LogIns
from tocsin._http._login_route import login_route
from tocsin._http._proxies import find_proxy
from tocsin._http._redact import Redactor, guard_logs, header_secrets
from tocsin._http._request import Timeouts
from tocsin._http._retry import JITTER, RetryPolicy, retried, wait_before_retry
from tocsin._http._session import HttpSession
from tocsin._http._trace import Flight, log
from tocsin._http._transport import TlsSettings, make_transport, usual_in_flight
from tocsin._http._url import BaseUrl
from tocsin._http._wire import Route, Wire, within_total
from tocsin._version import __version__
from tocsin.errors import ConfigurationError, InsecureTransportWarning, TocsinError
from tocsin.models import UNSET, Unset

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import httpx
    from anyio.lowlevel import EventLoopToken

    from tocsin._http._auth import Auth
    from tocsin._http._proxies import Proxy
    from tocsin._http._request import Request, Response
    from tocsin._http._transport import Certificate, TransportFactory, Verify
    from tocsin._http._wire import Middleware


__all__ = ["HttpCore"]

_SESSION_CONNECTIONS: Final = 2  # Bayeux: one held, one for commands


class _State(Enum):
    NEW = "is not open: use it with `async with`"
    OPEN = "is open already"
    CLOSED = "is closed; make a new one"


class _Shared:
    """What a core and its views have in common: the route, the pool, the state."""

    __slots__ = ("log_in_by", "loop", "make", "max_in_flight", "rng", "route", "state", "wire", "wires")

    def __init__(
        self,
        route: Route,
        make: Callable[[int], httpx.AsyncBaseTransport],
        *,
        max_in_flight: int,
        rng: random.Random,
    ) -> None:
        self.route = route
        self.make = make
        self.max_in_flight = max_in_flight
        self.rng = rng
        self.state = _State.NEW
        self.log_in_by: Callable[[Request], Awaitable[Response]] | None = None
        self.loop: EventLoopToken | None = None
        self.wire: Wire | None = None
        self.wires: list[Wire] = []

    def opened(self) -> Wire:
        """The wire, or an error that says why there is none."""
        if self.wire is None or self.state is not _State.OPEN:
            raise ConfigurationError(f"the client {self.state.value}")
        if current_token() != self.loop:  # its connections and locks would break in the other one
            raise ConfigurationError("the client was entered in another event loop; make one for each loop")
        return self.wire

    def session_wire(self) -> Wire:
        """A further wire with cookies, closed with the client at the latest."""
        self.opened()
        wire = Wire(self.route, self.make(_SESSION_CONNECTIONS), cookies=True)
        self.wires.append(wire)
        return wire


class HttpCore:
    """Sends requests to one server; an async context manager that is entered once and left in the same task.

    Args:
        base_url: Scheme, host, perhaps port and a path; no user information, no query.
        auth: Gives requests their credentials.
        timeouts: Time limits of each call.
        retry: When failed calls are tried again.
        headers: Sent with each request.
        user_agent: Instead of ``tocsin/<version>``. (Cumulocity can bar log-ins by it.)
        verify: See `TlsSettings.verify`.
        cert: See `TlsSettings.cert`.
        proxy: The URL of a proxy, which may hold user information. None: as the environment says.
        trust_env: Whether the environment's proxies are obeyed.
        transport_factory: Makes the transport instead of us: called once for the calls and once for each
            held session. Every transport is closed by us.
        middleware: Called for each attempt, the first one outermost; sees 4xx and 5xx as responses.
        max_in_flight: The most requests at a time (sessions apart). None: as `usual_in_flight` says.
        rng: Draws the jitter.
        clock: Aware UTC now, for a Retry-After date in an answer that has no Date.

    Raises:
        ConfigurationError: An argument makes no sense.

    Warns:
        InsecureTransportWarning: Credentials would go over plain http to another machine.
    """

    __slots__ = ("_headers", "_retry", "_shared", "_timeouts", "_view", "base_url")

    def __init__(
        self,
        base_url: str,
        *,
        auth: Auth | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        verify: Verify = True,
        cert: Certificate | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        transport_factory: TransportFactory | None = None,
        middleware: Sequence[Middleware] = (),
        max_in_flight: int | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        base = BaseUrl.parse(base_url)
        check_hooks(middleware, transport_factory, max_in_flight)
        check_kinds(auth, timeouts, retry)
        tls = TlsSettings(verify, cert)
        way = None if transport_factory is not None else find_proxy(base, proxy, trust_env=trust_env)
        given = {"User-Agent": user_agent or f"tocsin/{__version__}", **(headers or {})}
        redactor = Redactor(_secrets(auth, tls, way, given))
        guard_logs(redactor)
        auth = auth.fresh() if isinstance(auth, LoginAuth) else auth
        if auth is not None and base.scheme == "http" and not base.loopback:
            warnings.warn(
                f"the credentials for {base.address} are sent in plain text: use https://",
                InsecureTransportWarning,
                stacklevel=3,  # whoever made the client that made us
            )
        self.base_url = base.text
        self._timeouts = timeouts
        self._retry = retry
        self._headers = {
            "host": (b"Host", base.netloc.encode("ascii")),
            **encoded(given),
            "accept-encoding": (b"Accept-Encoding", b"gzip"),  # all that we decompress
        }
        self._view = False
        clock = clock or _utc_now
        proxied = way.address if way else None
        logins = LogIns.of(auth, clock=clock, learn=redactor.learn)
        self._shared = _Shared(
            Route(base, proxied, auth, tuple(middleware), redactor, clock, logins),
            _maker(transport_factory, base, tls, way),
            max_in_flight=max_in_flight or usual_in_flight(transport_factory, way),
            rng=rng or JITTER,
        )
        if isinstance(auth, LoginAuth):
            make = partial(
                HttpCore, timeouts=timeouts, headers=headers, user_agent=user_agent, verify=verify,
                proxy=proxy, trust_env=trust_env, transport_factory=transport_factory, clock=clock,
            )  # fmt: skip
            injected = transport_factory is not None
            self._shared.log_in_by = login_route(auth, base, tls, make, injected=injected)

    @property
    def timeouts(self) -> Timeouts:
        """The time limits of each call that names none itself."""
        return self._timeouts

    async def __aenter__(self) -> Self:
        shared = self._shared
        if self._view:
            raise ConfigurationError("a view made by with_options() is not entered: enter the client itself")
        if shared.state is not _State.NEW:
            raise ConfigurationError(f"the client {shared.state.value}")
        wire = Wire(
            shared.route,
            shared.make(shared.max_in_flight),
            places=Semaphore(shared.max_in_flight, fast_acquire=True),
        )
        await wire.open()
        if shared.route.logins is not None:
            await shared.route.logins.open(self._send_log_in)
        shared.wire, shared.state, shared.loop = wire, _State.OPEN, current_token()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shared = self._shared
        shared.state = _State.CLOSED
        wires, shared.wires = [*shared.wires], []
        if shared.wire is not None:
            wires.append(shared.wire)
        try:
            if shared.route.logins is not None:
                await shared.route.logins.aclose()
        finally:
            for wire in wires:
                await wire.aclose()

    async def send(self, request: Request, *, auth: Auth | Unset | None = UNSET) -> Response:
        """Send a request, again where that is safe, and read its answer whole.

        Cancelling it closes its connection; the client stays usable. Whether a write that was cancelled took
        effect is unknown.

        Args:
            request: The request.
            auth: Credentials instead of the client's, which need no log-in; None: without any. Such a request
                passes no middleware.

        Returns:
            A 2xx answer.

        Raises:
            ConfigurationError: The client is not open, or the request cannot be sent as HTTP.
            TransportError: No whole answer came; `maybe_applied` says whether it may have taken effect.
            StatusError: The server answered with a failure.
            ProtocolError: The answer is a redirect, too large, or not compressed as it says.
        """
        wire = self._shared.opened()
        timeouts = request.timeouts or self._timeouts
        flight = Flight(request.method, self.base_url + request.path, timeouts, self._headers)
        attempt = wire.attempt if isinstance(auth, Unset) else partial(wire.apart, auth=auth)
        return await within_total(flight, self._attempts(attempt, request, flight))

    async def _send_log_in(self, request: Request) -> Response:
        wire = self._shared.opened()
        if self._shared.log_in_by is not None:
            return await self._shared.log_in_by(request)
        timeouts = request.timeouts or self._timeouts
        flight = Flight(request.method, self.base_url + request.path, timeouts, self._headers, safe=True)
        return await within_total(flight, wire.apart(request, flight))

    def on_new_token(self, listener: Callable[[], None]) -> None:
        """Have something called each time that a token was replaced by a new one.

        Args:
            listener: Must neither block nor raise.
        """
        if self._shared.route.logins is not None:
            self._shared.route.logins.listeners.append(listener)

    def hide(self, *secrets: str) -> None:
        """Keep these texts out of errors and logs from now on.

        Args:
            secrets: Such as a token that goes in a query.
        """
        self._shared.route.redactor.learn(secrets)

    def hidden(self, text: str) -> str:
        """What a server has said, on one line and without secrets."""
        return self._shared.route.redactor.clean(text)

    async def _attempts(
        self, attempt: Callable[[Request, Flight], Awaitable[Response]], request: Request, flight: Flight
    ) -> Response:
        policy = request.retry or self._retry
        rng = self._shared.rng
        started = current_time()

        def decide(error: BaseException, attempts: int) -> float | None:
            return wait_before_retry(
                policy,
                error,
                attempt=attempts,
                elapsed=current_time() - started,
                limit=flight.timeouts.total or float("inf"),
                idempotent=request.may_repeat,
                draw=rng.random(),
            )

        def told(error: BaseException, wait: float) -> None:
            log.debug("%s; trying again in %.2f s", error, wait)

        try:
            return await attempt(request, flight)
        except TocsinError as exc:
            wait = decide(exc, 1)
            if wait is None:
                raise
            first = exc
        try:
            return await retried(lambda: attempt(request, flight), first, wait, decide, told)
        finally:
            del first  # it holds this frame, and this frame must not hold it

    def with_options(
        self,
        *,
        timeouts: Timeouts | Unset = UNSET,
        retry: RetryPolicy | Unset = UNSET,
        headers: Mapping[str, str] | Unset = UNSET,
    ) -> HttpCore:
        """Make a view with other options that shares the pool, the limits and the state.

        Args:
            timeouts: Instead of the client's.
            retry: Instead of the client's.
            headers: Added to the client's; those of the same name are replaced.
        """
        check_kinds(None, timeouts, retry)
        view = object.__new__(HttpCore)
        view.base_url = self.base_url
        view._shared = self._shared
        view._timeouts = self._timeouts if isinstance(timeouts, Unset) else timeouts
        view._retry = self._retry if isinstance(retry, Unset) else retry
        view._headers = self._headers
        if not isinstance(headers, Unset):
            view._headers = {**self._headers, **encoded(headers)}
            self._shared.route.redactor.learn(header_secrets(headers))
        view._view = True
        return view

    def session(self) -> HttpSession:
        """Make a session for held polls, with a cookie jar and connections of its own."""
        shared = self._shared
        return HttpSession(
            shared.session_wire,
            base=self.base_url,
            timeouts=self._timeouts,
            headers=self._headers,
            forget=lambda wire: shared.wires.remove(wire) if wire in shared.wires else None,
        )

    def __repr__(self) -> str:
        return f"<HttpCore {self.base_url}, {self._shared.state.name.lower()}>"


def _maker(
    factory: TransportFactory | None,
    base: BaseUrl,
    tls: TlsSettings,
    proxy: Proxy | None,
) -> Callable[[int], httpx.AsyncBaseTransport]:
    """What makes a transport for so many connections."""
    secure = base.scheme == "https" or (proxy is not None and proxy.secure)

    def make(connections: int) -> httpx.AsyncBaseTransport:
        if factory is not None:
            return factory()
        return make_transport(tls=tls.context if secure else None, proxy=proxy, max_connections=connections)

    return make


def _secrets(
    auth: Auth | None, tls: TlsSettings, proxy: Proxy | None, headers: Mapping[str, str]
) -> tuple[str, ...]:
    """All that the settings hold and nobody may see."""
    return (
        *(auth.secrets if auth is not None else ()),
        *tls.secrets,
        *(proxy.secrets if proxy is not None else ()),
        *header_secrets(headers),
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)
