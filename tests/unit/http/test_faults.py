"""The table from httpx's errors to ours is whole, and both loops' classes become one."""

import builtins
import socket
import ssl
import traceback

import anyio
import httpx
import pytest
from http_fakes import core

from tocsin._http._errors import FAULTS, FOREIGN, Fault
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ConfigurationError, ConnectError, ProtocolError, RequestTimeoutError, TransportError


def errors_of_httpx():
    found = {obj for obj in vars(httpx).values() if isinstance(obj, type) and issubclass(obj, Exception)}
    found |= {cls for cls in subclasses(Exception) if cls.__module__.startswith("httpx")}
    return {cls for cls in found if cls.__module__.split(".")[0] == "httpx"}


def subclasses(cls):
    return [found for child in cls.__subclasses__() for found in (child, *subclasses(child))]


def test_every_error_of_httpx_is_in_the_table():
    assert errors_of_httpx() - set(FAULTS) == set()
    assert len(errors_of_httpx()) > 25


def test_every_error_in_the_table_is_caught():
    assert all(issubclass(cls, FOREIGN) for cls in FAULTS)
    assert set(FAULTS.values()) == set(Fault)


def made(cls):
    if cls is httpx.HTTPStatusError:
        return cls("x", request=None, response=None)
    return (
        cls()
        if cls in {httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead}
        else cls("x")
    )


OURS = {
    Fault.NO_CONNECTION: ConnectError,
    Fault.PROXY: ConnectError,
    Fault.CONNECT_TIMEOUT: RequestTimeoutError,
    Fault.POOL_TIMEOUT: RequestTimeoutError,
    Fault.READ_TIMEOUT: RequestTimeoutError,
    Fault.WRITE_TIMEOUT: RequestTimeoutError,
    Fault.BROKEN: TransportError,
    Fault.NOT_HTTP: TransportError,
    Fault.UNREADABLE: ProtocolError,
    Fault.OURS: ConfigurationError,
}
NEVER_LEFT = {Fault.NO_CONNECTION, Fault.PROXY, Fault.CONNECT_TIMEOUT, Fault.POOL_TIMEOUT}


async def fail(step, method="POST"):
    client, _ = core(step, retry=RetryPolicy.none())
    async with client:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is asked
            await client.send(Request(method, "/x", body=b"{}"))
    return caught.value


@pytest.mark.parametrize("cls", sorted(FAULTS, key=lambda cls: cls.__name__), ids=lambda cls: cls.__name__)
async def test_each_becomes_one_of_ours_without_a_cause(cls):
    error = await fail(made(cls))
    fault = FAULTS[cls]
    assert type(error) is OURS[fault]
    assert error.__cause__ is None
    assert error.__context__ is None
    assert str(error).startswith("POST http://localhost:8111/x")
    if isinstance(error, TransportError):
        assert error.maybe_applied is (fault not in NEVER_LEFT)
        assert ("may have been applied" in str(error)) is error.maybe_applied


class Custom(httpx.ReadError):
    pass


@pytest.mark.parametrize(
    ("exc", "cls", "says"),
    [
        (Custom("sub"), TransportError, "the connection to localhost:8111 broke: sub"),
        (anyio.BrokenResourceError(), TransportError, "broke: it was closed by the other side"),
        (anyio.ClosedResourceError(), TransportError, "broke"),
        (anyio.EndOfStream(), TransportError, "broke"),
        (ConnectionResetError(104, "Connection reset by peer"), TransportError, "reset by the other side"),
        (OSError(113, "No route to host"), TransportError, "No route to host"),
        (TimeoutError(), RequestTimeoutError, "was silent"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] x"), TransportError, "TLS"),
    ],
)
async def test_what_slips_through_httpx_is_caught_too(exc, cls, says):
    error = await fail(exc)
    assert type(error) is cls
    assert says in str(error)


def linked(outer, *inner, context=False):
    for cause in inner:
        if context:
            outer.__context__ = cause
        else:
            outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("exc", "says"),
    [
        (
            linked(httpx.ConnectError("All connection attempts failed"), ConnectionRefusedError(111, "x")),
            "connection refused",
        ),
        (
            linked(
                httpx.ConnectError("x"),
                linked(OSError("y"), builtins.ExceptionGroup("z", [ConnectionRefusedError(111, "x")])),
            ),
            "connection refused",
        ),
        (
            linked(httpx.ConnectError("x"), socket.gaierror(-2, "Name or service not known")),
            "the host name cannot be resolved (Name or service not known)",
        ),
        (
            linked(httpx.ConnectError("x"), OSError(101, "Network is unreachable"), context=True),
            "Network is unreachable",
        ),
        (httpx.ConnectError(""), "it was closed by the other side"),
    ],
)
async def test_the_plainest_reason_in_the_chain_is_told(exc, says):
    error = await fail(exc)
    assert type(error) is ConnectError
    assert str(error) == f"POST http://localhost:8111/x: cannot connect to localhost:8111: {says}"


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (linked(httpx.ConnectError("x"), ConnectionRefusedError(111, "x")), "connection refused"),
        (linked(httpx.ConnectError("x"), socket.gaierror(-2, "no")), "host name not resolved"),
        (linked(httpx.ConnectError("x"), ssl.SSLCertVerificationError("x")), "certificate not accepted"),
        (httpx.ConnectTimeout("x"), "no connection within 10 s"),
        (httpx.ReadTimeout("x"), "no answer within 30 s"),
        (ConnectionResetError(104, "x"), "connection lost"),
        (httpx.RemoteProtocolError("x"), "connection lost"),
        (httpx.DecodingError("x"), "unreadable answer"),
    ],
)
async def test_the_reason_is_a_few_words_without_an_address(exc, reason):
    assert (await fail(exc)).reason == reason


async def test_a_chain_that_bites_its_tail_ends():
    exc = httpx.ConnectError("x")
    other = OSError("y")
    exc.__cause__, other.__cause__ = other, exc
    assert type(await fail(exc)) is ConnectError


async def test_the_traceback_is_ours_alone():
    error = await fail(httpx.ReadError("secret of httpx"))
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    assert not any("/httpx/" in name or "/httpcore/" in name for name in files)


async def test_a_bug_in_a_transport_is_not_dressed_up():
    assert type(await fail(ZeroDivisionError("bug"))) is ZeroDivisionError
