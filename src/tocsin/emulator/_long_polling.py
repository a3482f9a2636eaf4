"""The realtime endpoint over HTTP: commands answered at once, connects held with heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from tocsin.emulator._rights import sees
from tocsin.emulator._session import Answer, Caller, End, Hold
from tocsin.emulator._wire import Bell, GoneError, Tap
from tocsin.emulator.faults import Seen

if TYPE_CHECKING:
    from tocsin.emulator._access import Access
    from tocsin.emulator._bayeux import Hub
    from tocsin.emulator._clock import Clock
    from tocsin.emulator._http import Exchange
    from tocsin.emulator._store import Store

_LONG = 3600.0


class HeldPoll:
    """One held connect."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.ended: End | None = None
        self.left = False
        self._bell = Bell(tap.wire)

    def ring(self) -> None:
        """Have the holder look again."""
        self._bell.ring()

    async def wait(self, seconds: float) -> None:
        """Wait until there is something to look at, at most `seconds`."""
        await self._bell.wait(seconds)

    async def watch(self) -> None:
        """Notice that the client leaves."""
        await self.tap.left()
        self.left = True
        self.ring()


class LongPolling:
    """Answers `/notification/realtime` and `/cep/realtime`."""

    def __init__(self, store: Store, hub: Hub, clock: Clock, access: Access) -> None:
        self._store = store
        self._access = access
        self._hub = hub
        self._clock = clock

    async def __call__(self, exchange: Exchange, command: str = "") -> None:  # noqa: ARG002
        """Handle one request to its end.

        Args:
            exchange: The request.
            command: What the path ends with; the messages say the same.

        Raises:
            GoneError: The client left, or a fault ended the connection.
        """
        messages = exchange.json
        messages = messages if isinstance(messages, list) else [messages]
        browser = exchange.cookies.get("BAYEUX_BROWSER")
        seen = Seen(exchange.method, exchange.path, exchange.query, messages)
        poll = None
        with self._store.lock:
            shown = sees(self._access.users, exchange.user.name, self._store.devices)
            caller = Caller(exchange.user, browser, anyio.current_time(), seen, shown)
            answer = self._hub.answer(messages, caller)
            if answer.hold is not None:
                poll = HeldPoll(exchange.tap)
                self._hub.hold(answer.hold.session, poll)
        if answer.hold is not None and poll is not None:
            await self._hold(exchange, poll, answer.hold, self._headers(exchange, answer, None))
            return
        body = answer.body() if answer.status == 200 and self._wants_body(exchange) else b""
        await exchange.tap.start(answer.status, self._headers(exchange, answer, len(body)))
        await exchange.tap.write(body)

    def _wants_body(self, exchange: Exchange) -> bool:
        return exchange.wants_body or not self._hub.settings.needs_accept

    def _headers(self, exchange: Exchange, answer: Answer, length: int | None) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"date", self._clock.http_date().encode()),
            (b"content-type", exchange.media_type("").encode()),
            (b"cache-control", b"no-cache, no-store"),
        ]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        if answer.browser is not None:
            headers.append((b"set-cookie", f"BAYEUX_BROWSER={answer.browser}; Path=/; HttpOnly".encode()))
        return headers

    async def _hold(
        self, exchange: Exchange, poll: HeldPoll, hold: Hold, headers: list[tuple[bytes, bytes]]
    ) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(poll.watch)
                try:
                    await self._held(exchange, poll, hold, headers)
                finally:
                    tasks.cancel_scope.cancel()
        except* GoneError:
            pass
        finally:
            with self._store.lock:
                self._hub.let_go(hold.session, poll, anyio.current_time())

    async def _held(
        self, exchange: Exchange, poll: HeldPoll, hold: Hold, headers: list[tuple[bytes, bytes]]
    ) -> None:
        tap, settings = exchange.tap, self._hub.settings
        deadline = anyio.current_time() + hold.seconds
        beat = settings.heartbeat or _LONG * 24
        next_beat, begun = anyio.current_time() + beat, settings.early_headers
        if begun:
            await tap.start(200, headers)
            await tap.write(b"", more=True)
        while not poll.left:
            now = anyio.current_time()
            body = self._ending(exchange, poll, hold, over=now >= deadline)
            if body is not None:
                await self._finish(tap, poll, headers, body, begun=begun)
                return
            if now >= next_beat:
                if not begun:
                    begun = True
                    await tap.start(200, headers)
                await tap.beat()
                next_beat = anyio.current_time() + beat
            await poll.wait(min(deadline, next_beat) - anyio.current_time())

    def _ending(self, exchange: Exchange, poll: HeldPoll, hold: Hold, *, over: bool) -> bytes | None:
        """The body with which the poll ends now; None if it is held on."""
        session, message = hold.session, hold.message
        with self._store.lock:
            answer = Answer()
            match poll.ended:
                case None:
                    if not (session.queue or over):
                        return None
                    answer.parts = [*self._hub.take(session), self._hub.connected(session, message)]
                case "forgotten":
                    answer.parts = [self._hub.unknown(message)]
                case "disconnected":
                    answer.parts = [self._hub.released(message)]
                case _:
                    self._hub.let_go(hold.session, poll, anyio.current_time())
                    return b""
            self._hub.let_go(hold.session, poll, anyio.current_time())
        return answer.body() if self._wants_body(exchange) else b""

    async def _finish(
        self, tap: Tap, poll: HeldPoll, headers: list[tuple[bytes, bytes]], body: bytes, *, begun: bool
    ) -> None:
        if not begun:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
            await tap.start(500 if poll.ended == "duplicate" else 200, headers)
        await tap.write(body)
