"""Counts every attempt of every call by method, route and outcome, and prints what Prometheus would scrape.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import anyio

from tocsin import Cumulocity, NotFoundError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tocsin import Request, Response

ONE_ALARM = re.compile(r"(?<=/alarm/alarms/)(?!count$|upsert$)[^/]+")


class Metrics:
    """A middleware that counts. One may be shared by several clients of one event loop."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.in_flight = 0

    async def __call__(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Counts an attempt however it ends, a cancelled one too."""
        route = (
            request.method,
            ONE_ALARM.sub("{id}", request.path),
        )  # an id in a label would flood the metrics
        began = anyio.current_time()
        outcome = "cancelled"
        self.in_flight += 1
        try:
            response = await call_next(request)
            outcome = str(response.status)
        except TocsinError as error:
            outcome = type(error).__name__
            raise
        finally:
            self.in_flight -= 1
            self.requests[*route, outcome] += 1
            self.seconds[route] += anyio.current_time() - began
        return response

    def lines(self) -> Iterator[str]:
        """The numbers in Prometheus' text format."""
        for (method, route, outcome), count in sorted(self.requests.items()):
            yield f'c8y_requests_total{{method="{method}",route="{route}",outcome="{outcome}"}} {count}'
        for (method, route), seconds in sorted(self.seconds.items()):
            yield f'c8y_request_seconds_sum{{method="{method}",route="{route}"}} {seconds:.3f}'
        yield f"c8y_requests_in_flight {self.in_flight}"


async def main() -> None:
    """Makes some calls and shows what was counted."""
    metrics = Metrics()
    async with Cumulocity.from_env(middleware=[metrics]) as c8y:
        await c8y.alarms.count()
        async for _ in c8y.alarms.list(severity="CRITICAL"):
            pass
        for alarm_id in ("0", "00"):
            try:
                await c8y.alarms.get(alarm_id)
            except NotFoundError:
                continue
    print(*metrics.lines(), sep="\n")


if __name__ == "__main__":
    try:
        anyio.run(main)
    except TocsinError as error:
        sys.exit(str(error))
