"""Auth flows are plain generators; credentials are checked, encoded and never shown."""

import base64
import copy

import pytest
from http_fakes import answer, core

from tocsin._http._auth import Auth, BasicAuth, BearerAuth
from tocsin._http._request import Request
from tocsin.errors import AuthenticationError, ConfigurationError, InsecureTransportWarning

GET = Request("GET", "/x")


def header(auth):
    flow = auth.flow(GET)
    sent = next(flow)
    with pytest.raises(StopIteration):
        flow.send(None)
    return dict(sent.headers)["Authorization"]


@pytest.mark.parametrize(
    ("user", "password", "tenant", "plain"),
    [
        ("ada", "secret", "t07007007", "t07007007/ada:secret"),
        ("ada", "secret", None, "ada:secret"),
        ("device_4711", "p:a/ss wörd", "t1", "t1/device_4711:p:a/ss wörd"),
        ("ada@example.com", "", None, "ada@example.com:"),
    ],
)
def test_basic_puts_the_tenant_before_the_user(user, password, tenant, plain):
    auth = BasicAuth(user, password, tenant=tenant)
    scheme, _, token = header(auth).partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(token).decode() == plain
    assert token in auth.secrets
    assert isinstance(auth, Auth)


@pytest.mark.parametrize(
    ("user", "password", "tenant"),
    [
        ("", "x", None),
        ("a:b", "x", None),
        ("a", "x", "t:1"),
        ("a", "x", ""),
        ("a\n", "x", None),
        ("a", "x\r\n", None),
        ("a", None, None),
        (None, "x", None),
        (5, "x", None),
        ("a", "x", 7),
        ("a", b"x", None),
    ],
)
def test_names_that_basic_cannot_carry_are_refused(user, password, tenant):
    with pytest.raises(ConfigurationError, match="BasicAuth"):
        BasicAuth(user, password, tenant=tenant)


def test_a_bearer_token_is_taken_as_files_have_it():
    assert header(BearerAuth(" abc.def-_~+/=\n")) == "Bearer abc.def-_~+/="


@pytest.mark.parametrize("token", ["", "  ", "a b", "a\nb", "tökn"])
def test_what_is_no_token_is_refused_without_repeating_it(token):
    with pytest.raises(ConfigurationError) as caught:
        BearerAuth(token)
    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize(
    "auth", [BasicAuth("ada", "hunter2hunter2", tenant="t1"), BearerAuth("hunter2hunter2")]
)
def test_credentials_are_not_shown(auth):
    assert not any(secret in repr(auth) for secret in auth.secrets)
    assert not any(secret in repr(copy.copy(auth)) for secret in auth.secrets)


class Renewing:
    """Logs in by a request of its own, once, and again after a 401."""

    def __init__(self):
        self.token = None
        self.logins = 0

    @property
    def secrets(self):
        return (self.token,) if self.token else ()

    def flow(self, request):
        if self.token is None:
            yield from self.login()
        response = yield request.with_headers((("Authorization", f"Bearer {self.token}"),))
        if response.status == 401:
            yield from self.login()
            yield request.with_headers((("Authorization", f"Bearer {self.token}"),))

    def login(self):
        response = yield Request("POST", "/tenant/oauth/token", body=b"{}")
        self.token = response.json()["access_token"]
        self.logins += 1


async def test_a_flow_may_log_in_and_log_in_again_after_a_401():
    auth = Renewing()
    client, wire = core(
        answer(json={"access_token": "token-one"}),
        answer(json={"n": 1}),
        answer(401),
        answer(json={"access_token": "token-two"}),
        answer(json={"n": 2}),
        auth=auth,
    )
    async with client:
        assert (await client.send(GET)).json() == {"n": 1}
        assert (await client.send(GET)).json() == {"n": 2}
    sent = [r.headers.get("authorization") for r in wire.requests]
    assert sent == [None, "Bearer token-one", "Bearer token-one", None, "Bearer token-two"]


async def test_a_renewed_secret_is_hidden_too_and_a_second_401_is_raised():
    auth = Renewing()
    client, _ = core(
        answer(json={"access_token": "zwölf-abc"}),
        answer(401, json={"error": "security/Unauthorized", "message": "token zwölf-abc expired"}),
        answer(json={"access_token": "dreizehn-abc"}),
        answer(401, json={"error": "security/Unauthorized", "message": "token dreizehn-abc expired"}),
        auth=auth,
    )
    async with client:
        with pytest.raises(AuthenticationError, match="security/Unauthorized") as caught:
            await client.send(GET)
    assert auth.logins == 2
    assert caught.value.message == "token *** expired"
    assert caught.value.attempts == 1  # the retry loop knows nothing of log-ins


async def test_a_flow_that_fails_in_the_middle_is_closed():
    closed = []

    class Failing:
        secrets = ()

        def flow(self, request):
            try:
                yield request
            finally:
                closed.append(True)

    client, _ = core(RuntimeError("a bug in a transport"), auth=Failing())
    async with client:
        with pytest.raises(RuntimeError, match="a bug"):
            await client.send(GET)
    assert closed == [True]


@pytest.mark.parametrize(
    ("url", "auth", "warned"),
    [
        ("http://acme.example.com", BasicAuth("a", "b"), True),
        ("http://10.0.0.7:8111", BasicAuth("a", "b"), True),
        ("https://acme.example.com", BasicAuth("a", "b"), False),
        ("http://localhost:8111", BasicAuth("a", "b"), False),
        ("http://[::1]:8111", BasicAuth("a", "b"), False),
        ("http://acme.example.com", BearerAuth("abc"), True),
        ("http://acme.example.com", None, False),
    ],
)
def test_credentials_over_plain_http_to_another_machine_warns_once(recwarn, url, auth, warned):
    core(url=url, auth=auth)
    assert [w.category for w in recwarn] == ([InsecureTransportWarning] if warned else [])
