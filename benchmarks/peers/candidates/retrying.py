"""What a retry costs when nothing fails: a call that does nothing, bare and inside of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import tenacity

from tocsin import Request
from tocsin._http._core import HttpCore

if TYPE_CHECKING:
    from benchmarks.peers.candidates import Place


def make(name: str, place: Place) -> _Retrying:
    """Make the candidate of that name."""
    return _Retrying(name, place)


class _Answers:
    """In the place of what sends a request."""

    async def attempt(self, request: Any, flight: Any) -> Any:
        del flight
        return request


class _Retrying:
    def __init__(self, name: str, place: Place) -> None:
        answers: Any = _Answers()
        request, flight = Request("GET", "/"), None
        core: Any = HttpCore(place.url)
        shared = tenacity.AsyncRetrying()
        self._call: Any = {
            "bare": lambda: answers.attempt(request, flight),
            "tocsin-retry": lambda: core._attempts(answers.attempt, request, flight),
            "tenacity": lambda: shared(answers.attempt, request, flight),
        }[name]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing was opened."""

    async def retry(self, calls: int) -> int:
        for _ in range(calls):
            await self._call()
        return calls
