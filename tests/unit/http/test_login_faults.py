"""Log-ins that go wrong: what must neither lock a user out, nor storm a server, nor lose a code."""

import base64
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import anyio
import httpx
import pytest
from http_fakes import answer, core, of_request

from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.bayeux import BayeuxClient
from tocsin.cumulocity import BasicAuth as Basic
from tocsin.cumulocity import Cumulocity, DeviceCertificate, Microservice, OAuthInternal
from tocsin.errors import AuthenticationError, ConfigurationError, TocsinError, TransportError

pytestmark = [pytest.mark.virtual_time, pytest.mark.limit(20_000)]

GET = Request("GET", "/x")
START = datetime(2026, 1, 1, tzinfo=UTC)


def jwt(name, until):
    made = [{"alg": "none"}, {"jti": name, "exp": int((START + timedelta(seconds=until)).timestamp())}]
    return ".".join(
        [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in made] + ["c2ln"]
    )


class Platform:
    """A server whose log-ins can fail: `log_in(number)` gives a lifetime, or an answer of its own."""

    def __init__(self, log_in=lambda number: 3600, call=None):
        self.log_in = log_in
        self.call = call or (lambda request, name: answer(json={})())
        self.log_ins = []
        self.forms = []
        self.sent = []

    def core(self, **options):
        self.begun = None
        auth = OAuthInternal("ada", "hunter2-pw", tenant="t1", **options.pop("auth", {}))
        settings = {"retry": RetryPolicy.none(), "clock": lambda: START, **options}
        client, self.wire = core(of_request(self), auth=auth, **settings)
        return client

    def now(self):
        if self.begun is None:
            self.begun = anyio.current_time()
        return anyio.current_time() - self.begun

    def __call__(self, request):
        now = self.now()
        made = self.log_ins_or_call(request, now)
        if isinstance(made, Exception):
            raise made
        made.headers.setdefault("Date", format_datetime(START + timedelta(seconds=now), usegmt=True))
        return made

    def log_ins_or_call(self, request, now):
        if "oauth" not in request.url.path:
            self.sent.append(request.headers.get("cookie") or request.headers.get("authorization"))
            return self.call(request, self.sent[-1])
        self.log_ins.append(now)
        given = self.log_in(len(self.log_ins))
        if not isinstance(given, int | float):
            return given() if callable(given) else given
        token = jwt(f"login-{len(self.log_ins)}", now + given)
        if request.url.path == "/tenant/oauth":
            return answer(headers={"Set-Cookie": f"authorization={token}; Path=/"})()
        return answer(json={"access_token": token})()


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("late"), answer(503), answer(429)]
)
async def test_a_code_is_not_used_up_by_a_log_in_that_the_server_did_not_judge(failure):
    site = Platform(lambda number: failure if number == 1 else 3600)
    async with site.core(auth={"tfa_code": "918273"}) as client:
        with pytest.raises(TocsinError):
            await client.send(GET)
        await anyio.sleep(61)
        await client.send(GET)
    assert len(site.log_ins) == 2
    assert all(b"tfa_code=918273" in body for body in site.wire.bodies[:2])


@pytest.mark.parametrize("lifetime", [0.6, 1, 3])
async def test_tokens_that_live_for_a_moment_do_not_bring_a_log_in_for_each_call(lifetime):
    """A clock that is a little off makes the end of each token look near."""
    site = Platform(lambda number: lifetime)
    async with site.core() as client:
        for _ in range(300):
            await client.send(GET)
            await anyio.sleep(0.2)
    assert len(site.log_ins) <= 13


async def test_clients_that_end_each_others_sessions_do_not_log_in_without_end():
    """More processes than the tenant allows sessions: each new token is refused soon after it was given."""
    used = set()

    def call(request, token):
        if token in used:
            return answer(401)()
        used.add(token)  # good for one call, then another client has taken the place
        return answer(json={})()

    site = Platform(call=call)
    refused = 0
    async with site.core() as client:
        for _ in range(600):
            try:
                await client.send(GET)
            except AuthenticationError:
                refused += 1
            await anyio.sleep(1)
    assert refused
    assert len(site.log_ins) <= 60  # in ten minutes


async def test_a_daemon_with_a_wrong_password_asks_more_and_more_rarely():
    site = Platform(lambda number: answer(401, json={"message": "Bad credentials"}))
    async with site.core() as client:
        for _ in range(720):
            with pytest.raises(AuthenticationError, match="was refused"):
                await client.send(GET)
            await anyio.sleep(10)
        assert len(site.log_ins) <= 12  # in two hours
        site.log_in = lambda number: 3600
        await anyio.sleep(900)
        await client.send(GET)


