"""TLS of our own transport, where a record, a name or an end is easily misread."""

import select
import socket
import ssl
import struct
import threading

import pytest
from http_servers import OK, serving

from tocsin._http._core import HttpCore
from tocsin._http._h1._dial import secure
from tocsin._http._h1._sockets import PlainSocket, TlsSocket
from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin.errors import ConnectError


def shaken(raw, context, name):
    """TLS on a socket that does not block."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    wire = TlsSocket(raw, context.wrap_bio(incoming, outgoing, server_hostname=name), incoming, outgoing)
    raw.setblocking(False)
    while not wire.shake():
        select.select([raw], [], [], 10)
    return wire


def test_what_came_before_a_reset_is_given_before_it(authority, trusting):
    """A server that closes while it has something unread resets; its answer is here all the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # what arrives is the answer
    authority.issue_cert("127.0.0.1").configure_cert(context)
    arrived, reset = threading.Event(), threading.Event()

    def answer_and_reset(raw):
        with context.wrap_socket(raw, server_side=True) as server:
            server.sendall(OK)
            arrived.wait(10)  # until then a reset would overtake it
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        raw = socket.create_connection(listener.getsockname(), timeout=10)
        thread = threading.Thread(target=answer_and_reset, args=(listener.accept()[0],))
        thread.start()
    with raw:
        wire = shaken(raw, trusting, "127.0.0.1")
        assert select.select([raw], [], [], 10)[0]
        arrived.set()
        assert reset.wait(10)
        thread.join(10)
        assert wire.pull() == OK
        for _ in range(2):  # and never an end, which a body until the end would take for its own
            with pytest.raises(OSError, match="reset by peer"):
                wire.pull()


@pytest.mark.parametrize("name", ["localhost", "localhost."])
async def test_a_certificate_is_good_for_its_name_with_the_dot_of_the_root_too(name, authority, trusting):
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.sni_callback = lambda connection, given, _: names.append(given)

    async def listen(server, stream, number):
        await stream.receive()

    async with serving(listen, context) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.setblocking(False)
            await secure(PlainSocket(raw), trusting, name)
    assert names == ["localhost"]


async def test_a_name_that_is_no_idna_is_a_failed_connection(transport):
    async with HttpCore("http://xn--a.invalid", retry=RetryPolicy.none()) as client:
        with pytest.raises(ConnectError, match="host name"):
            await client.send(Request("GET", "/x"))
