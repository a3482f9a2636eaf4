"""Changes, gaps and states as the command line meets them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tocsin._stream._states import StateChange
from tocsin.cumulocity.models import Alarm
from tocsin.models import Action, Change, Gap, Origin, StreamState

NOON = datetime(2026, 1, 5, 12, 0, 0, 123456, tzinfo=UTC)


def alarm(identity="101", *, severity="MAJOR", status="ACTIVE", text="Door 7 forced", **more):
    body = {"id": identity, "type": "acme_Door", "text": text, "source": {"id": "4711"}, **more}
    body |= {"severity": severity, "status": status, "time": "2026-01-05T13:00:00+01:00"}
    return Alarm.from_raw(json.dumps(body).encode())


def change(action="CREATE", identity="101", origin="live", **more):
    body = None if action == "DELETE" else alarm(identity, **more)
    return Change(Action(action), identity, body, Origin(origin), "cumulocity", "t1", NOON)


def gap(recovered=3):
    return Gap(NOON, NOON.replace(minute=1), "session lost", recovered, "cumulocity", "t1")


def state(name="connected", cause=None):
    return StateChange(StreamState(name), cause, NOON, "cumulocity", "t1")
