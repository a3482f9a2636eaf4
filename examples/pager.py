"""A daemon that pages on critical alarms, survives restarts, and says so when it may have missed something.

    PAGER_URL=https://pager.example.com/v2/enqueue python examples/pager.py /var/lib/pager/paged.json

It posts {"action": "trigger" | "resolve", "key": …, "text": …} for each alarm that becomes critical, by being
raised or by escalation, and again when it is cleared, deleted, or critical no more. What was paged is kept in
a file, written after the pager has taken the page and before the next one: after a restart nothing is paged
twice, and what happened meanwhile is told, except what was over before. Only a crash between the pager's
answer and that write sends a page again, under the same key, by which pagers tell repetitions.

Exit codes: 0 after SIGTERM or SIGINT; 1 when it cannot go on, so that a supervisor starts it again; 2 for
what starting it again would not mend. Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or
C8Y_TOKEN) from the environment.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import httpx

from tocsin import ChangeStream, ConfigurationError, Cumulocity, Gap, NotFoundError, TocsinError
from tocsin.cumulocity import Alarm, Severity, Status

log = logging.getLogger("pager")


@dataclass(frozen=True)
class Notice:
    """What the pager is told; one `key` is one incident there."""

    action: str
    key: str
    text: str


class Paged:
    """The alarms that are paged and not resolved, and what follows from the next news. Does no I/O.

    Args:
        site: The tenant whose alarms they are.
        ids: The alarms.
    """

    def __init__(self, site: str, ids: set[str]) -> None:
        self.site = site
        self.ids = ids

    def notice(self, alarm_id: str, alarm: Alarm | None) -> Notice | None:
        """What has to be told now that an alarm stands so; None if it is gone. Changes nothing."""
        key = f"{self.site}/{alarm_id}"
        critical = (
            alarm is not None and alarm.severity == Severity.CRITICAL and alarm.status != Status.CLEARED
        )
        if alarm is not None and critical and alarm_id not in self.ids:
            return Notice("trigger", key, f"{alarm.text} (device {alarm.source_id})")
        if not critical and alarm_id in self.ids:
            return Notice("resolve", key, "deleted" if alarm is None else f"{alarm.severity} {alarm.status}")
        return None

    def told(self, alarm_id: str, notice: Notice) -> None:
        """Note what the pager has taken."""
        (self.ids.add if notice.action == "trigger" else self.ids.discard)(alarm_id)


def load(path: Path, site: str) -> Paged:
    """Reads the file. A damaged one, or another tenant's, ends the daemon: to begin anew would page twice."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["site"] != site:
            raise ConfigurationError(f"{path} is about {kept['site']!r}, not {site!r}")
        return Paged(site, set(kept["paged"]))
    except FileNotFoundError:
        return Paged(site, set())
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def save(path: Path, paged: Paged) -> None:
    """Writes the file so that a crash leaves the old one or the new one."""
    text = json.dumps({"site": paged.site, "paged": sorted(paged.ids)})
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.unlink(missing_ok=True)  # what a crash left may have another mode
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the new name may not outlive a power cut
    finally:
        os.close(folder)


class Pager:
    """Sends notices, for as long as it takes, and keeps what was paged.

    Args:
        url: Where notices are posted.
        http: Posts them.
        path: The file.
        paged: What it holds.
    """

    def __init__(self, url: str, http: httpx.AsyncClient, path: Path, paged: Paged) -> None:
        self.paged = paged
        self._url = url
        self._http = http
        self._path = path

    async def news(self, alarm_id: str, alarm: Alarm | None) -> None:
        """Tells what there is to tell of an alarm, and notes it."""
        notice = self.paged.notice(alarm_id, alarm)
        if notice is not None:
            await self.send(notice, alarm_id)

    async def send(self, notice: Notice, alarm_id: str | None = None) -> None:
        """Posts a notice until it is taken. Meanwhile the stream's buffer fills, and recovers by itself.

        Cancelled, it ends what it is at: a page that was taken is noted too.
        """
        wait = 0.5
        while True:
            with anyio.CancelScope(shield=True):
                if await self._post(notice):
                    if alarm_id is not None:
                        self.paged.told(alarm_id, notice)
                        await anyio.to_thread.run_sync(save, self._path, self.paged)
                    log.info("%s %s: %r", notice.action, notice.key, notice.text)
                    return
            await anyio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 - jitter
            wait = min(wait * 2, 30)

    async def _post(self, notice: Notice) -> bool:
        try:
            with anyio.fail_after(10):
                (await self._http.post(self._url, json=asdict(notice))).raise_for_status()
        except (httpx.HTTPError, TimeoutError) as error:
            log.error("the pager does not take %s %s: %r", notice.action, notice.key, error)  # noqa: TRY400
            return False
        return True


