"""A plain consumer of Notification 2.0 on an emulator."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from emulator_socket import Line, RefusedUpgrade, dialled

SUBSCRIPTIONS = "/notification2/subscriptions"
TENANT = {"context": "tenant", "subscription": "acme", "subscriptionFilter": {"apis": ["alarms"]}}


class Consumed(Line):
    """A consumer: messages as (head lines, body)."""

    async def message(self):
        head, _, body = (await self.hear()).partition("\n\n")
        return head.split("\n"), json.loads(body)

    async def text(self, *, acknowledge=True):
        """The alarm's text of the next message."""
        (ack, *_rest), alarm = await self.message()
        if acknowledge:
            await self.say(ack)
        return alarm["text"]


def write(emulator, *texts, source="1"):
    return [emulator.store.create({"source": source, "type": t, "text": t})["id"] for t in texts]


async def subscribe(talk, **changes):
    return await talk.http.post(SUBSCRIPTIONS, json={**TENANT, **changes})


async def token(talk, **changes):
    body = {"subscriber": "me", "subscription": "acme", **changes}
    reply = await talk.http.post("/notification2/token", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()["token"]


@asynccontextmanager
async def consuming(talk, given=None, **changes):
    given = given or await token(talk, **changes)
    path = f"/notification2/consumer/?token={given}&consumer=one"
    async with dialled(talk.http, path, Consumed, auth=None) as line:
        yield line


async def refused(talk, given=None, **changes):
    with pytest.raises(RefusedUpgrade) as error:
        async with consuming(talk, given, **changes):
            pass
    return error.value.status
