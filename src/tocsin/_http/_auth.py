"""Authentication as a flow: requests out, responses in, no I/O.

A flow yields a request that carries the credentials and is sent the response. After a 401 it may yield once
more. The retry loop knows nothing of it. Credentials that need a log-in first say so by being a `LoginAuth`:
`_login.py` sees to it that there is one log-in at a time for all calls.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from tocsin._http._jwt import expiry, readable
from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from datetime import datetime

    from tocsin._http._login_route import LoginEndpoint
    from tocsin._http._request import Request, Response

__all__ = ["SECOND_FACTOR", "Auth", "BasicAuth", "BearerAuth", "LoginAuth"]

# Half surrogates are what Python makes of bytes in the environment that are no UTF-8.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Wider than RFC 6750 §2.1: some issuers put other visible characters into their tokens.
_TOKEN = re.compile(r"[\x21-\x7e]+")
SECOND_FACTOR = re.compile(r"TOTP|TFA|two.?factor", re.IGNORECASE)
"""What a refusal says if it is about the second factor."""
_EXCERPT = 4096


@runtime_checkable
class Auth(Protocol):
    """What gives requests their credentials."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown: they are removed from errors and log lines."""
        ...

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with its credentials; is sent the response; the last response counts.

        Must not block: it does no I/O of its own, a log-in is a request that it yields.

        Args:
            request: What is to be sent.
        """
        ...


@runtime_checkable
class LoginAuth(Auth, Protocol):
    """Credentials that have to be exchanged for a token before they are of use."""

    def fresh(self) -> Self:
        """The same credentials without a token. Each client works on a copy of its own, so that what one
        server has given never gets to another.
        """
        ...

    @property
    def lifetime(self) -> float | None:
        """Seconds for which the token was good when it was given, by the server's clock; None: unknown."""
        ...

    @property
    def given(self) -> int:
        """How many tokens there have been, by log-ins and of the server's own accord."""
        ...

    @property
    def endpoint(self) -> LoginEndpoint | None:
        """Where to log in; None: over the client's own connections."""
        ...

    async def log_in(
        self, send: Callable[[Request], Awaitable[Response]], clock: Callable[[], datetime]
    ) -> None:
        """Get a token, once, without trying again.

        Args:
            send: Sends a request as it is and raises for all answers but 2xx.
            clock: Aware UTC now, for answers that have no Date.

        Raises:
            TocsinError: There is no token; what was there before is kept.
        """
        ...


class BasicAuth:
    """User name and password, sent with each request (RFC 7617).

    Args:
        user: The user name, without the tenant.
        password: The password. It may hold any character but control characters (and half surrogates).
        tenant: Cumulocity's tenant id, such as ``t07007007`` (not the sub-domain). None leaves it to the
            server to find the tenant by the host name, which fails for addresses and shared hosts.
        tfa_code: The second factor, as Cumulocity sends it by SMS; it goes with each request (header
            ``TFAToken``) until the server says that it has expired. Codes of an app work with `OAuthInternal`
            only.

    Raises:
        ConfigurationError: A name is empty or no text, or holds a character that cannot be sent.
    """

    __slots__ = ("_code", "_header", "secrets", "tenant", "user")

    def __init__(
        self, user: str, password: str, *, tenant: str | None = None, tfa_code: str | None = None
    ) -> None:
        if not all(isinstance(part, str) for part in (user, password, tenant or "", tfa_code or "")):
            raise ConfigurationError("BasicAuth: user, password, tenant and tfa_code are texts; one is not")
        if tfa_code is not None and _TOKEN.fullmatch(tfa_code) is None:
            raise ConfigurationError("BasicAuth: tfa_code holds what cannot be sent; give it as it came")
        name = user if tenant is None else f"{tenant}/{user}"
        if not user or tenant == "":
            raise ConfigurationError("BasicAuth: user and tenant must not be empty")
        if ":" in name:
            raise ConfigurationError("BasicAuth: a user name or tenant cannot hold a colon (RFC 7617)")
        if _UNSENDABLE.search(name) or _UNSENDABLE.search(password):
            raise ConfigurationError(
                "BasicAuth: user, tenant and password cannot hold control characters or half surrogates"
            )
        token = base64.b64encode(f"{name}:{password}".encode()).decode("ascii")
        self.user = user
        self.tenant = tenant
        self.secrets = (password, token) if tfa_code is None else (password, token, tfa_code)
        self._code = tfa_code
        self._header: tuple[tuple[str, str], ...] = (("Authorization", f"Basic {token}"),)
        if tfa_code is not None:
            self._header += (("TFAToken", tfa_code),)

    def of_tenant(self, tenant: str) -> BasicAuth:
        """The same credentials for a tenant.

        Args:
            tenant: Its id, such as ``t07007007``.
        """
        return BasicAuth(self.user, self.secrets[0], tenant=tenant, tfa_code=self._code)

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with its Authorization header.

        Args:
            request: What is to be sent.
        """
        yield request.with_headers(self._header)

    def explain(self, response: Response, now: datetime) -> str:
        """Say why a request was refused, as far as it is about the second factor; else nothing.

        Args:
            response: The refusal.
            now: The server's clock.
        """
        del now
        if "tfatokenexpired" in response.headers:
            return "the second factor has expired, give a new tfa_code"
        if not SECOND_FACTOR.search(response.body[:_EXCERPT].decode("utf-8", "replace")):
            return ""
        if self._code is None:
            return "a second factor is needed: give tfa_code, or log in by OAuthInternal for codes of an app"
        return "the second factor was not accepted, give a new tfa_code"

    def __repr__(self) -> str:
        return f"BasicAuth(user={self.user!r}, tenant={self.tenant!r}, password=***)"


class BearerAuth:
    """A token that somebody else has obtained, sent with each request (RFC 6750).

    It is never renewed: when it expires, calls and streams raise `AuthenticationError`, which says when that
    was if the token is a JSON web token.

    Args:
        token: The token. Blanks and line breaks around it (as files have them) are removed.

    Raises:
        ConfigurationError: It is empty, no text, or holds characters that no token has.
    """

    __slots__ = ("_expiry", "_header", "secrets")

    def __init__(self, token: str) -> None:
        if not isinstance(token, str):
            raise ConfigurationError(f"BearerAuth: the token is a text, not {type(token).__name__}")
        token = token.strip()
        if _TOKEN.fullmatch(token) is None:
            raise ConfigurationError("BearerAuth: the token is empty or holds characters that no token has")
        self.secrets = (token,)
        self._header = (("Authorization", f"Bearer {token}"),)
        self._expiry = expiry(token)

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with its Authorization header.

        Args:
            request: What is to be sent.
        """
        yield request.with_headers(self._header)

    def explain(self, response: Response, now: datetime) -> str:
        """Say why the token was refused, as far as the token itself tells.

        Args:
            response: The refusal.
            now: The server's clock.
        """
        del response
        if self._expiry is None:
            return ""
        when = readable(self._expiry)
        if self._expiry <= now:
            return f"the token expired at {when}, give a new one"
        return f"the token says that it is good until {when}, so it was revoked or is for another tenant"

    def __repr__(self) -> str:
        return "BearerAuth(token=***)"
