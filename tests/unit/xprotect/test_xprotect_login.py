"""Log-ins at a site: one form, one try, one log-in for all calls, and nothing of it in any text."""

import base64
import contextlib
import gc
import io
import logging
import pickle
import random
import sys
import traceback

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vms_fakes import (
    PASSWORD,
    TOKEN,
    URL,
    FakeSite,
    NtlmDoor,
    client,
    denied,
    granted,
    of_request,
    refusal,
    reply,
)

from tocsin import Request, XProtect
from tocsin.cumulocity import BasicAuth
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    InsecureTransportWarning,
    PermissionDeniedError,
    ProtocolError,
    ServerError,
    TocsinError,
)
from tocsin.xprotect import BasicUser, BearerAuth, ClientCredentials, WindowsUser

ALARMS = Request("GET", "/alarms")
WINDOWS = "DOMAIN\\ada"
WINDOWS_PASSWORD = "Pässword hunter2%&+"  # pyspnego's file of users has colons between its columns
SECRETS = [PASSWORD, WINDOWS_PASSWORD, TOKEN, "hunter2+P", "hunter2%20P", "P%C3%A4ssword", "TlRMTVNTUA"]


def told_by(error):
    """Everything that a log or a crash report would show of an error."""
    shown = [str(error), repr(error), repr(vars(error)), repr(error.__cause__), repr(error.__context__)]
    return "".join((*shown, *traceback.format_exception(error), pickle.dumps(error).decode("latin-1")))


@pytest.fixture
def windows_users(tmp_path, monkeypatch):
    """Whom pyspnego's server knows."""
    (tmp_path / "users").write_text(f"DOMAIN:ada:{WINDOWS_PASSWORD}\n", encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(tmp_path / "users"))


class Latest(random.Random):
    """Draws the longest waits."""

    def random(self):
        return 0.999


async def test_a_basic_user_logs_in_by_a_form():
    x, site = client()
    async with x:
        await x.send(ALARMS)
    login = site.asked("token")[0]
    assert (login.method, login.url.path) == ("POST", "/API/IDP/connect/token")
    assert login.headers["content-type"] == "application/x-www-form-urlencoded"
    assert site.forms == [
        {
            "grant_type": "password",
            "username": "ada",
            "password": PASSWORD,
            "client_id": "GrantValidatorClient",
        }
    ]
    assert site.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"


async def test_an_application_logs_in_past_the_gateway():
    x, site = client(auth=ClientCredentials("dashboard", "s3cr3t&"))
    async with x:
        await x.send(ALARMS)
    assert site.asked("token")[0].url.path == "/IDP/connect/token"
    assert site.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "dashboard",
            "client_secret": "s3cr3t&",
            "scope": "managementserver",
        }
    ]


async def test_a_token_from_elsewhere_needs_no_log_in():
    x, site = client(auth=BearerAuth("given"))
    async with x:
        await x.send(ALARMS)
    assert not site.asked("token")
    assert site.requests[-1].headers["authorization"] == "Bearer given"


async def test_all_calls_wait_for_one_log_in():
    x, site = client()
    async with x, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(x.send, ALARMS)
    assert len(site.asked("token")) == 1
    assert len(site.asked("alarms")) == 20


@pytest.mark.virtual_time
async def test_the_token_is_renewed_before_it_expires():
    x, site = client(FakeSite(token=[lambda: granted("one", 3600), lambda: granted("two", 3600)]))
    async with x:
        await x.send(ALARMS)
        await anyio.sleep(3545)
        await x.send(ALARMS)  # fetches the next one on the side
        await anyio.wait_all_tasks_blocked()
        await x.send(ALARMS)
    shown = [request.headers["authorization"] for request in site.asked("alarms")]
    assert shown == ["Bearer one", "Bearer one", "Bearer two"]


