"""The HTTP control: what an emulator offers in Python, for test suites in other languages and processes.

Off unless enabled. Each request brings the random token; what a web page could send is refused, so that no
page open in a browser can reach it.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final

import anyio

from tocsin.emulator._control_body import flag, number, text
from tocsin.emulator._errors import RefusedError, invalid
from tocsin.emulator._http import Exchange, Reply, Routes
from tocsin.emulator._json import dump
from tocsin.emulator._settings import ThrottleSettings
from tocsin.emulator.faults import Ordered, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tocsin.emulator._base import BaseEmulator
    from tocsin.emulator._ledger import Entry

PREFIX: Final = "/__emulator__"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


class Control:
    """Answers requests under `/__emulator__/`.

    `GET state`, `GET|POST|DELETE faults`, `DELETE faults/{number}`, `POST actions`, `GET ledger?after=N`,
    `POST lost`, `POST duplicates`.

    Args:
        emulator: What is controlled.
        token: What requests bring as `Authorization: Bearer …`.
        hosts: Values of `Host`, without the port, that are ours besides the loopback ones.
    """

    def __init__(self, emulator: BaseEmulator, token: str, hosts: frozenset[str] = frozenset()) -> None:
        self._emulator = emulator
        self._token = token
        self._hosts = _LOOPBACK | hosts
        self._routes = Routes()
        self._routes.add(f"{PREFIX}/state", GET=self.state)
        self._routes.add(f"{PREFIX}/faults", GET=self.faults, POST=self.order, DELETE=self.clear)
        self._routes.add(PREFIX + "/faults/{number}", DELETE=self.take_back)
        self._routes.add(f"{PREFIX}/actions", POST=self.act)
        self._routes.add(f"{PREFIX}/ledger", GET=self.ledger)
        self._routes.add(f"{PREFIX}/lost", POST=self.lost)
        self._routes.add(f"{PREFIX}/duplicates", POST=self.duplicates)
        self._actions: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "drop_sockets": lambda body: emulator.drop_sockets(
                lose=flag(body, "lose"), reset=flag(body, "reset")
            ),
            "silence_sockets": lambda _body: emulator.silence_sockets(),
            "throttle": self._throttle,
            **emulator.control_actions(),
        }

    def __call__(self, exchange: Exchange) -> Reply:
        """Answer one request.

        Raises:
            RefusedError: It has no token, comes from a web page, or asks for what there is not.
        """
        self._check(exchange)
        handler, named = self._routes.find(exchange.method, exchange.path)
        reply = handler(exchange, **named)
        if not isinstance(reply, Reply):
            raise TypeError("a control handler answers at once")
        return reply

    def _check(self, exchange: Exchange) -> None:
        host = exchange.headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "origin" in exchange.headers or name not in self._hosts:
            raise RefusedError(403, "emulator/Foreign", "Web pages and foreign hosts are refused")
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            token.strip().encode(), self._token.encode()
        ):
            raise RefusedError(401, "emulator/Unauthorized", "The control's token is missing or wrong")

    def state(self, _exchange: Exchange) -> Reply:
        """Counts."""
        emulator = self._emulator
        return _json({
            **emulator.control_state(),
            "ledger": emulator.ledger.seq,
            "sockets": emulator.sockets,
            "requests": emulator.requests.total,
            "down": emulator.down,
            "throttle": emulator.throttle.state(),
        })  # fmt: skip

    def faults(self, _exchange: Exchange) -> Reply:
        """What is on order."""
        return _json({"faults": [_order(order) for order in self._emulator.faults.orders()]})

    def order(self, exchange: Exchange) -> Reply:
        """Order a fault: its fields as a JSON object."""
        try:
            fault = from_json(exchange.json)
        except ValueError as error:
            raise invalid(str(error)) from None
        return _json(_order(self._emulator.faults.add(fault)), 201)

    def clear(self, _exchange: Exchange) -> Reply:
        """Take all faults back."""
        self._emulator.faults.clear()
        return Reply(204)

    def take_back(self, _exchange: Exchange, number: str) -> Reply:
        """Take one back."""
        for order in self._emulator.faults.orders():
            if str(order.number) == number:
                order.remove()
        return Reply(204)

    def act(self, exchange: Exchange) -> Reply:
        """Have an accident: `{"do":"restart"}`, with what the action needs beside `do`."""
        body = exchange.object
        name = text(body, "do")
        if name in {"restart", "go_down"}:
            seconds = number(body, "seconds")
            return Reply(202, after=lambda: self._outage(None if name == "restart" else seconds))
        action = self._actions.get(name)
        if action is None:
            known = ", ".join(sorted({*self._actions, "restart", "go_down"}))
            raise invalid(f"no action is called {name!r:.60}; there are {known}")
        return _json({"result": action(body)})

    async def _outage(self, seconds: float | None) -> None:
        if seconds is None:
            self._emulator.restart()
            return
        self._emulator.go_down()
        try:
            await anyio.sleep(seconds)
        finally:
            self._emulator.come_up()

    def ledger(self, exchange: Exchange) -> Reply:
        """The writes after a number."""
        after = exchange.params.get("after", ["0"])[0]
        if not (after.isascii() and after.isdigit() and len(after) < 19):
            raise invalid("after must be a number")
        entries = self._emulator.ledger.after(int(after))
        return _json({"seq": self._emulator.ledger.seq, "entries": [_entry(entry) for entry in entries]})

    def lost(self, exchange: Exchange) -> Reply:
        """Compare a fold: `{"fold":{id: alarm},"since":null}`."""
        fold, since = exchange.object.get("fold"), exchange.object.get("since")
        if not isinstance(fold, dict) or not _is_fold(fold) or not (since is None or type(since) is int):
            raise invalid("fold is an object of alarms by id, since a number or null")
        wrong = self._emulator.ledger.lost(fold, since=since)
        return _json(
            {"lost": [{"id": item.id, "expected": item.expected, "got": item.got} for item in wrong]}
        )

    def duplicates(self, exchange: Exchange) -> Reply:
        """Check changes: `{"changes":[{"action":…,"id":…,"alarm":…}]}`."""
        changes = exchange.object.get("changes")
        if not isinstance(changes, list) or not all(_is_change(change) for change in changes):
            raise invalid("changes is a list of objects with action, id and alarm")
        return _json({"duplicates": self._emulator.ledger.duplicates(changes)})

    def _throttle(self, body: Mapping[str, Any]) -> dict[str, Any]:
        requests, queue, after = (body.get(name) for name in ("requests", "queue", "retryAfter"))
        for name, value in (("requests", requests), ("queue", queue), ("retryAfter", after)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise invalid(f"{name} must be a number or null")
        if queue is not None and not isinstance(queue, int):
            raise invalid("queue must be a whole number")
        try:
            settings = ThrottleSettings(requests=requests, queue=queue, retry_after=after)
        except ValueError as error:
            raise invalid(str(error)) from None
        self._emulator.throttle.settings = settings
        return self._emulator.throttle.state()


def _is_fold(fold: Mapping[str, Any]) -> bool:
    return all(alarm is None or isinstance(alarm, dict) for alarm in fold.values())


def _is_change(change: object) -> bool:
    if not isinstance(change, dict):
        return False
    told = change.get("action") is None or "id" in change
    return told and isinstance(change.get("alarm"), dict | None)


def _order(order: Ordered) -> dict[str, Any]:
    return {"number": order.number, "kind": order.fault.kind, "seen": order.seen, "fired": order.fired}


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat(),
        "action": entry.action,
        "id": entry.id,
        "alarm": entry.alarm,
        "silent": entry.silent,
    }


def _json(body: Mapping[str, Any], status: int = 200) -> Reply:
    return Reply(status, dump(body))
