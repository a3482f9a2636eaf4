"""Cumulocity: its client, its credentials, its alarms."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin._http._auth import Auth, BasicAuth, BearerAuth
    from tocsin.cumulocity._certificate import DeviceCertificate
    from tocsin.cumulocity._login import OAuthInternal
    from tocsin.cumulocity._login_options import LoginOption, login_options
    from tocsin.cumulocity._microservice import Microservice, ServiceUser, SubscriptionChange, Subscriptions
    from tocsin.cumulocity._query import AlarmFilter
    from tocsin.cumulocity.alarms import Alarms
    from tocsin.cumulocity.client import ClientOptions, Cumulocity
    from tocsin.cumulocity.models import (
        Alarm,
        AlarmResource,
        AuditChange,
        AuditRecord,
        Created,
        Outcome,
        ProcessingMode,
        Severity,
        Source,
        Status,
        Upserted,
    )
    from tocsin.cumulocity.notification2 import (
        Notification2,
        NotificationSubscription,
        NotificationSubscriptions,
    )

__all__ = [
    "Alarm",
    "AlarmFilter",
    "AlarmResource",
    "Alarms",
    "AuditChange",
    "AuditRecord",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "ClientOptions",
    "Created",
    "Cumulocity",
    "DeviceCertificate",
    "LoginOption",
    "Microservice",
    "Notification2",
    "NotificationSubscription",
    "NotificationSubscriptions",
    "OAuthInternal",
    "Outcome",
    "ProcessingMode",
    "ServiceUser",
    "Severity",
    "Source",
    "Status",
    "SubscriptionChange",
    "Subscriptions",
    "Upserted",
    "login_options",
]

_HOMES = {
    "tocsin._http._auth": ("Auth", "BasicAuth", "BearerAuth"),
    "tocsin.cumulocity._certificate": ("DeviceCertificate",),
    "tocsin.cumulocity._login": ("OAuthInternal",),
    "tocsin.cumulocity._login_options": ("LoginOption", "login_options"),
    "tocsin.cumulocity._microservice": (
        "Microservice", "ServiceUser", "SubscriptionChange", "Subscriptions",
    ),
    "tocsin.cumulocity._query": ("AlarmFilter",),
    "tocsin.cumulocity.alarms": ("Alarms",),
    "tocsin.cumulocity.client": ("ClientOptions", "Cumulocity"),
    "tocsin.cumulocity.models": (
        "Alarm", "AlarmResource", "AuditChange", "AuditRecord", "Created", "Outcome", "ProcessingMode",
        "Severity", "Source", "Status", "Upserted",
    ),
    "tocsin.cumulocity.notification2": (
        "Notification2", "NotificationSubscription", "NotificationSubscriptions",
    ),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
