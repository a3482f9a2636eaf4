"""What a session of alarms tells: which ones to read at once. A stream's reads decide what happened to them.

That servers make such sessions is known, how they answer is not published. What is read here is made after
the sessions of events and of the older SOAP service, so all of it is doubted: a server that does not make
sessions, or has others, is followed without.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from anyio import CancelScope, Event, current_time, move_on_after, sleep

from tocsin._http._request import Request
from tocsin._http._retry import RetryPolicy
from tocsin._stream._backoff import Backoff
from tocsin.errors import AuthenticationError, ConfigurationError, ProtocolError, StatusError, TocsinError
from tocsin.models import Action
from tocsin.xprotect._guids import guid, is_guid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tocsin._http._request import Response
    from tocsin._stream._platform import Inlet
    from tocsin.xprotect._following import Following

    Follows = Callable[[dict[str, Any]], bool]

__all__ = ["AlarmSession", "Told", "read_session", "read_told"]

log = logging.getLogger("tocsin.xprotect")

_SESSIONS: Final = "/alarmSessions"
_SLOWEST: Final = 30.0
"""Seconds after which a session is asked again in any case: servers forget those that nobody asks for."""
_MOST: Final = 200
"""Alarms that are read because of one answer; the comparisons find the others."""
_TRIES: Final = 3
"""So many answers that nobody understands, and none before that was, show a server with other sessions."""
_BYTES: Final = 16 * 1024 * 1024
_LONGEST: Final = 200
_PASSING: Final = frozenset({408, 425, 429})
_UNKNOWN: Final = frozenset({404, 410})
_NOT_THERE: Final = 501
_ONCE: Final = RetryPolicy.none()


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer of a session tells.

    Attributes:
        added: There are new alarms.
        doubtful: The ids of those that were changed, or are not in the session any more.
    """

    added: bool
    doubtful: tuple[str, ...]


def read_session(answer: Any) -> str:
    """The id of a session that was made, fit for a path.

    Args:
        answer: Parsed JSON.

    Raises:
        ProtocolError: There is none.
    """
    for part in _objects(answer):
        for key in ("id", "sessionid"):
            value = part.get(key)
            text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
            if not isinstance(text, str):
                continue
            last = text.strip().rpartition("/")[2]
            if last.strip(".") and len(last) <= _LONGEST and last.isascii() and last.isprintable():
                return quote(last, safe="")
    raise ProtocolError("a session of alarms was made, but its id is not to be found")


def read_told(answer: Any, follows: Follows) -> Told:
    """What changed since the session was asked last. Rows that name no alarm are left out.

    Args:
        answer: Parsed JSON.
        follows: Whether an alarm is in the stream's scope, for rows that tell where it comes from.

    Raises:
        ProtocolError: It is no such answer.
    """
    for part in _objects(answer):
        lists = {key: part[key] for key in _KEYS if isinstance(part.get(key), list)}
        if lists or not part:
            changed = (row for key in _KEYS[1:] for row in lists.get(key, ()))
            ids = dict.fromkeys(_ids(changed, follows))
            return Told(bool(lists.get(_KEYS[0])), tuple(ids)[:_MOST])
    raise ProtocolError("the answer of a session of alarms has none of the lists that are known")


_KEYS: Final = ("addedtosession", "updatedinsession", "deletedfromsession")


def _objects(answer: Any) -> Iterator[dict[str, Any]]:
    """The object in the envelope, or the answer itself; the names of its fields in lower case."""
    if not isinstance(answer, dict):
        return
    plain = {key.lower(): value for key, value in answer.items()}
    data = plain.get("data")
    if isinstance(data, dict):
        yield {key.lower(): value for key, value in data.items()}
    elif "data" not in plain:
        yield plain


def _ids(rows: Iterator[Any], follows: Follows) -> Iterator[str]:
    for row in rows:
        text = row
        if isinstance(row, dict):
            if ("source" in row or "cameraId" in row) and not follows(row):
                continue
            text = row.get("id")
        # Kept in the letter case in which it came: an alarm is known by the id that lists give.
        last = text.strip().rpartition("/")[2].strip("{}") if isinstance(text, str) else ""
        if is_guid(last) and guid(last) is not None:
            yield last


