"""The base URL: read once, checked, and joined with paths and queries."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BaseUrl", "encode_query", "is_loopback"]

_PORTS = {"http": 80, "https": 443}
_HOST_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_MAX_HOST = 253
# RFC 3986 §3.3: what a path may hold once it is percent-encoded.
_PREFIX = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)*")


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Where the platform is: scheme, host, port, and a path that all requests share.

    Attributes:
        scheme: ``http`` or ``https``.
        host: The host name or address, lower case, an IPv6 address without brackets.
        port: The port, also when it is the scheme's own.
        prefix: The shared path, without a slash at its end; mostly empty.
    """

    scheme: str
    host: str
    port: int
    prefix: str

    @classmethod
    def parse(cls, text: str) -> BaseUrl:
        """Read a base URL.

        Raises:
            ConfigurationError: It is not one; the text says what to do and repeats no secret.
        """
        if not isinstance(text, str):
            raise ConfigurationError(
                f"the base URL is a text such as https://acme.example.com, not {type(text).__name__}"
            )
        if not text.strip():
            raise ConfigurationError("the base URL is empty: give one such as https://acme.example.com")
        text = text.strip()
        if any(ch.isspace() or not ch.isprintable() for ch in text):
            raise ConfigurationError("the base URL holds blanks or control characters")
        try:
            parts = urlsplit(text)
            scheme, host, user = parts.scheme.lower(), parts.hostname, parts.username
        except ValueError:
            raise ConfigurationError("the base URL cannot be read: its host is malformed") from None
        _check_scheme(text, scheme)
        # An "@" behind the host part is suspicious too: a password with a "/" in it ends the host part.
        if user is not None or "@" in text:
            raise ConfigurationError(
                "the base URL has user information (or an @) in it: give the credentials by themselves, as "
                "BasicAuth(user, password, tenant=...) or BearerAuth(token)"
            )
        if not host:
            raise ConfigurationError("the base URL has no host: give one such as https://acme.example.com")
        if parts.query or parts.fragment or "?" in text or "#" in text:
            raise ConfigurationError(f"the base URL of {host} has a query or a fragment: leave it out")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0:
            raise ConfigurationError(f"the port in the base URL of {host} is not one (1 to 65535)")
        prefix = parts.path.rstrip("/")
        if _PREFIX.fullmatch(prefix) is None or _climbs(prefix):
            raise ConfigurationError(f"the path in the base URL of {host} is not a plain path")
        return cls(scheme, _checked_host(host), _PORTS[scheme] if port is None else port, prefix)

    @property
    def netloc(self) -> str:
        """Host and, where it is not the scheme's own, port: what the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def text(self) -> str:
        """The whole base URL without a slash at its end."""
        return f"{self.scheme}://{self.netloc}{self.prefix}"

    @property
    def address(self) -> str:
        """Host and port, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether requests stay on this machine."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine (RFC 6761 §6.3, RFC 4291 §2.5.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Encode plain pairs by RFC 3986: "+" becomes ``%2B``, a blank ``%20``, a comma ``%2C``.

    Raises:
        ConfigurationError: A text holds half a surrogate pair, which UTF-8 cannot write.
    """
    try:
        return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
    except UnicodeEncodeError:
        raise ConfigurationError("a value in the query is not text that can be sent") from None


def _check_scheme(text: str, scheme: str) -> None:
    if scheme in _PORTS and text[len(scheme) :].startswith("://"):
        return
    if "@" in text or "?" in text:
        raise ConfigurationError("the base URL must begin with https:// or http://")
    if ":/" not in text:
        raise ConfigurationError(f"the base URL {text!r} has no scheme: write https://{text.lstrip('/')}")
    raise ConfigurationError(f"the base URL {text!r} must begin with https:// or http://")


def _checked_host(host: str) -> str:
    host = host.lower()
    if ":" in host:  # urlsplit has checked that it is an address in brackets
        return host
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_host = ""
    labels = ascii_host.removesuffix(".").split(".")
    if len(ascii_host) > _MAX_HOST or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise ConfigurationError(f"{host[:80]!r} in the base URL is not a host name")
    return ascii_host


def _climbs(path: str) -> bool:
    return any(part in {".", ".."} for part in path.replace("%2e", ".").replace("%2E", ".").split("/"))