async def test_a_token_that_is_refused_is_replaced_once():
    expired = [lambda: refusal(401, "The token expired"), lambda: reply(json={"array": []})]
    x, site = client(FakeSite(rest=expired, token=[lambda: granted("one"), lambda: granted("two")]))
    async with x:
        assert (await x.send(ALARMS)).status == 200
    assert [request.headers["authorization"] for request in site.asked("alarms")] == [
        "Bearer one",
        "Bearer two",
    ]
    x, site = client(FakeSite(rest=lambda: refusal(401, "The token expired")))
    async with x:
        with pytest.raises(AuthenticationError, match="The token expired"):
            await x.send(ALARMS)
    assert (len(site.asked("alarms")), len(site.asked("token"))) == (2, 2)


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("answer", "words", "tries"),
    [
        (lambda: denied("InvalidCredential"), "invalid_username_or_password", 4),
        (lambda: denied("LockedOut"), "locked out", 1),
        (lambda: denied(error="invalid_client"), "invalid_client", 4),
        (lambda: reply(400, {"error": "invalid_grant"}), "invalid_grant", 4),
        (lambda: reply(401), "401", 4),
    ],
)
async def test_credentials_that_are_refused_are_sent_once_in_a_quarter_of_an_hour(answer, words, tries):
    x, site = client(FakeSite(token=answer))
    async with x:
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(refused, x, words)
        for _ in range(85):
            await anyio.sleep(10)
            await refused(x.with_options(timeout=5), words)
        assert len(site.asked("token")) == 1
        for _ in range(270):
            await anyio.sleep(10)
            await refused(x, words)
    assert len(site.asked("token")) == tries
    assert not site.asked("alarms")


@pytest.mark.virtual_time
async def test_a_password_that_is_changed_back_is_good_again():
    x, site = client(FakeSite(token=[denied, granted]))
    async with x:
        await refused(x, "not tried again for 15 minutes")
        await anyio.sleep(900)
        assert (await x.send(ALARMS)).status == 200
    assert len(site.asked("token")) == 2


async def refused(x, words):
    with pytest.raises(AuthenticationError, match=words) as caught:
        await x.send(ALARMS)
    assert caught.value.status == 401
    assert "'ada'" in str(caught.value)
    assert not any(secret in told_by(caught.value) for secret in SECRETS)


@pytest.mark.virtual_time
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_provider_that_is_down_is_asked_again(status):
    down = [lambda: reply(status, body=b"<html>down</html>"), granted]
    x, site = client(FakeSite(token=down), rng=Latest())
    async with x:
        assert (await x.send(ALARMS)).status == 200
    assert len(site.asked("token")) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"<html></html>", b'{"access_token":7}', b'{"access_token":""}',
        b'{"access_token":"a b"}', b'{"access_token":"a\\r\\nX: y"}',
    ],
)  # fmt: skip
async def test_an_answer_without_a_token(body):
    x, _ = client(FakeSite(token=lambda: reply(body=body)))
    async with x:
        with pytest.raises(ProtocolError):
            await x.send(ALARMS)


@pytest.mark.parametrize("expires_in", [None, "3600", -1, 0, True, [], 10**400, 1e-300])
async def test_any_lifetime_can_be_lived_with(expires_in):
    x, _ = client(FakeSite(token=lambda: granted(expires_in=expires_in)))
    async with x:
        assert (await x.send(ALARMS)).status == 200


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
async def test_a_windows_user_answers_a_challenge(windows_users, scheme):
    door = NtlmDoor(scheme)
    x, site = client(FakeSite(token=door), WindowsUser(WINDOWS, WINDOWS_PASSWORD))
    async with x:
        await x.send(ALARMS)
    asked = site.asked("token")
    assert {request.url.path for request in asked} == {"/IDP/connect/token"}
    assert len(asked) == 3
    assert site.forms[-1] == {"grant_type": "windows_credentials", "client_id": "GrantValidatorClient"}
    assert door.user == "DOMAIN\\ada"
    assert site.requests[-1].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.virtual_time
async def test_a_wrong_windows_password_is_tried_once(windows_users):
    door = NtlmDoor()
    x, site = client(FakeSite(token=door), WindowsUser(WINDOWS, "wrong-" + WINDOWS_PASSWORD))
    async with x:
        for wait in (0, 800):
            await anyio.sleep(wait)
            with pytest.raises(AuthenticationError, match="not tried again") as caught:
                await x.send(ALARMS)
    assert len(site.asked("token")) == 3
    shown = told_by(caught.value)
    assert not any(text in shown for text in (*SECRETS, *door.messages))


async def test_only_the_log_in_itself_shows_windows_credentials(windows_users):
    def door():
        return reply(401, headers={"WWW-Authenticate": "NTLM"})

    site = FakeSite(uris=door, token=NtlmDoor(), **{"openid-configuration": door})
    x, _ = client(site, WindowsUser(WINDOWS, WINDOWS_PASSWORD))
    async with x:
        await x._core.send(
            Request("GET", "/api/rest/v1/alarms")
        )  # so that the log-in itself asks where it is
    assert (len(site.asked("uris")), len(site.asked("openid-configuration"))) == (1, 1)
    assert len(site.asked("token")) == 3


