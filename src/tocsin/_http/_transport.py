"""Connections: TLS, limits, and the httpx transport. The seam that tests and users replace."""

from __future__ import annotations

import os
import ssl
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import httpx

from tocsin.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._http._h1._transport import DirectTransport
    from tocsin._http._proxies import Proxy

    Certificate = str | Path | tuple[str | Path, str | Path] | tuple[str | Path, str | Path, str]
    Verify = bool | str | Path | ssl.SSLContext
    TransportFactory = Callable[[], httpx.AsyncBaseTransport]

__all__ = ["TlsSettings", "direct_way", "make_transport", "usual_in_flight"]

_WISH: Final = "TOCSIN_TRANSPORT"
_FEW: Final = 8
_MANY: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class TlsSettings:
    """Whom to trust, and who we are.

    Attributes:
        verify: True: the usual public CAs (``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` are obeyed). A path: the
            CAs in that file or folder, instead of the public ones. An `ssl.SSLContext`: that one. False:
            no verification at all.
        cert: A client certificate: one PEM file with certificate and key, or (certificate, key), or
            (certificate, key, password).
    """

    verify: Verify = True
    cert: Certificate | None = None

    def __post_init__(self) -> None:
        if not self.verify and self.verify is not False:
            raise ConfigurationError("verify is True, False, a path or an ssl.SSLContext; it is empty")
        if not isinstance(self.verify, bool | str | Path | ssl.SSLContext):
            raise ConfigurationError(
                f"verify is True, False, a path or an ssl.SSLContext, not {type(self.verify).__name__}"
            )
        if isinstance(self.cert, tuple) and len(self.cert) not in {2, 3}:
            raise ConfigurationError("cert is (certificate, key) or (certificate, key, password)")
        if self.cert is not None and isinstance(self.verify, ssl.SSLContext):
            raise ConfigurationError(
                "give the client certificate to your own ssl.SSLContext (load_cert_chain) instead of cert="
            )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The password of the key, if there is one."""
        return (self.cert[2],) if isinstance(self.cert, tuple) and len(self.cert) == 3 else ()

    def context(self) -> ssl.SSLContext:
        """Make the context, or give the shared one. Loading the public CAs takes about 40 ms, once.

        Raises:
            ConfigurationError: A file is missing or is not what it should be.
        """
        if isinstance(self.verify, ssl.SSLContext):
            return self.verify
        trust = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if self.verify is True and self.cert is None:
            return _public(*trust)
        context = _own(self.verify)
        if self.cert is not None:
            _identify(context, self.cert)
        return context

    def __repr__(self) -> str:
        return f"TlsSettings(verify={self.verify!r}, cert={'given' if self.cert else None})"


@lru_cache(maxsize=4)
def _public(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The public CAs, once a process and setting of the environment."""
    del file, folder  # httpx reads them itself
    try:
        return httpx.create_ssl_context()
    except (OSError, ValueError):
        raise ConfigurationError("the CAs in SSL_CERT_FILE or SSL_CERT_DIR cannot be loaded") from None


@lru_cache(maxsize=1)
def _nobody() -> ssl.SSLContext:
    """For a plain server, which never gets as far as TLS: it trusts nobody. One for all, at 13 kB each."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _own(verify: bool | str | Path) -> ssl.SSLContext:
    if verify is True:
        return httpx.create_ssl_context()  # not the shared one: a client certificate is added
    if verify is False:
        return httpx.create_ssl_context(verify=False)
    path = Path(verify)
    try:
        if path.is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except FileNotFoundError:
        raise ConfigurationError(f"verify: there is no file or folder {str(path)!r}") from None
    except (OSError, ValueError):
        raise ConfigurationError(f"verify: {str(path)!r} holds no certificates in PEM format") from None


def _identify(context: ssl.SSLContext, cert: Certificate) -> None:
    parts = cert if isinstance(cert, tuple) else (cert,)
    files = [str(part) for part in parts[:2]]
    # Without a password OpenSSL would ask for one on the terminal.
    password = parts[2] if len(parts) == 3 else ""
    try:
        context.load_cert_chain(files[0], files[1] if len(files) == 2 else None, lambda: password)
    except FileNotFoundError:
        raise ConfigurationError(f"cert: one of {files} does not exist") from None
    except (OSError, ValueError):
        raise ConfigurationError(
            f"cert: {files} do not hold a certificate and its key in PEM format, or its password is wrong"
        ) from None


def make_transport(
    *,
    tls: Callable[[], ssl.SSLContext] | None,
    proxy: Proxy | None,
    max_connections: int,
) -> httpx.AsyncBaseTransport:
    """Make a connection pool of its own: ours where it is safe, httpx's otherwise.

    Ours needs httptools (the extra ``fast``), knows no proxies, and is not used on Windows, whose event loop
    cannot wait for a socket. ``TOCSIN_TRANSPORT=httpx`` in the environment switches it off.

    Args:
        tls: Gives the context; None if the server is reached in plain text.
        proxy: The proxy on the way.
        max_connections: The most connections that it opens.

    Raises:
        ConfigurationError: The proxy needs a package that is not there; or the environment names no transport
            that there is.
    """
    context = tls() if tls is not None else _nobody()
    direct = _direct(proxy)
    if direct is not None:
        return direct(context=context, max_connections=max_connections)
    from tocsin._http._pool import PooledTransport  # whoever needs it not does not pay for httpcore

    try:
        return PooledTransport(context=context, proxy=proxy, max_connections=max_connections)
    except (ImportError, RuntimeError):
        raise ConfigurationError("a SOCKS proxy needs the package socksio: pip install socksio") from None


def direct_way(transport: httpx.AsyncBaseTransport) -> DirectTransport | None:
    """The transport itself if it is ours, and nothing that wraps or extends ours to see each request."""
    module = sys.modules.get("tocsin._http._h1._transport")
    if module is None or type(transport) is not module.DirectTransport:
        return None
    return cast("DirectTransport", transport)


def usual_in_flight(factory: TransportFactory | None, proxy: Proxy | None) -> int:
    """How many requests at a time are usual.

    httpx's pool gets slow beyond a few; with ours, the time of a request does not grow with their number.
    """
    return _FEW if factory is not None or _direct(proxy) is None else _MANY


def _direct(proxy: Proxy | None) -> type[DirectTransport] | None:
    """Our own transport, where it can be used and is not switched off.

    The environment can switch it off for whoever runs a program and cannot change it.
    """
    wish = os.environ.get(_WISH, "")
    if wish not in {"", "httpx", "direct"}:
        raise ConfigurationError(f"{_WISH} is httpx or direct, not {wish[:40]!r}")
    if wish == "httpx" or proxy is not None or sys.platform == "win32":
        return None
    try:
        from tocsin._http._h1._transport import DirectTransport
    except ImportError:  # httptools comes with an extra
        return None
    return DirectTransport
