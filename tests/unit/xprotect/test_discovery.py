"""Where the services of a site are: read from what it says, on its own host only."""

import logging

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vms_fakes import URIS, FakeSite, client, refusal, reply

from tocsin import Request, RetryPolicy, Timeouts
from tocsin.errors import (
    ConfigurationError,
    NotFoundError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from tocsin.xprotect import BasicUser, BearerAuth
from tocsin.xprotect._discovery import FIXED, Paths, Site, read_issuer, read_uris

URL = "https://vms.example"
ALARMS = Request("GET", "/alarms")


def test_the_usual_gateway_keeps_the_usual_spelling():
    found = read_uris(URIS, URL)
    assert found.paths == Paths(version=(25, 1))
    assert found.strangers == ()


def test_a_gateway_and_a_provider_elsewhere_on_the_host():
    uris = {"ApiGateways": ["http://vms.example:8081/gw/"], "IdentityProvider": "https://VMS.example/sso"}
    paths = read_uris(uris, URL).paths
    assert paths == Paths("/gw/rest/v1", "/gw/IDP/connect/token", "/sso/connect/token", "/gw/ws/events/v1")


def test_of_several_gateways_the_first_one_on_the_host():
    uris = {"ApiGateways": ["https://other.example/API/", "https://vms.example/b/", "https://vms.example/c/"]}
    found = read_uris({**uris, "IdentityProvider": "https://vms.example/IDP"}, URL)
    assert found.paths.rest == "/b/rest/v1"
    assert found.strangers == ()


def test_below_a_path_of_the_base_url():
    uris = {"ApiGateways": ["https://vms.example/site/api/"], "IdentityProvider": "https://vms.example/IDP"}
    assert read_uris(uris, "https://vms.example/site").paths == FIXED
    assert (
        read_uris({"ApiGateways": ["https://vms.example/site/gw"]}, URL + "/site").paths.rest == "/gw/rest/v1"
    )


def test_other_hosts_are_named_and_not_asked():
    uris = {"ApiGateways": ["https://evil.example/API/"], "IdentityProvider": "https://evil.example/IDP"}
    found = read_uris(uris, URL)
    assert (found.paths, found.strangers) == (FIXED, ("evil.example",))
    assert read_issuer({"token_endpoint": "https://evil.example/t"}, URL, FIXED) == FIXED


@pytest.mark.parametrize(
    "path", ["/a/../b", "/%2e%2e/b", "/a b", "/a?x=1", "//evil.example/x", "/a;b", "/é", "/a\\b", "/./a"]
)
def test_odd_paths_are_not_taken(path):
    found = read_uris({"ApiGateways": [f"https://vms.example{path}"]}, URL).paths.rest
    assert found in {"/api/rest/v1", "/a/rest/v1"}  # a query is cut off


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(["https://[", "https://vms.example/é"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from([*URIS, "token_endpoint", "server_version"]), inner)
    ),
)


@given(json)
def test_whatever_a_server_says_the_paths_can_be_sent(data):
    paths = read_issuer(data, URL, read_uris(data, URL).paths)
    for path in (paths.rest, paths.token, paths.windows_token, paths.socket):
        Request("GET", path)


@pytest.mark.parametrize(
    "given", ["https://vms.example/API/", "https://vms.example/api/rest/v1", "https://vms.example"]
)
def test_the_gateways_own_path_may_be_given(given):
    assert Site(given).base_url == URL


async def test_it_is_asked_once_and_without_credentials():
    x, site = client()
    async with x:
        await x.send(ALARMS)
        await x.send(ALARMS)
    paths = [request.url.path for request in site.requests]
    assert paths == [
        "/api/.well-known/uris",
        "/IDP/.well-known/openid-configuration",
        "/API/IDP/connect/token",
        "/api/rest/v1/alarms",
        "/api/rest/v1/alarms",
    ]
    assert not any("authorization" in request.headers for request in site.requests[:3])


@pytest.mark.parametrize(
    "answer",
    [
        lambda: reply(404),
        lambda: reply(401),
        lambda: reply(200, body=b"<html><title>IIS</title></html>"),
        lambda: reply(200, json=[]),
        lambda: reply(200),
        lambda: reply(302, headers={"Location": "https://elsewhere.example/"}),
    ],
)
async def test_without_an_answer_the_usual_paths(answer):
    x, site = client(FakeSite(uris=answer, **{"openid-configuration": lambda: reply(500)}))
    async with x:
        assert (await x.send(ALARMS)).status == 200
    assert site.requests[-1].url.path == "/api/rest/v1/alarms"


async def test_a_gateway_on_another_host_is_told_and_not_followed(caplog):
    uris = {**URIS, "ApiGateways": ["https://inside.example/API/"]}
    x, site = client(FakeSite(uris=lambda: reply(json=uris)))
    with caplog.at_level(logging.INFO, "tocsin.xprotect"):
        async with x:
            await x.send(ALARMS)
    assert {request.url.host for request in site.requests} == {"vms.example"}
    assert "inside.example" in caplog.text


async def test_a_server_without_a_gateway_says_so():
    site = FakeSite(**dict.fromkeys(("uris", "openid-configuration", "token"), lambda: reply(404)))
    x, _ = client(site)
    async with x:
        with pytest.raises(ConfigurationError, match=r"no API Gateway at https://vms\.example"):
            await x.send(ALARMS)
    assert len(site.asked("token")) == 1


