"""Cumulocity's own log-in, OAI-Secure: user name and password once, a token from then on."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, ClassVar, Final, Self
from urllib.parse import urlencode

from tocsin._http._auth import SECOND_FACTOR
from tocsin._http._jwt import expiry
from tocsin._http._login import log_in_refused
from tocsin._http._request import Request
from tocsin.errors import AuthenticationError, ConfigurationError, ProtocolError, StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from datetime import datetime
    from typing import TypeAlias

    from tocsin._http._request import Response

    Code: TypeAlias = str | Callable[[], str | Awaitable[str]]

__all__ = ["OAuthInternal"]

_FORM: Final = (("Content-Type", "application/x-www-form-urlencoded"),)
_UNSENDABLE: Final = re.compile(r"[\ud800-\udfff]")
_TOKEN: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
# Repeated headers come joined with a comma, which no cookie's value holds (RFC 6265 §4.1.1).
_COOKIE: Final = r'(?:^|,)\s*{}="?([^\s;,"]+)'
_PASSING: Final = frozenset({408, 425, 429})


class OAuthInternal:
    """User name and password, exchanged for a token that is renewed before it expires (OAI-Secure).

    The first call logs in, all others wait for that one log-in. The next one comes 60 seconds before the
    token expires (by the server's clock), or when the server refuses it: the call is then sent once more.
    A log-in that fails is not tried again for half a minute. Each client logs in for itself.

    Sources: Cumulocity OpenAPI "core" (``/tenant/oauth/token``, ``/tenant/oauth``, parameter X-XSRF-TOKEN).

    Args:
        user: The user name, without the tenant.
        password: The password.
        tenant: The tenant's id, such as ``t07007007``. None leaves it to the server to find the tenant by
            the host name, which fails for addresses and shared hosts.
        tfa_code: The second factor: a code, which is good for the first log-in only, or a function that gives
            a new one each time. It may be an async function, so that somebody can be asked; calls wait for
            it within their own time limits.
        cookies: Log in as browsers do: the token comes as a cookie, and requests bring ``X-XSRF-TOKEN``. The
            server may then prolong the session by itself.

    Raises:
        ConfigurationError: A value is empty or no text, or cannot be sent.
    """

    endpoint: ClassVar[None] = None

    __slots__ = (
        "_code",
        "_code_used",
        "_headers",
        "_log_ins",
        "_password",
        "_token",
        "_xsrf",
        "cookies",
        "given",
        "lifetime",
        "secrets",
        "tenant",
        "user",
    )

    def __init__(
        self,
        user: str,
        password: str,
        *,
        tenant: str | None = None,
        tfa_code: Code | None = None,
        cookies: bool = False,
    ) -> None:
        code = tfa_code if isinstance(tfa_code, str) else ""
        if not all(isinstance(part, str) for part in (user, password, tenant or "")):
            raise ConfigurationError("OAuthInternal: user, password and tenant are texts; one of them is not")
        if not user or not password or tenant == "":
            raise ConfigurationError("OAuthInternal: user, password and tenant must not be empty")
        if any(_UNSENDABLE.search(part) for part in (user, password, tenant or "", code)):
            raise ConfigurationError("OAuthInternal: half surrogates cannot be sent")
        if tfa_code is not None and not isinstance(tfa_code, str) and not callable(tfa_code):
            raise ConfigurationError("OAuthInternal: tfa_code is a text, or a function that gives one")
        self.user = user
        self.tenant = tenant
        self.cookies = cookies
        self.lifetime: float | None = None
        self.given = 0
        self._log_ins = 0
        self._password = password
        self._code = tfa_code or None
        self._code_used = False
        self._token = self._xsrf = ""
        self._headers: tuple[tuple[str, str], ...] = ()
        self.secrets: tuple[str, ...] = tuple(text for text in (password, code) if text)

    def fresh(self) -> Self:
        """The same credentials without a token."""
        return type(self)(
            self.user, self._password, tenant=self.tenant, tfa_code=self._code, cookies=self.cookies
        )

    def of_tenant(self, tenant: str) -> Self:
        """The same credentials, without a token, for a tenant.

        Args:
            tenant: Its id, such as ``t07007007``.
        """
        return type(self)(self.user, self._password, tenant=tenant, tfa_code=self._code, cookies=self.cookies)

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request with its token.

        Args:
            request: What is to be sent.
        """
        begun = self._log_ins
        response = yield request.with_headers(self._headers)
        # The server prolongs a session when it likes. An answer that was under way during another log-in is
        # about a session that this one may have ended.
        if self.cookies and response.status < 400 and begun == self._log_ins:
            self._prolong(response)

    async def log_in(
        self, send: Callable[[Request], Awaitable[Response]], clock: Callable[[], datetime]
    ) -> None:
        """Get a token. Called by the client, which sees to it that there is one log-in at a time.

        Args:
            send: Sends a request to the tenant.
            clock: Aware UTC now.

        Raises:
            AuthenticationError: The server refused the log-in, or there is no code for it.
            TocsinError: The server gave no answer, or one that holds no token.
        """
        code = await self._next_code()
        form = {"grant_type": "PASSWORD", "username": self.user, "password": self._password}
        if code:
            form["tfa_code"] = code
            self._keep_secret(code)
        request = Request(
            "POST",
            "/tenant/oauth" if self.cookies else "/tenant/oauth/token",
            query=(("tenant_id", self.tenant),) if self.tenant else (),
            body=urlencode(form).encode("ascii"),
            headers=_FORM,
        )
        try:
            response = await send(request)
        except StatusError as error:
            refused = self._refusal(error, coded=code is not None)
            if refused is None:
                raise
        else:
            self._code_used = True
            self._take(response)
            self.lifetime = self._left(response, clock)
            self.given += 1
            self._log_ins += 1
            return
        self._code_used = True
        raise refused

    def _left(self, response: Response, clock: Callable[[], datetime] | None) -> float | None:
        """Seconds for which the token is good; None if nobody can say."""
        until = expiry(self._token)
        now = response.date or (clock() if clock is not None else None)
        if until is None or now is None:
            return None
        left = (until - now).total_seconds()
        # A server whose clock and tokens contradict each other will say 401 when it means it.
        return left if left > 0 else None

    async def _next_code(self) -> str | None:
        """The second factor for this log-in."""
        code = self._code
        if code is None:
            return None
        if isinstance(code, str):
            if self._code_used:
                raise AuthenticationError(
                    f"the session of {self.user!r} has ended and a new log-in needs a new code: "
                    "give tfa_code as a function",
                    status=401,
                )
            return code
        made = code()
        given: object = await made if inspect.isawaitable(made) else made
        if not isinstance(given, str) or not given or _UNSENDABLE.search(given):
            raise ConfigurationError("OAuthInternal: the function tfa_code gave no code")
        return given

    def _refusal(self, error: StatusError, *, coded: bool) -> AuthenticationError | None:
        """The error to raise instead; None if the failure will pass."""
        status = error.status
        if status in _PASSING or (status >= 500 and status != 501):
            return None
        hint = ""
        if SECOND_FACTOR.search(error.message or ""):
            hint = "; the code was not accepted" if coded else "; a second factor is needed: give tfa_code"
        elif status in {404, 405, 501}:
            hint = "; login_options() tells which kinds of log-in there are"
        return log_in_refused(f"the log-in of {self.user!r} was refused: {error}{hint}", error)

    def _take(self, response: Response) -> None:
        """Take the token out of the answer to a log-in."""
        if self.cookies:
            token = _cookie(response, "authorization")
            if token is None:
                raise ProtocolError("the log-in brought no cookie named authorization")
            self._take_cookies(token, response)
            return
        body = response.json()
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ProtocolError("the answer to the log-in has no access_token that can be sent")
        self._token = token
        self._headers = (("Authorization", f"Bearer {token}"),)
        self._keep_secret(token)

    def _prolong(self, response: Response) -> None:
        """Adopt the token of an answer that brings a newer one."""
        token = _cookie(response, "authorization")
        if token is None or token == self._token:
            return
        now, later = expiry(self._token), expiry(token)
        if now is not None and later is not None and later < now:
            return  # answers overtake each other
        self._take_cookies(token, response)
        self.lifetime = self._left(response, None)
        self.given += 1

    def _take_cookies(self, token: str, response: Response) -> None:
        """Send a token as a cookie from now on, with what belongs to it."""
        self._token = token
        self._xsrf = _cookie(response, "XSRF-TOKEN") or self._xsrf
        cookie = f"authorization={self._token}"
        self._headers = (("Cookie", cookie),)
        if self._xsrf:
            self._headers = (
                ("Cookie", f"{cookie}; XSRF-TOKEN={self._xsrf}"),
                ("X-XSRF-TOKEN", self._xsrf),
            )
        self._keep_secret(self._token)
        self._keep_secret(self._xsrf)

    def _keep_secret(self, text: str) -> None:
        """Have a text hidden; the password and the latest few are enough, older ones are known already."""
        if text and text not in self.secrets:
            self.secrets = (self.secrets[0], *self.secrets[1:][-7:], text)

    def __repr__(self) -> str:
        return f"OAuthInternal(user={self.user!r}, tenant={self.tenant!r}, password=***)"


def _cookie(response: Response, name: str) -> str | None:
    """The value of a cookie that an answer sets, if it is one that can be sent back."""
    found = re.search(_COOKIE.format(name), response.headers.get("set-cookie", ""))
    return found[1] if found is not None and _TOKEN.fullmatch(found[1]) else None
