"""The handshake of Windows users: NTLM over HTTP, all of it on one connection.

The cryptography is pyspnego's; here are its messages' ways in and out of HTTP headers, without I/O.
Sources: [MS-NTHT] (NTLM over HTTP), RFC 4559 §4 (Negotiate); reference `xprotect.md` 1.2.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import TYPE_CHECKING, Final

import spnego
from spnego.exceptions import SpnegoError

from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Generator

    from tocsin._http._request import Request, Response

__all__ = ["NtlmAuth"]

_UNAUTHORIZED: Final = 401
_SCHEMES: Final = ("NTLM", "Negotiate")
"""Plain NTLM first, and NTLM within Negotiate where nothing else is offered. Kerberos would ask others."""

_CHALLENGE: Final = re.compile(r"\b(NTLM|Negotiate)\s+([A-Za-z0-9+/]+=*)", re.IGNORECASE)
_MOST: Final = 16384  # characters of a challenge; real ones have a few hundred


class NtlmAuth:
    r"""Credentials of Windows, shown by challenge and response. The password itself is never sent.

    Each flow is a handshake of its own. The first request goes out plainly, as the server says by its 401
    what it takes; one that it answers well needs no handshake.

    Args:
        user: ``DOMAIN\user`` or ``user@domain``.
        password: The password.
        host: The server's name, which becomes a part of the answer to the challenge.
    """

    __slots__ = ("_host", "_password", "_user", "secrets")

    def __init__(self, user: str, password: str, host: str) -> None:
        self._user = user
        self._password = password
        self._host = host
        self.secrets: tuple[str, ...] = (password,)

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield the request until it is answered or refused; the connection must stay the same.

        Args:
            request: What is to be sent.

        Raises:
            ProtocolError: The server offers no NTLM, or its challenge cannot be read.
        """
        response = yield request
        if response.status != _UNAUTHORIZED:
            return
        scheme = _offered(response)
        context = spnego.client(
            self._user,
            self._password,
            hostname=self._host,
            service="HTTP",
            protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )
        response = yield self._with(request, scheme, self._step(context, None))
        challenge = _challenge(response, scheme)
        if challenge is not None:
            yield self._with(request, scheme, self._step(context, challenge))

    def _with(self, request: Request, scheme: str, message: bytes) -> Request:
        text = base64.b64encode(message).decode("ascii")
        self.secrets = (self._password, text)
        return request.with_headers((("Authorization", f"{scheme} {text}"),))

    def _step(self, context: spnego.ContextProxy, challenge: bytes | None) -> bytes:
        """The next message; nothing of a failure's text is kept, it may hold messages."""
        problem = ""
        try:
            message = context.step(challenge)
        except (SpnegoError, ValueError, LookupError, TypeError, OverflowError, struct.error) as error:
            message, problem = None, type(error).__name__
        if not message:
            raise ProtocolError(
                f"the server's NTLM challenge cannot be answered ({problem or 'nothing to send'})",
                reason="unreadable NTLM challenge",
            )
        return message

    def __repr__(self) -> str:
        return f"NtlmAuth({self._user!r}, password=***)"


def _offered(response: Response) -> str:
    """The scheme to use."""
    offers = response.headers.get("www-authenticate", "")
    for name in _SCHEMES:
        if re.search(rf"\b{name}\b", offers, re.IGNORECASE):
            return name
    raise ProtocolError(
        f"{response.method} {response.url} asks for credentials of Windows but offers no NTLM: "
        f"{response.redactor.clean(offers) or 'no WWW-Authenticate'}",
        reason="no NTLM is offered",
    )


def _challenge(response: Response, scheme: str) -> bytes | None:
    """The server's challenge; None if it sent none, and so has decided."""
    if response.status != _UNAUTHORIZED:
        return None
    for found in _CHALLENGE.finditer(response.headers.get("www-authenticate", "")[: 2 * _MOST]):
        if found[1].lower() == scheme.lower() and len(found[2]) <= _MOST:
            try:
                return base64.b64decode(found[2], validate=True)
            except (binascii.Error, ValueError):
                return b""
    return None
