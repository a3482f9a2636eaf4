"""Notification 2.0 without I/O: topics, what feeds them, and durable subscribers with their backlogs.

Every method is called with the store's lock held, so that writers on other threads may publish.
"""

from __future__ import annotations

import base64
import heapq
import json
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._json import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tocsin.emulator._settings import Notification2Settings
    from tocsin.emulator._store import Notice, Store
    from tocsin.emulator.faults import Faults

Topic = tuple[str, bool]
"""The name of a subscription, and whether it is not persistent: those are other topics of the same name."""

_STANDARD: Final = frozenset({
    "self", "id", "type", "time", "text", "status", "severity", "source", "count", "creationTime",
    "lastUpdated", "firstOccurrenceTime", "history",
})  # fmt: skip
_OVERHEAD: Final = 100  # bytes that the broker keeps with a message


@dataclass(frozen=True, slots=True)
class Subscription:
    """What feeds a topic; the fields are those of the platform's JSON."""

    id: str
    context: str
    source: str | None
    topic: Topic
    apis: frozenset[str]
    types: frozenset[str] | None
    fragments: frozenset[str]
    doc: Mapping[str, Any]
    since: float

    def addresses(self, notice: Notice) -> list[tuple[str, str]]:
        """By which kind of notification it takes a change to an alarm, and about whom."""
        alarm, every = notice.alarm, "*" in self.apis
        if self.types is not None and alarm.doc.get("type") not in self.types:
            return []
        if self.context == "tenant":
            return [("alarms", alarm.source)] if every or "alarms" in self.apis else []
        found = []
        if alarm.source == self.source and (every or "alarms" in self.apis):
            found.append(("alarms", alarm.source))
        if self.source in notice.ancestors and (every or "alarmsWithChildren" in self.apis):
            found.append(("alarmsWithChildren", str(self.source)))
        return found


@dataclass(order=True, slots=True)
class Item:
    """One message in a backlog."""

    seq: int
    source: str = field(compare=False)
    head: bytes = field(compare=False)
    body: bytes = field(compare=False)
    at: float = field(compare=False)

    @property
    def size(self) -> int:
        """Bytes that count against the backlog."""
        return len(self.head) + len(self.body) + _OVERHEAD


class Bell(Protocol):
    """How a consumer is told that there is something."""

    def ring(self) -> None:
        """There is something to look at."""
        ...


class Consumer:
    """One connection of a subscriber, and what it has not acknowledged.

    Args:
        subscriber: Whose it is.
        bell: Its socket's.
        name: What the client calls itself: within a shared one it is given the same sources again.
    """

    def __init__(self, subscriber: Subscriber, bell: Bell, name: str) -> None:
        self.subscriber = subscriber
        self.bell = bell
        taken = {one.key for one in subscriber.consumers}
        self.name = name
        self.key: str = next(key for number in count() if (key := f"{name}/{number}") not in taken)
        self.out: dict[str, tuple[Item, float]] = {}
        self.sent = 0

    def acknowledge(self, id: str) -> bool:
        """The client has handled one; whether there was such a one on this connection."""
        item, _at = self.out.pop(id, (None, 0.0))
        if item is not None:
            self.subscriber.size -= item.size
        return item is not None


