"""Live channels and log-ins: refusals inside of answers that say 200, sessions that the server prolongs."""

import anyio
import pytest

from emulated.following import following, tenant, until
from emulated.test_login import logged_in, logins
from tocsin import AuthenticationError
from tocsin.emulator import Fault

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

EXPIRED = "401::Unauthorized"


@pytest.mark.parametrize("advice", [None, {"reconnect": "none"}, {"reconnect": "handshake", "interval": 0}])
@pytest.mark.parametrize("channel", ["/meta/handshake", "/meta/connect", "/meta/subscribe"])
async def test_a_refusal_inside_of_an_answer_brings_one_log_in_and_a_new_session(channel, advice):
    async with tenant() as site, logged_in(site) as client:
        skip = {"/meta/handshake": 0, "/meta/connect": 2, "/meta/subscribe": 0}[channel]
        site.emulator.faults.add(Fault("reject", channel=channel, error=EXPIRED, advice=advice, skip=skip))
        async with following(client.alarms.changes()) as seen:
            await anyio.sleep(120)
            site.emulator.store.create({"type": "acme", "source": "4711"})
            assert await until(lambda: len(seen.changes) == 1, 60)
            assert site.wrong(seen) == []
            assert seen.error is None
        assert logins(site) == (1 if advice and advice["reconnect"] == "handshake" else 2)
        assert site.emulator.requests.channels["/meta/handshake"] == 2


async def test_refusals_that_go_on_after_the_log_in_are_fatal():
    async with tenant() as site, logged_in(site) as client:
        site.emulator.faults.add(
            Fault(
                "reject", channel="/meta/handshake", error=EXPIRED, advice={"reconnect": "none"}, times=None
            )
        )
        with pytest.raises(AuthenticationError):
            async with client.alarms.changes():
                pytest.fail("entered")
        assert logins(site) == 2


async def test_a_session_that_is_unknown_is_no_refused_log_in():
    async with tenant() as site, logged_in(site) as client, following(client.alarms.changes()) as seen:
        await anyio.sleep(60)
        site.emulator.faults.add(Fault("reject", channel="/meta/connect", error="401:abc:Unknown client"))
        await anyio.sleep(60)
        site.emulator.store.create({"type": "acme", "source": "4711"})
        assert await until(lambda: len(seen.changes) == 1, 60)
        assert logins(site) == 1
