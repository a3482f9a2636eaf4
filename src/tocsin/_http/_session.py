"""A session for held polls: a cookie jar and connections of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin._http._html import looks_like_html
from tocsin._http._trace import Flight
from tocsin._http._wire import within_total
from tocsin.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from tocsin._http._request import Headers, Request, Response, Timeouts
    from tocsin._http._upgrade import Upgraded
    from tocsin._http._wire import Wire

__all__ = ["HttpSession"]


class HttpSession:
    """One cookie jar and at most two connections, for one session with the server.

    A held poll keeps its connection busy for minutes; it must not take one from the pool of the other calls,
    and Bayeux wants the cookies of one session kept apart from those of the next. Nothing is retried: what
    a lost poll means is for its session to decide.

    Made by `HttpCore.session`; an async context manager that is entered once.
    """

    __slots__ = ("_base", "_forget", "_headers", "_open", "_timeouts", "_wire")

    def __init__(
        self,
        wire: Callable[[], Wire],
        *,
        base: str,
        timeouts: Timeouts,
        headers: Mapping[str, tuple[bytes, bytes]],
        forget: Callable[[Wire], None],
    ) -> None:
        self._open = wire
        self._wire: Wire | None = None
        self._base = base
        self._timeouts = timeouts
        self._headers = headers
        self._forget = forget

    async def __aenter__(self) -> Self:
        if self._wire is not None:
            raise ConfigurationError("an HTTP session is entered once")
        self._wire = self._open()
        await self._wire.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._wire is not None:
            self._forget(self._wire)
            await self._wire.aclose()

    async def send(
        self,
        request: Request,
        *,
        on_bytes: Callable[[int], None] | None = None,
        refusal: Callable[[Response], bool] | None = None,
    ) -> Response:
        """Send a request once and read its answer whole.

        Cancelling it closes its connection; the session stays usable.

        Args:
            request: The request. `Timeouts.read` is the silence that is tolerated while the server holds it.
            on_bytes: Told the length of each piece of the answer as it arrives (such as a heartbeat's blank).
                It must neither block nor raise.
            refusal: Tells from an answer whose status does not say so that the credentials were refused: like
                a 401, it is then sent once more with a new token, where there is one to be had.

        Returns:
            A 2xx answer.

        Raises:
            TocsinError: Any other answer, or none.
        """
        wire = self._opened()
        flight = Flight(
            request.method,
            self._base + request.path,
            request.timeouts or self._timeouts,
            self._headers,
            on_bytes,
            refusal=refusal,
        )
        return await within_total(flight, wire.attempt(request, flight))

    async def upgrade(self, request: Request, *, anonymous: bool = False) -> Upgraded:
        """Send a request that asks to leave HTTP, and take over its connection.

        Cancelling it closes the connection.

        Args:
            request: A GET with the headers that ask for it. Its `timeouts` bound the asking alone.
            anonymous: Without the client's credentials and middleware: the request says itself who asks.

        Returns:
            The connection, to be closed by the caller.

        Raises:
            ProtocolError: The server answered well but did not switch.
            TocsinError: Any other answer, or none.
        """
        wire = self._opened()
        url = self._base + request.path
        flight = Flight("GET", url, request.timeouts or self._timeouts, self._headers, upgrades=True)
        try:
            send = wire.apart if anonymous else wire.attempt
            response = await within_total(flight, send(request, flight))
        except BaseException:
            if flight.upgraded is not None:
                await flight.upgraded.aclose()
            raise
        if flight.upgraded is None:
            page = looks_like_html(response.body, response.headers.get("content-type", ""))
            reason = "a web page answered" if page else "no upgrade"
            raise ProtocolError(f"GET {flight.url}: the server did not switch protocols", reason=reason)
        flight.upgraded.response = response
        return flight.upgraded

    def credentials(self) -> Headers:
        """What a request would carry to say who asks, for a protocol that wants to be told once more."""
        return self._opened().credentials()

    async def renew_credentials(self) -> bool:
        """See to it that there are newer credentials than those that another protocol has just refused.

        Returns:
            False if there are none to be had: they are fixed, or the last ones were refused just after they
            were given.

        Raises:
            TocsinError: The log-in failed.
        """
        return await self._opened().renew_credentials()

    def _opened(self) -> Wire:
        if self._wire is None:
            raise ConfigurationError("the HTTP session is not open: use it with `async with`")
        return self._wire
