"""One conversation with the realtime endpoint, step by step, whatever a step comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from tocsin.cumulocity._doctor._line import Line, Said, opened
from tocsin.cumulocity._doctor._page import look_at_page
from tocsin.cumulocity._observe import alarm_id
from tocsin.cumulocity._realtime import PATHS
from tocsin.errors import RequestTimeoutError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tocsin._doctor._visit import Visit

__all__ = ["HELD", "Talk", "best_path", "look_at_door", "look_at_talk"]

HELD: Final = 2.0
"""Seconds for which the server is asked to hold the short poll."""
_CUT: Final = 1.0
"""Seconds after which a poll that is held is given up, to see whether the session outlives it."""


@dataclass(slots=True)
class Talk:
    """What was said. A step that failed is an error; one that was not come to is None.

    Attributes:
        handshake: The first answer.
        hello: The answer to the first connect, which asks for none to be held.
        held: The answer to a connect that asks to be held for a short time.
        again: The answer to a connect after one that was cut off in the middle.
        patient: The answer to a connect that is held long enough for heartbeats.
        everything: The answer about the channel of all devices.
        children: The answer about the channel of a device and its children; None if there is no device.
        stranger: The answer to a connect of the same session without its cookies.
        hold: Seconds for which the long poll was to be held.
        hung_up: Whether the poll that was to be cut off was still held then.
    """

    path: str
    hold: float
    handshake: Said | TocsinError | None = None
    hello: Said | TocsinError | None = None
    held: Said | TocsinError | None = None
    again: Said | TocsinError | None = None
    patient: Said | TocsinError | None = None
    everything: Said | TocsinError | None = None
    children: Said | TocsinError | None = None
    stranger: Said | TocsinError | None = None
    hung_up: bool = False
    cookies: tuple[str, ...] = field(default=())


async def look_at_door(visit: Visit, path: str) -> Said | TocsinError:
    """A handshake at an address."""

    async def look(visit: Visit) -> Said | TocsinError:
        async with opened(visit, path) as line:
            return await _step(partial(_handshake, line, visit.options.hold))

    return await visit.once(f"door {path}", look)


async def best_path(visit: Visit) -> str:
    """The address at which Bayeux is spoken, today's first."""
    for path in PATHS:
        if isinstance(await look_at_door(visit, path), Said):
            return path
    return PATHS[0]


async def look_at_talk(visit: Visit) -> Talk:
    """The whole conversation, once."""
    return await visit.once("talk", _converse)


async def _converse(visit: Visit) -> Talk:
    path = await best_path(visit)
    talk = Talk(path, visit.options.hold)
    device = visit.options.source or await _some_device(visit)
    visit.name(device)
    async with opened(visit, path) as line:
        talk.handshake = await _step(partial(_handshake, line, talk.hold))
        if not isinstance(talk.handshake, Said):
            return talk
        talk.cookies = talk.handshake.cookies
        talk.hello = await _step(partial(line.connect, 0))
        talk.held = await _step(partial(line.connect, HELD))
        talk.hung_up = isinstance(await _step(partial(line.connect, 30, limit=_CUT)), RequestTimeoutError)
        talk.again = await _step(partial(line.connect, 0))
        talk.patient = await _step(partial(line.connect, talk.hold))
        talk.everything = await _step(partial(line.subscribe, "/alarms/*"))
        if device is not None:
            talk.children = await _step(partial(line.subscribe, f"/alarmsWithChildren/{device}"))
        talk.stranger = await _step(partial(_without_cookies, visit, line, path))
    return talk


async def _handshake(line: Line, hold: float) -> Said:
    said = await line.shake_hands(hold=max(hold, HELD))
    if said is None:
        raise TocsinError("the handshake was answered with nothing")
    return said


async def _without_cookies(visit: Visit, line: Line, path: str) -> Said:
    http = visit.core.session()
    async with http:
        return await Line(visit, http, path, line.client_id).connect(0)


async def _some_device(visit: Visit) -> str | None:
    try:
        rows = (await look_at_page(visit)).rows
    except TocsinError:
        return None
    return next((device for row in rows if (device := alarm_id(row.get("source")))), None)


async def _step(step: Callable[[], Awaitable[Said]]) -> Said | TocsinError:
    try:
        return await step()
    except TocsinError as error:
        return error