class Subscriber:
    """A durable cursor on a topic. It comes into being with its first connection."""

    def __init__(self, topic: Topic, name: str) -> None:
        self.topic = topic
        self.name = name
        self.shared = False
        self.held_until = 0.0
        self.waiting: list[Item] = []
        self.late: list[Item] = []
        self.size = 0
        self.consumers: list[Consumer] = []

    @property
    def backlog(self) -> list[Item]:
        """Everything that is not acknowledged."""
        out = [item for consumer in self.consumers for item, _at in consumer.out.values()]
        return [*out, *self.waiting, *self.late]

    def put(self, item: Item, struck: Iterable[str]) -> None:
        """Take a message in, or what faults make of it."""
        if "lose" in struck:
            return
        if "garble" in struck:
            item = Item(item.seq, item.source, item.head, b'{"garbled":true}', item.at)
        copies = 2 if "duplicate" in struck else 1
        self.size += item.size * copies
        if "reorder" in struck:
            self.late += [item] * copies
            return
        self.waiting += [item] * copies + self.late
        self.late.clear()
        for consumer in self.consumers:
            consumer.bell.ring()

    def of(self, source: str) -> Consumer:
        """The consumer that gets everything about a source: who comes and goes moves only its own ones."""
        if len(self.consumers) == 1:
            return self.consumers[0]
        return max(self.consumers, key=lambda one: _weight(one.key, source))

    def leave(self, consumer: Consumer) -> None:
        """A connection has ended: what it did not acknowledge is delivered again, by others too."""
        self.consumers.remove(consumer)
        back = sorted(item for item, _at in consumer.out.values())
        self.waiting = list(heapq.merge(back, self.waiting))
        consumer.out.clear()
        if self.topic[1] and not self.consumers:  # not persistent: what nobody listens to is gone
            self.waiting, self.late, self.size = [], [], 0
        for other in self.consumers:
            other.bell.ring()