async def catch_up(c8y: Cumulocity, pager: Pager) -> dict[str, Alarm | None]:
    """Asks for each alarm that was paged before the restart: what is closed or gone is in no snapshot."""
    found: dict[str, Alarm | None] = {}
    for alarm_id in sorted(pager.paged.ids):
        try:
            found[alarm_id] = await c8y.alarms.get(alarm_id)
        except NotFoundError:
            found[alarm_id] = None
        await pager.news(alarm_id, found[alarm_id])
    return found


def is_older(alarm: Alarm | None, known: Alarm | None) -> bool:
    """Whether the stream gives an alarm as it stood before it was asked for. `known` None: it was gone."""
    if alarm is None or alarm.last_updated is None:
        return False
    return known is None or (known.last_updated is not None and alarm.last_updated < known.last_updated)


async def follow(c8y: Cumulocity, stream: ChangeStream[Alarm], pager: Pager) -> None:
    """Pages until the stream ends."""
    async with stream:
        known = await catch_up(c8y, pager)  # now that the stream is attached, nothing falls in between
        async for item in stream:
            if not isinstance(item, Gap):
                if item.id not in known or not is_older(item.alarm, known[item.id]):
                    await pager.news(item.id, item.alarm)
                continue
            text = f"from {item.since} to {item.until}: {item.cause}"
            if item.recovered is None:
                key = f"{item.site}/gap/{item.until.isoformat()}"
                await pager.send(Notice("trigger", key, f"alarms may have been missed {text}"))
            else:
                log.warning("%d changes were read back %s", item.recovered, text)


async def watch(stream: ChangeStream[Alarm]) -> None:
    """Logs what the stream is doing."""
    async for change in stream.states():
        log.info("%s%s", change.state, f": {change.cause}" if change.cause else "")


async def until_signal(scope: anyio.CancelScope) -> None:
    """Ends the daemon when it is told to."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("%s", signal.Signals(number).name)
            scope.cancel()


async def run(url: str, path: Path) -> int:
    """Pages until a signal or an error; gives the exit code."""
    code = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(until_signal, tasks.cancel_scope)
        try:
            async with Cumulocity.from_env() as c8y, httpx.AsyncClient() as http:
                paged = load(path, c8y.site)
                save(path, paged)  # if that is impossible, it had better show before the first page
                pager = Pager(url, http, path, paged)
                # No `severity=`: of an alarm that was never critical in its own time, such a stream would
                # not tell how it goes on, and it may have been paged before the restart.
                stream = c8y.alarms.changes(snapshot=True)
                tasks.start_soon(watch, stream)
                await follow(c8y, stream, pager)
                code = 1  # nobody has closed it
        except ConfigurationError as error:
            log.critical("%s", error)
            code = 2
        except (TocsinError, OSError) as error:
            log.critical("%s", error)
            code = 1
        tasks.cancel_scope.cancel()
    return code


def main() -> int:
    """Reads the arguments and gives the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # or each request is a line
    url = os.environ.get("PAGER_URL", "")
    if len(sys.argv) != 2 or not url.startswith(("http://", "https://")):
        print("usage: PAGER_URL=https://… python examples/pager.py FILE", file=sys.stderr)
        return 2
    return anyio.run(run, url, Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
