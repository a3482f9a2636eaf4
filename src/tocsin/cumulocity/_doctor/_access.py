"""Who asks, what he may do, and what clock the server has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tocsin._doctor._probe import Judgement, Probe, assumed, differs, explain, untold
from tocsin._doctor._reach import ClockSample, judge_address, judge_clocks, look_at_address, sample_clock
from tocsin._doctor._visit import field, texts
from tocsin._http._request import Request
from tocsin.errors import NotFoundError, PermissionDeniedError, StatusError, TocsinError

if TYPE_CHECKING:
    from tocsin._doctor._visit import Visit

__all__ = ["ACCESS"]

_TOLD: Final = (
    "ROLE_ALARM_READ",
    "ROLE_ALARM_ADMIN",
    "ROLE_AUDIT_READ",
    "ROLE_INVENTORY_READ",
    "ROLE_NOTIFICATION_2_ADMIN",
)
_LOGINS: Final = frozenset({"BASIC", "OAUTH2_INTERNAL", "OAUTH2"})
_SAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """What the platform calls tenant and user; None where it does not say."""

    tenant: str | None
    user: str | None


async def look_at_identity(visit: Visit) -> Identity:
    """The tenant and the user."""
    tenant = await _text(visit, "/tenant/currentTenant", "name")
    user = await _text(visit, "/user/currentUser", "userName")
    visit.name(tenant, user)
    return Identity(tenant, user)


def judge_identity(seen: Identity) -> Judgement:
    """Whether the platform says who we are."""
    if seen.tenant is None or seen.user is None:
        hidden = "tenant" if seen.tenant is None else "user"
        return differs(f"it does not say: this user may not look at the {hidden}")
    return assumed(f"tenant {seen.tenant}, user {seen.user}")


async def look_at_roles(visit: Visit) -> frozenset[str] | None:
    """The user's roles; None where they are not told."""
    found = field((await visit.get("/user/currentUser")).json(), "effectiveRoles")
    if not isinstance(found, list):
        return None
    return frozenset(name for role in found if isinstance(name := field(role, "id"), str))


def judge_roles(roles: frozenset[str] | None) -> Judgement:
    """Whether alarms can be read everywhere, and what else the user may do."""
    if roles is None:
        return untold("the user's roles are not told")
    has = f"has {texts(role for role in _TOLD if role in roles) or 'none of those that count here'}"
    if "ROLE_ALARM_READ" in roles:
        return assumed(has)
    return differs(
        f"{has}: without ROLE_ALARM_READ only devices that inventory roles open are seen, none of them live"
    )


async def look_at_audit(visit: Visit) -> bool:
    """Whether audit records can be read."""
    try:
        body = (await visit.get("/audit/auditRecords", (("pageSize", "1"),))).json()
    except PermissionDeniedError:
        return False
    return isinstance(field(body, "auditRecords"), list)


def judge_audit(allowed: bool) -> Judgement:
    """Whether histories can be read."""
    if allowed:
        return assumed("audit records can be read")
    return differs("not allowed: history() will be refused until the user has ROLE_AUDIT_READ")


async def look_at_clocks(visit: Visit) -> list[ClockSample]:
    """Some answers' dates."""
    return [await sample_clock(visit, "/alarm/alarms", (("pageSize", "1"),)) for _ in range(_SAMPLES)]


async def look_at_logins(visit: Visit) -> list[str]:
    """The kinds of log-in."""
    found = field((await visit.get("/tenant/loginOptions")).json(), "loginOptions")
    options = found if isinstance(found, list) else []
    return [name.upper() for option in options if isinstance(name := field(option, "type"), str)]


def judge_logins(kinds: list[str]) -> Judgement:
    """Whether we know the kinds of log-in that are offered."""
    strange = sorted(set(kinds) - _LOGINS)
    if not kinds:
        return differs("no log-in is offered")
    if strange:
        return differs(f"also offers {texts(strange)}, which is unknown here")
    return assumed(texts(kinds))


async def look_for_notification2(visit: Visit) -> int:
    """The status with which subscriptions are answered."""
    try:
        await visit.get("/notification2/subscriptions", (("pageSize", "1"),))
    except (PermissionDeniedError, NotFoundError) as error:
        return error.status
    return 200


def judge_notification2(status: int) -> Judgement:
    """Whether Notification 2.0 could be used."""
    if status == 200:
        return assumed("subscriptions can be read")
    if status == 403:
        return differs("not allowed (HTTP 403): it needs ROLE_NOTIFICATION_2_ADMIN")
    return differs(f"it is not there (HTTP {status}): no Messaging Service")


async def look_for_websocket(visit: Visit) -> int | TocsinError:
    """The status that an upgrade is answered with."""
    upgrade = (
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dG9jc2luIGRvY3RvciE9PQ=="),
    )
    try:
        response = await visit.send(Request("GET", "/notification/realtime", headers=upgrade))
    except StatusError as error:
        return error.status
    except TocsinError as error:
        return error
    return response.status


def judge_websocket(seen: int | TocsinError) -> Judgement:
    """Whether a WebSocket gets through."""
    if isinstance(seen, TocsinError):
        return explain(seen)
    if seen == 101:
        return assumed("an upgrade is accepted (HTTP 101)")
    return differs(f"an upgrade is refused (HTTP {seen}), by the platform or by a proxy on the way")


async def _text(visit: Visit, path: str, name: str) -> str | None:
    try:
        found: Any = field((await visit.get(path)).json(), name)
    except (PermissionDeniedError, NotFoundError):
        return None
    return found if isinstance(found, str) and found else None


ACCESS: Final[tuple[Probe[Any], ...]] = (
    Probe("reach", "Is it reached safely?", "over TLS, but on this machine", look_at_address, judge_address),
    Probe("identity", "Who does it say we are?", "a tenant and a user", look_at_identity, judge_identity),
    Probe("roles", "May the user read every alarm?", "ROLE_ALARM_READ", look_at_roles, judge_roles),
    Probe("audit", "May the user read audit records?", "yes", look_at_audit, judge_audit, "ROLE_AUDIT_READ"),
    Probe("clock", "Does its clock agree with ours?", "within 5 s", look_at_clocks, judge_clocks),
    Probe("logins", "Which log-ins are offered?", "kinds that are known", look_at_logins, judge_logins),
    Probe("websocket", "Does a WebSocket get through?", "yes; not used yet", look_for_websocket,
          judge_websocket),
    Probe(
        "notification2",
        "Can Notification 2.0 be used?",
        "yes; not used yet",
        look_for_notification2,
        judge_notification2,
        "ROLE_NOTIFICATION_2_ADMIN",
    ),
)  # fmt: skip
