"""Where a site keeps its services: asked once, and never on another host than the client was given.

The reading of the answers is pure; `Site` does the asking. Source: reference `xprotect.md` 1.1.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin._http._url import BaseUrl
from tocsin.errors import (
    ConfigurationError,
    ProtocolError,
    ServerError,
    StatusError,
    TransportError,
)
from tocsin.xprotect._once import Once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin._http._request import Response

    Send = Callable[[Request], Awaitable[Response]]

__all__ = ["FIXED", "OLDEST", "Paths", "Site", "read_issuer", "read_uris"]

log = logging.getLogger("tocsin.xprotect")

OLDEST: Final = (23, 2)
"""The first version with alarms over REST, called 2023 R2."""

_URIS: Final = "/api/.well-known/uris"
_OPENID: Final = "/.well-known/openid-configuration"
_MAX_BYTES: Final = 1 << 20
_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.[0-9.]*)?")
_GATEWAY: Final = re.compile(r"/api(?:/rest(?:/v1)?)?$", re.IGNORECASE)
# Plain segments only: what a server says becomes the path of requests that carry the credentials.
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_PASSING: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the services of a site are, below the client's base URL.

    Attributes:
        rest: Of the REST services.
        token: Where XProtect's own users get their tokens.
        windows_token: Where Windows users and applications get theirs, past the gateway.
        socket: The Events and State WebSocket.
        version: The first two numbers of the server's version, such as (25, 1); None: unknown.
    """

    rest: str = "/api/rest/v1"
    token: str = "/API/IDP/connect/token"  # noqa: S105 - a path
    windows_token: str = "/IDP/connect/token"  # noqa: S105 - a path
    socket: str = "/api/ws/events/v1"
    version: tuple[int, int] | None = None


FIXED: Final = Paths()
"""Where they are unless the server says otherwise."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the server says of itself.

    Attributes:
        paths: Where the services are.
        issuer: The path of the identity provider.
        strangers: Hosts that it names and that are not asked.
    """

    paths: Paths
    issuer: str
    strangers: tuple[str, ...] = ()


def read_uris(data: Any, base_url: str) -> Found:
    """Read the answer of the gateway's well-known address.

    Args:
        data: The JSON.
        base_url: Where the client was told to go.
    """
    found: dict[str, Any] = data if isinstance(data, dict) else {}
    strangers: list[str] = []
    listed = found.get("ApiGateways")
    gateways = [
        path
        for url in (listed if isinstance(listed, list) else [])[:20]
        if (path := _here(url, base_url, strangers)) is not None
    ]
    issuer = _here(found.get("IdentityProvider"), base_url, strangers)
    paths = replace(FIXED, version=_version(found.get("ProductVersion")))
    # The usual gateway answers in any case, and the fixed spelling is what the vendor's samples ask for.
    if gateways and gateways[0].lower() != "/api":
        gateway = gateways[0]
        paths = replace(
            paths,
            rest=f"{gateway}/rest/v1",
            token=f"{gateway}/IDP/connect/token",
            socket=f"{gateway}/ws/events/v1",
        )
    if issuer is not None:
        paths = replace(paths, windows_token=f"{issuer}/connect/token")
    missing = [] if gateways else strangers
    return Found(paths, issuer or "/IDP", tuple(dict.fromkeys(missing if issuer is not None else strangers)))


def read_issuer(data: Any, base_url: str, paths: Paths) -> Paths:
    """Complete the paths by what the identity provider says of itself (OpenID Connect Discovery 1.0 §4).

    Args:
        data: The JSON.
        base_url: Where the client was told to go.
        paths: What is known already.
    """
    found: dict[str, Any] = data if isinstance(data, dict) else {}
    endpoint = _here(found.get("token_endpoint"), base_url, [])
    version = paths.version or _version(found.get("server_version"))
    return replace(paths, windows_token=endpoint or paths.windows_token, version=version)


