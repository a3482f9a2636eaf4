"""Faults on order: what a daemon must survive, its author can have happen here.

A `Fault` says which requests (or which live messages) it meets, from which one on and how often, and what
happens to them. Several may meet the same request: all of them act.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from random import Random

RequestKind = Literal[
    "status", "drop", "cut", "silence", "hang", "delay", "drip", "body", "reject", "forget", "stale"
]
EventKind = Literal["lose", "duplicate", "reorder", "garble"]
Kind = RequestKind | EventKind
EVENT_KINDS: Final = frozenset(get_args(EventKind))
KINDS: Final = frozenset(get_args(RequestKind)) | EVENT_KINDS


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault on order.

    On requests:

    - `status`: answered with `status`, and `retry_after`, `body`, `content_type` if given.
    - `drop`: the connection ends without an answer; `when="request"` before the request does anything,
      `when="reply"` after it, so that the reply, and any events in it, are lost.
    - `cut`: the connection ends after `size` bytes of the response's body.
    - `silence`: after `size` bytes nothing more comes, heartbeats neither; 0 withholds the headers too.
    - `hang`: the request does nothing and is never answered.
    - `delay`: the request is handled `seconds` late.
    - `drip`: the body comes in pieces of `size` bytes, `seconds` apart.
    - `body`: the response's body becomes `body`, or what `rewrite` makes of it.
    - `reject`: a Bayeux message is refused with `error` and `advice`.
    - `forget`: the Bayeux session is gone; the reply has `advice` if `advise`.
    - `stale`: alarms are read as they were `seconds` ago.

    On WebSockets they meet the upgrade, a request with the method GET, and each message of the client as a
    request with the method FRAME: `drop`, `cut`, `silence` end the socket or hush it, `size` counted in bytes
    of messages from the fault on; a silent one answers no ping. `drip` is for all that is sent from then on,
    `body` for the next message, which with `size` alone is padded with spaces to so many bytes. `hang` leaves
    an upgrade without an answer, and passes over a message. A message has no `status`.

    The `channel` of XProtect's messages is their command: `getState`; a `reject` has the status before `::`.
    That of its events is their source: `cameras/<id>`.

    On live messages, once for each session that is to get one: `lose`, `duplicate`, `reorder` (it comes after
    the next one, or with the next poll), `garble` (it comes as something that is no alarm).

    Args:
        kind: What happens.
        method: Only requests with this method.
        path: Only requests whose path matches this pattern (`/alarm/alarms*`).
        query: Only requests whose raw query string contains this text.
        channel: Only requests with a Bayeux message on this channel, or live messages on a matching one.
        subscription: Only Bayeux messages about a matching channel (for `/meta/subscribe`).
        skip: How many that match pass unharmed first.
        times: How many are met then; None: all.
        chance: The probability of each to be met.
        status: For `status`.
        retry_after: For `status`: the header's text, seconds or an HTTP date.
        body: For `status` and `body`.
        content_type: Of `body`.
        size: Bytes, for `cut`, `silence`, `drip`, and of a padded `body`.
        seconds: For `delay`, `drip`, `stale`.
        when: For `drop`.
        reset: End the connection with a reset instead of a plain close, where there are sockets.
        error: For `reject`.
        advice: For `reject`.
        advise: For `forget`.
        rewrite: For `body`, only in Python: makes the new body of the old one.
    """

    kind: Kind
    _: KW_ONLY
    method: str | None = None
    path: str | None = None
    query: str | None = None
    channel: str | None = None
    subscription: str | None = None
    skip: int = 0
    times: int | None = 1
    chance: float = 1.0
    status: int = 503
    retry_after: str | None = None
    body: str | None = None
    content_type: str | None = None
    size: int = 0
    seconds: float = 0.0
    when: Literal["request", "reply"] = "request"
    reset: bool = False
    error: str = "403::Access denied"
    advice: Mapping[str, Any] | None = None
    advise: bool = True
    rewrite: Callable[[bytes], bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(sorted(KINDS))}")
        if self.when not in {"request", "reply"}:
            raise ValueError("when is either 'request' or 'reply'")
        if self.kind == "status" and not 100 < self.status < 600:
            raise ValueError(f"no HTTP status: {self.status}")
        if self.skip < 0 or self.size < 0 or self.seconds < 0 or not 0 <= self.chance <= 1:
            raise ValueError("skip, size and seconds are not negative, chance is between 0 and 1")
        if self.kind == "drip" and self.size < 1:
            raise ValueError("drip needs size, the bytes of a piece")


