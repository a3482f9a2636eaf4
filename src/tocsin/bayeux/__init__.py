"""A Bayeux (CometD) client: follows channels over long polling, and tells what it may have missed.

It knows nothing of alarms and works against any Bayeux 1.0 server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin._stream._backoff import ReconnectPolicy
    from tocsin.bayeux._client import BayeuxClient
    from tocsin.bayeux._messages import Event
    from tocsin.bayeux._subscription import Interruption, Subscription

__all__ = ["BayeuxClient", "Event", "Interruption", "ReconnectPolicy", "Subscription"]

_HOME = {
    "BayeuxClient": "tocsin.bayeux._client",
    "Event": "tocsin.bayeux._messages",
    "Interruption": "tocsin.bayeux._subscription",
    "ReconnectPolicy": "tocsin._stream._backoff",
    "Subscription": "tocsin.bayeux._subscription",
}


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
