"""What a core checks of its arguments before anything is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin._http._auth import Auth
from tocsin._http._request import Timeouts, check_headers
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ConfigurationError
from tocsin.models import Unset

if TYPE_CHECKING:
    from collections.abc import Mapping

    EncodedHeaders = dict[str, tuple[bytes, bytes]]

__all__ = ["check_hooks", "check_kinds", "encoded"]

# They frame the message; a wrong one would break the connection for the next request too. And nothing but
# gzip can be decompressed.
_FRAMING = frozenset(
    {"accept-encoding", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"}
)


def check_hooks(middleware: object, transport_factory: object, max_in_flight: int | None) -> None:
    """Refuse what a core cannot work with.

    Raises:
        ConfigurationError: It says what to give instead.
    """
    if max_in_flight is not None and max_in_flight < 1:
        raise ConfigurationError("max_in_flight must be 1 or more")
    if callable(middleware):
        raise ConfigurationError("middleware is a list of functions: give [function]")
    if transport_factory is not None and not callable(transport_factory):
        raise ConfigurationError(
            "transport_factory makes a transport each time it is called: give a function"
        )


def check_kinds(auth: object, timeouts: object, retry: object) -> None:
    """Refuse what other libraries take in these places; it would fail at the first request only.

    Raises:
        ConfigurationError: It says what to give instead and repeats nothing: it may be a password.
    """
    if auth is not None and (isinstance(auth, type) or not isinstance(auth, Auth)):
        raise ConfigurationError(
            "auth is BasicAuth(user, password, tenant=...), BearerAuth(token) or another `Auth`, "
            f"not {'a class' if isinstance(auth, type) else type(auth).__name__}"
        )
    if not isinstance(timeouts, Timeouts | Unset):
        raise ConfigurationError(
            f"time limits are given as Timeouts(total=...), not as {type(timeouts).__name__}"
        )
    if not isinstance(retry, RetryPolicy | Unset):
        raise ConfigurationError(
            f"retry is RetryPolicy(...) or RetryPolicy.none(), not {type(retry).__name__}"
        )


def encoded(headers: Mapping[str, str]) -> EncodedHeaders:
    """Headers as they are sent, by lower-case name.

    Raises:
        ConfigurationError: One cannot be sent, or is ours to set.
    """
    check_headers(headers.items())
    for name in headers:
        if name.lower() in _FRAMING:
            raise ConfigurationError(f"the header {name!r} is set by us")
    return {name.lower(): (name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()}
