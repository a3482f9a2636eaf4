"""Windows users at the identity provider: a handshake that takes several requests on one connection.

pyspnego plays the server's part, so that it is a real one; without it Windows users are told so.
"""

from __future__ import annotations

import base64
import logging
import os
import struct
import tempfile
import threading
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._xprotect_errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from tocsin.emulator._xprotect_access import Account, XProtectAccess

_log = logging.getLogger("tocsin.emulator")

_STORE: Final = "NTLM_USER_FILE"
_UNDER_WAY: Final = 1000  # handshakes
_environment = threading.Lock()  # emulators on other threads change it too
_OFFERED: Final = ("Negotiate", "NTLM")
_LAST: Final = b"NTLMSSP\0\x03\0\0\0"
_HEAD: Final = 64  # bytes before what its fields point to
_UNICODE: Final = 1


class NtlmGate:
    """Lets Windows users in. Called with the store's lock held.

    Args:
        access: The accounts.
    """

    def __init__(self, access: XProtectAccess) -> None:
        self._access = access
        self._contexts: OrderedDict[tuple[object, ...], Any] = OrderedDict()

    def forget(self) -> None:
        """Forget the handshakes that are under way."""
        self._contexts.clear()

    def step(self, connection: Sequence[object] | None, authorization: str | None) -> Account:
        """One request of a handshake.

        Args:
            connection: Host and port of the client's end; a handshake ends where it began.
            authorization: The header.

        Returns:
            Who it was that the handshake ended with.

        Raises:
            RefusedError: 401, it goes on, or has failed; 501 without pyspnego.
        """
        try:
            import spnego
        except ImportError:
            text = "This emulator needs pyspnego to log Windows users in: pip install 'tocsin[ntlm]'"
            raise RefusedError(501, "emulator/noNtlm", text) from None
        scheme, _, text = (authorization or "").partition(" ")
        if connection is None or scheme.lower() not in {"ntlm", "negotiate"}:
            raise _challenge(*_OFFERED)
        key = tuple(connection)
        context = self._contexts.pop(key, None)
        protocol = scheme.lower()
        token = b""
        try:
            token = base64.b64decode(text, validate=True)
            with self._credentials():
                if context is None or _is_first(token):
                    context = spnego.server(protocol=protocol, options=spnego.NegotiateOptions.use_ntlm)
                answer = context.step(token)
        except Exception as error:  # noqa: BLE001 - pyspnego raises anything at bytes that are no message
            _log.debug("a handshake failed: %s", type(error).__name__)
            if context is not None and (account := self._access.find("windows", _claimed(token))):
                self._access.wrong(account)
            raise _challenge(*_OFFERED) from None
        if not context.complete:
            while len(self._contexts) >= _UNDER_WAY:
                self._contexts.popitem(last=False)
            self._contexts[key] = context
            raise _challenge(f"{scheme} {base64.b64encode(answer or b'').decode()}")
        return self._account(context.client_principal or "")

    def _account(self, name: str) -> Account:
        account = self._access.find("windows", name)
        if account is None or self._access.locked(account.name):
            raise _challenge(*_OFFERED)
        self._access.right(account)
        return account

    @contextmanager
    def _credentials(self) -> Generator[None]:
        """Have pyspnego find the accounts: it looks for them in a file alone, named by the environment."""
        with _environment, tempfile.TemporaryDirectory(prefix="tocsin-") as folder:
            before = os.environ.get(_STORE)
            file = Path(folder, "users")
            file.touch(mode=0o600)
            lines = (
                ":".join((*_parts(account.name), account.password)) + "\n"
                for account in self._access.accounts
                if account.login == "windows"
            )
            file.write_text("".join(lines), encoding="utf-8")
            os.environ[_STORE] = str(file)
            try:
                yield
            finally:
                if before is None:
                    del os.environ[_STORE]
                else:
                    os.environ[_STORE] = before


def _parts(name: str) -> tuple[str, str]:
    domain, _, user = name.rpartition("\\")
    return domain, user


def _is_first(token: bytes) -> bool:
    """Whether a client begins anew: NTLM's first message, or SPNEGO's."""
    return token.startswith((b"NTLMSSP\0\x01", b"\x60"))


def _claimed(token: bytes) -> str:
    r"""Whom NTLM's last message names, as `DOMAIN\user`; empty if it is no such message."""
    message = token[token.find(_LAST) :] if _LAST in token else b""
    if len(message) < _HEAD:
        return ""
    (flags,) = struct.unpack_from("<I", message, 60)
    parts = []
    for place in (28, 36):  # the domain's length and offset, and the user's
        length, _room, start = struct.unpack_from("<HHI", message, place)
        code = "utf-16-le" if flags & _UNICODE else "latin-1"
        parts.append(message[start : start + length].decode(code, "replace"))
    return "\\".join(parts)


def _challenge(*offers: str) -> ApiError:
    return ApiError(401, "Unauthorized", headers=tuple(("WWW-Authenticate", offer) for offer in offers))
