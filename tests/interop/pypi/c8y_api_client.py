"""Cumulocity's `c8y_api`, driven as its users drive it: a scenario prints what the client saw as JSON.

Usage: python c8y_api_client.py URL SCENARIO   (runs in an environment of its own: see requirements.txt)
"""

import json
import sys
from datetime import UTC, datetime, timedelta

from c8y_api import CumulocityApi, HTTPBearerAuth
from c8y_api.model import Alarm, Device

URL, NAME = sys.argv[1:]


def client(**changes):
    return CumulocityApi(URL, **{"tenant_id": "t1", "username": "demo", "password": "demo"} | changes)


def refused(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever users would meet
        return f"{type(error).__name__}: {error}"
    return None


def filled(c8y, number):
    """A device with one alarm for each of the last minutes."""
    source = Device(c8y, type="py_Device", name=f"c8y_api {NAME}").create().id
    now = datetime.now(UTC)
    c8y.alarms.create(
        *(
            Alarm(
                type=f"py_{i}",
                time=now - timedelta(minutes=i),
                source=source,
                text="Smoke",
                severity="MINOR" if i % 2 else "CRITICAL",
            )
            for i in range(number)
        )
    )
    return source


def types(alarms):
    return [alarm.type for alarm in alarms]


def credentials():
    return {
        "user": client().users.get_current().username,
        "wrong": refused(client(password="wrong").alarms.get, "1"),
    }


def oauth():
    token, xsrf = CumulocityApi.authenticate(URL, "t1", "demo", "demo")
    c8y = CumulocityApi(URL, "t1", auth=HTTPBearerAuth(token))
    return {
        "user": c8y.users.get_current().username,
        "xsrf": bool(xsrf),
        "wrong": refused(CumulocityApi.authenticate, URL, "t1", "demo", "wrong"),
    }


def audit():
    c8y = client()
    [alarm] = c8y.alarms.get_all(source=filled(c8y, 1))
    c8y.alarms.apply_to({"status": "CLEARED"}, alarm.id)
    return {"activities": [record.activity for record in c8y.audit_records.get_all(source=alarm.id)]}


def create():
    c8y = client()
    source = filled(c8y, 0)
    made = Alarm(c8y, "py_Fire", "now", source, "Smoke", severity="MAJOR", py_Floor={"no": 3}).create()
    again = Alarm(c8y, "py_Fire", "now", source, "Smoke", severity="CRITICAL").create()
    return {
        "id": made.id,
        "count": made.count,
        "status": made.status,
        "floor": made["py_Floor"]["no"],
        "created": made.creation_datetime.tzinfo is not None,
        "again": [again.id, again.count, again.severity],
    }


def update():
    c8y = client()
    [alarm] = c8y.alarms.get_all(source=filled(c8y, 1))
    alarm.status = "ACKNOWLEDGED"
    alarm.text = "Smoke in room 3"
    changed = alarm.update()
    c8y.alarms.apply_to({"severity": "WARNING"}, alarm.id)
    read = c8y.alarms.get(alarm.id)
    return {"changed": [changed.status, changed.text], "read": [read.status, read.text, read.severity]}


def paging():
    c8y = client()
    source = filled(c8y, 12)
    return {
        "all": types(c8y.alarms.select(source=source, page_size=5)),
        "limit": types(c8y.alarms.select(source=source, page_size=5, limit=7)),
        "page": types(c8y.alarms.get_all(source=source, page_size=5, page_number=3)),
    }


def filters():
    c8y = client()
    source = filled(c8y, 10)
    early = datetime.now(UTC) - timedelta(minutes=4, seconds=30)
    return {
        "severity": types(c8y.alarms.select(source=source, severity="MINOR")),
        "several": len(c8y.alarms.get_all(source=source, severity="MINOR,CRITICAL", status="ACTIVE,CLEARED")),
        "type": types(c8y.alarms.select(source=source, type="py_3")),
        "before": types(c8y.alarms.select(source=source, before=early)),
        "young": types(c8y.alarms.select(source=source, max_age=timedelta(minutes=4, seconds=30))),
        "created": len(c8y.alarms.get_all(source=source, created_before=early)),
        "updated": len(c8y.alarms.get_all(source=source, updated_after=early)),
        "resolved": len(c8y.alarms.get_all(source=source, resolved=True)),
    }


def count():
    c8y = client()
    source = filled(c8y, 7)
    return {
        "all": c8y.alarms.count(source=source),
        "minor": c8y.alarms.count(source=source, severity="MINOR"),
    }


def bulk():
    c8y = client()
    source, other = filled(c8y, 6), filled(c8y, 2)
    c8y.alarms.apply_by(Alarm(status="CLEARED"), source=source, severity="CRITICAL", status="ACTIVE")
    return {"source": source, "other": other}


def delete():
    c8y = client()
    source = filled(c8y, 6)
    c8y.alarms.delete_by(source=source, type="py_1")
    c8y.alarms.get_all(source=source, type="py_2")[0].delete()
    return {"source": source}


def errors():
    c8y = client()
    source = filled(c8y, 0)
    return {
        "missing": refused(c8y.alarms.get, "99999999"),
        "incomplete": refused(Alarm(c8y, "py_X", source=source).create),
    }


def inventory():
    c8y = client()
    source = filled(c8y, 2)
    named = c8y.device_inventory.get_all(name=f"c8y_api {NAME}", type="py_Device")
    found = {
        "named": [device.id for device in named],
        "fragment": len(c8y.inventory.get_all(fragments=["py_Nothing", "c8y_IsDevice"])),
        "count": c8y.inventory.get_count(name=f"c8y_api {NAME}"),
    }
    named[0].name = "renamed"
    named[0].update()
    renamed = c8y.device_inventory.get(source)
    renamed.delete()
    return {"source": source, **found, "renamed": renamed.name, "left": c8y.alarms.count(source=source)}


print("RESULT", json.dumps(globals()[NAME]()))
