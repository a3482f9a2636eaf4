"""Proxies: given, or found in the environment.

httpx does not look at the environment once it is given a transport, so we do.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from tocsin._http._url import BaseUrl

__all__ = ["Proxy", "find_proxy"]

_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """A proxy.

    Attributes:
        url: Its URL without user information.
        user: The user name, or None.
        password: The password, or None.
    """

    url: str
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, text: str, where: str) -> Proxy:
        """Read a proxy's URL; one without a scheme is http.

        Args:
            text: The URL, perhaps with user information.
            where: What it came from, for the error's text.

        Raises:
            ConfigurationError: It is not one. The text repeats nothing of it: it may hold a password.
        """
        text = text.strip()
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
            user = None if parts.username is None else unquote(parts.username)
            password = None if parts.password is None else unquote(parts.password)
        except ValueError:
            raise ConfigurationError(f"{where} is not the URL of a proxy") from None
        if parts.scheme.lower() not in _SCHEMES:
            raise ConfigurationError(f"{where}: a proxy's URL begins with one of {', '.join(_SCHEMES)}")
        if not host:
            raise ConfigurationError(f"{where} is not the URL of a proxy: it has no host")
        host = f"[{host}]" if ":" in host else host
        return cls(f"{parts.scheme.lower()}://{host}" + (f":{port}" if port else ""), user, password)

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return self.url.partition("://")[2]

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password, plain and as URLs hold it."""
        return () if self.password is None else (self.password, quote(self.password, safe=""))

    @property
    def secure(self) -> bool:
        """Whether the proxy itself is reached over TLS."""
        return self.url.startswith("https://")

    @property
    def credentials(self) -> tuple[bytes, bytes] | None:
        """User name and password as they are sent, or None."""
        return None if self.user is None else (self.user.encode(), (self.password or "").encode())

    def __repr__(self) -> str:
        return f"Proxy({self.url!r})"


def find_proxy(base: BaseUrl, given: str | None, *, trust_env: bool) -> Proxy | None:
    """Find the proxy on the way to a server.

    Args:
        base: The server.
        given: A proxy's URL, which then counts alone.
        trust_env: Whether ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` (in either case; on
            Windows and macOS also the system's settings) are obeyed. Never for this machine itself.

    Raises:
        ConfigurationError: The URL is not one of a proxy.
    """
    if given is not None:
        return Proxy.parse(given, "proxy=")
    if not trust_env or base.loopback:
        return None
    settings = urllib.request.getproxies()
    for kind in (base.scheme, "all"):
        url = settings.get(kind)
        if url:
            if _is_excepted(base, settings.get("no", "")):
                return None
            return Proxy.parse(url, f"the {kind.upper()}_PROXY of the environment")
    return None


def _is_excepted(base: BaseUrl, exceptions: str) -> bool:
    """Whether ``NO_PROXY`` names the server: host, domain and all below, host:port, network, ``*``."""
    if any(_names(entry.strip().lower(), base) for entry in exceptions.split(",")):
        return True
    return bool(urllib.request.proxy_bypass(base.address))


def _names(entry: str, base: BaseUrl) -> bool:
    if not entry:
        return False
    if entry in {"*", base.host, base.address, f"[{base.host}]"}:
        return True
    try:
        return ipaddress.ip_address(base.host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass
    domain, _, port = entry.partition(":")
    if port and port != str(base.port):
        return False
    domain = domain.removeprefix("*").removeprefix(".")
    return bool(domain) and (base.host == domain or base.host.endswith(f".{domain}"))
