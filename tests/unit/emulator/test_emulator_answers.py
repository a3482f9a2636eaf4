"""Odd and hostile requests one by one: the platform's error form, never a failure of the server."""

import json

import pytest
from emulator_talk import ALARM, talking

from tocsin.emulator import Emulator, Limits
from tocsin.emulator._wire import path_of

ALARMS = "/alarm/alarms"
MANAGED = "/inventory/managedObjects"
BODY = json.dumps(ALARM).encode()[:-1]


@pytest.fixture
def emulator():
    made = Emulator()
    made.store.add_device("Gate", id="4711")
    return made


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"{ALARMS}?pageSize=99999999999999999999", b"", 422),
        ("GET", f"{ALARMS}?currentPage=-1", b"", 422),
        ("GET", f"{ALARMS}?currentPage=999999999", b"", 200),
        ("GET", f"{ALARMS}?pageSize=%D9%A5", b"", 422),
        ("GET", f"{ALARMS}?dateFrom=%D9%A2%D9%A0%D9%A2%D9%A6-01-01", b"", 422),
        ("GET", f"{ALARMS}?dateFrom=2026-13-01", b"", 422),
        ("GET", f"{ALARMS}?dateFrom=9999-12-31T23:59:59-23:59", b"", 200),
        ("GET", f"{ALARMS}?type=%ZZ%ff", b"", 200),
        ("GET", f"{ALARMS}/%ZZ", b"", 404),
        ("GET", f"{ALARMS}/%ff%00", b"", 404),
        ("HEAD", ALARMS, b"", 405),
        ("OPTIONS", ALARMS, b"", 405),
        ("BREW", ALARMS, b"", 405),
        ("POST", ALARMS, b"", 400),
        ("POST", ALARMS, b"[" * 100_000, 400),
        ("POST", ALARMS, BODY + b',"x":' + b'{"a":' * 300 + b"1" + b"}" * 301, 400),
        ("POST", ALARMS, BODY + b',"x":NaN}', 400),
        ("POST", ALARMS, BODY + b',"x":1e999}', 400),
        ("POST", ALARMS, BODY + b',"x":' + b"9" * 5000 + b"}", 400),
        ("POST", ALARMS, BODY + b',"x":"\xe9"}', 400),
        ("POST", ALARMS, BODY + b',"x":"\\ud800","\\udfff":1}', 201),
        ("POST", ALARMS, BODY + b',"type":"acme_Twice"}', 201),
        ("POST", ALARMS, BODY + b',"a.b":1}', 422),
        ("POST", ALARMS, BODY + b',"":1}', 422),
        ("POST", ALARMS, BODY + b',"severity":"\\ud800"}', 422),
        ("POST", ALARMS, BODY + b',"source":{"id":{}}}', 422),
        ("PUT", f"{ALARMS}?source=4711", b"", 400),
        ("PUT", ALARMS, b'{"status":"CLEARED"}', 422),
        ("DELETE", ALARMS, b"", 422),
        ("GET", f"{MANAGED}?query=" + "has(a)%20or%20" * 3000 + "has(a)", b"", 200),
        ("GET", f"{MANAGED}?query=" + "not%20" * 3000 + "has(a)", b"", 422),
        ("GET", f"{MANAGED}?query=" + "(" * 5000, b"", 422),
        ("GET", "/audit/auditRecords?dateFrom=x", b"", 422),
        ("POST", "/notification/realtime", b"[]", 400),
        ("POST", "/notification/realtime", b"{", 400),
        ("GET", "/" + "x" * 500, b"", 404),
    ],
)
async def test_what_is_wrong_is_told_in_the_platforms_form(emulator, method, path, body, status):
    async with talking(emulator) as talk:
        reply = await talk.http.request(method, path, content=body, headers={"Accept": "application/json"})
        assert reply.status_code == status, reply.text
        if status >= 400 and reply.content:
            assert {"error", "message"} <= set(reply.json())
            assert len(reply.content) < 1000


@pytest.mark.parametrize("header", ["Basic \xff\xff", "Basic ////", "Bearer \xff", "\xff"])
async def test_credentials_of_other_letters_are_refused(emulator, header):
    async with talking(emulator) as talk:
        talk.http.auth = None
        for name in ("Authorization", "Cookie"):
            reply = await talk.http.get(ALARMS, headers=[(name.encode(), header.encode("latin-1"))])
            assert reply.status_code == 401


