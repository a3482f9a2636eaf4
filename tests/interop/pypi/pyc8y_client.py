"""The asyncio client `pyc8y`, driven as its users drive it: a scenario prints what the client saw as JSON.

Usage: python pyc8y_client.py URL SCENARIO   (runs in an environment of its own: see requirements.txt)
"""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta

from pyc8y.auth import BasicAuth
from pyc8y.client import CumulocityClient
from pyc8y.model.alarm import Alarm
from pyc8y.model.managed_object import Device

URL, NAME = sys.argv[1:]


def client(password="demo"):
    return CumulocityClient(URL, "t1", BasicAuth("t1/demo", password))


async def refused(awaitable):
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001 - whatever users would meet
        return f"{type(error).__name__}: {error}"
    return None


async def filled(c8y, number):
    """A device with one alarm for each of the last minutes, created four at a time."""
    source = (await Device(c8y, type="pyc8y_Device", name=f"pyc8y {NAME}").create()).id
    now = datetime.now(UTC)
    alarms = [
        Alarm(
            type=f"py_{i}",
            time=now - timedelta(minutes=i),
            source=source,
            text="Smoke",
            severity="MINOR" if i % 2 else "CRITICAL",
        )
        for i in range(number)
    ]
    await c8y.alarms.create(*alarms, workers=4)
    return source


async def types(found):
    return [alarm.type async for alarm in found]


async def credentials(c8y):
    async with client("wrong") as wrong:
        refusal = await refused(wrong.alarms.get("1"))
    return {"user": (await c8y.users.get_current())["userName"], "wrong": refusal}


async def oauth(_c8y):
    auth, xsrf = await CumulocityClient.authenticate(URL, "t1", "demo", "demo")
    async with CumulocityClient(URL, "t1", auth) as c8y:
        user = (await c8y.users.get_current())["userName"]
    wrong = await refused(CumulocityClient.authenticate(URL, "t1", "demo", "wrong"))
    return {"user": user, "xsrf": bool(xsrf), "wrong": wrong}


async def audit(c8y):
    [alarm] = await c8y.alarms.get_all(source=await filled(c8y, 1))
    await c8y.alarms.apply_to({"status": "CLEARED"}, alarm.id)
    records = await c8y.audit_records.get_all(source=alarm.id, limit=None)
    return {"activities": [record.activity for record in records]}


async def create(c8y):
    source = await filled(c8y, 0)
    fire = {"type": "py_Fire", "time": "now", "source": source, "text": "Smoke"}
    made = await Alarm(c8y, **fire, severity="MAJOR", py_Floor={"no": 3}).create()
    again = await Alarm(c8y, **fire, severity="CRITICAL").create()
    return {
        "id": made.id,
        "count": made.count,
        "status": made.status,
        "floor": made["py_Floor"]["no"],
        "again": [again.id, again.count, again.severity],
    }


async def update(c8y):
    [alarm] = await c8y.alarms.get_all(source=await filled(c8y, 1))
    alarm.status = "ACKNOWLEDGED"
    changed = await alarm.update(copy=True)
    await c8y.alarms.apply_to({"severity": "WARNING"}, alarm.id)
    read = await c8y.alarms.get(alarm.id)
    return {"changed": changed.status, "read": [read.status, read.severity]}


async def paging(c8y):
    source = await filled(c8y, 12)
    return {
        "all": await types(c8y.alarms.select(source=source, page_size=5, limit=None)),
        "workers": sorted(await types(c8y.alarms.select(source=source, page_size=5, limit=None, workers=4))),
        "limit": await types(c8y.alarms.select(source=source, page_size=5, limit=7)),
        "page": await types(c8y.alarms.select(source=source, page_size=5, page_number=3)),
    }


async def filters(c8y):
    source = await filled(c8y, 10)
    early = datetime.now(UTC) - timedelta(minutes=4, seconds=30)

    def of(**wanted):
        return types(c8y.alarms.select(source=source, limit=None, **wanted))

    return {
        "severity": await of(severity="MINOR"),
        "several": len(await of(severity="MINOR,CRITICAL", status="ACTIVE,CLEARED")),
        "before": await of(before=early),
        "young": await of(max_age=timedelta(minutes=4, seconds=30)),
        "created": len(await of(created_before=early)),
        "updated": len(await of(updated_after=early)),
        "resolved": len(await of(resolved=True)),
        "children": len(await of(with_source_children=True)),
    }


async def count(c8y):
    source = await filled(c8y, 7)
    return {
        "all": await c8y.alarms.count(source=source),
        "minor": await c8y.alarms.count(source=source, severity="MINOR"),
    }


async def bulk(c8y):
    source, other = await filled(c8y, 6), await filled(c8y, 2)
    await c8y.alarms.apply_by(Alarm(status="CLEARED"), source=source, severity="CRITICAL", status="ACTIVE")
    return {"source": source, "other": other}


async def delete(c8y):
    source = await filled(c8y, 6)
    await c8y.alarms.delete_by(source=source, type="py_1")
    [alarm] = await c8y.alarms.get_all(source=source, type="py_2")
    await alarm.delete()
    return {"source": source}


async def errors(c8y):
    source = await filled(c8y, 0)
    return {
        "missing": await refused(c8y.alarms.get("99999999")),
        "incomplete": await refused(Alarm(c8y, type="py_X", source=source).create()),
    }


async def inventory(c8y):
    source = await filled(c8y, 2)
    named = await c8y.device_inventory.get_all(name=f"pyc8y {NAME}", type="pyc8y_Device")
    found = [device.id for device in named]
    count = await c8y.inventory.get_count(name=f"pyc8y {NAME}")
    await named[0].delete()
    return {"source": source, "named": found, "count": count, "left": await c8y.alarms.count(source=source)}


async def main():
    async with client() as c8y:
        print("RESULT", json.dumps(await globals()[NAME](c8y)))


asyncio.run(main())
