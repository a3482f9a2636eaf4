"""From what the network did to the errors of `tocsin.errors`.

`FAULTS` names every error of httpx; a test fails when httpx gains one that it lacks.
"""

from __future__ import annotations

import socket
import ssl
from enum import Enum
from typing import TYPE_CHECKING, TypeGuard, TypeVar

import anyio
import httpx

from tocsin.errors import (
    ConfigurationError,
    ConnectError,
    ProtocolError,
    RequestTimeoutError,
    TocsinError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin._http._redact import Redactor
    from tocsin._http._request import Timeouts
    from tocsin._http._trace import Flight

E = TypeVar("E", bound=BaseException)

__all__ = ["FAULTS", "FOREIGN", "Fault", "network_error"]


class Fault(Enum):
    """What went wrong on the way, whichever exception said so."""

    NO_CONNECTION = "no connection"
    CONNECT_TIMEOUT = "connect time-out"
    POOL_TIMEOUT = "no free connection"
    PROXY = "proxy"
    READ_TIMEOUT = "read time-out"
    WRITE_TIMEOUT = "write time-out"
    BROKEN = "broken connection"
    NOT_HTTP = "not HTTP"
    UNREADABLE = "unreadable body"
    OURS = "a request that cannot be sent"


# The two event loops raise different classes for the same event (a connection closed on accept is a
# ReadError on asyncio and a RemoteProtocolError on trio), so nothing finer than this is told to callers.
FAULTS: dict[type[Exception], Fault] = {
    httpx.ConnectError: Fault.NO_CONNECTION,
    httpx.ConnectTimeout: Fault.CONNECT_TIMEOUT,
    httpx.PoolTimeout: Fault.POOL_TIMEOUT,
    httpx.ProxyError: Fault.PROXY,
    httpx.ReadTimeout: Fault.READ_TIMEOUT,
    httpx.WriteTimeout: Fault.WRITE_TIMEOUT,
    httpx.TimeoutException: Fault.READ_TIMEOUT,
    httpx.ReadError: Fault.BROKEN,
    httpx.WriteError: Fault.BROKEN,
    httpx.CloseError: Fault.BROKEN,
    httpx.NetworkError: Fault.BROKEN,
    httpx.RemoteProtocolError: Fault.NOT_HTTP,
    httpx.ProtocolError: Fault.NOT_HTTP,
    httpx.LocalProtocolError: Fault.OURS,
    httpx.UnsupportedProtocol: Fault.OURS,
    httpx.InvalidURL: Fault.OURS,
    httpx.DecodingError: Fault.UNREADABLE,
    httpx.TooManyRedirects: Fault.NOT_HTTP,
    httpx.TransportError: Fault.BROKEN,
    httpx.RequestError: Fault.BROKEN,
    httpx.HTTPStatusError: Fault.BROKEN,
    httpx.HTTPError: Fault.BROKEN,
    httpx.CookieConflict: Fault.BROKEN,
    httpx.StreamError: Fault.BROKEN,
    httpx.StreamConsumed: Fault.BROKEN,
    httpx.StreamClosed: Fault.BROKEN,
    httpx.ResponseNotRead: Fault.BROKEN,
    httpx.RequestNotRead: Fault.BROKEN,
}

FOREIGN: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    OSError,  # ssl.SSLError leaves httpcore as it is when a read fails inside TLS
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)

_NEVER_LEFT = frozenset(
    {
        Fault.NO_CONNECTION,
        Fault.CONNECT_TIMEOUT,
        Fault.POOL_TIMEOUT,
        Fault.PROXY,
        Fault.OURS,
    }
)


def network_error(
    exc: Exception,
    flight: Flight,
    *,
    address: str,
    proxy: str | None,
    redactor: Redactor,
) -> TocsinError:
    """Make our error of a foreign one, which must not become its cause: it holds the credentials.

    Args:
        exc: What the transport raised.
        flight: The call under way.
        address: Host and port of the server.
        proxy: Host and port of the proxy on the way, or None.
        redactor: Cleans foreign texts.
    """
    fault = _fault(exc)
    if fault is Fault.OURS:
        return ConfigurationError(
            f"{flight.method} {flight.url} cannot be sent: {redactor.clean(str(exc)) or 'malformed request'}"
        )
    never_left = fault in _NEVER_LEFT or flight.never_left
    doubtful = flight.failed(never_left=never_left)
    if fault is Fault.UNREADABLE:
        return ProtocolError(
            f"{flight.method} {flight.url}: {redactor.clean(str(exc))}", reason="unreadable answer"
        )
    where = address if proxy is None else f"{address} through the proxy {proxy}"
    cls, text, permanent = _told(
        exc, fault, never_left=never_left, where=where, proxy=proxy, timeouts=flight.timeouts
    )
    if doubtful:
        text += "; the request may have been applied"
    return cls(
        f"{flight.method} {flight.url}: {redactor.clean(text, limit=500)}{flight.tried}",
        method=flight.method,
        url=flight.url,
        maybe_applied=doubtful,
        permanent=permanent,
        attempts=flight.attempts,
        reason=_few_words(exc, fault, never_left=never_left, timeouts=flight.timeouts),
    )


