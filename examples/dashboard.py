"""Serves the open alarms as a web page that changes by itself: one change stream, any number of browsers.

Reads C8Y_BASEURL, C8Y_TENANT, C8Y_USER and C8Y_PASSWORD (or C8Y_TOKEN) from the environment; needs
`pip install 'tocsin[emulator]'` for starlette and uvicorn. On loopback, without a log-in of its own: put it
behind a proxy that has one.

    python examples/dashboard.py 8080     # then open http://127.0.0.1:8080/
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route

from tocsin import Cumulocity, Gap, Phase, TocsinError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from anyio.streams.memory import MemoryObjectSendStream
    from starlette.requests import Request

    from tocsin import AlarmLike, ChangeStream

BEHIND = 100
"""Events that may wait for one browser."""
QUIET = 15.0
"""Seconds between two comments that keep a connection."""

PAGE = """<!doctype html><meta charset="utf-8"><title>Alarms</title><p id="state">…</p><ul id="alarms"></ul>
<script>
// What alarms say comes from devices: it is shown as text, never as HTML.
const list = document.getElementById("alarms"), state = document.getElementById("state"), rows = new Map();
function show(alarm) {
  if (!rows.has(alarm.key)) { rows.set(alarm.key, list.appendChild(document.createElement("li"))); }
  rows.get(alarm.key).textContent = [alarm.time, alarm.level, alarm.phase, alarm.text].join("  ");
}
const feed = new EventSource("feed"), on = (name, act) =>
  feed.addEventListener(name, event => act(JSON.parse(event.data)));
on("open_alarms", alarms => { rows.clear(); list.replaceChildren(); alarms.forEach(show); });
on("alarm", show);
on("gone", gone => { rows.get(gone.key)?.remove(); rows.delete(gone.key); });
on("state", now => { state.textContent = now.state + (now.cause ? ": " + now.cause : ""); });
feed.onerror = () => { state.textContent = "the dashboard cannot be reached"; };
</script>"""


def frame(name: str, data: object) -> str:
    """One server-sent event; JSON has no line breaks that could end it early."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def row(key: str, alarm: AlarmLike) -> dict[str, str | None]:
    """What the page shows of an alarm of any platform."""
    return {
        "key": key,
        "time": alarm.time.isoformat() if alarm.time else None,
        "level": alarm.level,
        "phase": alarm.phase,
        "text": alarm.text,
    }


class Board:
    """The open alarms, and the browsers that look at them."""

    def __init__(self, stream: ChangeStream[Any]) -> None:
        self.stream = stream
        self.alarms: dict[str, dict[str, str | None]] = {}
        self.state: dict[str, str | None] = {"state": "reconnecting", "cause": None}
        self.browsers: set[MemoryObjectSendStream[str]] = set()

    async def follow(self) -> None:
        """Keeps the open alarms. What ends the stream is raised, and ends the process."""
        async with self.stream:
            async for item in self.stream:
                if isinstance(item, Gap):
                    continue  # what it missed comes as changes, and the page shows no history
                key = "/".join(item.key)
                if item.alarm is None or item.alarm.phase is Phase.CLEARED:
                    if self.alarms.pop(key, None) is not None:
                        self.tell(frame("gone", {"key": key}))
                else:
                    self.alarms[key] = row(key, item.alarm)
                    self.tell(frame("alarm", self.alarms[key]))

    async def follow_states(self) -> None:
        """Shows whether what is shown is true at the moment."""
        async for change in self.stream.states():
            self.state = {"state": change.state, "cause": change.cause}
            self.tell(frame("state", self.state))

    async def keep(self) -> None:
        """Says something now and then, so that proxies keep the connections."""
        while True:
            await anyio.sleep(QUIET)
            self.tell(": still here\n\n")

    def tell(self, event: str) -> None:
        """Hands an event to every browser. One that is too slow is cut off: it comes back and begins anew."""
        for browser in list(self.browsers):
            try:
                browser.send_nowait(event)
            except anyio.WouldBlock:
                self.leave(browser)

    def leave(self, browser: MemoryObjectSendStream[str]) -> None:
        """Ends the feed of one browser."""
        self.browsers.discard(browser)
        browser.close()

    async def feed(self) -> AsyncIterator[str]:
        """What one browser gets: all that is open, then what changes."""
        send, receive = anyio.create_memory_object_stream[str](BEHIND)
        self.browsers.add(send)
        send.send_nowait(frame("state", self.state))
        send.send_nowait(frame("open_alarms", list(self.alarms.values())))
        try:
            async for event in receive:
                yield event
        finally:
            self.leave(send)
            receive.close()

    def app(self) -> Starlette:
        """The page, its feed, and a readiness probe."""

        async def page(_request: Request) -> HTMLResponse:
            return HTMLResponse(PAGE)

        async def feed(_request: Request) -> StreamingResponse:
            return StreamingResponse(
                self.feed(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )

        async def ready(_request: Request) -> JSONResponse:
            health = self.stream.health()
            return JSONResponse(health.as_json(), 200 if health.ready else 503)

        return Starlette(routes=[Route("/", page), Route("/feed", feed), Route("/ready", ready)])


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which would end the process before the client has taken leave."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to `end_on_signal`."""
        yield


async def end_on_signal(server: Server, board: Board) -> None:
    """Ends the feeds, without which the server would wait for its browsers, and then the server."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _number in signals:
            server.should_exit = True
            for browser in list(board.browsers):
                board.leave(browser)


async def main(port: int) -> None:
    """Runs until a signal, or until the stream ends for good."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
        async with Cumulocity.from_env(open_timeout=None) as c8y, anyio.create_task_group() as tasks:
            board = Board(c8y.alarms.changes(snapshot=True))
            config = uvicorn.Config(
                board.app(), log_level="warning", lifespan="off", timeout_graceful_shutdown=2
            )
            server = Server(config)
            tasks.start_soon(board.follow)
            tasks.start_soon(board.follow_states)
            tasks.start_soon(board.keep)
            tasks.start_soon(end_on_signal, server, board)
            await server.serve(sockets=[listener])
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    try:
        anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
    except* TocsinError as errors:
        sys.exit(str(errors.exceptions[0]))
