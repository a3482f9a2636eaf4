"""A test alarm's life: raised, repeated, changed, cleared, deleted, and what is told of it live.

Every trial has a type of its own, so that it meets no other alarm, and tidies up after itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from tocsin._doctor._visit import Stopwatch, field
from tocsin._http._request import Request
from tocsin._times import write_time
from tocsin.cumulocity._doctor._ear import Ear, Notice
from tocsin.cumulocity._doctor._guard import delete_alone, open_ones
from tocsin.cumulocity._doctor._line import opened
from tocsin.cumulocity._doctor._talk import best_path
from tocsin.cumulocity._observe import alarm_id
from tocsin.cumulocity._window import ALARMS, alarm_path
from tocsin.errors import NotFoundError, ProtocolError, TocsinError

if TYPE_CHECKING:
    from datetime import datetime

    from tocsin._doctor._visit import Visit
    from tocsin._http._request import Response

__all__ = ["PREFIX", "Trial", "look_at_trial"]

PREFIX: Final = "tocsin_DoctorTest_"
_TEXT: Final = "A test of tocsin doctor: nothing has happened"
_APART: Final = 1.2
"""Seconds between two writes, so that a stamp in whole seconds would differ too."""
_SOON: Final = 10.0
_SILENCE: Final = 3.0
"""Seconds of silence that count as no notification."""


@dataclass(slots=True)
class Trial:
    """What was seen. What was not come to is None; `failure` says why.

    Attributes:
        made: The alarm as it was raised.
        date: The Date of the answer to that.
        told: The notification of it; None: none came.
        deaf: Why nothing could be heard live, from some step on.
        status: The status of the answer to a repeat.
        repeated: The alarm after the repeat.
        same: The alarm after a change to what it was already.
        told_same: What was notified of that.
        upserted: Status and alarm of the answer to an upsert; or why there is none.
        bare: Bytes of the answer to a change without an Accept header.
        cleared: Seconds from the answer to a clearing until it was read back; infinity: it never was.
        told_cleared: The notification of that.
        audit: How many audit records there are; or why that is not known.
        deleted: Whether it could be deleted alone and was gone then; or why that is not known.
        told_deleted: What was notified of that.
    """

    failure: TocsinError | None = None
    made: dict[str, Any] | None = None
    date: datetime | None = None
    told: Notice | None = None
    deaf: TocsinError | None = None
    status: int | None = None
    repeated: dict[str, Any] | None = None
    same: dict[str, Any] | None = None
    told_same: Notice | None = None
    upserted: tuple[int, Any] | TocsinError | None = None
    bare: int | None = None
    cleared: float | None = None
    told_cleared: Notice | None = None
    audit: int | TocsinError | None = None
    deleted: bool | TocsinError | None = None
    told_deleted: Notice | None = None


async def look_at_trial(visit: Visit) -> Trial:
    """The whole trial, once."""
    return await visit.once("trial", _try)


async def _try(visit: Visit) -> Trial:
    trial = Trial()
    kind = f"{PREFIX}{visit.rng.getrandbits(48):012x}"
    source = visit.options.source or ""
    visit.tidying.append(lambda: _tidy(visit, source, kind))
    async with opened(visit, await best_path(visit)) as line:
        ear = Ear(line)
        await ear.listen(source)
        try:
            await _live(visit, trial, ear, source, kind)
        except TocsinError as error:
            trial.failure = error
        trial.deaf = ear.failure
    return trial


async def _live(visit: Visit, trial: Trial, ear: Ear, source: str, kind: str) -> None:
    alarm = {
        "type": kind,
        "text": _TEXT,
        "severity": "WARNING",
        "source": {"id": source},
        "time": write_time(visit.wall()),
    }
    made = await _write(visit, "POST", ALARMS, alarm)
    body = made.json()
    identity = alarm_id(body)
    if identity is None:
        raise ProtocolError("the test alarm was suppressed: the device is in maintenance mode")
    trial.made, trial.date, ear.id = body, made.date, identity
    trial.told = await ear.hear(_SOON)
    await _again(visit, trial, ear, alarm)
    await _unchanged(visit, trial, ear, identity)
    await _upsert(visit, trial, ear, {"type": kind, "source": {"id": source}, "text": _TEXT + "!"})
    bare = Request("PUT", alarm_path(identity), body=json.dumps({"text": _TEXT + "."}).encode(), accept="")
    trial.bare = len((await visit.send(bare)).body.strip())
    await ear.hear(_SILENCE)
    await _clear(visit, trial, ear, identity)
    await _look_back(visit, trial, identity)
    await _delete(visit, trial, ear, identity)


async def _again(visit: Visit, trial: Trial, ear: Ear, alarm: dict[str, Any]) -> None:
    await sleep(_APART)
    again = await _write(visit, "POST", ALARMS, {**alarm, "time": write_time(visit.wall())})
    trial.status, trial.repeated = again.status, again.json()
    await ear.hear(_SILENCE)


async def _unchanged(visit: Visit, trial: Trial, ear: Ear, identity: str) -> None:
    await sleep(_APART)
    before = await _read(visit, identity)
    await _write(visit, "PUT", alarm_path(identity), {"text": before.get("text")})
    trial.told_same = await ear.hear(_SILENCE)
    trial.repeated, trial.same = before, await _read(visit, identity)


async def _upsert(visit: Visit, trial: Trial, ear: Ear, alarm: dict[str, Any]) -> None:
    try:
        answer = await _write(visit, "POST", f"{ALARMS}/upsert", alarm)
        trial.upserted = answer.status, field(answer.json(), "alarm")
    except TocsinError as error:
        trial.upserted = error
    else:
        await ear.hear(_SILENCE)


async def _clear(visit: Visit, trial: Trial, ear: Ear, identity: str) -> None:
    await sleep(_APART)
    await _write(visit, "PUT", alarm_path(identity), {"status": "CLEARED"})
    watch = Stopwatch()
    trial.cleared = float("inf")
    while watch.seconds < _SOON:
        if (await _read(visit, identity)).get("status") == "CLEARED":
            trial.cleared = watch.seconds
            break
        await sleep(0.5)
    trial.told_cleared = await ear.hear(_SILENCE)


async def _look_back(visit: Visit, trial: Trial, identity: str) -> None:
    query = (("source", identity), ("pageSize", "10"))
    try:
        records = field((await visit.get("/audit/auditRecords", query)).json(), "auditRecords")
        trial.audit = len(records) if isinstance(records, list) else 0
    except TocsinError as error:
        trial.audit = error


async def _delete(visit: Visit, trial: Trial, ear: Ear, identity: str) -> None:
    try:
        await delete_alone(visit, await _read(visit, identity))
        trial.told_deleted = await ear.hear(_SILENCE)
        try:
            await _read(visit, identity)
        except NotFoundError:
            trial.deleted = True
        else:
            trial.deleted = False
    except TocsinError as error:
        trial.deleted = error


async def _tidy(visit: Visit, source: str, kind: str) -> str | None:
    """Clear what is still open of a trial; say what could not be."""
    try:
        for identity in await open_ones(visit, source, kind):
            await _write(visit, "PUT", alarm_path(identity), {"status": "CLEARED"})
    except TocsinError as error:
        return f"the test alarm of type {kind} may still be open ({error.reason}): clear it by hand"
    return None


async def _write(visit: Visit, method: str, path: str, body: dict[str, Any]) -> Response:
    return await visit.send(Request(method, path, body=json.dumps(body).encode()))


async def _read(visit: Visit, identity: str) -> dict[str, Any]:
    found = (await visit.get(alarm_path(identity))).json()
    if not isinstance(found, dict):
        raise ProtocolError("the test alarm was read back as something else")
    return found
