"""Logging in, on the emulator in process, under a clock that jumps."""

from contextlib import asynccontextmanager

import anyio
import pytest

from emulated.following import POLLED, following, tenant, until
from tocsin import AuthenticationError, ConfigurationError, RetryPolicy, ServerError, TocsinError
from tocsin.bayeux import BayeuxClient, Event
from tocsin.cumulocity import BearerAuth, Cumulocity, Microservice, OAuthInternal, login_options
from tocsin.emulator import Fault, LoginSettings

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

TOKEN = ("POST", "/tenant/oauth/token")
COOKIES = ("POST", "/tenant/oauth")


@asynccontextmanager
async def logged_in(site, *, user="demo", password="demo", code=None, cookies=False, **options):
    auth = OAuthInternal(user, password, tenant="t1", tfa_code=code, cookies=cookies)
    settings = {"retry": RetryPolicy.none(), "transport_factory": site.server.transport_factory, **options}
    async with Cumulocity(site.server.url, auth, clock=site.wall, **settings) as client:
        yield client


def logins(site, which=TOKEN):
    return site.emulator.requests.by[which]


async def gather(count, call):
    """What so many calls at once gave or raised."""
    got = []

    async def one():
        try:
            got.append(await call())
        except TocsinError as error:
            got.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return got


@pytest.mark.parametrize(("cookies", "which"), [(False, TOKEN), (True, COOKIES)], ids=["token", "cookies"])
async def test_a_hundred_calls_log_in_once(cookies, which):
    async with tenant(login=LoginSettings(basic=False)) as site:
        async with logged_in(site, cookies=cookies) as client:
            assert await gather(100, client.alarms.count) == [0] * 100
            site.emulator.store.add_device(id="4711")
            await client.alarms.create(type="a", text="b", severity="MAJOR", source="4711")
        assert logins(site, which) == 1
        assert client.site == "t1"


async def test_a_token_is_renewed_before_it_expires_by_the_servers_clock():
    async with tenant(login=LoginSettings(lifetime=600)) as site:
        refused = []

        async def watch(request, call_next):
            response = await call_next(request)
            refused.append(response.status == 401)
            return response

        # Our own clock is a year off: only the server's counts.
        async with logged_in(site, middleware=[watch]) as client:
            for _ in range(120):
                await client.alarms.count()
                await anyio.sleep(30)
            assert logins(site) == 7  # every 540 to 570 s of 3600
            assert not any(refused)


async def test_after_a_long_pause_all_calls_wait_for_one_log_in():
    async with tenant(login=LoginSettings(lifetime=600)) as site, logged_in(site) as client:
        await client.alarms.count()
        await anyio.sleep(10_000)
        assert await gather(20, client.alarms.count) == [0] * 20
        assert logins(site) == 2


async def test_a_token_that_was_taken_away_is_replaced_and_the_call_sent_again():
    async with tenant() as site, logged_in(site) as client:
        await client.alarms.count()
        site.emulator.access.expire_tokens()
        assert await gather(20, client.alarms.count) == [0] * 20
        assert logins(site) == 2


async def test_a_server_that_refuses_every_token_is_not_asked_for_ever():
    async with tenant() as site, logged_in(site) as client:
        order = site.emulator.faults.add(Fault("status", path="/alarm/*", status=401, times=None))
        for _ in range(10):
            with pytest.raises(AuthenticationError) as caught:
                await client.alarms.count()
        assert caught.value.url.endswith("/alarm/alarms/count")
        assert logins(site) == 2
        order.remove()
        assert await client.alarms.count() == 0


async def test_a_wrong_password_is_tried_once_for_all_who_wait():
    async with tenant() as site, logged_in(site, password="wrong-hunter2") as client:
        errors = await gather(30, client.alarms.count)
        assert all(type(error) is AuthenticationError for error in errors)
        assert len({id(error) for error in errors}) == 30
        assert "the log-in of 'demo' was refused" in str(errors[0])
        assert "wrong-hunter2" not in repr(errors) + str(vars(errors[0]))
        with pytest.raises(AuthenticationError):
            await client.alarms.count()
        assert logins(site) == 1
        await anyio.sleep(31)
        with pytest.raises(AuthenticationError):
            await client.alarms.count()
        assert logins(site) == 2


async def test_a_log_in_address_that_is_not_there_is_no_missing_alarm():
    async with tenant(login=LoginSettings(internal=False)) as site, logged_in(site) as client:
        with pytest.raises(AuthenticationError, match=r"login_options\(\)"):
            await client.alarms.get("4711")
        with pytest.raises(AuthenticationError):
            async with client.alarms.changes():
                pass


async def test_a_log_in_that_meets_a_sick_server_is_made_again_by_the_retries():
    retry = RetryPolicy(wait_initial=4, attempts=12)  # a failed log-in stands a second for all who wait
    async with tenant() as site, logged_in(site, retry=retry) as client:
        site.emulator.faults.add(Fault("status", path="/tenant/oauth/token", status=503, times=2))
        assert await client.alarms.count() == 0
        assert logins(site) == 3


