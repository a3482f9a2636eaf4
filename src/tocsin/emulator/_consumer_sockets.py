"""Consumers of Notification 2.0: messages out, acknowledgements in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from starlette.datastructures import QueryParams

from tocsin.emulator._sockets import FRAME, count, strike
from tocsin.emulator.faults import Seen

if TYPE_CHECKING:
    from tocsin.emulator._broker import Broker, Consumer
    from tocsin.emulator._broker_tokens import BrokerTokens
    from tocsin.emulator._emulator import Emulator
    from tocsin.emulator._socket import Socket

_GOING: Final = 1001
_UNSUBSCRIBE: Final = "unsubscribe_subscriber"


class ConsumerSockets:
    """Talks on `/notification2/consumer`."""

    def __init__(self, emulator: Emulator, broker: Broker, tokens: BrokerTokens) -> None:
        self._emulator = emulator
        self._broker = broker
        self._tokens = tokens

    async def __call__(self, socket: Socket) -> None:
        """Let a consumer in and serve it, to the end. That its token expires meanwhile does not matter.

        Raises:
            RefusedError: Before it is let in: 401 for its token, 409 while another one is connected.
            GoneError: The client left, or a fault ended the connection.
        """
        query, lock = QueryParams(socket.query), self._emulator.store.lock
        with lock:
            grant = self._tokens.read(query.get("token", ""))
            consumer = self._broker.connect(
                grant.topic, grant.subscriber,
                shared=grant.shared, bell=socket.bell, client=query.get("consumer", ""),
            )  # fmt: skip
        try:
            await socket.accept(self._emulator.clock.http_date())
            await self._serve(socket, consumer)
        finally:
            with lock:
                self._broker.leave(consumer, crashed=not socket.parted)

    async def _serve(self, socket: Socket, consumer: Consumer) -> None:
        broker, lock = self._broker, self._emulator.store.lock
        socket.notice_pings()
        said, quiet_since = (consumer.sent, socket.heard), anyio.current_time()
        while True:
            for text in socket.take():
                await self._hear(socket, consumer, text)
            with lock:
                known = broker.knows(consumer)
                frames = broker.take(consumer) if known else []
                again = broker.next_redelivery(consumer)
            if not known:
                await socket.close()
                return
            for frame in frames:
                await socket.send(frame)
            now = anyio.current_time()
            if said != (consumer.sent, socket.heard):  # a dead peer is not alive by what it is sent again
                said, quiet_since = (consumer.sent, socket.heard), now
            idle_at = quiet_since + broker.settings.idle
            if now >= idle_at:
                await socket.close(_GOING, "idle")
                return
            if not frames:
                await socket.bell.wait(min(idle_at - now, again))

    async def _hear(self, socket: Socket, consumer: Consumer, text: str) -> None:
        count(self._emulator, socket, FRAME, ())
        struck = self._emulator.faults.on_frame(Seen(FRAME, socket.path, socket.query))
        await strike(socket, struck)
        if any(fault.kind == "hang" for fault in struck):
            return
        with self._emulator.store.lock:
            if text == _UNSUBSCRIBE and self._broker.knows(consumer):
                self._broker.unsubscribe(consumer.subscriber.topic, consumer.subscriber.name)
            else:
                consumer.acknowledge(text)
