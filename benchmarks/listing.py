"""`async for` over a list, through the whole client on a transport in memory, beside plain parsing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import sample
from benchmarks.memory import Site
from benchmarks.runner import Candidate, interleave, options, run, table
from tocsin import Cumulocity

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

URL = "http://localhost"
PAGE = 2000


def _loads(bodies: Sequence[bytes]) -> Candidate:
    def work() -> int:
        return sum(len([alarm["id"] for alarm in json.loads(body)["alarms"]]) for body in bodies)

    return Candidate("json.loads of the bytes", work)


def _bare(client: httpx.AsyncClient, pages: int) -> Candidate:
    async def work() -> int:
        count = 0
        for number in range(1, pages + 1):
            answer = await client.get("/alarm/alarms", params={"pageSize": PAGE, "currentPage": number})
            for _ in json.loads(answer.content)["alarms"]:
                count += 1
        return count

    return Candidate("httpx and json.loads", work)


def _ours(client: Cumulocity, *, touched: bool) -> Candidate:
    async def work() -> int:
        count = 0
        alarm: Any
        async for alarm in client.alarms.list(page_size=PAGE):
            if touched:
                sample.touch(alarm)
            count += 1
        return count

    return Candidate("tocsin, six fields read" if touched else "tocsin, untouched", work)


async def _main(asked: argparse.Namespace) -> None:
    rows = [sample.alarm(number) for number in range(asked.size)]
    cuts = range(0, len(rows), PAGE)
    bodies = [sample.page(rows[at : at + PAGE], at // PAGE + 1, PAGE, more=False) for at in cuts]
    async with (
        httpx.AsyncClient(base_url=URL, transport=Site(rows)) as bare,
        Cumulocity(URL, None, transport_factory=lambda: Site(rows)) as client,
    ):
        candidates = [
            _loads(bodies),
            _bare(bare, len(bodies)),
            _ours(client, touched=False),
            _ours(client, touched=True),
        ]
        results = await interleave(candidates, asked.rounds)
    print(table(f"listing: {asked.size} alarms in pages of {PAGE}", results, "alarm"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    run(_main, options(__doc__, 10_000, 9, argv))


if __name__ == "__main__":
    main()
