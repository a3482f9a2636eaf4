"""Notification 2.0: changes that the platform keeps until they were handled."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin.cumulocity.notification2._service import Notification2
    from tocsin.cumulocity.notification2._subscriptions import (
        NotificationSubscription,
        NotificationSubscriptions,
    )

__all__ = ["Notification2", "NotificationSubscription", "NotificationSubscriptions"]

_HOME = {
    "Notification2": "_service",
    "NotificationSubscription": "_subscriptions",
    "NotificationSubscriptions": "_subscriptions",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