class Broker:
    """The Messaging Service of a tenant.

    Args:
        settings: How it behaves.
        tenant: The tenant's id.
        store: Where alarms are.
        faults: Those on order.
        now: The server's clock, in seconds. It is the wall's, for writers may be on any thread.
    """

    def __init__(
        self,
        settings: Notification2Settings,
        tenant: str,
        store: Store,
        faults: Faults,
        now: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.full = False
        self.subscriptions: dict[str, Subscription] = {}
        self._tenant = tenant
        self._store = store
        self._faults = faults
        self.now = now
        self._subscribers: dict[tuple[Topic, str], Subscriber] = {}
        self._seq = 0

    # Subscriptions.

    def living(self) -> list[Subscription]:
        """All subscriptions; those of devices that are gone are gone too."""
        for id, one in list(self.subscriptions.items()):
            if one.source is not None and one.source not in self._store.devices:
                del self.subscriptions[id]
        return list(self.subscriptions.values())

    def publish(self, notice: Notice) -> None:
        """Hand a change to every subscriber of the topics that are fed with it."""
        if notice.action == "DELETE":
            return  # nobody is told that an alarm was deleted
        if not self._subscribers:
            return
        now = self.now()
        for one in self.living():
            if now < one.since:
                continue
            for api, source in one.addresses(notice):
                self._feed(one, api, source, notice, now)

    def _feed(self, one: Subscription, api: str, source: str, notice: Notice, now: float) -> None:
        address = f"/{self._tenant}/{api}/{source}"
        head = f"{address}\n{notice.action}\n".encode()
        body = self._body(one, notice)
        for subscriber in self._subscribers.values():
            if subscriber.topic != one.topic or (one.topic[1] and not subscriber.consumers):
                continue
            self._seq += 1
            item = Item(self._seq, notice.alarm.source, head, body, now)
            self._expire(subscriber, now)
            if subscriber.size + item.size > self.settings.backlog:
                self.full = True
                continue
            subscriber.put(item, self._faults.on_event(address))

    def _body(self, one: Subscription, notice: Notice) -> bytes:
        if not one.fragments:
            return self._store.raw(notice.alarm)
        kept = _STANDARD | one.fragments
        return dump({key: value for key, value in self._store.view(notice.alarm).items() if key in kept})

    def _expire(self, subscriber: Subscriber, now: float) -> None:
        old = now - self.settings.lifetime
        if subscriber.waiting and subscriber.waiting[0].at < old:
            subscriber.waiting = [item for item in subscriber.waiting if item.at >= old]
            subscriber.size = sum(item.size for item in subscriber.backlog)

    # Consumers.

    def connect(self, topic: Topic, name: str, *, shared: bool, bell: Bell, client: str) -> Consumer:
        """Let a consumer in.

        Raises:
            RefusedError: 409, there is another one that counts as connected.
        """
        now = self.now()
        subscriber = self._subscribers.get((topic, name))
        if subscriber is None:
            subscriber = self._subscribers[topic, name] = Subscriber(topic, name)
        taken = subscriber.consumers and not (shared and subscriber.shared)
        if taken or (now < subscriber.held_until and not shared):
            raise RefusedError(
                409, "reliable-notification/Conflict", f"Subscriber {name} has an exclusive consumer already"
            )
        subscriber.shared = shared
        consumer = Consumer(subscriber, bell, client)
        subscriber.consumers.append(consumer)
        return consumer

    def leave(self, consumer: Consumer, *, crashed: bool) -> None:
        """A connection has ended.

        Args:
            consumer: Whose.
            crashed: It ended without a goodbye: it counts as connected for a while.
        """
        subscriber = consumer.subscriber
        if consumer in subscriber.consumers:
            subscriber.leave(consumer)
        if crashed:
            subscriber.held_until = self.now() + self.settings.lingering

    def take(self, consumer: Consumer) -> list[bytes]:
        """The messages that are to be sent to a consumer now."""
        now, subscriber, frames = self.now(), consumer.subscriber, []
        again = self.settings.redeliver_after
        for id, (item, at) in list(consumer.out.items()):
            if again is not None and at + again <= now:
                consumer.out[id] = (item, now)
                frames.append(self._frame(id, item))
        self._expire(subscriber, now)
        kept = []
        for item in subscriber.waiting:
            if (
                len(consumer.out) >= self.settings.unacknowledged
                or subscriber.of(item.source) is not consumer
            ):
                kept.append(item)
                continue
            consumer.sent += 1
            id = _ack_id(consumer.sent)
            consumer.out[id] = (item, now)
            frames.append(self._frame(id, item))
        subscriber.waiting = kept
        return frames

    def next_redelivery(self, consumer: Consumer) -> float:
        """In how many seconds `take` has something to send again."""
        if self.settings.redeliver_after is None or not consumer.out:
            return inf
        first = min(at for _item, at in consumer.out.values())
        return max(0.0, first + self.settings.redeliver_after - self.now())

    def _frame(self, id: str, item: Item) -> bytes:
        more = "".join(f"{line}\n" for line in self.settings.header_lines)
        return b"%s\n%s%s\n%s" % (id.encode(), item.head, more.encode(), item.body)

    def unsubscribe(self, topic: Topic, name: str) -> None:
        """Forget a subscriber and its backlog.

        Raises:
            RefusedError: 404, there is none.
        """
        subscriber = self._subscribers.pop((topic, name), None)
        if subscriber is None:
            raise RefusedError(404, "reliable-notification/Not Found", f"There is no subscriber {name:.100}")
        for consumer in list(subscriber.consumers):
            subscriber.leave(consumer)
            consumer.bell.ring()

    def knows(self, consumer: Consumer) -> bool:
        """Whether its subscriber is still there."""
        return consumer in consumer.subscriber.consumers

    # What tests look at.

    @property
    def consumers(self) -> int:
        """Connections that are open now."""
        return sum(len(subscriber.consumers) for subscriber in self._subscribers.values())

    def backlogs(self) -> dict[str, int]:
        """How many messages each subscriber has not acknowledged, by `topic/subscriber`."""
        return {f"{key[0][0]}/{key[1]}": len(one.backlog) for key, one in self._subscribers.items()}


def _weight(key: str, source: str) -> bytes:
    """How much a consumer is the one for a source."""
    return blake2b(f"{key}/{source}".encode(), digest_size=8).digest()


def _ack_id(number: int) -> str:
    """Opaque to clients; another connection may well use the same."""
    return base64.b64encode(b"\x08" + number.to_bytes(6)).decode()


def claims_of(token: str) -> dict[str, Any]:
    """What a token says.

    Raises:
        ValueError: It is none.
    """
    part = token.split(".")[1] if token.count(".") == 2 else ""
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise ValueError("no claims")
    return found