@pytest.mark.parametrize(
    ("kind", "status"),
    [("application/json", 201), ("application/vnd.com.nsn.cumulocity.alarm+json;ver=0.9", 201), (None, 201),
     ("text/plain", 415), ("application/x-www-form-urlencoded", 415)],
)  # fmt: skip
async def test_a_body_that_says_that_it_is_no_json_is_not_read(emulator, kind, status):
    async with talking(emulator) as talk:
        headers = {"Content-Type": kind} if kind else {}
        reply = await talk.http.post(ALARMS, content=json.dumps(ALARM), headers=headers)
        assert reply.status_code == status


@pytest.mark.parametrize("interval", ["--5", "-", "²", "9" * 5000, [], None])
async def test_an_odd_response_interval_is_no_maintenance(emulator, interval):
    async with talking(emulator) as talk:
        body = {"c8y_RequiredAvailability": {"responseInterval": interval}}
        assert (await talk.http.put(f"{MANAGED}/4711", json=body)).status_code == 200
        assert "id" in (await talk.post()).json()


async def test_a_failure_of_its_own_is_logged_and_told_in_that_form(emulator, caplog):
    emulator.store.listeners.append(lambda _notice: 1 / 0)
    async with talking(emulator) as talk:
        reply = await talk.post()
        assert (reply.status_code, reply.json()["error"]) == (500, "general/internalError")
        assert "ZeroDivisionError" not in reply.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("lost", {"fold": {"1": 5}}),
        ("lost", {"fold": {}, "since": True}),
        ("duplicates", {"changes": [{"action": "CREATE"}]}),
        ("duplicates", {"changes": [{"action": "CREATE", "id": "1", "alarm": 5}]}),
        ("actions", {"do": "publish", "channel": "alarms", "data": 1}),
        ("actions", {"do": "expire_tokens", "token": []}),
        ("ledger?after=²", None),
    ],
)
async def test_the_control_refuses_what_it_cannot_read(emulator, path, body):
    token = emulator.enable_control()
    async with talking(emulator) as talk:
        talk.http.auth = None
        method = "GET" if body is None else "POST"
        headers = {"Authorization": f"Bearer {token}"}
        reply = await talk.http.request(method, f"/__emulator__/{path}", json=body, headers=headers)
        assert reply.status_code == 422


async def test_what_clients_send_is_kept_short_and_counted_in_bounds():
    emulator = Emulator(limits=Limits(channels=3))
    async with talking(emulator) as talk:
        await talk.get("/" + "x" * 50_000, q="y" * 50_000)
        assert len(emulator.requests.log[-1].path) + len(emulator.requests.log[-1].query) < 5000
        await talk.attach("/alarms/1", "/alarms/2", "/alarms/3")
        refused = await talk.subscribe("/alarms/4")
        assert refused["error"].endswith("too_many_channels")


async def test_audit_filters_count_and_stay_in_the_links(emulator):
    async with talking(emulator) as talk:
        one = (await talk.post()).json()["id"]
        await talk.put(one, text="a")
        path = "/audit/auditRecords"
        page = (await talk.get(path, source=one, pageSize=1, withTotalElements="true", user="demo")).json()
        assert page["statistics"]["totalElements"] == 2
        assert f"source={one}" in page["next"]
        assert "user=demo" in page["next"]
        for name, value, count in [
            ("dateTo", "2020-01-01", 0), ("dateFrom", "2020-01-01", 2), ("type", "Operation", 0),
            ("type", "Alarm", 2), ("user", "eve", 0), ("application", "x", 0), ("source", "1&user=demo", 0),
        ]:  # fmt: skip
            reply = (await talk.get(path, **{name: value})).json()
            assert len(reply["auditRecords"]) == count, name
            assert "&user=demo" not in reply["self"]


@pytest.mark.parametrize("target", ["http://x/alarm//alarms/", "http://x", "/alarm/a%2Fb", "/http://x"])
def test_the_absolute_form_of_a_target_is_read(target):
    parts = {"http://x/alarm//alarms/": "/alarm/alarms", "http://x": "/", "/alarm/a%2Fb": "/alarm/a/b"}
    assert path_of({"raw_path": target.encode()}) == parts.get(target, "/http:/x")
