"""From the answer to a long poll to `async for`, with few and with many events in an answer.

Every event is another state of an alarm: raised, then cleared. All candidates poll the same kind of site in
this process; the first one only parses what it gets.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

import httpx

from benchmarks import sample
from benchmarks.memory import Site
from benchmarks.runner import Candidate, interleave, options, run, table
from tocsin import Cumulocity
from tocsin.bayeux import BayeuxClient

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Sequence

URL = "http://localhost"
PER_ANSWER = (1, 10, 100, 1000)
CONNECT = b'[{"channel":"/meta/connect","id":"%d","clientId":"c1","connectionType":"long-polling"}]'


class Source:
    """Fills a site with fresh events before each round.

    Args:
        events: Events a round.
        each: Events in one answer.
    """

    def __init__(self, events: int, each: int) -> None:
        self.site = Site()
        self.events = events
        self._each = each
        self._numbers = count(1)

    def fill(self) -> None:
        """Lay a round's events ready."""
        made = [_event(next(self._numbers)) for _ in range(self.events)]
        for begin in range(0, len(made), self._each):
            self.site.feed(made[begin : begin + self._each])


def _event(number: int) -> bytes:
    raised = number % 2
    status, minute = ("ACTIVE", 15) if raised else ("CLEARED", 16)
    alarm = sample.alarm((number + 1) // 2, status, minute)
    return b'{"channel":"/alarms/*","id":"%d","data":{"realtimeAction":"%s","data":%s}}' % (
        number,
        b"CREATE" if raised else b"UPDATE",
        alarm,
    )


@asynccontextmanager
async def _bare(source: Source) -> AsyncIterator[Candidate]:
    async with httpx.AsyncClient(base_url=URL, transport=source.site) as client:
        numbers = count(1)

        async def work() -> int:
            left = source.events
            while left:
                answer = await client.post("/cep/realtime", content=CONNECT % next(numbers))
                for message in json.loads(answer.content):
                    if "data" in message:
                        left -= 1
            return source.events

        yield Candidate("httpx and json.loads", work, source.fill)


@asynccontextmanager
async def _bayeux(source: Source) -> AsyncIterator[Candidate]:
    async with (
        BayeuxClient(URL + "/cometd", transport_factory=lambda: source.site) as client,
        client.subscribe("/alarms/*", buffer=10_000) as events,
    ):

        async def work() -> int:
            left = source.events
            while left:
                await anext(events)
                left -= 1
            return source.events

        yield Candidate("tocsin.bayeux, events", work, source.fill)


@asynccontextmanager
async def _ours(source: Source, *, touched: bool) -> AsyncIterator[Candidate]:
    async with (
        Cumulocity(URL, None, transport_factory=lambda: source.site) as client,
        client.alarms.changes(transport="long-polling") as changes,
    ):

        async def work() -> int:
            left = source.events
            async for change in changes.only_changes():
                if touched:
                    sample.touch(change.alarm)
                left -= 1
                if not left:
                    break
            return source.events

        yield Candidate("tocsin, six fields read" if touched else "tocsin, changes", work, source.fill)


async def _main(asked: argparse.Namespace) -> None:
    for each in PER_ANSWER:
        if each > asked.size:
            break
        sources = [Source(asked.size, each) for _ in range(4)]
        async with (
            _bare(sources[0]) as bare,
            _bayeux(sources[1]) as bayeux,
            _ours(sources[2], touched=False) as ours,
            _ours(sources[3], touched=True) as touched,
        ):
            results = await interleave([bare, bayeux, ours, touched], asked.rounds)
        print(table(f"changes: {each} events in an answer", results, "event"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    run(_main, options(__doc__, 1000, 9, argv))


if __name__ == "__main__":
    main()
