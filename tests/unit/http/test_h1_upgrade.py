"""What is left of HTTP after a 101: bytes both ways, as httpx's own transport gives them."""

import anyio
import httpx
import pytest
from h1_direct import direct, places
from http_servers import serving, until


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_after_a_101_the_connection_carries_bytes(tls, trusting, certified):
    async def shout(server, stream, number):
        await server.read_request(stream)
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n"
        await stream.send(head + b"hello")
        async for piece in stream:
            await stream.send(piece.upper())

    async with serving(shout, certified if tls else None) as server, direct(1, trusting) as transport:
        client = httpx.AsyncClient(transport=transport)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
        upgrade = {"Connection": "Upgrade", "Upgrade": "shout"}
        async with client.stream("GET", url, headers=upgrade) as response:
            assert response.status_code == 101
            stream = response.extensions["network_stream"]
            assert await stream.read(2) + await stream.read(100) == b"hello"
            with pytest.raises(httpx.ReadTimeout):
                await stream.read(100, timeout=0.01)
            for size in (3, 300_000):
                got = []
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(stream.write, b"x" * size)
                    while sum(got) < size:
                        piece = await stream.read(65536, timeout=3)
                        assert set(piece) == {ord("X")}
                        got.append(len(piece))
            assert places(transport) == (1, 0, 0)
        assert places(transport) == (0, 0, 0)
        await until(lambda: server.open == 0)


async def test_closing_an_upgraded_connection_ends_a_read_that_waits():
    async def mute(server, stream, number):
        await server.read_request(stream)
        await stream.send(b"HTTP/1.1 101 OK\r\nUpgrade: mute\r\nConnection: Upgrade\r\n\r\n")
        await stream.receive()

    async with serving(mute) as server, direct(1) as transport:
        headers = {"Connection": "Upgrade", "Upgrade": "mute"}
        response = await transport.handle_async_request(httpx.Request("GET", server.url, headers=headers))
        stream = response.extensions["network_stream"]

        async def wait():
            with pytest.raises(httpx.ReadError, match="closed by us"):
                await stream.read(100)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await response.aclose()
        await until(lambda: server.open == 0)
