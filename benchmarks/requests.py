"""GETs of single alarms, each of another one: what the client adds to httpx on the same transport."""

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
PATH = "/alarm/alarms/"


def _candidate(name: str, size: int, send: Callable[[str], Awaitable[object]]) -> Candidate:
    async def work() -> int:
        for number in range(size):
            await send(str(number))
        return size

    return Candidate(name, work)


async def _main(asked: argparse.Namespace) -> None:
    site = Site([sample.alarm(number) for number in range(asked.size)])
    auth = BasicAuth("demo", "demo", tenant="t1")
    async with (
        httpx.AsyncClient(base_url=URL, transport=site, auth=("t1/demo", "demo")) as bare,
        HttpCore(URL, auth=auth, transport_factory=lambda: site) as core,
        Cumulocity(URL, auth, transport_factory=lambda: site) as client,
    ):
        candidates = [
            _candidate("httpx.AsyncClient.get", asked.size, lambda one: bare.get(PATH + one)),
            _candidate("HttpCore.send", asked.size, lambda one: core.send(Request("GET", PATH + one))),
            _candidate("Cumulocity.alarms.get", asked.size, client.alarms.get),
        ]
        results = await interleave(candidates, asked.rounds)
    print(table("requests: GET of one alarm", results, "request"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run it."""
    run(_main, options(__doc__, 300, 9, argv))


if __name__ == "__main__":
    main()