async def test_who_cannot_renew_goes_on_with_the_token_while_it_is_good():
    async with tenant(login=LoginSettings(lifetime=600)) as site, logged_in(site) as client:
        await client.alarms.count()
        site.emulator.faults.add(Fault("status", path="/tenant/oauth/token", status=503, times=None))
        await anyio.sleep(545)
        for _ in range(5):
            assert await client.alarms.count() == 0
            await anyio.sleep(10)
        await anyio.sleep(60)
        with pytest.raises(ServerError):
            await client.alarms.count()


async def test_a_cancelled_call_does_not_cancel_the_log_in_of_the_others():
    async with tenant() as site, logged_in(site) as client:
        site.emulator.faults.add(Fault("delay", path="/tenant/oauth/token", seconds=5))
        got = []

        async def patient():
            await anyio.sleep(1)
            got.append(await client.alarms.count())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(patient)
            with anyio.move_on_after(2) as hasty:
                await client.alarms.count()  # it is this call that began the log-in
        assert hasty.cancelled_caught
        assert got == [0]
        assert logins(site) == 1


async def test_leaving_the_client_gives_up_a_log_in():
    async with tenant() as site:
        site.emulator.faults.add(Fault("hang", path="/tenant/oauth/token"))
        started = anyio.current_time()
        async with logged_in(site) as client:
            with anyio.move_on_after(2):
                await client.alarms.count()
        assert anyio.current_time() - started < 5


async def test_an_error_in_the_block_leaves_as_itself_while_a_log_in_is_under_way():
    async with tenant() as site:
        site.emulator.faults.add(Fault("hang", path="/tenant/oauth/token"))
        with pytest.raises(KeyError, match="mine"):  # noqa: PT012 - what leaves the block is the point
            async with logged_in(site) as client:
                with anyio.move_on_after(2):
                    await client.alarms.count()
                raise KeyError("mine")
        site.emulator.faults.add(Fault("hang", path="/tenant/oauth/token"))
        with anyio.move_on_after(2) as scope:
            async with logged_in(site) as client:
                await client.alarms.count()
        assert scope.cancelled_caught


# The second factor


async def test_a_second_factor():
    asked = []

    def plain():
        asked.append("plain")
        return "123456"

    async def slow():
        asked.append("slow")
        await anyio.sleep(20)
        return "123456"

    async with tenant() as site:
        site.emulator.access.add_user("eve", "pw", code="123456")
        for code in ("123456", plain, slow):
            async with logged_in(site, user="eve", password="pw", code=code) as client:
                assert await gather(3, client.alarms.count) == [0] * 3
        assert asked == ["plain", "slow"]
        async with logged_in(site, user="eve", password="pw") as client:
            with pytest.raises(AuthenticationError, match="give tfa_code"):
                await client.alarms.count()
        async with logged_in(site, user="eve", password="pw", code="654321") as client:
            with pytest.raises(AuthenticationError, match="the code was not accepted") as caught:
                await client.alarms.count()
        assert "654321" not in str(caught.value)


async def test_a_code_is_good_for_one_log_in():
    async with tenant() as site:
        site.emulator.access.add_user("eve", "pw", code="123456")
        async with logged_in(site, user="eve", password="pw", code="123456") as client:
            await client.alarms.count()
            site.emulator.access.expire_tokens()
            with pytest.raises(AuthenticationError, match="as a function"):
                await client.alarms.count()
        assert logins(site) == 1


async def test_a_function_that_fails_to_give_a_code_is_named():
    async with tenant() as site:
        for bad in (lambda: None, lambda: 1 / 0):
            async with logged_in(site, code=bad) as client:
                with pytest.raises(ConfigurationError, match=r"tfa_code|ZeroDivisionError"):
                    await client.alarms.count()
        assert logins(site) == 0


# Streams


@pytest.mark.parametrize("cookies", [False, True], ids=["token", "cookies"])
async def test_a_stream_outlives_its_tokens(cookies):
    async with tenant(login=LoginSettings(lifetime=300)) as site:
        async with logged_in(site, cookies=cookies) as client, following(client.alarms.changes()) as seen:
            for number in range(40):
                site.emulator.store.create({"type": f"acme_{number}", "source": "4711"})
                await anyio.sleep(60)
            assert await until(lambda: len(seen.changes) == 40, 120)
            assert site.wrong(seen) == []
            assert site.twice(seen) == []
            assert seen.error is None
        assert 8 <= logins(site, COOKIES if cookies else TOKEN) <= 11


