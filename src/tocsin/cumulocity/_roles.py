"""Which roles the user of a client has (``GET /user/currentUser``, reference 1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin._http._request import Request
from tocsin.cumulocity._observe import alarm_id
from tocsin.cumulocity._proof import ONCE
from tocsin.errors import NotFoundError, PermissionDeniedError, ProtocolError

if TYPE_CHECKING:
    from tocsin._http._core import HttpCore

__all__ = ["ALARM_ADMIN", "ALARM_READ", "own_roles"]

ALARM_READ: Final = "ROLE_ALARM_READ"
ALARM_ADMIN: Final = "ROLE_ALARM_ADMIN"


async def own_roles(core: HttpCore) -> frozenset[str]:
    """Ask for the user's own global roles. Cancelling it is safe.

    Returns:
        Their names; none if the user may not look at himself.

    Raises:
        TocsinError: See `HttpCore.send`; not for 403 and 404.
    """
    try:
        user = (await core.send(Request("GET", "/user/currentUser", retry=ONCE))).json()
    except (NotFoundError, PermissionDeniedError, ProtocolError):
        return frozenset()
    roles = user.get("effectiveRoles") if isinstance(user, dict) else None
    return frozenset(alarm_id(role) or "" for role in roles) if isinstance(roles, list) else frozenset()
