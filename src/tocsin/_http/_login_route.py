"""Log-ins that do not go over the client's own connections.

A certificate is shown at a port of its own, and NTLM speaks of one connection, which nobody else may use.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin._http._auth import Auth, LoginAuth
    from tocsin._http._core import HttpCore
    from tocsin._http._request import Request, Response
    from tocsin._http._transport import Certificate, TlsSettings
    from tocsin._http._url import BaseUrl

__all__ = ["LoginEndpoint", "login_route"]


@dataclass(frozen=True, slots=True, repr=False)
class LoginEndpoint:
    """Where and how to log in, on the host of the client's base URL.

    Attributes:
        port: The port; None: the client's.
        cert: The client certificate that is shown there.
        auth: The credentials of the log-in itself, whose requests all go over one connection.
    """

    port: int | None = None
    cert: Certificate | None = None
    auth: Auth | None = None

    def __repr__(self) -> str:
        return f"LoginEndpoint(port={self.port})"


class _Make(Protocol):
    def __call__(self, base_url: str, *, cert: Certificate | None, max_in_flight: int) -> HttpCore: ...


def login_route(
    auth: LoginAuth, base: BaseUrl, tls: TlsSettings, make: _Make, *, injected: bool
) -> Callable[[Request], Awaitable[Response]] | None:
    """What sends one request of a log-in; None where log-ins go over the client's own connections.

    The certificate is read again each time: devices renew theirs.

    Args:
        auth: The credentials.
        base: Where the client's requests go.
        tls: Whom the client trusts, and what it shows elsewhere.
        make: Makes a core with the client's other settings.
        injected: Whether the transport is the user's, who sees to TLS himself.

    Raises:
        ConfigurationError: The settings leave no way to show the certificate.
    """
    endpoint = auth.endpoint
    if endpoint is None:
        return None
    if endpoint.cert is not None and base.scheme != "https" and not injected:
        raise ConfigurationError("a certificate is shown within TLS only: give an https:// base URL")
    if endpoint.cert is not None and isinstance(tls.verify, ssl.SSLContext):
        raise ConfigurationError(
            "log-ins by certificate need a TLS context of their own: give verify as a path to the authorities"
        )
    there = replace(base, port=endpoint.port or base.port).text
    cert = endpoint.cert or tls.cert

    async def send(request: Request) -> Response:
        async with make(there, cert=cert, max_in_flight=1) as core:
            # What is read on the way to a log-in is no log-in: a refusal there would count as one more.
            return await core.send(request, auth=None if request.method == "GET" else endpoint.auth)

    return send
