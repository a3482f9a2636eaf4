"""One small file a client: the work of the rows, done as the client's own documentation does it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["PASSWORD", "SETTINGS", "TENANT", "Place", "make", "spread"]

TENANT: Final = "t1"
PASSWORD: Final = "demo"

SETTINGS: Final = {
    "tocsin": "tocsin as installed: its fast transport where there is one",
    "tocsin-stock": "tocsin on `httpx.AsyncHTTPTransport`",
    "tocsin-bayeux": "`tocsin.bayeux.BayeuxClient`, each `Event.json()` read, `buffer=10_000`",
    "tocsin-bayeux-stock": "the same on `httpx.AsyncHTTPTransport`",
    "tocsin-changes": "one tocsin client, a `changes(id)` for each subscriber",
    "pyc8y": "pyc8y `select(limit=None, page_size=…)`, defaults otherwise",
    "pyc8y-4": "pyc8y with `workers=4`",
    "c8y_api": "c8y_api `select(page_size=…)`, sync; threads where more than one is in flight",
    "aiocometd-ng": "aiocometd-ng, long-polling, defaults; subscribers have `connection_timeout=0`",
    "wire": "a socket that reads the bytes and looks at nothing: what the server can do",
    "bare": "the same call without any retry",
    "tocsin-retry": "the call inside tocsin's retry",
    "tenacity": "tenacity's `AsyncRetrying()(call)`, made once",
}
"""What each candidate is, and how it is set."""

_FILES: Final = {
    "tocsin-retry": "retrying",
    "tocsin": "tocsin_",
    "pyc8y": "pyc8y_",
    "c8y_api": "c8y_api_",
    "aiocometd": "aiocometd_",
    "wire": "wire",
    "bare": "retrying",
    "tenacity": "retrying",
}


@dataclass(frozen=True)
class Place:
    """Where the server is, and who asks.

    Attributes:
        url: Scheme, host and port.
        user: The candidate's name, by which the server knows its Bayeux session.
        ca: The authority behind the server's certificate, a PEM file, if it speaks TLS.
    """

    url: str
    user: str
    ca: str | None = None


def make(name: str, place: Place) -> Any:
    """Make a candidate: an async context manager with a method for each kind of row that it takes part in.

    Raises:
        ImportError: The client is not installed.
    """
    file = _FILES.get(name) or _FILES[name.partition("-")[0]]
    module = import_module(f"benchmarks.peers.candidates.{file}")
    return module.make(name, place)


async def spread(call: Callable[[str], Awaitable[object]], names: Sequence[str], in_flight: int) -> int:
    """Make a call for each name, so many at a time."""
    left = iter(names)

    async def some() -> None:
        for name in left:
            await call(name)

    if in_flight == 1:
        await some()
    else:
        async with anyio.create_task_group() as group:
            for _ in range(in_flight):
                group.start_soon(some)
    return len(names)
