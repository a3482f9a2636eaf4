"""The Bayeux client `aiocometd-ng`, as anyone would use it against Cumulocity's realtime endpoint.

Usage: python aiocometd_client.py URL SCENARIO   (runs in an environment of its own: see requirements.txt)
"""

import asyncio
import base64
import json
import sys
from datetime import UTC, datetime

import aiohttp
from aiocometd_ng import AuthExtension, Client, ConnectionType
from aiocometd_ng.exceptions import ServerError

# aiohttp keeps no cookies of bare addresses, and a session is tied to one.
URL, NAME = sys.argv[1].replace("127.0.0.1", "localhost"), sys.argv[2]
AUTHORIZATION = "Basic " + base64.b64encode(b"t1/demo:demo").decode()


class Basic(AuthExtension):
    async def outgoing(self, payload, headers):
        headers["Authorization"] = AUTHORIZATION

    async def incoming(self, payload, headers=None):
        pass


def client():
    return Client(f"{URL}/notification/realtime", ConnectionType.LONG_POLLING, auth=Basic())


async def write(method, path, body):
    headers = {"authorization": AUTHORIZATION, "accept": "application/json"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, URL + path, json=body, headers=headers) as reply,
    ):
        return await reply.json()


async def raised(source):
    alarm = {"type": "aio_Live", "text": "Smoke", "severity": "MAJOR", "source": {"id": source}}
    return await write("POST", "/alarm/alarms", {**alarm, "time": datetime.now(UTC).isoformat()})


async def bayeux():
    """Subscribe, receive in order, unsubscribe, leave."""
    async with client() as bayeux:
        await bayeux.subscribe("/alarms/4712")
        alarm = await raised("4712")
        await write("PUT", f"/alarm/alarms/{alarm['id']}", {"status": "ACKNOWLEDGED"})
        await write("PUT", f"/alarm/alarms/{alarm['id']}", {"status": "CLEARED"})
        seen = [await bayeux.receive() for _ in range(3)]
        kind = bayeux.connection_type.value
        await bayeux.unsubscribe("/alarms/4712")
        left = list(bayeux.subscriptions)
    return {
        "seen": [[one["data"]["realtimeAction"], one["data"]["data"]["status"]] for one in seen],
        "kind": kind,
        "left": left,
    }


async def refusals():
    """A channel that there is not does not end the session."""
    async with client() as bayeux:
        try:
            await bayeux.subscribe("/nonsense/1")
        except ServerError as error:
            refused = error.error_code
        await bayeux.subscribe("/alarms/*")
    return {"refused": refused}


async def main():
    print("RESULT", json.dumps(await asyncio.wait_for(globals()[NAME](), 20)))


asyncio.run(main())
