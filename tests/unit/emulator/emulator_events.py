"""A plain client of the Events and State WebSocket: frames and JSON, never tocsin's own client."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from emulator_socket import Closed, Line, dialled

if TYPE_CHECKING:
    import httpx

PATH = "/api/ws/events/v1"
ALL = [{"modifier": "include", "resourceTypes": ["*"], "sourceIds": ["*"], "eventTypes": ["*"]}]


class EventsLine(Line):
    """One connection; events that come before a reply are kept."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    async def tell(self, name: str, **more: Any) -> int:
        number = next(self.numbers)
        await self.say(json.dumps({"command": name, "commandId": number, **more}))
        return number

    async def reply(self, number: int) -> dict[str, Any]:
        while True:
            said = json.loads(await self.hear())
            if said.get("commandId") == number:
                return said
            self.events += said["events"]

    async def ask(self, name: str, **more: Any) -> dict[str, Any]:
        return await self.reply(await self.tell(name, **more))

    async def event(self) -> dict[str, Any]:
        while not self.events:
            self.events += json.loads(await self.hear())["events"]
        return self.events.pop(0)

    async def end(self) -> int | None:
        """Read to the connection's end; the code of its goodbye."""
        try:
            while True:
                await self.hear()
        except Closed as closed:
            return closed.code

    async def attach(self, filters: Any = ALL) -> str:
        """Start a session and subscribe; the session's id."""
        started = await self.ask("startSession", sessionId="", eventId="")
        assert started["status"] == 201
        assert (await self.ask("addSubscription", filters=filters))["status"] == 200
        return started["sessionId"]

    async def resume(self, session: str, event: str) -> int:
        return (await self.ask("startSession", sessionId=session, eventId=event))["status"]


def events_line(http: httpx.AsyncClient, path: str = PATH, **options: Any):
    """Open a connection; `RefusedUpgrade` if the server does not let us in."""
    return dialled(http, path, EventsLine, **options)
