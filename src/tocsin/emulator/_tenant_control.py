"""What the HTTP control tells of a Cumulocity tenant, and can have happen in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.emulator._access import KINDS
from tocsin.emulator._control_body import flag, number, text, texts
from tocsin.emulator._errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.emulator._emulator import Emulator


def tenant_state(emulator: Emulator) -> dict[str, Any]:
    """Counts."""
    return {
        "alarms": emulator.store.count,
        "devices": len(emulator.store.devices),
        "sessions": emulator.sessions,
        "heldPolls": emulator.held_polls,
        "consumers": emulator.broker.consumers,
        "backlogs": emulator.broker.backlogs(),
        "subscriptions": emulator.subscriptions,
        "channels": dict(emulator.requests.channels),
    }


def tenant_actions(emulator: Emulator) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
    """By the name in `do`."""
    return {
        "drop_polls": lambda body: emulator.drop_polls(lose=flag(body, "lose")),
        "silence_polls": lambda _body: emulator.silence_polls(),
        "forget_sessions": lambda body: emulator.forget_sessions(advise=flag(body, "advise", default=True)),
        "expire_tokens": lambda body: emulator.access.expire_tokens(
            None if body.get("token") is None else text(body, "token")
        ),
        "expire_notification_tokens": lambda _body: emulator.expire_notification_tokens(),
        "issue_token": lambda body: _issue_token(emulator, body),
        "add_user": lambda body: _add_user(emulator, body),
        "remove_alarm": lambda body: emulator.store.remove(str(body.get("id"))),
        "publish": lambda body: emulator.publish(_channel(body), body.get("data")),
    }


def _issue_token(emulator: Emulator, body: Mapping[str, Any]) -> str:
    lifetime = number(body, "lifetime") if "lifetime" in body else None
    return emulator.access.issue_token(text(body, "user"), lifetime=lifetime)


def _add_user(emulator: Emulator, body: Mapping[str, Any]) -> list[str]:
    kind = body.get("kind", "full")
    if kind not in KINDS:
        raise invalid(f"kind is one of {', '.join(KINDS)}")
    user = emulator.access.add_user(
        text(body, "name"),
        text(body, "password"),
        kind,
        sources=texts(body, "sources"),
        writes=texts(body, "writes"),
        code=None if body.get("code") is None else text(body, "code"),
    )
    return sorted(user.roles)


def _channel(body: Mapping[str, Any]) -> str:
    channel = text(body, "channel")
    if not channel.startswith("/"):
        raise invalid("channel begins with a slash, as /alarms/4711")
    return channel