@pytest.mark.parametrize(
    "challenge",
    [
        "NTLM",
        "NTLM !!!",
        "NTLM TlRMTVNTUAAC",
        "NTLM " + "A" * 20_000,
        "Negotiate",
        "Basic realm=x",
        "",
        "NTLM ====",
    ],
)
async def test_a_hostile_challenge(challenge):
    calls = []

    @of_request
    def hostile(request):
        calls.append(request)
        offered = challenge if len(calls) > 1 or "NTLM" not in challenge else "NTLM"
        return reply(401, headers={"WWW-Authenticate": offered})

    x, _ = client(FakeSite(token=hostile), WindowsUser(WINDOWS, WINDOWS_PASSWORD))
    async with x:
        with pytest.raises((AuthenticationError, ProtocolError)) as caught:
            await x.send(ALARMS)
    assert len(calls) <= 3
    assert not any(secret in told_by(caught.value) for secret in SECRETS)


async def test_each_windows_log_in_has_a_connection_of_its_own(windows_users):
    made = []

    def transport():
        made.append(FakeSite(token=NtlmDoor()))
        return made[-1]

    async with XProtect(URL, WindowsUser(WINDOWS, WINDOWS_PASSWORD), transport_factory=transport) as x:
        await x.send(ALARMS)
    assert [[len(site.asked("token")), len(site.asked("alarms"))] for site in made] == [[0, 1], [3, 0]]


async def test_cancelling_the_caller_leaves_the_log_in_to_the_others():
    begun = anyio.Event()
    go = anyio.Event()

    async def slow():
        begun.set()
        await go.wait()
        return granted()

    x, site = client(FakeSite(token=slow))
    async with x:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(x.send, ALARMS)
            await begun.wait()
            tasks.cancel_scope.cancel()
        go.set()
        assert (await x.send(ALARMS)).status == 200
    assert len(site.asked("token")) == 1


def test_windows_users_without_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "tocsin.xprotect._ntlm", raising=False)
    monkeypatch.setitem(sys.modules, "spnego", None)
    with pytest.raises(ConfigurationError, match=r"pip install tocsin\[ntlm\]"):
        WindowsUser(WINDOWS, WINDOWS_PASSWORD)


@pytest.mark.parametrize("kind", [BasicUser, WindowsUser, ClientCredentials])
@pytest.mark.parametrize("pair", [("", "x"), ("x", ""), (None, "x"), ("x", 7), ("x", "\ud800")])
def test_credentials_that_cannot_be_sent(kind, pair):
    with pytest.raises(ConfigurationError) as caught:
        kind(*pair)
    assert "\ud800" not in str(caught.value)


@pytest.mark.parametrize("auth", [BasicAuth("ada", PASSWORD), BasicUser, ("ada", PASSWORD), PASSWORD])
def test_credentials_of_another_kind(auth):
    with pytest.raises(ConfigurationError, match="BasicUser") as caught:
        XProtect(URL, auth)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_password_over_plain_http_is_warned_of():
    with pytest.warns(InsecureTransportWarning, match="vms.example") as told:
        XProtect("http://vms.example", BasicUser("ada", PASSWORD))
    assert told[0].filename == __file__
    XProtect("http://127.0.0.1:8111", BasicUser("ada", PASSWORD))


@pytest.mark.parametrize("auth", [BasicUser("ada", PASSWORD), ClientCredentials("ada", PASSWORD)])
@pytest.mark.parametrize("echo", [400, 403, 500])
async def test_a_server_that_repeats_everything_tells_nothing(auth, echo, caplog):
    caplog.set_level(logging.DEBUG)

    @of_request
    def echoing(request):
        shown = f"{request.headers.get('authorization')} {PASSWORD} grant {request.url}"
        return reply(echo, {"error": {"details": [{"errorText": shown, "errorTextId": shown}]}})

    for site in (FakeSite(token=echoing), FakeSite(rest=echoing)):
        x, _ = client(site, auth)
        from tocsin import RetryPolicy

        async with x:
            with pytest.raises(TocsinError) as caught:
                await x.with_options(retry=RetryPolicy.none()).send(ALARMS)
            shown = told_by(caught.value) + repr(x) + repr(auth) + repr(x._core) + caplog.text
        assert not any(secret in shown for secret in SECRETS)


