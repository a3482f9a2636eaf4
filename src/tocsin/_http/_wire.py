"""One way to the server: a transport, a cookie jar where it is needed, and what every attempt passes.

An attempt goes down through middleware, auth flow and exchange, and its answer comes up the same way.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from anyio import WouldBlock, current_time, move_on_after

from tocsin._http._auth import BasicAuth, BearerAuth
from tocsin._http._body import MAX_BYTES, Outgoing, read_body
from tocsin._http._errors import FOREIGN, network_error
from tocsin._http._request import Headers, Request, Response
from tocsin._http._status import status_error
from tocsin._http._trace import log, log_answer
from tocsin._http._transport import direct_way
from tocsin._http._upgrade import SWITCHED, Upgraded
from tocsin._http._url import encode_query
from tocsin.errors import ConfigurationError, RequestTimeoutError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from typing import TypeAlias

    import anyio

    from tocsin._http._auth import Auth
    from tocsin._http._login import LogIns
    from tocsin._http._redact import Redactor
    from tocsin._http._trace import Flight
    from tocsin._http._url import BaseUrl

    CallNext: TypeAlias = Callable[[Request], Awaitable[Response]]
    Middleware: TypeAlias = Callable[[Request, CallNext], Awaitable[Response]]

__all__ = ["Route", "Wire", "within_total"]

_UNAUTHORIZED = 401
_CLOSING = 2.0  # seconds that closing a pool may take
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """What all wires of one client have in common.

    Attributes:
        base: Where the server is.
        proxy: Host and port of the proxy on the way, or None.
        auth: Gives requests their credentials.
        middleware: Called for each attempt, the first one outermost.
        redactor: Cleans foreign texts.
        clock: Aware UTC now.
        logins: Keeps the token good, where there is one to keep.
    """

    base: BaseUrl
    proxy: str | None
    auth: Auth | None
    middleware: tuple[Middleware, ...]
    redactor: Redactor
    clock: Callable[[], datetime]
    logins: LogIns | None = None


class Wire:
    """A transport with what every attempt over it passes.

    Args:
        route: What the client's wires have in common.
        transport: Owned: closed with the wire.
        cookies: Whether the server's cookies are kept and sent back.
        places: Bounds the exchanges in flight; None: only the transport bounds them.
    """

    __slots__ = (
        "_base",
        "_closed",
        "_jar",
        "_last_url",
        "_places",
        "_route",
        "_secrets",
        "_transport",
    )

    def __init__(
        self,
        route: Route,
        transport: httpx.AsyncBaseTransport,
        *,
        cookies: bool = False,
        places: anyio.Semaphore | None = None,
    ) -> None:
        self._route = route
        self._transport = transport
        self._jar = httpx.Cookies() if cookies else None
        self._places = places
        self._closed = False
        self._base = route.base.text
        self._last_url: tuple[str, httpx.URL] | None = None
        self._secrets: tuple[str, ...] = ()

    async def open(self) -> None:
        """Open the transport; if that fails or is cancelled, close it."""
        try:
            await self._transport.__aenter__()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the transport with all its connections; takes 2 s at most, also when cancelled."""
        self._closed = True
        with move_on_after(_CLOSING, shield=True):
            try:
                await self._transport.aclose()
            except FOREIGN as exc:  # what is closed for good need not close well
                log.debug("closing a transport failed: %s", type(exc).__name__)

    async def attempt(self, request: Request, flight: Flight) -> Response:
        """Make one attempt.

        Returns:
            A 2xx answer.

        Raises:
            TocsinError: Any other answer, or none.
        """
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        flight.attempts += 1

        async def exchange(request: Request) -> Response:
            auth, logins = self._route.auth, self._route.logins
            if auth is None or logins is None:
                return await self._authenticated(auth, request, flight)
            return await self._logged_in(auth, logins, request, flight)

        step: CallNext = exchange
        for middleware in reversed(self._route.middleware):
            step = _around(middleware, step)
        response = await step(request)
        if not isinstance(response, Response):
            raise ConfigurationError(
                f"a middleware gave {type(response).__name__} instead of a Response: does it lack a return?"
            )
        return self._judged(response, flight)

    async def apart(self, request: Request, flight: Flight, auth: Auth | None = None) -> Response:
        """Send a request with other credentials than the client's, or without, past the middleware: a log-in.

        Raises:
            TocsinError: Any answer but 2xx, or none.
        """
        flight.attempts += 1
        return self._judged(await self._authenticated(auth, request, flight), flight)

    def _judged(self, response: Response, flight: Flight) -> Response:
        """Give a 2xx answer back, raise for any other."""
        if 200 <= response.status < 300 or (flight.upgraded and response.status == SWITCHED):
            return response
        route = self._route
        note = ""
        if response.status == _UNAUTHORIZED and isinstance(route.auth, BasicAuth | BearerAuth):
            note = route.auth.explain(response, response.date or route.clock())
        raise status_error(response, flight, clock=route.clock, note=note)

    async def _logged_in(self, auth: Auth, logins: LogIns, request: Request, flight: Flight) -> Response:
        """Send with a token that is good; once again with a new one if it is refused."""
        version = await logins.current()
        response = await self._authenticated(auth, request, flight)
        logins.answered()
        if not flight.refused(response) or not await logins.renewed(version):
            return response
        version = logins.version
        response = await self._authenticated(auth, request, flight)
        logins.answered()
        if flight.refused(response):
            logins.refused(version)
        return response

    async def _authenticated(self, auth: Auth | None, request: Request, flight: Flight) -> Response:
        if auth is None:
            return await self._placed(request, flight)
        flow = auth.flow(request)
        try:
            request = next(flow)
            while True:
                secrets = auth.secrets
                if secrets != self._secrets:  # a token was obtained or renewed
                    self._route.redactor.learn(secrets)
                    self._secrets = secrets
                response = await self._placed(request, flight)
                try:
                    request = flow.send(response)
                except StopIteration:
                    return response
        finally:
            flow.close()

    def credentials(self) -> Headers:
        """The headers that the auth flow adds to a request."""
        auth = self._route.auth
        if auth is None:
            return Headers([])
        flow = auth.flow(Request("GET", "/"))
        try:
            return Headers(next(flow).headers)
        finally:
            flow.close()

    async def renew_credentials(self) -> bool:
        """Log in anew because what `credentials` gave was refused; False if that is of no use."""
        logins = self._route.logins
        return logins is not None and await logins.renewed(logins.version)

    async def _placed(self, request: Request, flight: Flight) -> Response:
        """Exchange while holding a place among the requests in flight."""
        places = self._places
        if places is None:
            return await self._exchange(request, flight)
        try:
            places.acquire_nowait()
        except WouldBlock:
            await self._queue(places, flight)
        try:
            return await self._exchange(request, flight)
        finally:
            places.release()

    async def _queue(self, places: anyio.Semaphore, flight: Flight) -> None:
        limit = flight.timeouts.pool
        with move_on_after(limit):
            await places.acquire()
            return
        raise RequestTimeoutError(
            f"{flight.method} {flight.url}: too many requests in flight, no place within {limit:g} s",
            method=flight.method,
            url=flight.url,
            maybe_applied=flight.doubtful,
            attempts=flight.attempts,
            reason="too many requests in flight",
        )

    async def _exchange(self, request: Request, flight: Flight) -> Response:
        """Send one request, read its answer whole; no judgement of its status."""
        url = self._base + request.path
        logged = log.isEnabledFor(logging.DEBUG)
        started = current_time() if logged else 0.0
        flight.begin()
        failure: TocsinError
        try:
            status, pairs, stream = await self._handed(request, url, flight)
            headers = Headers.of(pairs)
            if flight.upgraded is None:
                limit = MAX_BYTES if request.max_bytes is None else request.max_bytes
                body = await read_body(stream, headers.get("content-encoding", ""), limit, flight)
            else:
                body = b""
        except FOREIGN as exc:
            route = self._route
            failure = network_error(
                exc, flight, address=route.base.address, proxy=route.proxy, redactor=route.redactor
            )
        else:
            flight.answered()
            if self._jar is not None and "set-cookie" in headers:
                self._keep_cookies(self._jar, request.method, url, status, pairs)
            response = Response(
                status, headers, body, flight.attempts, url, request.method, self._route.redactor
            )
            if logged:
                log_answer(response, current_time() - started)
            return response
        if logged:
            log.debug("%s", failure)
        # Raised here, not in the except block: as context it would bring the request and its credentials.
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame, which must not hold it in turn

    async def _handed(
        self, request: Request, url: str, flight: Flight
    ) -> tuple[int, Sequence[tuple[bytes, bytes]], object]:
        """Hand a request to the transport; the status, the headers and the body's stream."""
        headers = _headers(request, flight)
        query = f"?{encode_query(request.query)}" if request.query else ""
        limits = flight.timeouts
        timeout = {
            "connect": limits.connect,
            "read": limits.read,
            "write": limits.write,
            "pool": limits.pool,
        }
        body = request.body or b""
        jar = self._jar
        direct = direct_way(self._transport)
        if direct is not None and not flight.upgrades and (jar is None or not len(jar.jar)):
            base = self._route.base
            answer = await direct.send(
                (base.scheme, base.host, base.port),
                request.method,
                f"{base.prefix}{request.path}{query}".encode("ascii"),
                headers,
                body,
                timeout,
                flight.told,
            )
            return answer.parser.status, answer.parser.headers, answer.stream
        outgoing = httpx.Request(
            request.method,
            self._parsed(url + query),
            headers=headers,
            stream=Outgoing(body),
            extensions={"timeout": timeout, "trace": flight.trace},
        )
        if jar is not None and len(jar.jar):
            _add_cookies(jar, outgoing)
        response = await self._transport.handle_async_request(outgoing)
        if flight.upgrades and response.status_code == SWITCHED and "network_stream" in response.extensions:
            flight.upgraded = Upgraded(response, flight.url)
        return response.status_code, response.headers.raw, response.stream

    def _parsed(self, url: str) -> httpx.URL:
        """The URL. A poll's is always the same, and httpx parses one in seven times the rest of a request."""
        last = self._last_url
        if last is None or last[0] != url:
            last = self._last_url = (url, httpx.URL(url))
        return last[1]

    def _keep_cookies(
        self, jar: httpx.Cookies, method: str, url: str, status: int, pairs: Sequence[tuple[bytes, bytes]]
    ) -> None:
        asked = httpx.Request(method, self._parsed(url))
        jar.extract_cookies(httpx.Response(status, headers=list(pairs), request=asked))


