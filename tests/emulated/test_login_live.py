"""Live channels and log-ins: refusals inside of answers that say 200, sessions that the server prolongs."""

import contextlib

import anyio
import pytest

from emulated.following import POLLED, following, tenant, until
from emulated.test_login import COOKIES, gather, logged_in, logins
from tocsin import AuthenticationError, ConfigurationError, PermissionDeniedError, RetryPolicy, ServerError
from tocsin.cumulocity import BasicAuth, Cumulocity, Microservice
from tocsin.emulator import Fault, LoginSettings

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

EXPIRED = "401::Unauthorized"


@pytest.mark.parametrize("advice", [None, {"reconnect": "none"}, {"reconnect": "handshake", "interval": 0}])
@pytest.mark.parametrize("channel", ["/meta/handshake", "/meta/connect", "/meta/subscribe"])
async def test_a_refusal_inside_of_an_answer_brings_one_log_in_and_a_new_session(channel, advice):
    async with tenant(bayeux=POLLED) as site, logged_in(site) as client:
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
    async with tenant(bayeux=POLLED) as site, logged_in(site) as client:
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


# Sessions


async def test_a_stream_goes_on_in_one_session_while_the_server_prolongs_it():
    sessions = LoginSettings(lifetime=600, renew_after=120)
    async with tenant(login=sessions) as site, logged_in(site, cookies=True) as client:
        async with following(client.alarms.changes()) as seen:
            for number in range(20):
                site.emulator.store.create({"type": f"acme_{number}", "source": "4711"})
                await anyio.sleep(300)
            assert await until(lambda: len(seen.changes) == 20, 120)
            assert site.wrong(seen) == []
            assert seen.error is None
        assert logins(site, COOKIES) == 1
        assert site.emulator.requests.channels["/meta/handshake"] == 1


async def test_a_session_has_an_end_of_its_own():
    sessions = LoginSettings(lifetime=600, renew_after=120, session_lifetime=3600)
    async with tenant(login=sessions) as site, logged_in(site, cookies=True) as client:
        for _ in range(220):
            assert await client.alarms.count() == 0
            await anyio.sleep(30)
        assert logins(site, COOKIES) == 2


async def test_a_call_with_a_token_that_was_just_replaced_is_answered():
    """Two calls at once: one gets the next token, the other is still under way with the old one."""
    sessions = LoginSettings(lifetime=600, renew_after=120)
    async with tenant(login=sessions) as site, logged_in(site, cookies=True) as client:
        await client.alarms.count()
        for _ in range(20):
            await anyio.sleep(130)
            assert await gather(6, client.alarms.count) == [0] * 6
        assert logins(site, COOKIES) == 1


async def test_the_oldest_of_too_many_sessions_ends_and_its_client_logs_in_again():
    async with tenant(login=LoginSettings(sessions=2)) as site, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(logged_in(site, cookies=True)) for _ in range(3)]
        for client in clients:
            await client.alarms.count()
        assert logins(site, COOKIES) == 3
        assert await clients[0].alarms.count() == 0
        assert logins(site, COOKIES) == 4
        assert await clients[2].alarms.count() == 0
        assert logins(site, COOKIES) == 4


# The second factor with a password in each request


async def test_a_code_goes_with_each_request_and_what_is_wrong_with_it_is_said():
    async with tenant(bayeux=POLLED) as site:
        site.emulator.access.add_user("eve", "pw-hunter2", code="918273")

        def client(code):
            auth = BasicAuth("eve", "pw-hunter2", tfa_code=code)
            options = {"retry": RetryPolicy.none(), "transport_factory": site.server.transport_factory}
            return Cumulocity(site.server.url, auth, tenant="t1", **options)

        for code, said in (
            (None, "needed: give tfa_code"),
            ("111111", "was not accepted, give a new tfa_code"),
        ):
            async with client(code) as c8y:
                with pytest.raises(AuthenticationError, match=said) as caught:
                    await c8y.alarms.count()
            assert "111111" not in str(caught.value) + repr(caught.value)
        async with client("918273") as c8y, following(c8y.alarms.changes()) as seen:
            assert await c8y.alarms.count() == 0
            site.emulator.access.expire_codes("eve")
            assert await until(lambda: seen.ended, 120)
            assert "has expired, give a new tfa_code" in str(seen.error)
            assert "918273" not in str(seen.error)


@pytest.mark.parametrize("bad", ["", " ", "1 2", 918273, "12\n"])
def test_a_code_that_cannot_be_sent_is_refused_at_once(bad):
    with pytest.raises(ConfigurationError, match="tfa_code"):
        BasicAuth("eve", "pw", tfa_code=bad)


# Microservices


def bootstrapped(site, user, password):
    auth = BasicAuth(user, password, tenant="t1")
    options = {"transport_factory": site.server.transport_factory, "retry": RetryPolicy.none()}
    return Microservice(site.server.url, auth, **options)


async def test_tenants_that_join_and_leave_are_told_whatever_fails_between():
    async with tenant() as site:
        access = site.emulator.access
        access.add_user("boot", "boot-pw", "bootstrap")
        access.subscribe("service_acme", "one-hunter2")
        options = {"transport_factory": site.server.transport_factory, "retry": RetryPolicy.none()}
        async with Microservice(
            site.server.url, BasicAuth("boot", "boot-pw", tenant="t1"), **options
        ) as service:
            changes = service.subscriptions(every=60)

            async def told():
                change = await anext(changes)
                return [user.tenant for user in change.joined], [user.tenant for user in change.left]

            assert await told() == (["t1"], [])
            began = anyio.current_time()
            access.subscribe("service_acme", "two", tenant="t2")
            site.emulator.faults.add(Fault("status", path="/application/*", status=503, times=3))
            with anyio.move_on_after(200):  # giving up waiting loses nothing
                await told()
            assert await told() == (["t2"], [])
            assert 240 <= anyio.current_time() - began <= 241
            access.unsubscribe("t2")
            assert await told() == ([], ["t2"])
            access.unsubscribe("t1")
            access.subscribe("service_acme", "another")
            assert await told() == (["t1"], ["t1"])
            access.expire_tokens()
            access.add_user("boot", "changed", "bootstrap")
            with pytest.raises(AuthenticationError):
                await told()


async def test_subscriptions_that_cannot_be_read_at_first_are_an_error():
    async with tenant() as site:
        options = {"transport_factory": site.server.transport_factory, "retry": RetryPolicy.none()}
        async with Microservice(
            site.server.url, BasicAuth("demo", "demo", tenant="t1"), **options
        ) as service:
            with pytest.raises(PermissionDeniedError):
                await anext(service.subscriptions())
            site.emulator.faults.add(Fault("status", path="/application/*", status=503))
            with pytest.raises(ServerError):
                await anext(service.subscriptions())
            with pytest.raises(ConfigurationError):
                service.subscriptions(every=0)