async def test_whoever_waits_when_a_log_in_hangs_is_told_and_the_next_one_is_tried():
    async def hangs(request):
        if "oauth" in request.url.path:
            logins.append(request)
            await anyio.sleep_forever()

    logins = []
    client, _ = core(of_request(hangs), auth=OAuthInternal("ada", "pw"), retry=RetryPolicy.none())
    errors = []

    async def call():
        with pytest.raises(TransportError) as caught:
            await client.send(GET)
        errors.append(caught.value)

    async with client, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(call)
    assert len(errors) == len({id(error) for error in errors}) == 20
    assert all("60 s" in str(error) and not error.maybe_applied for error in errors)
    assert len(logins) == 1


@pytest.mark.parametrize("chained", [False, True])
async def test_a_device_renews_its_token_at_the_port_for_certificates(tmp_path, chained):
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    (tmp_path / "c.pem").write_text("\n".join([begin, "AAAA", "BBBB", end] * (2 if chained else 1)))
    logins, calls = [], []

    def reply(request):
        now = anyio.current_time() - begun
        if request.url.port != 8443:
            calls.append(request.headers["authorization"])
            return answer(json={})()
        logins.append(request)
        date = format_datetime(START + timedelta(seconds=now), usegmt=True)
        return answer(json={"accessToken": jwt(f"t{len(logins)}", now + 3600)}, headers={"Date": date})()

    begun = anyio.current_time()
    auth = DeviceCertificate(tmp_path / "c.pem")
    client, _ = core(of_request(reply), url="https://acme.example.com", auth=auth, clock=lambda: START)
    async with client:
        for _ in range(150):
            await client.send(GET)
            await anyio.sleep(50)
    assert len(logins) == 3  # in 7500 s; nobody waited for the second and third
    assert len(set(calls)) == 3
    assert (logins[0].method, logins[0].url.path) == ("POST", "/devicecontrol/deviceAccessToken")
    assert "authorization" not in logins[0].headers
    one = f"{begin} AAAA BBBB {end}"
    assert logins[0].headers.get("x-ssl-cert-chain") == (f"{one} {one}" if chained else None)


# What the server prolongs by itself


def prolonging(times):
    """Each call is answered with a longer token, as tenants with sessions do."""

    def call(request, cookie):
        token = jwt(f"renewed-{len(times)}", times[-1] + 600)
        return answer(json={}, headers={"Set-Cookie": f"authorization={token}; Path=/"})()

    return call


async def test_a_session_that_the_server_prolongs_needs_no_further_log_in():
    times = [0.0]
    site = Platform(lambda number: 600, prolonging(times))
    async with site.core(auth={"cookies": True}) as client:
        for _ in range(200):
            times.append(site.now())
            await client.send(GET)
            await anyio.sleep(60)
        assert len(site.log_ins) == 1
        site.call = lambda request, cookie: answer(json={})()  # from here on nothing is prolonged
        for _ in range(12):
            await client.send(GET)
            await anyio.sleep(60)
    assert len(site.log_ins) == 2


async def test_a_late_answer_does_not_bring_back_an_older_token():
    release = anyio.Event()
    old = jwt("renewed-late", 2000)

    async def reply(request):
        if "oauth" in request.url.path or request.url.path != "/slow":
            return site(request)
        await release.wait()
        return answer(json={}, headers={"Set-Cookie": f"authorization={old}; Path=/"})()

    site = Platform(lambda number: 600)
    auth = OAuthInternal("ada", "pw", cookies=True)
    client, _ = core(of_request(reply), auth=auth, clock=lambda: START, retry=RetryPolicy.none())
    site.begun = None
    async with client, anyio.create_task_group() as tasks:
        await client.send(GET)
        await anyio.sleep(535)
        tasks.start_soon(client.send, Request("GET", "/slow"))
        await anyio.sleep(30)
        await client.send(GET)  # begins the renewal
        await anyio.sleep(1)
        release.set()
        await anyio.sleep(1)
        await client.send(GET)
    assert len(site.log_ins) == 2
    assert old not in site.sent[-1]


# Clients that are used in a wrong way


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cumulocity("http://localhost:1", Basic("a", "b")),
        lambda: Microservice("http://localhost:1", Basic("a", "b")),
        lambda: BayeuxClient("http://localhost:1/cometd"),
    ],
    ids=["cumulocity", "microservice", "bayeux"],
)
async def test_entering_twice_and_leaving_what_is_not_open_is_told_in_words(make):
    client = make()
    async with client:
        with pytest.raises(ConfigurationError, match="is open already"):
            await client.__aenter__()
    with pytest.raises(ConfigurationError, match="is not open"):
        await client.__aexit__(None, None, None)


async def test_a_client_is_not_entered_again_and_a_closed_one_says_so():
    client = Cumulocity("http://localhost:1", OAuthInternal("a", "b"))
    async with client:
        pass
    for use in (client.alarms.count, client.__aenter__):
        with pytest.raises(ConfigurationError, match="is closed; make a new one"):
            await use()
    service = Microservice("http://localhost:1", Basic("a", "b"))
    with pytest.raises(ConfigurationError, match="is not open: use it with `async with`"):
        await service.users()
