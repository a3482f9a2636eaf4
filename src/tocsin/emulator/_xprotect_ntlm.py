"""Windows users at the identity provider: a handshake that takes several requests on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tocsin.emulator._http import Reply
    from tocsin.emulator._xprotect_access import Account, XProtectAccess


class NtlmGate:
    """Lets Windows users in.

    Args:
        access: The accounts.
    """

    def __init__(self, access: XProtectAccess) -> None:
        self._access = access

    def forget(self) -> None:
        """Forget all handshakes."""

    def step(self, connection: Sequence[object] | None, authorization: str | None) -> Account | Reply:
        """One request of a handshake."""
        from tocsin.emulator._xprotect_errors import ApiError

        raise ApiError(401, "Unauthorized")