@pytest.mark.parametrize("way", ["websocket", "long-polling"])
async def test_tokens_of_a_second_are_lived_with_or_one_error_but_never_a_storm(way):
    """A session of the server's dies with each token: how far one gets is for the jitter to say."""
    async with tenant(login=LoginSettings(lifetime=1)) as site:
        async with logged_in(site) as client, following(client.alarms.changes(transport=way)) as seen:
            await until(lambda: seen.ended, 300)
            assert type(seen.error) is AuthenticationError if seen.ended else site.wrong(seen) == []
        assert site.emulator.requests.channels["/meta/handshake"] + logins(site) < 60


async def test_another_token_brings_another_session():
    async with tenant() as site, logged_in(site) as client, following(client.alarms.changes()):
        shakes = site.emulator.requests.channels["/meta/handshake"]
        site.emulator.access.expire_tokens()
        await anyio.sleep(60)
        assert site.emulator.requests.channels["/meta/handshake"] == shakes + 1
        assert site.emulator.sessions == 1
        assert logins(site) == 2


async def test_a_stream_whose_token_expired_raises_and_names_it():
    async with tenant() as site:
        token = site.emulator.access.issue_token("demo", lifetime=600)
        client = Cumulocity(
            site.server.url, BearerAuth(token), transport_factory=site.server.transport_factory
        )
        async with client, following(client.alarms.changes()) as seen:
            assert await until(lambda: seen.ended, 700)
            assert type(seen.error) is AuthenticationError
            assert "the token expired at 2026-01-01 00:10:00 UTC" in str(seen.error)
            assert token not in str(seen.error)
            with pytest.raises(AuthenticationError, match="the token expired at"):
                await client.alarms.count()


async def test_a_token_that_was_revoked_is_told_from_one_that_expired():
    async with tenant() as site:
        token = site.emulator.access.issue_token("demo", lifetime=600)
        site.emulator.access.expire_tokens()
        client = Cumulocity(
            site.server.url, BearerAuth(token), transport_factory=site.server.transport_factory
        )
        async with client:
            with pytest.raises(AuthenticationError, match="it was revoked"):
                await client.alarms.count()


# Around it


async def test_login_options():
    async with tenant(login=LoginSettings(basic=False)) as site:
        found = await login_options(site.server.url, transport_factory=site.server.transport_factory)
        assert [option.type for option in found] == ["OAUTH2_INTERNAL"]
        assert found[0].visible is True
        assert found[0].raw["grantType"] == "PASSWORD"


async def test_a_microservice_makes_a_client_for_each_tenant():
    async with tenant(login=LoginSettings(basic=True)) as site:
        site.emulator.access.add_user("boot", "boot-pw", "bootstrap")
        site.emulator.access.subscribe("service_acme", "svc-hunter2")
        site.emulator.access.subscribe("service_acme", "other", tenant="t2")
        env = {
            "C8Y_BASEURL": site.server.url,
            "C8Y_BOOTSTRAP_TENANT": "t1",
            "C8Y_BOOTSTRAP_USER": "boot",
            "C8Y_BOOTSTRAP_PASSWORD": "boot-pw",
            "C8Y_MICROSERVICE_ISOLATION": "MULTI_TENANT",
            "APPLICATION_KEY": "acme-key",
        }
        with pytest.raises(ConfigurationError, match="Microservice"):
            Cumulocity.from_env(env)
        keys = []

        async def watch(request, call_next):
            keys.append(request.path)
            return await call_next(request)

        service = Microservice.from_env(
            env, transport_factory=site.server.transport_factory, middleware=[watch], trust_env=False
        )
        async with service:
            users = await service.users()
            assert [(user.tenant, user.name) for user in users] == [
                ("t1", "service_acme"),
                ("t2", "service_acme"),
            ]
            assert "svc-hunter2" not in repr(users)
            async with service.client(users[0]) as client:
                assert client.site == "t1"
                assert await client.alarms.count() == 0
            async with service.client(users[1], name="second") as client:
                assert client.site == "second"
                with pytest.raises(AuthenticationError):
                    await client.alarms.count()
        assert len(keys) == 3
        with pytest.raises(ConfigurationError, match="C8Y_BOOTSTRAP_USER"):
            Microservice.from_env({**env, "C8Y_BOOTSTRAP_USER": ""})


async def test_a_bayeux_client_logs_in_and_begins_anew_with_another_token():
    async with tenant(bayeux=POLLED, login=LoginSettings(basic=False)) as site:
        client = BayeuxClient(
            f"{site.server.url}/notification/realtime",
            auth=OAuthInternal("demo", "demo", tenant="t1"),
            transport_factory=site.server.transport_factory,
        )
        async with client, client.subscribe("/alarms/*") as events:
            site.emulator.access.expire_tokens()
            await anyio.sleep(60)
            site.emulator.store.create({"type": "acme", "source": "4711"})
            with anyio.fail_after(10):
                while not isinstance(await anext(events), Event):
                    pass
        assert site.emulator.requests.channels["/meta/handshake"] == 2
        assert logins(site) == 2
