"""A consumer in a process of its own, to be killed: `kept_consumer.py URL KIND FILE EVERY`.

It writes each item as a line of JSON and so handles it. A line "kept N" says that the first N items of this
life are in the store, since a write that began after they were handled has returned.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import anyio

from tocsin import Cumulocity, FileCheckpoint, Gap, SqliteCheckpoint
from tocsin.cumulocity import BasicAuth

if TYPE_CHECKING:
    from collections.abc import Mapping

handled = 0


class ToldFile(FileCheckpoint):
    """Tells of each write."""

    async def save(self, records: Mapping[str, str | None]) -> None:
        before = handled
        await super().save(records)
        say("kept", before)


class ToldSqlite(SqliteCheckpoint):
    """Tells of each write."""

    async def save(self, records: Mapping[str, str | None]) -> None:
        before = handled
        await super().save(records)
        say("kept", before)


def say(*words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def main(url: str, kind: str, path: str, every: str) -> None:
    global handled
    store = (ToldFile if kind == "file" else ToldSqlite)(path, every=float(every))
    auth = BasicAuth("demo", "demo", tenant="t1")
    async with (
        Cumulocity(url, auth) as client,
        client.alarms.changes(snapshot=True, checkpoint=store) as stream,
    ):
        async for item in stream:
            if isinstance(item, Gap):
                say("gap", item.recovered)
            else:
                say(item.action, item.id, None if item.alarm is None else json.loads(item.alarm.raw))
            handled += 1


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