async def within_total(flight: Flight, call: Awaitable[Response]) -> Response:
    """Await a call for as long as its `Timeouts.total` allows.

    Raises:
        RequestTimeoutError: The time ran out.
    """
    limit = flight.timeouts.total
    if limit is None:
        return await call
    with move_on_after(limit):
        return await call
    doubtful = flight.failed(never_left=flight.never_left)
    raise RequestTimeoutError(
        f"{flight.method} {flight.url}: no whole answer within {limit:g} s{flight.tried}"
        + ("; the request may have been applied" if doubtful else ""),
        method=flight.method,
        url=flight.url,
        maybe_applied=doubtful,
        attempts=max(flight.attempts, 1),
        reason=f"no answer within {limit:g} s",
    )


def _headers(request: Request, flight: Flight) -> list[tuple[bytes, bytes]]:
    """All headers of an attempt but the cookies of a jar."""
    headers = dict(flight.headers)
    if request.accept:
        headers["accept"] = (b"Accept", request.accept.encode("latin-1"))
    body = request.body
    if body is not None:
        headers["content-type"] = (b"Content-Type", b"application/json")
    if body is not None or request.method in _WITH_BODY:
        headers["content-length"] = (b"Content-Length", b"%d" % len(body or b""))
    for name, value in request.headers:
        headers[name.lower()] = (name.encode("ascii"), value.encode("latin-1"))
    return list(headers.values())


def _add_cookies(jar: httpx.Cookies, outgoing: httpx.Request) -> None:
    """Add a jar's cookies to a request that may have some already, from a log-in: those win."""
    own = outgoing.headers.pop("cookie", None)
    jar.set_cookie_header(outgoing)
    if own is not None:
        names = {pair.partition("=")[0].strip() for pair in own.split(";")}
        others = outgoing.headers.get("cookie", "").split("; ")
        kept = [pair for pair in others if pair and pair.partition("=")[0] not in names]
        outgoing.headers["cookie"] = "; ".join([own, *kept])


def _around(middleware: Middleware, inner: CallNext) -> CallNext:
    async def step(request: Request) -> Response:
        return await middleware(request, inner)

    return step
