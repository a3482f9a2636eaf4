"""One request and one reply, and the table of routes between them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.routing import compile_path

from tocsin.emulator._author import Author
from tocsin.emulator._errors import RefusedError
from tocsin.emulator._json import load

if TYPE_CHECKING:
    from tocsin.emulator._access import User
    from tocsin.emulator._wire import Tap
    from tocsin.emulator.faults import Fault

JSON: Final = "application/json"
_VENDOR: Final = "application/vnd.com.nsn.cumulocity.{}+json;charset=UTF-8;ver=0.9"
_COUNTED: Final = 10_000  # distinct requests that are counted apart
_LOGGED: Final = 2000
_LONG: Final = 2000  # characters that are kept of what a client sent
_CHANNELS: Final = 1000


class Exchange:
    """One request, read whole.

    Args:
        method: The verb, after `X-HTTP-METHOD`.
        path: The decoded path.
        query: The raw query string.
        headers: The request's headers.
        body: The request's body.
        tap: The way back.
        base: Scheme and host by which the client reached us.

    Attributes:
        peer: The client's certificate, as `ssl.SSLSocket.getpeercert` has it, checked by TLS; None: none.
        client: Host and port of the client's end of the connection, if the server below tells.
    """

    def __init__(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, tap: Tap, base: str
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.tap = tap
        self.base = base
        self.lag: float | None = None
        self.peer: Mapping[str, Any] | None = None
        self.client: Sequence[Any] | None = None
        self._user: User | None = None

    @property
    def user(self) -> User:
        """Who asks."""
        if self._user is None:
            raise RuntimeError("not logged in")
        return self._user

    @user.setter
    def user(self, user: User) -> None:
        self._user = user

    @property
    def author(self) -> Author:
        """Who the audit names for what this request writes."""
        return Author(self.user.name, self.headers.get("x-cumulocity-application-key", ""))

    @property
    def mode(self) -> str:
        """The processing mode."""
        return self.headers.get("x-cumulocity-processing-mode", "PERSISTENT").upper()

    @cached_property
    def params(self) -> dict[str, list[str]]:
        """The query's values by name."""
        found: dict[str, list[str]] = {}
        for name, value in QueryParams(self.query).multi_items():
            found.setdefault(name, []).append(value)
        return found

    @property
    def cookies(self) -> Mapping[str, str]:
        """The request's cookies."""
        return cookie_parser(self.headers.get("cookie", ""))

    @cached_property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            RefusedError: 400, it is none.
        """
        try:
            return load(self.body)
        except ValueError:
            raise RefusedError(400, "general/malformedRequest", "The request's body is not JSON") from None

    def need_json(self) -> None:
        """Refuse a body that says that it is something else; one that says nothing is read as JSON.

        Raises:
            RefusedError: 415.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self.body and kind and "json" not in kind:
            raise RefusedError(415, "general/unsupportedMediaType", f"No body of the type {kind:.60} is read")

    @property
    def object(self) -> Mapping[str, Any]:
        """The body as a JSON object."""
        if not isinstance(self.json, Mapping):
            raise RefusedError(422, "undefined/validationError", "The request's body is not a JSON object")
        return self.json

    @property
    def wants_body(self) -> bool:
        """Without an `Accept` header a POST or PUT is answered with an empty body."""
        return "accept" in self.headers

    def media_type(self, kind: str) -> str:
        """The content type of a reply that carries a `kind`.

        Raises:
            RefusedError: 406, the client takes no JSON.
        """
        accept = self.headers.get("accept", JSON).lower()
        if "vnd.com.nsn.cumulocity" in accept:
            return _VENDOR.format(kind)
        if kind == "text" and "json" not in accept:
            return "text/plain;charset=UTF-8"
        if any(word in accept for word in (JSON, "*/*", "application/*", "+json")):
            return f"{JSON};charset=UTF-8"
        raise RefusedError(406, "general/notAcceptable", "None of the accepted media types can be produced")


@dataclass(slots=True)
class Reply:
    """What a handler answers.

    Args:
        status: The HTTP status.
        body: The body's bytes.
        kind: The platform's name of what the body carries.
        headers: More headers.
        after: Done when the reply has left.
    """

    status: int = 200
    body: bytes = b""
    kind: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], object] | None = None


Handler = Callable[..., Reply] | Callable[..., Awaitable[None]]


class Routes:
    """Paths, verbs and their handlers."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Handler]] = {}
        self._patterns: list[tuple[Any, dict[str, Handler]]] = []

    def add(self, path: str, **verbs: Handler) -> None:
        """Add a path, whose parts may be `{named}`, and a handler for each verb."""
        if "{" in path:
            self._patterns.append((compile_path(path)[0], verbs))
        else:
            self._exact[path] = verbs

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """The handler of a request, and the named parts of its path.

        Raises:
            RefusedError: 404 or 405.
        """
        verbs, named = self._exact.get(path), {}
        if verbs is None:
            for pattern, candidates in self._patterns:
                if match := pattern.match(path):
                    verbs, named = candidates, match.groupdict()
                    break
        if verbs is None:
            raise RefusedError(404, "general/notFound", f"No such resource: {path:.200}")
        if method not in verbs:
            allowed = (("Allow", ", ".join(verbs)),)
            raise RefusedError(405, "general/methodNotAllowed", f"{method} is not allowed here", allowed)
        return verbs[method], named


def ordered_reply(fault: Fault) -> Reply:
    """What a fault of the kind `status` answers."""
    if fault.status == 401 and fault.body is None:
        body = '{"error":"security/Unauthorized","message":"Invalid credentials! : Bad credentials"}'
    elif fault.body is None:
        body = f'{{"error":"emulator/Ordered","message":"Status {fault.status} was ordered"}}'
    else:
        body = fault.body
    headers = [("Content-Type", fault.content_type)] if fault.content_type else []
    if fault.retry_after is not None:
        headers.append(("Retry-After", fault.retry_after))
    return Reply(fault.status, body.encode(), "error", tuple(headers))


@dataclass(frozen=True, slots=True)
class Logged:
    """One request, as `Requests` remembers it."""

    at: float
    method: str
    path: str
    query: str
    channels: tuple[str, ...]
    user_agent: str

    def trimmed(self) -> Logged:
        """The same, with what a client could make long cut off."""
        return Logged(
            self.at,
            self.method[:_LONG],
            self.path[:_LONG],
            self.query[:_LONG],
            tuple(channel[:_LONG] for channel in self.channels[:_CHANNELS]),
            self.user_agent[:_LONG],
        )


@dataclass(slots=True)
class Requests:
    """What clients asked for, so that politeness can be tested.

    Args:
        total: All requests, those that faults met too.
        by: Requests by (method, path); what exceeds 10 000 different ones is counted under the path `…`.
        channels: Bayeux messages by channel.
        log: The last 2000 requests.
    """

    total: int = 0
    by: Counter[tuple[str, str]] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    log: deque[Logged] = field(default_factory=lambda: deque(maxlen=_LOGGED))

    def count(self, logged: Logged) -> None:
        """Add one."""
        self.total += 1
        logged = logged.trimmed()
        key = (logged.method, logged.path)
        self.by[key if key in self.by or len(self.by) < _COUNTED else (logged.method, "…")] += 1
        for channel in logged.channels:
            self.channels[channel if len(self.channels) < _COUNTED else "…"] += 1
        self.log.append(logged)

    def clear(self) -> None:
        """Begin anew."""
        self.total = 0
        self.by.clear()
        self.channels.clear()
        self.log.clear()
