"""One GET of one alarm: what the client adds to httpx on the same transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from benchmarks import sample
from benchmarks.memory import Site
from benchmarks.runner import Candidate, interleave, options, run, table
from tocsin import Cumulocity, Request
from tocsin._http._core import HttpCore
from tocsin.cumulocity import BasicAuth

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable, Sequence

URL = "http://localhost"
PATH = "/alarm/alarms/1"


def _candidate(name: str, size: int, send: Callable[[], Awaitable[object]]) -> Candidate:
    async def work() -> int:
        for _ in range(size):
            await send()
        return size

    return Candidate(name, work)


async def _main(asked: argparse.Namespace) -> None:
    site = Site(one=sample.alarm(1))
    auth = BasicAuth("demo", "demo", tenant="t1")
    async with (
        httpx.AsyncClient(base_url=URL, transport=site, auth=("t1/demo", "demo")) as bare,
        HttpCore(URL, auth=auth, transport_factory=lambda: site) as core,
        Cumulocity(URL, auth, transport_factory=lambda: site) as client,
    ):
        candidates = [
            _candidate("httpx.AsyncClient.get", asked.size, lambda: bare.get(PATH)),
            _candidate("HttpCore.send", asked.size, lambda: core.send(Request("GET", PATH))),
            _candidate("Cumulocity.alarms.get", asked.size, lambda: client.alarms.get("1")),
        ]
        results = await interleave(candidates, asked.rounds)
    print(table("requests: one GET of one alarm", results, "request"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    run(_main, options(__doc__, 300, 9, argv))


if __name__ == "__main__":
    main()