def _fault(exc: Exception) -> Fault:
    for cls in type(exc).__mro__:
        if cls in FAULTS:
            return FAULTS[cls]
    return Fault.READ_TIMEOUT if isinstance(exc, TimeoutError) else Fault.BROKEN


def _told(
    exc: Exception, fault: Fault, *, never_left: bool, where: str, proxy: str | None, timeouts: Timeouts
) -> tuple[type[TransportError], str, bool]:
    """The class, the sentence, and whether trying again cannot help."""
    if fault is Fault.POOL_TIMEOUT:
        return RequestTimeoutError, f"no connection became free within {timeouts.pool:g} s", False
    if fault is Fault.CONNECT_TIMEOUT:
        return RequestTimeoutError, f"no connection to {where} within {timeouts.connect:g} s", False
    if fault is Fault.WRITE_TIMEOUT:
        return RequestTimeoutError, f"{where} took no data for {timeouts.write:g} s", False
    if fault is Fault.READ_TIMEOUT:
        return RequestTimeoutError, f"{where} was silent for {timeouts.read:g} s", False
    if fault is Fault.PROXY:
        return ConnectError, f"the proxy {proxy} refused the connection: {exc}", _refused_for_good(exc)
    tls = next((link for link in _chain(exc) if _is_tls_trouble(link)), None)
    if tls is not None:
        text, permanent = _tls_trouble(tls)
        return (ConnectError if never_left else TransportError), f"cannot talk to {where}: {text}", permanent
    if never_left:
        return ConnectError, f"cannot connect to {where}: {_reason(exc)}", False
    if fault is Fault.NOT_HTTP:
        return TransportError, f"{where} broke off, or did not answer in HTTP: {exc}", False
    return TransportError, f"the connection to {where} broke: {_reason(exc)}", False


def _few_words(exc: Exception, fault: Fault, *, never_left: bool, timeouts: Timeouts) -> str:
    """Why, without addresses and foreign texts."""
    silent = {
        Fault.POOL_TIMEOUT: f"no free connection within {timeouts.pool:g} s",
        Fault.CONNECT_TIMEOUT: f"no connection within {timeouts.connect:g} s",
        Fault.WRITE_TIMEOUT: f"no data taken within {timeouts.write:g} s",
        Fault.READ_TIMEOUT: f"no answer within {timeouts.read:g} s",
        Fault.PROXY: "refused by the proxy",
    }.get(fault)
    if silent is not None:
        return silent
    tls = next((link for link in _chain(exc) if _is_tls_trouble(link)), None)
    if isinstance(tls, ssl.SSLCertVerificationError):
        problem = getattr(tls, "verify_message", "").rstrip(".")
        return f"certificate not accepted: {problem}" if problem else "certificate not accepted"
    if tls is not None:
        return "no TLS at that port" if _is_no_tls(tls) else "TLS failed"
    if _in_chain(exc, socket.gaierror) is not None:
        return "host name not resolved"
    if _in_chain(exc, ConnectionRefusedError) is not None:
        return "connection refused"
    return "no connection" if never_left else "connection lost"


def _refused_for_good(exc: Exception) -> bool:
    return str(exc)[:1] == "4"  # 407 and 403 of the proxy will be said again


def _is_tls_trouble(link: BaseException) -> TypeGuard[ssl.SSLError]:
    """Whether it is an error of TLS. "Want read" and "want write" are how its ordinary work goes on."""
    return isinstance(link, ssl.SSLError) and not isinstance(
        link, ssl.SSLWantReadError | ssl.SSLWantWriteError
    )


def _tls_trouble(exc: ssl.SSLError) -> tuple[str, bool]:
    """What went wrong in TLS, and whether it will again."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        problem = (getattr(exc, "verify_message", "") or exc.strerror or "it does not verify").rstrip(".")
        return (
            f"its certificate was not accepted: {problem} (for a CA of your own give its "
            "certificate: verify=, or --ca on the command line)"
        ), True
    # Errors that a library made by hand have no `reason`.
    reason = getattr(exc, "reason", None) or exc.strerror or ""
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return (
            f"it refused the TLS handshake, perhaps for want of a client certificate (cert=): {reason}",
            True,
        )
    if _is_no_tls(exc):
        return "it does not speak TLS on this port: is it http:// instead of https://?", True
    if "ALERT" in reason:
        return f"it ended the TLS session: {reason}", True
    return f"the TLS session failed: {reason or 'the server closed it'}", False


def _is_no_tls(exc: ssl.SSLError) -> bool:
    reason = getattr(exc, "reason", None) or exc.strerror or ""
    return "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason


def _reason(exc: Exception) -> str:
    """The plainest words for why a connection failed, from anywhere in the chain."""
    if (unknown := _in_chain(exc, socket.gaierror)) is not None:
        return f"the host name cannot be resolved ({unknown.strerror or unknown})"
    if _in_chain(exc, ConnectionRefusedError) is not None:
        return "connection refused"
    if _in_chain(exc, ConnectionResetError) is not None:
        return "it was reset by the other side"
    for link in _chain(exc):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return str(exc) or "it was closed by the other side"


def _in_chain(exc: BaseException, kind: type[E]) -> E | None:
    return next((link for link in _chain(exc) if isinstance(link, kind)), None)


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and the members of groups among them."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [exc]
    while todo:
        link = todo.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        todo += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            todo += link.exceptions
