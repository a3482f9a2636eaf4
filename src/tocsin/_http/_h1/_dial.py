"""From a host and a port to a connected socket, and to TLS on it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import httpx
from anyio import (
    Event,
    create_task_group,
    getaddrinfo,
    move_on_after,
    to_thread,
    wait_readable,
    wait_writable,
)

from tocsin._http._h1._sockets import PlainSocket, TlsSocket

if TYPE_CHECKING:
    from tocsin._http._h1._pool import Origin
    from tocsin._http._h1._sockets import SocketLike

__all__ = ["dial", "secure"]

_STAGGER: Final = 0.25  # RFC 8305 §5: before the next address is tried beside the first
_UNDER_WAY: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})


async def dial(origin: Origin) -> SocketLike:
    """Connect to the first address that answers (RFC 8305). Cancelling it leaves no socket.

    Raises:
        httpx.ConnectError: None does, or the name is unknown.
    """
    _, host, port = origin
    try:
        addresses = await _addresses(host, port)
        if len(addresses) == 1:
            return PlainSocket(await _connected(*addresses[0]))
        return PlainSocket(await _race(addresses))
    except OSError as exc:
        raise httpx.ConnectError(str(exc)) from exc


async def secure(plain: SocketLike, context: ssl.SSLContext, host: str) -> SocketLike:
    """Begin TLS for a host name or address, verified as the context says.

    Raises:
        httpx.ConnectError: The handshake failed. The socket is left to the caller.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    host = host.removesuffix(".")  # the root's dot is for the resolver: no certificate has it (RFC 6066 §3)
    if type(context) is ssl.SSLContext:
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    else:  # others may ask the system's key store, which blocks
        tls = await to_thread.run_sync(
            lambda: context.wrap_bio(incoming, outgoing, server_hostname=host), abandon_on_cancel=True
        )
    wire = TlsSocket(plain.raw, tls, incoming, outgoing)
    try:
        while not wire.shake():
            await (wait_readable if wire.flushed else wait_writable)(wire.raw)
    except ssl.SSLEOFError:
        raise httpx.ConnectError("the server closed the connection in the TLS handshake") from None
    except OSError as exc:
        raise httpx.ConnectError(str(exc)) from exc
    return wire


async def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    """Families and addresses, the families taking turns, IPv6 first where the system puts it first."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, (host, port))]  # no need to ask in a thread
    found = await getaddrinfo(host, port, type=socket.SOCK_STREAM)
    known = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    first = [entry for entry in known if entry[0] == known[0][0]]
    other = [entry for entry in known if entry[0] != known[0][0]]
    turns: list[tuple[int, Any]] = []
    while first or other:
        turns += first[:1] + other[:1]
        first, other = first[1:], other[1:]
    return turns


async def _connected(family: int, address: Any) -> socket.socket:
    raw = socket.socket(family, socket.SOCK_STREAM)
    try:
        raw.setblocking(False)  # noqa: FBT003
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = raw.connect_ex(address)
        if code in _UNDER_WAY:
            await wait_writable(raw)
            code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
    except BaseException:
        raw.close()
        raise
    return raw


async def _race(addresses: list[tuple[int, Any]]) -> socket.socket:
    """Try address after address, each a while before the next; the first that stands wins."""
    won: list[socket.socket] = []
    failures: list[OSError] = []

    async def attempt(entry: tuple[int, Any], over: Event) -> None:
        try:
            raw = await _connected(*entry)
        except OSError as exc:
            failures.append(exc)
        else:
            if won:
                raw.close()
            else:
                won.append(raw)
                tasks.cancel_scope.cancel()
        over.set()

    try:
        async with create_task_group() as tasks:
            for entry in addresses:
                over = Event()
                tasks.start_soon(attempt, entry, over)
                with move_on_after(_STAGGER):
                    await over.wait()
        if won:
            return won.pop()
        raise failures[0]
    except BaseException:
        for raw in won:
            raw.close()
        raise
    finally:
        failures.clear()  # their tracebacks hold this frame
