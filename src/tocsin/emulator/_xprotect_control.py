"""What the HTTP control tells of an XProtect, and can have happen in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.emulator._control_body import flag, number, text, texts
from tocsin.emulator._errors import RefusedError, invalid
from tocsin.emulator._xprotect_access import ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.emulator.xprotect import XProtectEmulator


def vms_state(emulator: XProtectEmulator) -> dict[str, Any]:
    """Counts."""
    return {
        "alarms": emulator.store.count,
        "cameras": len(emulator.store.site.items["cameras"]),
        "eventSessions": emulator.event_sessions,
    }


def vms_actions(emulator: XProtectEmulator) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
    """By the name in `do`."""
    store, access = emulator.store, emulator.access
    return {
        "expire_tokens": lambda body: _expire_tokens(emulator, body),
        "revoke_tokens": lambda _body: access.revoke_tokens(),
        "forget_sessions": lambda body: emulator.forget_sessions(tell=flag(body, "tell", default=True)),
        "issue_token": lambda body: _issue_token(emulator, body),
        "add_user": lambda body: _add_user(emulator, body),
        "lock": lambda body: access.lock(text(body, "name")),
        "unlock": lambda body: access.unlock(text(body, "name")),
        "add_camera": lambda body: store.add_camera(
            text(body, "name"), enabled=flag(body, "enabled", default=True)
        ),
        "create_alarm": lambda body: store.create(_object(body, "alarm")),
        "update_alarm": lambda body: store.update(text(body, "id"), _object(body, "changes")),
        "remove_alarm": lambda body: store.remove(text(body, "id")),
        "raise_event": lambda body: store.raise_event(
            text(body, "type"), None if body.get("source") is None else text(body, "source")
        ),
    }


def _expire_tokens(emulator: XProtectEmulator, body: Mapping[str, Any]) -> int:
    try:
        return emulator.access.expire_tokens(None if body.get("token") is None else text(body, "token"))
    except KeyError:
        raise RefusedError(404, "emulator/noToken", "There is no such token") from None


def _issue_token(emulator: XProtectEmulator, body: Mapping[str, Any]) -> str:
    lifetime = number(body, "lifetime") if "lifetime" in body else None
    try:
        return emulator.access.issue_token(text(body, "user"), lifetime=lifetime)
    except KeyError:
        raise RefusedError(404, "emulator/noUser", "There is no such user") from None


def _add_user(emulator: XProtectEmulator, body: Mapping[str, Any]) -> list[str]:
    role, login = body.get("role", "full"), body.get("login", "basic")
    if role not in ROLES or login not in {"basic", "windows", "service"}:
        raise invalid(f"role is one of {', '.join(ROLES)}; login is basic, windows or service")
    cameras = texts(body, "cameras") if "cameras" in body else None
    try:
        account = emulator.access.add_user(
            text(body, "name"), text(body, "password"), role, login=login, cameras=cameras
        )
    except ValueError as error:
        raise invalid(str(error)) from None
    return sorted(account.rights)


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object")
    return value
