"""c8y_api, on requests: each call blocks, so that more than one in flight takes threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from c8y_api import CumulocityApi
from c8y_api.model import Alarm

from benchmarks.peers.candidates import PASSWORD, TENANT, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIME = datetime(2026, 11, 21, 8, 15, 30, tzinfo=UTC)
THREADS = 16


def make(name: str, place: Place) -> _C8yApi:
    """Make the candidate of that name."""
    del name
    return _C8yApi(place)


class _C8yApi:
    def __init__(self, place: Place) -> None:
        self._client = CumulocityApi(place.url, TENANT, place.user, PASSWORD)
        if place.ca:
            os.environ["REQUESTS_CA_BUNDLE"] = place.ca  # it wins over the session's own
        self._threads = ThreadPoolExecutor(THREADS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._threads.shutdown()

    async def list(self, source: str, page_size: int, *, touch: bool) -> int:
        count = 0
        alarms = self._client.alarms.select(source=source, page_size=page_size)
        if touch:
            for one in alarms:
                _ = one.id, one.severity, one.status, one.datetime, one.source, one.text
                count += 1
        else:
            for _ in alarms:
                count += 1
        return count

    async def get(self, ids: Sequence[str], in_flight: int) -> int:
        return self._spread(self._client.alarms.get, ids, in_flight)

    async def post(self, types: Sequence[str], in_flight: int) -> int:
        def create(kind: str) -> object:
            return Alarm(
                self._client, type=kind, text="Smoke", severity="MAJOR", source="4711", time=TIME
            ).create()

        return self._spread(create, types, in_flight)

    def _spread(self, call: Callable[[str], object], names: Sequence[str], in_flight: int) -> int:
        if in_flight == 1:
            for name in names:
                call(name)
        else:
            assert in_flight == THREADS
            for _ in self._threads.map(call, names):
                pass
        return len(names)
