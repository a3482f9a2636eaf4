"""Log-ins that do not go over the client's own connections: a certificate is shown at a port of its own."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._http._auth import LoginAuth
    from tocsin._http._core import HttpCore
    from tocsin._http._transport import Certificate, Verify
    from tocsin._http._url import BaseUrl

__all__ = ["LoginEndpoint", "login_core"]


@dataclass(frozen=True, slots=True, repr=False)
class LoginEndpoint:
    """Where to log in, on the host of the client's base URL.

    Attributes:
        port: The port.
        cert: The client certificate that is shown there.
    """

    port: int
    cert: Certificate

    def __repr__(self) -> str:
        return f"LoginEndpoint(port={self.port})"


class _Make(Protocol):
    def __call__(self, base_url: str, *, cert: Certificate) -> HttpCore: ...


def login_core(
    auth: LoginAuth, base: BaseUrl, verify: Verify, make: _Make, *, injected: bool
) -> Callable[[], HttpCore] | None:
    """What makes the core for one log-in; None where log-ins go over the client's own connections.

    The certificate is read again each time: devices renew theirs.

    Args:
        auth: The credentials.
        base: Where the client's requests go.
        verify: Whom the client trusts.
        make: Makes a core with the client's other settings.
        injected: Whether the transport is the user's, who sees to TLS himself.

    Raises:
        ConfigurationError: The settings leave no way to show the certificate.
    """
    endpoint = auth.endpoint
    if endpoint is None:
        return None
    if base.scheme != "https" and not injected:
        raise ConfigurationError("a certificate is shown within TLS only: give an https:// base URL")
    if isinstance(verify, ssl.SSLContext):
        raise ConfigurationError(
            "log-ins by certificate need a TLS context of their own: give verify as a path to the authorities"
        )
    return partial(make, replace(base, port=endpoint.port).text, cert=endpoint.cert)
