"""Who logs in at the identity provider of a site, and the token that comes of it.

Source: reference `xprotect.md` 1.2 to 1.4.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode

from anyio import current_time

from tocsin._http._login import log_in_refused
from tocsin._http._login_route import LoginEndpoint
from tocsin._http._request import Request, is_number
from tocsin._http._retry import RetryPolicy
from tocsin.errors import AuthenticationError, ConfigurationError, NotFoundError, ProtocolError, StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from datetime import datetime

    from tocsin._http._auth import Auth
    from tocsin._http._request import Response
    from tocsin.xprotect._discovery import Paths, Site

__all__ = ["BasicUser", "ClientCredentials", "Credentials", "TokenAuth", "WindowsUser"]

_FORM: Final = (("Content-Type", "application/x-www-form-urlencoded"),)
_CLIENT: Final = "GrantValidatorClient"
_LONGEST: Final = 1e9  # seconds
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_UNSENDABLE: Final = re.compile(r"[\ud800-\udfff]")
_FINAL: Final = frozenset({"invalid_grant", "invalid_client"})
_SAID: Final = re.compile(r"LockedOut|InvalidCredential|invalid_username_or_password", re.IGNORECASE)
_LOCKED: Final = re.compile(r"LockedOut", re.IGNORECASE)
_AGAIN: Final = 900.0
"""Seconds for which credentials that were refused are not sent again: few enough tries to lock nobody out,
and somebody may have mended at the site what a daemon cannot. `watch` tries a source again as often."""
_PASSING: Final = frozenset({408, 425, 429})


class Credentials(ABC):
    """What a site exchanges for a token.

    Args:
        name: Who it is, for messages.
        secret: What nobody may see.
    """

    __slots__ = ("_secret", "name")

    def __init__(self, name: str, secret: str) -> None:
        self.name = name
        self._secret = secret

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        return (self._secret,)

    @abstractmethod
    def grant(self, paths: Paths) -> tuple[str, dict[str, str]]:
        """Where the token is asked for, and by which form.

        Args:
            paths: Where the site's services are.
        """

    def handshake(self, host: str) -> Auth | None:
        """What the asking itself has to show; None: the form is enough.

        Args:
            host: The server's name.
        """
        del host
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, ***)"


class BasicUser(Credentials):
    """A user that XProtect itself keeps (a "basic user").

    Each client logs in for itself, at its first call. Credentials that the site refuses are not sent again by
    that client for a quarter of an hour, whatever is called, for a wrong password that is sent again and
    again locks the account; and never again once the account is locked.

    Source: reference `xprotect.md` 1.2 (``grant_type=password``).

    Args:
        user: The user name.
        password: The password.

    Raises:
        ConfigurationError: A value is empty or no text, or cannot be sent.
    """

    __slots__ = ()

    def __init__(self, user: str, password: str) -> None:
        _check("BasicUser", user=user, password=password)
        super().__init__(user, password)

    @property
    def user(self) -> str:
        """The user name."""
        return self.name

    def grant(self, paths: Paths) -> tuple[str, dict[str, str]]:
        """Where the token is asked for, and by which form.

        Args:
            paths: Where the site's services are.
        """
        form = {"grant_type": "password", "username": self.name, "password": self._secret}
        return paths.token, {**form, "client_id": _CLIENT}


class WindowsUser(Credentials):
    r"""A user of Windows or Active Directory, who logs in by NTLM. Needs the extra ``tocsin[ntlm]``.

    The password is not sent: the log-in answers a challenge, on a connection of its own. Log-ins that are
    refused are not tried again for long; see `BasicUser`.

    Source: reference `xprotect.md` 1.2 (``grant_type=windows_credentials``).

    Args:
        user: ``DOMAIN\user``, or ``user@domain``.
        password: The password.

    Raises:
        ConfigurationError: A value is empty or no text, or cannot be sent; or the extra is not installed.
    """

    __slots__ = ("_make",)

    def __init__(self, user: str, password: str) -> None:
        _check("WindowsUser", user=user, password=password)
        try:
            from tocsin.xprotect._ntlm import NtlmAuth
        except ImportError:
            raise ConfigurationError("Windows users need the extra ntlm: pip install tocsin[ntlm]") from None
        super().__init__(user, password)
        self._make = NtlmAuth

    @property
    def user(self) -> str:
        """The user name with its domain."""
        return self.name

    def grant(self, paths: Paths) -> tuple[str, dict[str, str]]:
        """Where the token is asked for, past the gateway, which does not hand NTLM on.

        Args:
            paths: Where the site's services are.
        """
        return paths.windows_token, {"grant_type": "windows_credentials", "client_id": _CLIENT}

    def handshake(self, host: str) -> Auth:
        """NTLM.

        Args:
            host: The server's name.
        """
        return self._make(self.name, self._secret, host)


class ClientCredentials(Credentials):
    """An application that the site knows by an id and a secret. Its token has all rights.

    Source: reference `xprotect.md` 1.2 (``grant_type=client_credentials``).

    Args:
        client_id: The id.
        client_secret: The secret.

    Raises:
        ConfigurationError: A value is empty or no text, or cannot be sent.
    """

    __slots__ = ()

    def __init__(self, client_id: str, client_secret: str) -> None:
        _check("ClientCredentials", client_id=client_id, client_secret=client_secret)
        super().__init__(client_id, client_secret)

    @property
    def client_id(self) -> str:
        """The id."""
        return self.name

    def grant(self, paths: Paths) -> tuple[str, dict[str, str]]:
        """Where the token is asked for, and by which form.

        Args:
            paths: Where the site's services are.
        """
        form = {"grant_type": "client_credentials", "client_id": self.name, "client_secret": self._secret}
        return paths.windows_token, {**form, "scope": "managementserver"}


class TokenAuth:
    """The token of one client at one site.

    Args:
        credentials: Who logs in.
        site: Knows where.
    """

    __slots__ = (
        "_credentials",
        "_headers",
        "_refused",
        "_refused_until",
        "_site",
        "endpoint",
        "given",
        "lifetime",
        "secrets",
    )

    def __init__(self, credentials: Credentials, site: Site) -> None:
        self._credentials = credentials
        self._site = site
        self._headers: tuple[tuple[str, str], ...] = ()
        self._refused: AuthenticationError | None = None
        self._refused_until = 0.0
        handshake = credentials.handshake(site.host)
        self.endpoint = None if handshake is None else LoginEndpoint(auth=handshake)
        self.lifetime: float | None = None
        self.given = 0
        self.secrets: tuple[str, ...] = credentials.secrets

    def fresh(self) -> Self:
        """The same credentials without a token."""
        return type(self)(self._credentials, self._site)

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

        Credentials that were refused are not sent again for long: each time would count towards a lock-out.

        Args:
            send: Sends a request to the site, once.
            clock: Aware UTC now.

        Raises:
            AuthenticationError: The site refused the log-in.
            ConfigurationError: There is no API Gateway, or the site is too old.
            TocsinError: The server gave no answer, or one that holds no token.
        """
        del clock  # `expires_in` counts from the answer
        if self._refused is not None and current_time() < self._refused_until:
            raise copy(self._refused).with_traceback(None)
        paths = await self._site.paths(send)
        path, form = self._credentials.grant(paths)
        body = urlencode(form).encode("ascii")
        try:
            response = await send(Request("POST", path, body=body, headers=_FORM, retry=RetryPolicy.none()))
        except StatusError as error:
            if error.status in _PASSING or (error.status >= 500 and error.status != 501):
                raise
            absent = self._site.doubtful and isinstance(error, NotFoundError)
            failure = self._site.without_gateway(error) if absent else self._refusal(error)
        else:
            self._take(response.json())
            if path == paths.token:  # which is the gateway's
                self._site.doubtful = False
            return
        raise failure

    def _refusal(self, error: StatusError) -> AuthenticationError:
        """The error for a log-in that was refused; what is said of the credentials themselves is kept."""
        name = self._credentials.name
        final = error.status == 401 or error.error in _FINAL or _SAID.search(error.message or "") is not None
        locked = _LOCKED.search(error.message or "") is not None
        if locked:
            text = (
                f"the account of {name!r} is locked out: an administrator has to unlock it: {error}; "
                "it is not tried again by this client"
            )
        else:
            text = f"the log-in of {name!r} was refused: {error}"
            if final:
                text += f"; it is not tried again for {_AGAIN / 60:.0f} minutes, or the account may be locked"
        refused = log_in_refused(text, error)
        if final:
            self._refused = refused
            self._refused_until = math.inf if locked else current_time() + _AGAIN
        return refused

    def _take(self, body: Any) -> None:
        """Take the token out of the answer to a log-in."""
        found: dict[str, Any] = body if isinstance(body, dict) else {}
        token, lifetime = found.get("access_token"), found.get("expires_in", 0)
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ProtocolError("the answer to the log-in has no access_token that can be sent")
        self._headers = (("Authorization", f"Bearer {token}"),)
        given = self._credentials.secrets
        self.secrets = (*given, *[text for text in self.secrets if text not in given][-7:], token)
        self.lifetime = float(min(lifetime, _LONGEST)) if is_number(lifetime) and lifetime > 0 else None
        self.given += 1

    def __repr__(self) -> str:
        return f"TokenAuth({self._credentials!r})"


def _check(what: str, **texts: object) -> None:
    """Refuse what no log-in can send.

    Raises:
        ConfigurationError: It names the argument and does not repeat it.
    """
    for name, text in texts.items():
        if not isinstance(text, str) or not text or _UNSENDABLE.search(text):
            raise ConfigurationError(f"{what}: {name} is empty, no text, or holds what cannot be sent")
