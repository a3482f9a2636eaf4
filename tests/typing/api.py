"""What users' type checkers must see. Checked by mypy and basedpyright, never run."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from tocsin import (
    Accepted,
    Action,
    AlarmLike,
    Change,
    ChangeStream,
    Cumulocity,
    Gap,
    Level,
    Origin,
    Page,
    Pages,
    Phase,
    ReconnectPolicy,
    Request,
    Response,
    RetryPolicy,
    StreamHealth,
    StreamState,
    StreamStats,
    Watch,
    watch,
)
from tocsin.cumulocity import (
    Alarm,
    AlarmFilter,
    AlarmResource,
    AuditChange,
    AuditRecord,
    BasicAuth,
    BearerAuth,
    Created,
    LoginOption,
    Microservice,
    OAuthInternal,
    Outcome,
    ProcessingMode,
    ServiceUser,
    Severity,
    Status,
    Upserted,
    login_options,
)
from tocsin.emulator import Emulator, serve
from tocsin.testing import in_process


async def reading(c8y: Cumulocity) -> None:
    listed: Pages[Alarm] = c8y.alarms.list()
    assert_type(await listed, Page[Alarm])
    page = await c8y.alarms.list(status=Status.ACTIVE, severity=[Severity.CRITICAL, "MAJOR"])
    assert_type(page, Page[Alarm])
    assert_type(page.items, tuple[Alarm, ...])
    async for alarm in c8y.alarms.list():
        assert_type(alarm, Alarm)
    async for later in c8y.alarms.list().pages():
        assert_type(later, Page[Alarm])
    assert_type(await c8y.alarms.get("1"), Alarm)
    assert_type(await c8y.alarms.count(source="4711"), int)
    assert_type(c8y.alarms.list(stable=True), Pages[Alarm])
    async for record in c8y.alarms.history("1"):
        assert_type(record, AuditRecord)
        assert_type(record.changes, tuple[AuditChange, ...])
    api = await c8y.alarms.api()
    assert_type(api, AlarmResource)
    assert_type(api.templates["alarmsForStatus"], str)


async def writing(c8y: Cumulocity) -> None:
    created = await c8y.alarms.create(type="t", text="x", severity=Severity.MAJOR, source="4711")
    assert_type(created, Created)
    assert_type(created.outcome, Outcome)
    assert_type(created.alarm, Alarm | None)
    assert_type(await c8y.alarms.update("1", severity=Severity.MINOR), Alarm)
    assert_type(await c8y.alarms.acknowledge("1"), Alarm)
    assert_type(await c8y.alarms.clear("1"), Alarm)


async def writing_many(c8y: Cumulocity) -> None:
    upserted = await c8y.alarms.upsert(type="t", source="4711", severity="MAJOR")
    assert_type(upserted, Upserted)
    assert_type(upserted.previous, Alarm | None)
    assert_type(upserted.outcome, Outcome)
    where = AlarmFilter(source="4711")
    assert_type(await c8y.alarms.preview(where), int)
    accepted = await c8y.alarms.update_many(where, status=Status.CLEARED)
    assert_type(accepted, Accepted)
    assert_type(accepted.done, bool)
    assert_type(accepted.left, int | None)
    await accepted.wait(5)
    assert_type(await c8y.alarms.delete_many(where), Accepted)
    await c8y.alarms.delete_many()  # type: ignore[call-arg]
    quiet = c8y.with_options(processing_mode=ProcessingMode.QUIESCENT, application_key="acme")
    assert_type(quiet, Cumulocity)
    assert_type(await c8y.send(Request("GET", "/alarm")), Response)


async def following(c8y: Cumulocity) -> None:
    stream = c8y.alarms.changes("4711", snapshot="all", overflow="conflate", transport="polling")
    assert_type(stream, ChangeStream[Alarm])
    async with stream as entered:
        assert_type(entered, ChangeStream[Alarm])
        async for item in stream:
            assert_type(item, Change[Alarm] | Gap)
            match item:
                case Change(action=Action.DELETE):
                    assert_type(item, Change[Alarm])
                case Change():
                    assert_type(item.alarm, Alarm | None)
                    assert_type(item.origin, Origin)
                    assert_type(item.key, tuple[str, str])
                    assert_type(item.received_at, datetime)
                case Gap():
                    assert_type(item.recovered, int | None)
        async for change in stream.only_changes():
            assert_type(change, Change[Alarm])
    assert_type(stream.state, StreamState)
    assert_type(stream.stats, StreamStats)
    assert_type(stream.health(), StreamHealth)


def alike(alarm: Alarm) -> AlarmLike:
    assert_type(alarm.level, Level | None)
    assert_type(alarm.phase, Phase | None)
    assert_type(alarm.time, datetime | None)
    return alarm


def any_change(change: Change[Alarm]) -> Change[AlarmLike]:
    return change


async def making() -> None:
    async with Cumulocity(
        "https://acme.example.com",
        BasicAuth("ada", "secret", tenant="t07007007"),
        retry=RetryPolicy.none(),
        reconnect=ReconnectPolicy(maximum=10),
        open_timeout=None,
    ) as c8y:
        assert_type(c8y, Cumulocity)
        assert_type(c8y.with_options(timeout=5, retry=RetryPolicy(attempts=2)), Cumulocity)
        await reading(c8y)
    Cumulocity("https://acme.example.com", BearerAuth("token"))
    assert_type(Cumulocity.from_env(name="acme"), Cumulocity)


async def watching(c8y: Cumulocity) -> None:
    async with watch(c8y, level=Level.MAJOR, phase=["ACTIVE"], snapshot="all") as stream:
        assert_type(stream, Watch)
        async for item in stream:
            assert_type(item, Change[AlarmLike] | Gap)
        async for change in stream.only_changes():
            assert_type(change, Change[AlarmLike])
        assert_type(stream.health()["t1"].ready, bool)


async def ask() -> str:
    return "123456"


async def logging_in() -> None:
    Cumulocity("https://acme.example.com", OAuthInternal("ada", "secret", tenant="t1", tfa_code="123456"))
    Cumulocity("https://acme.example.com", OAuthInternal("ada", "secret", tfa_code=lambda: "1", cookies=True))
    Cumulocity("https://acme.example.com", OAuthInternal("ada", "secret", tfa_code=ask))
    assert_type(await login_options("https://acme.example.com"), tuple[LoginOption, ...])
    async with Microservice.from_env(close_timeout=1) as service:
        assert_type(service, Microservice)
        users = await service.users()
        assert_type(users, tuple[ServiceUser, ...])
        assert_type(service.client(users[0], name="acme"), Cumulocity)


async def testing() -> None:
    emulator = Emulator(profile="seed")
    async with serve(emulator) as served:
        assert_type(served.url, str)
    async with in_process(emulator) as server:
        Cumulocity(server.url, None, transport_factory=server.transport_factory)


def wrong(c8y: Cumulocity) -> None:
    c8y.alarms.changes(snapshot="some")  # type: ignore[arg-type]
    c8y.alarms.changes(transport="pigeon")  # type: ignore[arg-type]
    c8y.alarms.list(colour="red")  # type: ignore[call-arg]