class AlarmSession:
    """Asks a session of alarms what to read. It never harms the stream: what it does not tell is found later.

    Args:
        client: What the client lends.
        inlet: Is told what to read.
        follows: Whether an alarm is in the stream's scope.
        every: Seconds between two questions.
    """

    def __init__(self, client: Following, inlet: Inlet[bytes], follows: Follows, *, every: float) -> None:
        self._client = client
        self._inlet = inlet
        self._follows = follows
        self._every = min(every, _SLOWEST)
        self._backoff = Backoff(client.reconnect)
        self._path: str | None = None
        self._useless = 0
        self._proved = False
        self._scope = CancelScope()
        self._ended = Event()

    async def remove(self) -> None:
        """End it on the server too; takes `close_timeout` or so."""
        self._scope.cancel()
        with move_on_after(self._client.close_timeout + 1.0, shield=True):
            await self._ended.wait()

    async def run(self) -> None:
        """The task: until removed, or until the server has no use for it. Raises only a cancellation."""
        try:
            with self._scope:
                try:
                    await self._ask_on()
                finally:
                    await self._delete()
        except* Exception as group:
            log.exception("the session of alarms failed", exc_info=group)
        finally:
            self._ended.set()

    async def _ask_on(self) -> None:
        """Ask again and again; ends once that is of no use."""
        while True:
            begins = self._path is None
            try:
                await (self._begin() if begins else self._hear())
            except TocsinError as error:
                if self._is_hopeless(error, begins=begins):
                    log.info("alarms are followed without a session of the server: %s", error)
                    return
                log.debug("the session of alarms: %s", error)
                wait = await self._after(error)
            else:
                wait = self._every
            await sleep(wait)

    async def _begin(self) -> None:
        response = await self._send("POST", _SESSIONS, b"{}")
        self._path = f"{_SESSIONS}/{read_session(response.json())}"
        if self._proved:
            self._inlet.hint()  # nobody told what happened since the last one was lost

    async def _hear(self) -> None:
        response = await self._send("GET", f"{self._path}/alarms")
        told = read_told(response.json(), self._follows)
        self._proved = True
        self._backoff.good(current_time())
        if told.doubtful:
            doubts = [(Action.UPDATE, doubtful, None) for doubtful in told.doubtful]
            self._inlet.live(doubts, session=0, ordered=False)
        if told.added:
            self._inlet.hint()

    async def _after(self, error: TocsinError) -> float:
        """Seconds until the next try after a failure."""
        status = error.status if isinstance(error, StatusError) else None
        lost = status in _UNKNOWN and self._path is not None
        if lost:
            await self._delete()  # perhaps it is there, and only its alarms are elsewhere
        return self._backoff.failed(
            current_time(),
            self._client.rng.random(),
            floor=0.0 if lost else self._every,
            retry_after=error.retry_after if isinstance(error, StatusError) else None,
            first_free=lost,
        )

    def _is_hopeless(self, error: TocsinError, *, begins: bool) -> bool:
        """Whether to go on without. A session that told something once is tried for ever."""
        if isinstance(error, AuthenticationError):
            return True  # the stream's own reads tell it; never a log-in more than was asked for
        if self._proved or not _is_for_good(error):
            return False
        self._useless += 1
        return begins or self._useless >= _TRIES

    async def _delete(self) -> None:
        """Let the server forget it; one that cannot does so by itself."""
        path, self._path = self._path, None
        if path is None:
            return
        with move_on_after(self._client.close_timeout, shield=True):
            try:
                await self._send("DELETE", path)
            except TocsinError as error:
                log.debug("the session of alarms was not ended: %s", error)

    async def _send(self, method: str, path: str, body: bytes | None = None) -> Response:
        request = Request(method, path, body=body, retry=_ONCE, max_bytes=_BYTES)
        return await self._client.gateway.send(request)


def _is_for_good(error: TocsinError) -> bool:
    """Whether the server said that it has no such thing, or another one."""
    if isinstance(error, StatusError):
        refused = 400 <= error.status < 500 and error.status not in _PASSING
        return refused or error.status == _NOT_THERE
    return isinstance(error, ProtocolError | ConfigurationError)
