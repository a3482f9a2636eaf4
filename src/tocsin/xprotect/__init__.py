"""Milestone XProtect: its client, its credentials, its alarms and events."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin._http._auth import BearerAuth
    from tocsin.xprotect._accepted import AcceptedAlarm
    from tocsin.xprotect._login import BasicUser, ClientCredentials, WindowsUser
    from tocsin.xprotect._query import AlarmFilter, Order
    from tocsin.xprotect.alarms import Alarms
    from tocsin.xprotect.client import ClientOptions, XProtect
    from tocsin.xprotect.events import EventFilter, EventNames, Events, EventStream, StateEvent
    from tocsin.xprotect.models import (
        Alarm,
        AlarmCategory,
        AlarmDefinition,
        AlarmHistory,
        AlarmPriority,
        AlarmState,
        AlarmStatistics,
        Camera,
        CloseReason,
        Event,
        EventType,
        Rank,
    )

__all__ = [
    "AcceptedAlarm",
    "Alarm",
    "AlarmCategory",
    "AlarmDefinition",
    "AlarmFilter",
    "AlarmHistory",
    "AlarmPriority",
    "AlarmState",
    "AlarmStatistics",
    "Alarms",
    "BasicUser",
    "BearerAuth",
    "Camera",
    "ClientCredentials",
    "ClientOptions",
    "CloseReason",
    "Event",
    "EventFilter",
    "EventNames",
    "EventStream",
    "EventType",
    "Events",
    "Order",
    "Rank",
    "StateEvent",
    "WindowsUser",
    "XProtect",
]

_HOMES = {
    "tocsin._http._auth": ("BearerAuth",),
    "tocsin.xprotect._accepted": ("AcceptedAlarm",),
    "tocsin.xprotect._login": ("BasicUser", "ClientCredentials", "WindowsUser"),
    "tocsin.xprotect._query": ("AlarmFilter", "Order"),
    "tocsin.xprotect.alarms": ("Alarms",),
    "tocsin.xprotect.client": ("ClientOptions", "XProtect"),
    "tocsin.xprotect.events": ("EventFilter", "EventNames", "EventStream", "Events", "StateEvent"),
    "tocsin.xprotect.models": (
        "Alarm", "AlarmCategory", "AlarmDefinition", "AlarmHistory", "AlarmPriority", "AlarmState",
        "AlarmStatistics", "Camera", "CloseReason", "Event", "EventType", "Rank",
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
