"""Credentials, roles, and what each may do."""

import base64

import anyio
import pytest
from emulator_talk import ALARM, talking

from tocsin.emulator import Emulator, User
from tocsin.testing import VirtualWallClock


@pytest.fixture
def emulator():
    made = Emulator()
    made.store.add_device("Gate", id="4711")
    return made


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "ok"),
    [
        (basic("t1/demo:demo"), True),
        (basic("demo:demo"), True),
        (basic("t1/odd:a:b/c"), True),
        (basic("t2/demo:demo"), False),
        (basic("t1/demo:wrong"), False),
        (basic("t1/demo:"), False),
        (basic("t1/nobody:"), False),
        (basic("demo"), False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"\xff\xfe:x").decode(), False),
        ("Digest x", False),
        ("Bearer nothing", False),
        ("", False),
        (None, False),
    ],
)
async def test_credentials(emulator, header, ok):
    emulator.access.add_user("odd", "a:b/c")
    async with talking(emulator) as talk:
        talk.http.auth = None
        reply = await talk.http.get(
            "/tenant/currentTenant", headers={"Authorization": header} if header else {}
        )
        assert reply.status_code == (200 if ok else 401)
        if ok:
            assert reply.json()["name"] == "t1"
        else:
            assert reply.json()["error"] == "security/Unauthorized"
            assert reply.headers["www-authenticate"].startswith("Basic ")
        shake = await talk.raw(
            {"channel": "/meta/handshake"}, headers={"Authorization": header} if header else {}
        )
        assert shake.status_code == (200 if ok else 401)


async def test_browsers_can_ask_for_no_dialogue(emulator):
    async with talking(emulator, password="no") as talk:
        reply = await talk.http.get("/alarm/alarms", headers={"UseXBasic": "true"})
        assert reply.headers["www-authenticate"].startswith("XBasic ")


@pytest.mark.virtual_time
async def test_tokens_expire_by_themselves_and_on_order():
    emulator = Emulator(clock=VirtualWallClock())
    short, long = (emulator.access.issue_token("demo", lifetime=seconds) for seconds in (60, None))
    assert short.count(".") == 2
    async with talking(emulator) as talk:
        talk.http.auth = None

        async def status(token):
            return (
                await talk.http.get("/user/currentUser", headers={"Authorization": f"Bearer {token}"})
            ).status_code

        assert [await status(short), await status(long)] == [200, 200]
        await anyio.sleep(61)
        assert [await status(short), await status(long)] == [401, 200]
        emulator.access.expire_tokens()
        assert await status(long) == 401
        emulator.access.issue_token("demo", token="fixed")
        assert await status("fixed") == 200
        emulator.access.expire_tokens("fixed")
        assert await status("fixed") == 401


async def test_the_current_user_shows_the_roles(emulator):
    emulator.access.add_user("eve", "pw", "read-only")
    async with talking(emulator, "eve", "pw") as talk:
        body = (await talk.get("/user/currentUser")).json()
        assert body["userName"] == "eve"
        roles = [role["name"] for role in body["effectiveRoles"]]
        assert roles == ["ROLE_ALARM_READ", "ROLE_AUDIT_READ", "ROLE_INVENTORY_READ"]


async def test_read_only(emulator):
    emulator.access.add_user("eve", "pw", "read-only")
    made = emulator.store.create(ALARM)
    async with talking(emulator, "eve", "pw") as talk:
        assert await talk.ids() == [made["id"]]
        assert (await talk.get(f"/alarm/alarms/{made['id']}")).status_code == 200
        for reply in (
            await talk.post(),
            await talk.put(made["id"], status="CLEARED"),
            await talk.http.put("/alarm/alarms?severity=MAJOR", json={"status": "CLEARED"}),
            await talk.http.delete("/alarm/alarms?source=4711"),
            await talk.post({"name": "x"}, path="/inventory/managedObjects"),
        ):
            assert reply.status_code == 403
            assert reply.json()["error"] == "security/Forbidden"
        await talk.attach()
    assert len(emulator.ledger) == 1


async def test_without_a_role_a_list_is_empty_and_not_refused(emulator):
    emulator.access.add_user("eve", "pw", "no-alarms")
    made = emulator.store.create(ALARM)
    async with talking(emulator, "eve", "pw") as talk:
        assert await talk.alarms() == []
        assert (await talk.get("/alarm/alarms/count")).text == "0"
        assert (await talk.get(f"/alarm/alarms/{made['id']}")).status_code == 403
        assert (await talk.get("/alarm")).status_code == 403
        assert (await talk.post()).status_code == 403


def test_passwords_and_tokens_are_not_shown():
    assert "hush" not in repr(User("eve", "hush"))


async def test_bodies_are_capped(emulator):
    from tocsin.emulator import Limits

    small = Emulator(limits=Limits(body=2000, alarms=1, devices=1))
    small.store.add_device(id="4711")
    async with talking(small) as talk:
        assert (await talk.post(text="x" * 3000)).status_code == 413

        async def pieces():
            for _ in range(30):
                yield b"x" * 100

        assert (await talk.http.post("/alarm/alarms", content=pieces())).status_code == 413
        assert (await talk.post()).status_code == 201
        assert (await talk.post(type="acme_Second")).status_code == 507
        assert (await talk.post({"name": "x"}, path="/inventory/managedObjects")).status_code == 507