async def test_ntlm_leaves_nothing_in_the_logs(windows_users, caplog):
    caplog.set_level(logging.DEBUG)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("spnego").addHandler(handler)
    try:
        door = NtlmDoor()
        auth = WindowsUser(WINDOWS, WINDOWS_PASSWORD)
        x, _ = client(FakeSite(token=door), auth)
        async with x:
            await x.send(ALARMS)
            shown = caplog.text + stream.getvalue() + repr(auth) + repr(x) + repr(x._core)
    finally:
        logging.getLogger("spnego").removeHandler(handler)
    assert "NTLM step" in shown
    assert not any(text in shown for text in (*SECRETS, *door.messages))


async def test_rest_errors_in_both_shapes():
    bare = {"httpCode": "403", "details": [{"errorText": "No permission", "errorTextId": "VMO61008"}]}
    for body in (bare, {"error": bare}):
        x, _ = client(FakeSite(rest=lambda body=body: reply(403, body)))
        async with x:
            with pytest.raises(PermissionDeniedError, match="VMO61008: No permission") as caught:
                await x.send(ALARMS)
        assert (caught.value.error, caught.value.message) == ("VMO61008", "No permission")


async def test_an_error_of_many_details_is_bounded():
    details = [{"errorText": f"wrong {n}", "property": "name"} for n in range(1000)]
    x, _ = client(FakeSite(rest=lambda: reply(400, {"error": {"httpCode": 400, "details": details}})))
    async with x:
        with pytest.raises(TocsinError) as caught:
            await x.send(ALARMS)
    assert caught.value.message == "name: wrong 0; name: wrong 1; name: wrong 2; name: wrong 3; name: wrong 4"
    with pytest.raises(ServerError, match="Service Unavailable"):
        await failing_with(reply(501, body=b"Service Unavailable"))


async def failing_with(answer):
    x, _ = client(FakeSite(rest=lambda: answer))
    async with x:
        await x.send(ALARMS)


def test_from_the_environment():
    env = {"XPROTECT_URL": URL, "XPROTECT_USER": WINDOWS, "XPROTECT_PASSWORD": PASSWORD}
    assert "WindowsUser" in repr(XProtect.from_env(env)._core._shared.route.auth)
    env["XPROTECT_AUTH"] = "basic"
    assert "BasicUser" in repr(XProtect.from_env(env, name="yard")._core._shared.route.auth)
    assert XProtect.from_env(env, name="yard").site == "yard"
    assert XProtect.from_env(env).site == "vms.example"
    with pytest.raises(ConfigurationError, match="XPROTECT_AUTH is basic or windows"):
        XProtect.from_env({**env, "XPROTECT_AUTH": "kerberos"})
    for missing in ("XPROTECT_URL", "XPROTECT_USER", "XPROTECT_PASSWORD"):
        with pytest.raises(ConfigurationError, match=missing):
            XProtect.from_env({name: value for name, value in env.items() if name != missing})
    gc.collect()


async def test_a_client_is_entered_once_and_a_view_not_at_all():
    x, _ = client()
    with pytest.raises(ConfigurationError, match="not open"):
        await x.send(ALARMS)
    async with x:
        with pytest.raises(ConfigurationError, match="view"):
            async with x.with_options(timeout=1):
                pass
        with pytest.raises(ConfigurationError, match="open already"):
            await x.__aenter__()
    with pytest.raises(ConfigurationError, match="closed"):
        await x.send(ALARMS)


@given(st.binary(max_size=200), st.booleans())
def test_no_challenge_breaks_the_handshake_otherwise(message, wrapped):
    from tocsin._http._request import Headers, Response
    from tocsin.xprotect._ntlm import NtlmAuth

    if wrapped:
        message = b"NTLMSSP\x00\x02\x00\x00\x00" + message
    text = base64.b64encode(message).decode()
    flow = NtlmAuth(WINDOWS, WINDOWS_PASSWORD, "vms.example").flow(Request("POST", "/IDP/connect/token"))
    next(flow)
    flow.send(Response(401, Headers([("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "NTLM")]), b""))
    shown = ""
    try:
        with contextlib.suppress(StopIteration):  # it is no challenge, so this is a refusal
            flow.send(Response(401, Headers([("WWW-Authenticate", f"NTLM {text}")]), b""))
    except ProtocolError as error:
        shown = told_by(error)
    assert WINDOWS_PASSWORD not in shown