async def test_a_server_without_a_gateway_whose_provider_answers():
    page = reply(404, body=b"<html><title>404 - File or directory not found.</title></html>")
    x, _ = client(FakeSite(uris=lambda: reply(404), rest=lambda: page), BearerAuth("t0ken"))
    async with x:
        with pytest.raises(ConfigurationError, match="no API Gateway"):
            await x.send(ALARMS)


async def test_a_gateway_that_was_starting_is_asked_again_where_it_is():
    uris = {**URIS, "ApiGateways": ["https://vms.example/vms/API/"]}
    rest = [lambda: reply(404), lambda: reply(404), lambda: reply(json={"array": []})]
    site = FakeSite(uris=[lambda: reply(404), lambda: reply(json=uris)], rest=rest)
    x, _ = client(site, BearerAuth("t0ken"))
    async with x:
        with pytest.raises(ConfigurationError, match="no API Gateway"):
            await x.send(ALARMS)
        await x.send(ALARMS)
    assert site.requests[-1].url.path == "/vms/API/rest/v1/alarms"


async def test_what_can_be_done_without_fails_no_call():
    def gone():
        raise httpx.ReadError("reset")

    x, site = client(FakeSite(**{"openid-configuration": gone}))
    async with x:
        assert (await x.send(ALARMS)).status == 200
    assert len(site.asked("openid-configuration")) == 1


async def test_a_404_of_the_platform_is_no_missing_gateway():
    missing = [lambda: refusal(404, "no such alarm", "VMO61002"), lambda: reply(json={"array": []})]
    x, site = client(FakeSite(uris=lambda: reply(404), rest=missing), BearerAuth("t0ken"))
    async with x:
        with pytest.raises(NotFoundError, match="no such alarm") as caught:
            await x.send(Request("GET", "/alarms/1"))
        await x.send(ALARMS)
    assert (caught.value.error, caught.value.message) == ("VMO61002", "no such alarm")
    assert len(site.asked("alarms")) == 2  # one to see whether there is a gateway


@pytest.mark.parametrize("where", ["uris", "openid-configuration"])
async def test_an_old_server_is_refused_with_both_versions(where):
    name = "ProductVersion" if where == "uris" else "server_version"
    site = FakeSite(**{"uris": lambda: reply(404), where: lambda: reply(json={name: "22.3.1.1"})})
    x, _ = client(site)
    async with x:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"2022 R3 \(22.3\).*2023 R2 \(23.2\)"):
                await x.send(ALARMS)
    assert not site.asked("token")


@pytest.mark.virtual_time
async def test_a_server_that_is_down_is_asked_again():
    site = FakeSite(uris=[lambda: reply(503), lambda: reply(json=URIS)])
    x, _ = client(site)
    async with x:
        assert (await x.send(ALARMS)).status == 200
    assert len(site.asked("uris")) == 2
    x, _ = client(FakeSite(uris=lambda: reply(501)))
    async with x:
        with pytest.raises(ServerError):
            await x.send(ALARMS)


@pytest.mark.virtual_time
async def test_calls_to_a_site_that_is_down_do_not_wait_for_each_other():
    async def hangs():
        await anyio.sleep_forever()

    x, _ = client(FakeSite(uris=hangs), timeouts=Timeouts(total=30), retry=RetryPolicy.none())
    ended = []

    async def call(view):
        with pytest.raises(RequestTimeoutError) as caught:
            await view.alarms.create(name="one")
        assert not caught.value.maybe_applied
        ended.append(round(anyio.current_time()))

    async with x, anyio.create_task_group() as tasks:
        started = round(anyio.current_time())
        for view in (x, x, x, x, x.with_options(timeout=5)):
            tasks.start_soon(call, view)
    assert [at - started for at in ended] == [5, 30, 30, 30, 30]


@pytest.mark.virtual_time
async def test_a_failure_is_that_of_all_who_waited():
    x, site = client(FakeSite(uris=lambda: reply(503)), retry=RetryPolicy.none())
    caught = []

    async def call():
        try:
            await x.send(ALARMS)
        except ServerError as error:
            caught.append(error)

    async with x:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(call)
        assert len(site.requests) == 1
        assert len(set(map(id, caught))) == 10
        site.answers["uris"] = lambda: reply(json=URIS)
        await x.send(ALARMS)


async def test_who_is_cancelled_while_it_is_asked_leaves_it_to_the_next():
    asked = anyio.Event()

    async def never():
        asked.set()
        await anyio.sleep_forever()

    site = FakeSite(uris=[never, lambda: reply(json=URIS)])
    x, _ = client(site)
    async with x:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(x.send, ALARMS)
            await asked.wait()
            tasks.start_soon(x.send, Request("GET", "/cameras"))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert (await x.send(ALARMS)).status == 200
    assert len(site.asked("uris")) == 2


async def test_an_unknown_authority_is_told():
    import ssl

    import httpx

    async def untrusted():
        error = ssl.SSLCertVerificationError("certificate verify failed")
        error.verify_message = "self-signed certificate"
        raise httpx.ConnectError("x") from error

    x, site = client(FakeSite(uris=untrusted), BasicUser("ada", "pw"))
    async with x:
        with pytest.raises(TransportError, match=r"certificate was not accepted.*verify=") as caught:
            await x.send(ALARMS)
    assert caught.value.permanent
    assert len(site.requests) == 1
