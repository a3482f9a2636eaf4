"""What writes do: judged of one test alarm, which is closed again. Alarms cannot be deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from anyio import current_time, sleep

from tocsin._doctor._probe import Judgement, Probe, assumed, differs
from tocsin._doctor._visit import field
from tocsin._http._request import Request
from tocsin.errors import BadRequestError, NotFoundError, ProtocolError, TocsinError
from tocsin.xprotect._doctor._server import as_judged, gateway_of, read_rows
from tocsin.xprotect._query import equals
from tocsin.xprotect.alarms import Alarms

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._doctor._visit import Visit

    Row = dict[str, Any]

__all__ = ["WRITES"]

_WITHIN: Final = 10.0
_COMMENT: Final = "changed by tocsin doctor"


async def _raised(visit: Visit) -> tuple[Row, float]:
    """The test alarm, and how many seconds after the answer it could be read."""
    return await visit.once("raised", _raise)


async def _raise(visit: Visit) -> tuple[Row, float]:
    name = f"tocsin_DoctorTest_{visit.rng.getrandbits(48):012x}"
    visit.tidying.append(lambda: _tidy(visit, name))
    sent = {"name": name, "message": "raised by tocsin doctor", "source": visit.options.source}
    response = await visit.send(Request("POST", "/alarms", body=json.dumps(sent).encode()))
    identity = field(response.json(), "data", "id")
    if not isinstance(identity, str):
        raise ProtocolError("the answer to the POST has no id")
    return await _until(visit, identity, lambda row: row.get("id") == identity)


async def _changed(visit: Visit) -> tuple[Row, Row]:
    """The test alarm before and after it was acknowledged by a PATCH of two keys alone."""
    return await visit.once("changed", _acknowledge)


async def _acknowledge(visit: Visit) -> tuple[Row, Row]:
    made, _ = await _raised(visit)
    states = await read_rows(visit, "/alarmStates")
    state = next((row.get("id") for row in states if row.get("level") == 4), None)
    body = json.dumps({"state": state, "comment": _COMMENT}).encode()
    await visit.send(Request("PATCH", f"/alarms/{made['id']}", body=body))
    return made, (await _until(visit, made["id"], lambda row: field(row, "state", "level") == 4))[0]


async def _until(visit: Visit, identity: str, done: Callable[[Row], bool]) -> tuple[Row, float]:
    began = current_time()
    while current_time() - began < _WITHIN:
        try:
            row = field((await visit.get(f"/alarms/{identity}")).json(), "data")
        except NotFoundError:
            row = None
        if isinstance(row, dict) and done(row):
            return row, current_time() - began
        await sleep(0.2)
    raise ProtocolError(f"it could not be read back within {_WITHIN:.0f} s")


async def _tidy(visit: Visit, name: str) -> str | None:
    """Close what is still open of the trial; say what could not be."""
    try:
        for row in await read_rows(visit, "/alarms", ("name", equals(name)), ("size", "10")):
            # Only what bears the name itself: a filter that is ignored must not have others closed.
            if row.get("name") == name and field(row, "state", "level") != 11:
                await Alarms(gateway_of(visit)).clear(row["id"])
    except TocsinError as error:
        return f"the test alarm {name} may still be open ({error.reason}): close it by hand"
    return None


async def _visible(visit: Visit) -> Judgement:
    made, seconds = await _raised(visit)
    told = f"after {seconds:.1f} s, in the state of level {field(made, 'state', 'level')}"
    return assumed(told) if field(made, "state", "level") == 1 else differs(told)


async def _partial(visit: Visit) -> Judgement:
    try:
        await _changed(visit)
    except BadRequestError:
        return differs("it is refused (HTTP 400): all keys are sent then")
    return assumed("state and comment alone were taken")


async def _moved(visit: Visit) -> Judgement:
    before, after = (str(row.get("lastUpdatedTime")) for row in await _changed(visit))
    return (
        assumed("it moved") if before < after else differs("it did not move: changes are seen by the fields")
    )


async def _comment(visit: Visit) -> Judgement:
    made, _ = await _changed(visit)
    entries = await read_rows(visit, f"/alarms/{made['id']}/history")
    found = any(_COMMENT in entry.values() for entry in entries)
    return assumed(f"one of {len(entries)}") if found else differs(f"none of {len(entries)} has the comment")


async def _closed(visit: Visit) -> Judgement:
    made, _ = await _raised(visit)
    await Alarms(gateway_of(visit)).clear(made["id"])  # with all keys where single ones are refused
    _, seconds = await _until(visit, made["id"], lambda row: field(row, "state", "level") == 11)
    return assumed(f"read back after {seconds:.1f} s")


def _trial(name: str, question: str, assumes: str, look: Any) -> Probe[Any]:
    return Probe(
        name, question, assumes, look, as_judged, "the right to manage alarms", writes=True, limit=60.0
    )


WRITES: Final[tuple[Probe[Any], ...]] = (
    _trial("raise", "How soon can a new alarm be read?", "within 10 s, in level 1", _visible),
    _trial("patch", "Can single keys be changed?", "yes", _partial),
    _trial("updated", "Does a change move lastUpdatedTime?", "yes", _moved),
    _trial("comment", "Does a comment stand in the history?", "yes", _comment),
    _trial("close", "How soon is a change seen?", "within 10 s", _closed),
)
