"""Who logs in at the identity provider of a site, and the token that comes of it.

Source: reference `xprotect.md` 1.2 to 1.4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, runtime_checkable
from urllib.parse import urlencode

from tocsin._http._login import log_in_refused
from tocsin._http._request import Request, is_number
from tocsin.errors import ConfigurationError, ProtocolError, StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from datetime import datetime

    from tocsin._http._request import Response
    from tocsin.xprotect._discovery import Paths, Site

__all__ = ["BasicUser", "Credentials", "TokenAuth"]

_FORM: Final = (("Content-Type", "application/x-www-form-urlencoded"),)
_CLIENT: Final = "GrantValidatorClient"
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_UNSENDABLE: Final = re.compile(r"[\ud800-\udfff]")
_PASSING: Final = frozenset({408, 425, 429})


@runtime_checkable
class Credentials(Protocol):
    """What a site exchanges for a token."""

    @property
    def name(self) -> str:
        """Who it is, for messages."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        ...

    def grant(self, paths: Paths) -> tuple[str, dict[str, str]]:
        """Where the token is asked for, and by which form."""
        ...


class BasicUser:
    """A user that XProtect itself keeps (a "basic user").

    Source: MIP VMS API, "Get an access token"; reference `xprotect.md` 1.2.

    Args:
        user: The user name.
        password: The password.

    Raises:
        ConfigurationError: A value is empty or no text, or cannot be sent.
    """

    __slots__ = ("_password", "user")

    def __init__(self, user: str, password: str) -> None:
        check_texts("BasicUser", user=user, password=password)
        self.user = user
        self._password = password

    @property
    def name(self) -> str:
        """The user name."""
        return self.user

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password."""
        return (self._password,)

    def grant(self, paths: Paths) -> tuple[str, dict[str, str]]:
        """Where the token is asked for, and by which form.

        Args:
            paths: Where the site's services are.
        """
        form = {"grant_type": "password", "username": self.user, "password": self._password}
        return paths.token, {**form, "client_id": _CLIENT}

    def __repr__(self) -> str:
        return f"BasicUser({self.user!r}, password=***)"


class TokenAuth:
    """The token of one client at one site.

    Args:
        credentials: Who logs in.
        site: Knows where.
    """

    endpoint: ClassVar[None] = None

    __slots__ = ("_credentials", "_headers", "_site", "given", "lifetime", "secrets")

    def __init__(self, credentials: Credentials, site: Site) -> None:
        self._credentials = credentials
        self._site = site
        self._headers: tuple[tuple[str, str], ...] = ()
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

        Args:
            send: Sends a request to the site, once.
            clock: Aware UTC now.

        Raises:
            AuthenticationError: The site refused the log-in.
            TocsinError: The server gave no answer, or one that holds no token.
        """
        del clock
        path, form = self._credentials.grant(await self._site.paths(send))
        body = urlencode(form).encode("ascii")
        try:
            response = await send(Request("POST", path, body=body, headers=_FORM))
        except StatusError as error:
            if error.status in _PASSING or (error.status >= 500 and error.status != 501):
                raise
            refused = log_in_refused(f"the log-in of {self._credentials.name!r} was refused: {error}", error)
        else:
            self._take(response.json())
            return
        raise refused

    def _take(self, body: Any) -> None:
        """Take the token out of the answer to a log-in."""
        found: dict[str, Any] = body if isinstance(body, dict) else {}
        token, lifetime = found.get("access_token"), found.get("expires_in", 0)
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise ProtocolError("the answer to the log-in has no access_token that can be sent")
        self._headers = (("Authorization", f"Bearer {token}"),)
        given = self._credentials.secrets
        self.secrets = (*given, *[text for text in self.secrets if text not in given][-7:], token)
        self.lifetime = float(lifetime) if is_number(lifetime) and lifetime > 0 else None
        self.given += 1

    def __repr__(self) -> str:
        return f"TokenAuth({self._credentials!r})"


def check_texts(what: str, **texts: object) -> None:
    """Refuse what no log-in can send.

    Raises:
        ConfigurationError: It names the argument and does not repeat it.
    """
    for name, text in texts.items():
        if not isinstance(text, str) or not text or _UNSENDABLE.search(text):
            raise ConfigurationError(f"{what}: {name} is empty, no text, or holds what cannot be sent")