class Ordered:
    """A fault that was ordered: how often it was met, and how to take it back."""

    def __init__(self, number: int, fault: Fault, faults: Faults) -> None:
        self.number = number
        self.fault = fault
        self.seen = 0
        self.fired = 0
        self._faults = faults

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it should."""
        return self.fault.times is not None and self.fired >= self.fault.times

    def remove(self) -> None:
        """Take it back."""
        self._faults.remove(self)

    def strikes(self, rng: Random) -> bool:
        """Count one that matches; whether this is one to be met."""
        self.seen += 1
        if self.seen <= self.fault.skip or self.spent or rng.random() >= self.fault.chance:
            return False
        self.fired += 1
        return True


@dataclass(slots=True)
class Seen:
    """What faults look at in a request."""

    method: str
    path: str
    query: str = ""
    messages: Sequence[Any] = ()


class Faults:
    """The faults on order. May be used from any thread."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._orders: list[Ordered] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, fault: Fault) -> Ordered:
        """Order a fault; the answer tells how often it has struck."""
        with self._lock:
            self._number += 1
            order = Ordered(self._number, fault, self)
            self._orders.append(order)
            return order

    def remove(self, order: Ordered) -> None:
        """Take one back; nothing happens if it is spent already."""
        with self._lock:
            if order in self._orders:
                self._orders.remove(order)

    def clear(self) -> None:
        """Take all back."""
        with self._lock:
            self._orders.clear()

    def orders(self) -> list[Ordered]:
        """What is on order and not spent."""
        with self._lock:
            return list(self._orders)

    def on_request(self, seen: Seen) -> list[Fault]:
        """Those that strike this request as a whole."""
        if not self._orders:
            return []
        return self._struck(
            lambda fault: (
                fault.kind not in EVENT_KINDS
                and fault.kind not in {"reject", "forget"}
                and _wants(fault, seen)
                and _wants_messages(fault, seen.messages)
            )
        )

    def on_frame(self, seen: Seen) -> list[Fault]:
        """Those that strike this message on a WebSocket."""
        if not self._orders:
            return []
        return self._struck(
            lambda fault: (
                fault.kind not in EVENT_KINDS
                and fault.kind not in {"reject", "forget", "status", "stale"}
                and _wants(fault, seen)
                and _wants_messages(fault, seen.messages)
            )
        )

    def on_message(self, seen: Seen, message: Mapping[str, Any]) -> Fault | None:
        """The one that strikes this Bayeux message, if any."""
        if not self._orders:
            return None
        struck = self._struck(
            lambda fault: (
                fault.kind in {"reject", "forget"}
                and _wants(fault, seen)
                and _wants_messages(fault, (message,))
            )
        )
        return struck[0] if struck else None

    def on_event(self, channel: str) -> frozenset[str]:
        """The kinds that strike this live message on its way to one session."""
        if not self._orders:
            return frozenset()
        return frozenset(
            fault.kind
            for fault in self._struck(
                lambda fault: fault.kind in EVENT_KINDS and _fits(fault.channel, channel)
            )
        )

    def _struck(self, wants: Callable[[Fault], bool]) -> list[Fault]:
        with self._lock:
            struck = [
                order.fault for order in self._orders if wants(order.fault) and order.strikes(self._rng)
            ]
            if struck:
                self._orders = [order for order in self._orders if not order.spent]
            return struck


def from_json(body: object) -> Fault:
    """A fault from the JSON object of a control request.

    Raises:
        ValueError: It has unknown or wrong keys.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("kind"), str):
        raise ValueError("a fault is an object with a kind")
    types = {item.name: str(item.type) for item in fields(Fault) if item.name != "rewrite"}
    for key, value in body.items():
        if key not in types:
            raise ValueError(f"a fault has no {key!r}")
        if not _is_a(value, types[key]):
            raise ValueError(f"{key} cannot be {value!r:.60}")
    return Fault(**body)


def _is_a(value: object, kind: str) -> bool:
    if value is None:
        return "None" in kind
    if isinstance(value, bool):
        return kind == "bool"
    if isinstance(value, int):
        return kind.startswith(("int", "float"))
    if isinstance(value, float):
        return kind == "float"
    if isinstance(value, str):
        return kind.startswith(("str", "Kind", "Literal"))
    return isinstance(value, Mapping) and kind.startswith("Mapping")


def _fits(pattern: str | None, text: str) -> bool:
    return pattern is None or pattern == text or fnmatchcase(text, pattern)


def _wants(fault: Fault, seen: Seen) -> bool:
    return (
        (fault.method is None or fault.method.upper() == seen.method)
        and _fits(fault.path, seen.path)
        and (fault.query is None or fault.query in seen.query)
    )


def _wants_messages(fault: Fault, messages: Sequence[Any]) -> bool:
    if fault.channel is None and fault.subscription is None:
        return True
    return any(
        isinstance(message, Mapping)
        and _fits(fault.channel, str(message.get("channel")))
        and _fits(fault.subscription, str(message.get("subscription", "")))
        for message in messages
    )
