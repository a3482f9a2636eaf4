"""Devices that log in by X.509 certificate: shown in TLS once, a token from then on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tocsin._http._jwt import expiry
from tocsin._http._login import log_in_refused
from tocsin._http._login_route import LoginEndpoint
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ConfigurationError, ProtocolError, StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from datetime import datetime

    from tocsin._http._request import Response

__all__ = ["DeviceCertificate"]

PORT: Final = 8443
_PATH: Final = "/devicecontrol/deviceAccessToken"
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_HINTS: Final = {
    400: "; the chain in the certificate's file cannot be read",
    401: "; a certificate is revoked, or the chain is not valid",
    404: "; the tenant has device access tokens switched off, or the port is not the one for certificates",
    422: "; no authority that the tenant trusts has signed it: if there are others between, put them behind "
    "the device's certificate in its file",
}


class DeviceCertificate:
    """A device's certificate, exchanged for a token that is renewed before it expires.

    The certificate is shown to the platform's port for it, on connections of its own with the client's trust,
    proxy and time limits; all other calls go to the client's base URL, with the token. Everything else is as
    with `OAuthInternal`: one log-in at a time, the next one 60 seconds before the token expires, one more try
    after a 401. The files are read again for each log-in, so that a renewed certificate is taken up.

    Sources: Cumulocity OpenAPI "core", ``POST /devicecontrol/deviceAccessToken``; device integration guide,
    "Device access tokens" (a token is good for an hour unless the tenant says otherwise).

    Args:
        cert: A PEM file: the device's certificate, then those between it and the authority that the tenant
            trusts, if there are any. The key may stand in it too.
        key: A PEM file with the key; None: it is in `cert`.
        password: The key's password.
        port: Where the platform asks for certificates.

    Raises:
        ConfigurationError: A value makes no sense, or a file is not there.
    """

    __slots__ = ("_cert", "_headers", "_key", "_password", "given", "lifetime", "port", "secrets")

    def __init__(
        self,
        cert: str | Path,
        key: str | Path | None = None,
        *,
        password: str | None = None,
        port: int = PORT,
    ) -> None:
        for file in (cert, key):
            if file is not None and not isinstance(file, str | Path):
                raise ConfigurationError("DeviceCertificate: cert and key are paths of PEM files")
            if file is not None and not Path(file).is_file():
                raise ConfigurationError(f"DeviceCertificate: there is no file {str(file)!r}")
        if password is not None and not isinstance(password, str):
            raise ConfigurationError("DeviceCertificate: the password is a text")
        if isinstance(port, bool) or not 0 < port < 65536:
            raise ConfigurationError("DeviceCertificate: the port is a number from 1 to 65535")
        self._cert = Path(cert)
        self._key = None if key is None else Path(key)
        self._password = password
        self._headers: tuple[tuple[str, str], ...] = ()
        self.port = port
        self.lifetime: float | None = None
        self.given = 0
        self.secrets: tuple[str, ...] = (password,) if password else ()

    @property
    def endpoint(self) -> LoginEndpoint:
        """Where the certificate is shown."""
        key = self._key or self._cert
        if self._password is None:
            return LoginEndpoint(self.port, (self._cert, key))
        return LoginEndpoint(self.port, (self._cert, key, self._password))

    def fresh(self) -> Self:
        """The same credentials without a token."""
        return type(self)(self._cert, self._key, password=self._password, port=self.port)

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with its token.

        Args:
            request: What is to be sent.
        """
        yield request.with_headers(self._headers)

    async def log_in(
        self, send: Callable[[Request], Awaitable[Response]], clock: Callable[[], datetime]
    ) -> None:
        """Get a token. Called by the client, which sees to it that there is one log-in at a time.

        Args:
            send: Sends a request to the client's own address; a certificate goes to another.
            clock: Aware UTC now.

        Raises:
            AuthenticationError: The server refused the certificate.
            TocsinError: The server gave no answer, or one that holds no token.
        """
        request = Request("POST", _PATH, headers=self._chain(), retry=RetryPolicy.none())
        try:
            response = await send(request)
        except StatusError as error:
            if error.status not in {400, 401, 403, 404, 405, 422}:
                raise
            hint = _HINTS.get(error.status, "")
            refused = log_in_refused(f"the certificate {str(self._cert)!r} was refused: {error}{hint}", error)
        else:
            self._take(response, clock)
            return
        raise refused

    def _chain(self) -> tuple[tuple[str, str], ...]:
        """The header for a chain: certificates and their lines with blanks between them."""
        try:
            text = self._cert.read_text("ascii", "replace")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(
                f"the certificate {str(self._cert)!r} cannot be read: {reason}"
            ) from None
        found = _CERTIFICATE.findall(text)
        if not found:
            raise ConfigurationError(f"{str(self._cert)!r} holds no certificate in PEM format")
        return (("X-Ssl-Cert-Chain", " ".join(" ".join(found).split())),) if len(found) > 1 else ()

    def _take(self, response: Response, clock: Callable[[], datetime]) -> None:
        body = response.json()
        token = body.get("accessToken") if isinstance(body, dict) else None
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ProtocolError("the answer to the certificate has no accessToken that can be sent")
        self._headers = (("Authorization", f"Bearer {token}"),)
        password = (self._password,) if self._password else ()
        self.secrets = (*password, *[s for s in self.secrets if s not in password][-7:], token)
        until = expiry(token)
        left = None if until is None else (until - (response.date or clock())).total_seconds()
        self.lifetime = left if left is None or left > 0 else None
        self.given += 1

    def __repr__(self) -> str:
        return f"DeviceCertificate({str(self._cert)!r}, port={self.port})"
