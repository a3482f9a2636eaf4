"""`tocsin watch --transport notification2` and `tocsin unsubscribe`, over a network that breaks."""

from __future__ import annotations

import pytest

from sockets.chaos import address
from sockets.cli_process import run, running
from tocsin.emulator import Emulator, serve
from tocsin.testing import ChaosProxy

pytestmark = [pytest.mark.timeout(90), pytest.mark.limit(80)]
WATCH = ("watch", "--transport", "notification2", "--subscriber", "pager", "--jsonl")


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_what_waits_survives_a_broken_network_and_a_kill_until_it_is_unsubscribed():
    emulator = Emulator()
    alarm = emulator.store.create({"type": "acme_1", "text": "0", "source": "4711"})["id"]

    def write(text):
        emulator.store.update(alarm, {"text": text})

    async with serve(emulator) as server, ChaosProxy(*address(server.url)) as proxy:
        async with running(*WATCH, "--snapshot", url=proxy.url) as watch:
            assert (await watch.event("change"))["origin"] == "snapshot"
            proxy.refuse()
            await emulator.until(lambda: emulator.broker.consumers == 0)
            write("1")
            write("2")
            proxy.heal()
            got = [await watch.event("change") for _ in range(2)]
            assert [(item["alarm"]["text"], item["origin"]) for item in got] == [("1", "live"), ("2", "live")]
            await emulator.until(lambda: emulator.broker.backlogs() == {"tocsinAlarms/pager": 0})
            watch.process.kill()
            await watch.process.wait()
            await emulator.until(lambda: emulator.broker.consumers == 0)
        write("3")
        async with running(*WATCH, "--no-snapshot", url=proxy.url) as watch:
            assert (await watch.event("change"))["alarm"]["text"] == "3"
            assert await watch.end() == 0
        assert (await run("unsubscribe", "pager", url=proxy.url))[:2] == (
            0, "unsubscribed pager of tocsinAlarms\n",
        )  # fmt: skip
        code, _, err = await run("unsubscribe", "pager", url=proxy.url)
        assert (code, err) == (1, "tocsin: there is no consumer pager of tocsinAlarms\n")


async def test_a_missing_role_is_named_once_and_not_called_a_matter_of_trying_again():
    emulator = Emulator()
    emulator.access.add_user("bob", "pw", "read-only")
    async with serve(emulator) as server:
        code, _, err = await run(*WATCH, url=server.url, C8Y_USER="bob", C8Y_PASSWORD="pw")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "ROLE_NOTIFICATION_2_ADMIN" in err
