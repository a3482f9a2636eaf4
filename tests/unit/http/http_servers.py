"""Servers on loopback that answer with whatever bytes a test wants."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager

import anyio
from anyio.streams.tls import TLSListener

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Loopback:
    """A raw server: `handler(connection, number)` per connection; what it received is in `received`."""

    def __init__(self, port):
        self.port = port
        self.connections = 0
        self.open = 0
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    async def read_request(self, stream):
        """Head and body of one request; None at the end."""
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                data += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return None
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            body += await stream.receive()
        self.requests.append((head, body))
        return head


@asynccontextmanager
async def serving(handler, tls: ssl.SSLContext | None = None):
    """Run `handler(server, stream, number)` for each connection until the block ends."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = Loopback(listener.extra(anyio.abc.SocketAttribute.local_port))
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)

    async def serve(stream):
        server.connections += 1
        server.open += 1
        try:
            async with stream:
                await handler(server, stream, server.connections)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ssl.SSLError):
            pass
        finally:
            server.open -= 1

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        yield server
        tasks.cancel_scope.cancel()


def replying(*replies, close=False):
    """A handler that answers request after request, on any connection, the last reply for ever."""
    left = list(replies)

    async def handler(server, stream, number):
        while await server.read_request(stream) is not None:
            await stream.send(left.pop(0) if len(left) > 1 else left[0])
            if close:
                return

    return handler


def reset_on_close(stream):
    """Make closing send RST instead of FIN."""
    import socket
    import struct

    raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def until(condition, limit=15.0):
    """Wait for a condition, a short step at a time, for a bounded time."""
    with anyio.fail_after(limit):
        while not condition():
            await anyio.sleep(0.002)