class Site:
    """Knows where the services of one site are.

    Args:
        base_url: Where the client was told to go. The gateway's own path may stand at its end.

    Attributes:
        base_url: The same without that path.
        host: The server's name in it.
        known: What was found; None before that.
        doubtful: Whether nothing has shown yet that there is a gateway.

    Raises:
        ConfigurationError: It is no URL.
    """

    __slots__ = ("_once", "base_url", "doubtful", "host", "known")

    def __init__(self, base_url: str) -> None:
        base = BaseUrl.parse(base_url)
        self.host = base.host
        self.base_url = replace(base, prefix=_GATEWAY.sub("", base.prefix)).text
        self._once: Once[Paths] = Once()
        self.known: Paths | None = None
        self.doubtful = False

    async def paths(self, send: Send) -> Paths:
        """Find them, once for all who ask. Cancelling it leaves the asking to the next one.

        Args:
            send: Sends a request without credentials and raises for all answers but 2xx.

        Raises:
            ConfigurationError: The server is older than we can talk to.
            TransportError: It gave no answer.
            ServerError: It is down behind its gateway.
        """
        return await self._once.get(lambda: self.known, lambda: self._find(send))

    def without_gateway(self, error: StatusError) -> ConfigurationError:
        """What to raise where a 404 means that there is no gateway.

        Args:
            error: The 404.
        """
        self.known = None  # it may be starting, and tell later where it is
        return ConfigurationError(
            f"there is no API Gateway at {self.base_url}: {error.method} {error.url} and {_URIS} were not "
            "found. Give the address of the management server, and see that the gateway is installed there "
            f"(XProtect {_release(OLDEST)} or later)"
        )

    async def _find(self, send: Send) -> Paths:
        try:
            data = await _asked(send, _URIS)
        except StatusError as error:
            if isinstance(error, ServerError) or error.status in _PASSING:
                raise
            data = None
        self.doubtful = data is None
        found = Found(FIXED, "/IDP") if data is None else read_uris(data, self.base_url)
        for host in found.strangers:
            log.info("%s names services at %s: that host is not asked", self.base_url, host)
        try:
            about = await _asked(send, found.issuer + _OPENID, RetryPolicy.none())  # it can be done without
        except (StatusError, TransportError):
            about = None
        paths = read_issuer(about, self.base_url, found.paths)
        if paths.version is not None and paths.version < OLDEST:
            raise ConfigurationError(
                f"{self.base_url} is XProtect {_release(paths.version)}: alarms over REST need "
                f"{_release(OLDEST)} or later"
            )
        log.debug("%s: %s", self.base_url, paths)
        self.known = paths
        return paths


async def _asked(send: Send, path: str, retry: RetryPolicy | None = None) -> Any:
    """The object at a well-known address; None if nothing that can be read stands there.

    Raises:
        TransportError: No answer came.
        StatusError: The answer was a failure.
    """
    try:
        data = (await send(Request("GET", path, retry=retry, max_bytes=_MAX_BYTES))).json()
    except ProtocolError as error:
        log.debug("nothing to be read at %s: %s", path, error.reason)
        return None
    return data if isinstance(data, dict) else None


def _here(url: object, base_url: str, strangers: list[str]) -> str | None:
    """The path of a URL below our base URL, if it is on our host; others are noted.

    Its port and scheme do not matter: behind a forwarded port a server does not know its own.
    """
    if not isinstance(url, str) or not url or len(url) > 2048:
        return None
    base = urlsplit(base_url)
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if host is None or parts.scheme.lower() not in {"http", "https"}:
        return None
    if host != base.hostname:
        strangers.append(re.sub(r"[^A-Za-z0-9.:_-]", "?", host)[:255])
        return None
    path = parts.path.rstrip("/")
    if base.path:
        if not path.startswith(f"{base.path}/"):
            return None
        path = path[len(base.path) :]
    if _PATH.fullmatch(path) is None or any(part in {".", ".."} for part in unquote(path).split("/")):
        return None
    return path


def _version(text: object) -> tuple[int, int] | None:
    found = _VERSION.fullmatch(text) if isinstance(text, str) and len(text) < 100 else None
    return None if found is None else (int(found[1]), int(found[2]))


def _release(version: tuple[int, int]) -> str:
    """A version as people say it."""
    year, release = version
    return f"20{year:02d} R{release} ({year}.{release})" if 0 < year < 100 else f"{year}.{release}"
