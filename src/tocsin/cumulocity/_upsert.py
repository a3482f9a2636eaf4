"""What is sent to upsert an alarm, and what the answer means.

Source: Cumulocity OpenAPI "core", `POST /alarm/alarms/upsert` (2026.165); reference 2.1, 2.6 and 2.7. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tocsin._wire import parse_object, write_time
from tocsin.cumulocity._write import addressed
from tocsin.cumulocity.models import Alarm, Outcome, Severity, Upserted
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tocsin._http._request import Response
    from tocsin.cumulocity.models import Created

__all__ = ["complete", "posted", "upserted"]

_CREATED: Final = 201


def complete(asked: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What a POST needs and an upsert may leave out, with the defaults that an upsert has."""
    return {"severity": Severity.MAJOR.value, "text": "", "time": write_time(now), **asked}


def posted(created: Created) -> Upserted:
    """The outcome of a POST in the words of an upsert."""
    return Upserted(created.outcome, created.alarm, posted=True, id=created.id, ignored=created.ignored)


def upserted(response: Response) -> Upserted:
    """What the answer to an upsert means.

    Raises:
        ProtocolError: It cannot be said. The alarm may have been stored.
    """
    return response.parsed(lambda body: _upserted(body, created=response.status == _CREATED))


def _upserted(body: bytes, *, created: bool) -> Upserted:
    wire = parse_object(body, what="answer to the upsert")
    now, before = wire.get("alarm"), wire.get("previousState")
    if not isinstance(now, dict):
        raise ProtocolError("the answer to the upsert has no alarm; it may have been stored anyway")
    if now.get("id") in (None, "", "null"):
        if addressed(now.get("self")) == "null":  # as a suppressed POST is answered
            return Upserted(Outcome.SUPPRESSED, None)
        raise ProtocolError("the alarm in the answer to the upsert has no id; it may have been stored anyway")
    alarm = Alarm.from_wire(now)
    previous = None
    if isinstance(before, dict):
        previous = Alarm.from_wire({**before, "id": before.get("id") or alarm.id})
    outcome = Outcome.CREATED if created and previous is None else Outcome.UPDATED
    return Upserted(outcome, alarm, previous, id=alarm.id)
