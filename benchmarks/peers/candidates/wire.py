"""A blocking socket that reads the bytes and looks at nothing: how fast the server is, no client."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.candidates import Place


def make(name: str, place: Place) -> _Wire:
    """Make the candidate of that name."""
    del name
    return _Wire(place)


class _Wire:
    def __init__(self, place: Place) -> None:
        host, _, port = place.url.partition("//")[2].partition(":")
        self._socket = socket.create_connection((host, int(port)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._socket.close()

    async def list(self, source: str, page_size: int, *, touch: bool) -> int:
        del touch
        alarms = int(source[4:11])
        for number in range(1, -(-alarms // page_size) + 1):
            self._get(f"/alarm/alarms?source={source}&pageSize={page_size}&currentPage={number}")
        return alarms

    async def get(self, ids: Sequence[str], in_flight: int) -> int:
        del in_flight
        for one in ids:
            self._get("/alarm/alarms/" + one)
        return len(ids)

    def _get(self, target: str) -> None:
        self._socket.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target.encode())
        read = b""
        while b"\r\n\r\n" not in read:
            read += self._socket.recv(1 << 16)
        head, _, begun = read.partition(b"\r\n\r\n")
        left = int(head.rpartition(b"Content-Length: ")[2]) - len(begun)
        while left:
            left -= len(self._socket.recv(min(left, 1 << 20)))
