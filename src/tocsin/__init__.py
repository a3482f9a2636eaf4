"""Async SDK for alarm platforms: list, raise, acknowledge, clear and follow alarms, losing none.

Each name is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tocsin._version import __version__

if TYPE_CHECKING:
    from tocsin._http._accepted import Accepted
    from tocsin._http._auth import Auth
    from tocsin._http._pages import Page, Pages, PageStatistics
    from tocsin._http._request import Headers, Request, Response, Timeouts
    from tocsin._http._retry import RetryPolicy
    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin._stream._policy import RecoveryPolicy
    from tocsin._stream._states import StateChange
    from tocsin._stream._store import CheckpointStore
    from tocsin._stream._store_file import FileCheckpoint
    from tocsin._stream._store_sqlite import SqliteCheckpoint
    from tocsin._stream._stream import ChangeStream
    from tocsin._watch import Watch, watch
    from tocsin.cumulocity.client import Cumulocity
    from tocsin.errors import (
        AuthenticationError,
        BadRequestError,
        CheckpointError,
        ConfigurationError,
        ConflictError,
        ConnectError,
        GapError,
        InsecureTransportWarning,
        NotFoundError,
        PermissionDeniedError,
        ProtocolError,
        RateLimitError,
        RequestTimeoutError,
        ServerError,
        StatusError,
        SubscriptionRefusedError,
        TocsinError,
        TransportError,
        UnprocessableError,
    )
    from tocsin.models import (
        UNSET,
        Action,
        AlarmLike,
        Change,
        Gap,
        Level,
        Origin,
        Phase,
        StreamHealth,
        StreamState,
        StreamStats,
        Unset,
    )
    from tocsin.xprotect.client import XProtect

__all__ = [
    "UNSET",
    "Accepted",
    "Action",
    "AlarmLike",
    "Auth",
    "AuthenticationError",
    "BadRequestError",
    "Change",
    "ChangeStream",
    "CheckpointError",
    "CheckpointStore",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "Cumulocity",
    "FileCheckpoint",
    "Gap",
    "GapError",
    "Headers",
    "InsecureTransportWarning",
    "Level",
    "NotFoundError",
    "Origin",
    "Page",
    "PageStatistics",
    "Pages",
    "PermissionDeniedError",
    "Phase",
    "ProtocolError",
    "RateLimitError",
    "ReconnectPolicy",
    "RecoveryPolicy",
    "Request",
    "RequestTimeoutError",
    "Response",
    "RetryPolicy",
    "ServerError",
    "SqliteCheckpoint",
    "StateChange",
    "StatusError",
    "StreamHealth",
    "StreamState",
    "StreamStats",
    "SubscriptionRefusedError",
    "Timeouts",
    "TocsinError",
    "TransportError",
    "UnprocessableError",
    "Unset",
    "Watch",
    "XProtect",
    "__version__",
    "watch",
]

_HOMES = {
    "tocsin._http._accepted": ("Accepted",),
    "tocsin._http._auth": ("Auth",),
    "tocsin._http._pages": ("Page", "PageStatistics", "Pages"),
    "tocsin._http._request": ("Headers", "Request", "Response", "Timeouts"),
    "tocsin._http._retry": ("RetryPolicy",),
    "tocsin._stream._backoff": ("ReconnectPolicy",),
    "tocsin._stream._policy": ("RecoveryPolicy",),
    "tocsin._stream._states": ("StateChange",),
    "tocsin._stream._store": ("CheckpointStore",),
    "tocsin._stream._store_file": ("FileCheckpoint",),
    "tocsin._stream._store_sqlite": ("SqliteCheckpoint",),
    "tocsin._stream._stream": ("ChangeStream",),
    "tocsin._watch": ("Watch", "watch"),
    "tocsin.cumulocity.client": ("Cumulocity",),
    "tocsin.errors": (
        "AuthenticationError", "BadRequestError", "CheckpointError", "ConfigurationError", "ConflictError",
        "ConnectError", "GapError", "InsecureTransportWarning", "NotFoundError", "PermissionDeniedError",
        "ProtocolError", "RateLimitError", "RequestTimeoutError", "ServerError", "StatusError",
        "SubscriptionRefusedError", "TocsinError", "TransportError", "UnprocessableError",
    ),
    "tocsin.models": (
        "UNSET", "Action", "AlarmLike", "Change", "Gap", "Level", "Origin", "Phase", "StreamHealth",
        "StreamState", "StreamStats", "Unset",
    ),
    "tocsin.xprotect.client": ("XProtect",),
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
