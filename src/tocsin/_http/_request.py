"""One call and its answer, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from tocsin._http._html import html_title, looks_like_html
from tocsin._http._redact import NOTHING_SECRET, SENSITIVE_HEADERS, Redactor
from tocsin.errors import ConfigurationError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tocsin._http._retry import RetryPolicy

__all__ = ["Headers", "Request", "Response", "Timeouts", "check_headers", "is_number", "parse_http_date"]

T = TypeVar("T")

_METHOD = re.compile(r"[A-Z]+")
# RFC 3986 §3.3; dot segments would be resolved on the way and ask for something else.
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_DOTS = re.compile(r"(?:/|%2f)(?:\.|%2e){1,2}(?=/|%2f|$)", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff\t]*")
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_EXCERPT = 4096


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of one call, in seconds.

    All three kinds are needed: `read` starts anew with each byte that arrives, so a server that drips one
    byte now and then is stopped by `total` alone.

    Args:
        connect: Until a connection stands, TLS and proxy included.
        read: Silence between two pieces of the answer.
        write: Silence while the request is sent.
        pool: Waiting for a place among the requests in flight.
        total: The whole call over all attempts and the waits between them; None: no such limit.

    Raises:
        ConfigurationError: A limit is not above 0.
    """

    connect: float = 10.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 30.0
    total: float | None = 60.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "write", "pool", "total"):
            seconds = getattr(self, name)
            if seconds is None and name == "total":
                continue
            if not is_number(seconds) or not seconds > 0:
                raise ConfigurationError(f"Timeouts: {name} must be above 0 seconds")


class Headers(Mapping[str, str]):
    """Response headers: names in any case, repeated ones joined with a comma (RFC 9110 §5.3).

    Args:
        pairs: Names and values as they came.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            values[key] = f"{values[key]}, {value}" if key in values else value
        self._values = values

    @classmethod
    def of(cls, pairs: Sequence[tuple[bytes, bytes]]) -> Headers:
        """Decode them as httpx does: all as ASCII, or all as UTF-8, or all as Latin-1.

        Args:
            pairs: Names and values as they came.
        """
        for encoding in ("ascii", "utf-8"):
            try:
                return cls([(name.decode(encoding), value.decode(encoding)) for name, value in pairs])
            except UnicodeDecodeError:
                continue
        return cls([(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs])

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {k: "***" if k in SENSITIVE_HEADERS else v for k, v in self._values.items()}
        return f"Headers({shown!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One call, whatever the number of attempts.

    Args:
        method: The HTTP method in capitals.
        path: The path below the base URL; begins with "/", already percent-encoded.
        query: Plain pairs; encoded when sent.
        body: JSON text, or None.
        headers: Further headers; they override the client's.
        idempotent: Whether it may be sent again although it may have been applied. None: by its method
            (GET, HEAD, PUT, DELETE and OPTIONS may, POST and PATCH may not).
        timeouts: None: the client's.
        retry: None: the client's.
        accept: The media type asked for; empty: none is. Cumulocity answers a POST without one with an
            empty body.
        max_bytes: Cap on the decompressed answer; None: the client's (64 MiB).

    Raises:
        ConfigurationError: Method, path or a header cannot be sent.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    idempotent: bool | None = None
    timeouts: Timeouts | None = None
    retry: RetryPolicy | None = None
    accept: str = "application/json"
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if _METHOD.fullmatch(self.method) is None:
            raise ConfigurationError("a request's method is a word in capitals, such as GET")
        if _PATH.fullmatch(self.path) is None or _DOTS.search(self.path) is not None:
            raise ConfigurationError(
                "a request's path begins with a slash, is percent-encoded, and has no dot segments"
            )
        if self.query or type(self.query) is not tuple:
            _check_query(self.query)
        if self.body is not None and not isinstance(self.body, bytes):
            raise ConfigurationError(
                f"a request's body is bytes, not {type(self.body).__name__}: json.dumps(…).encode()"
            )
        if self.headers:
            check_headers(self.headers)

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again although it may have been applied."""
        return self.method in _REPEATABLE if self.idempotent is None else self.idempotent

    def with_headers(self, headers: tuple[tuple[str, str], ...]) -> Request:
        """Return the same request with further headers; those of the same name are replaced.

        Args:
            headers: Names and values.
        """
        if self.headers:
            replaced = {name.lower() for name, _ in headers}
            headers = (*(pair for pair in self.headers if pair[0].lower() not in replaced), *headers)
        return Request(
            self.method,
            self.path,
            self.query,
            self.body,
            headers,
            self.idempotent,
            self.timeouts,
            self.retry,
            self.accept,
            self.max_bytes,
        )

    def __repr__(self) -> str:
        query = ", query: " + " ".join(name for name, _ in self.query) if self.query else ""
        body = f", {len(self.body)} bytes" if self.body is not None else ""
        return f"<Request {self.method} {self.path}{query}{body}>"


@dataclass(frozen=True, slots=True, repr=False)
class Response:
    """A whole answer.

    Attributes:
        status: The HTTP status code.
        headers: The headers, names in any case.
        body: The decompressed body.
        attempts: How often the request was tried.
        url: The URL without user information and query.
        method: The request's method.
        redactor: Cleans texts of this answer before they are shown.
    """

    status: int
    headers: Headers
    body: bytes
    attempts: int = 1
    url: str = ""
    method: str = ""
    redactor: Redactor = field(default=NOTHING_SECRET, compare=False)

    @property
    def date(self) -> datetime | None:
        """The server's clock when it answered (the Date header), aware UTC; None if it did not say."""
        return parse_http_date(self.headers.get("date"))

    def json(self) -> Any:
        """Parse the body. JSON nested deeper than 200 levels is refused.

        Raises:
            ProtocolError: It is not JSON; `detail` has a cleaned excerpt.
        """
        from pydantic_core import from_json  # 60 ms that Bayeux alone need not pay

        body = self.body.removeprefix(b"\xef\xbb\xbf")  # some proxies put a byte order mark in front
        if not body.strip():
            raise ProtocolError(
                f"{self._asked()} answered {self.status} with an empty body instead of JSON",
                reason="the answer was empty",
            )
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as exc:
            problem = str(exc)
        raise self._not_json(problem)

    def parsed(self, parse: Callable[[bytes], T]) -> T:
        """Read the body with a parser of the caller's.

        Args:
            parse: Raises `ProtocolError` if the body is not what it should be.

        Raises:
            ProtocolError: What `parse` raised, said of this answer, `detail` cleaned; or what the body is
                instead if it is not even JSON, such as a proxy's page.
        """
        try:
            return parse(self.body)
        except ProtocolError as error:
            problem, reason = str(error), error.reason
        self.json()
        # An echo of the request, credentials and all, is JSON too.
        raise ProtocolError(
            f"{problem} ({self._asked()} answered {self.status})", detail=self._excerpt(), reason=reason
        )

    def _excerpt(self) -> str:
        return self.redactor.clean(self.body[:_EXCERPT].decode("utf-8", "replace"), limit=200)

    def _asked(self) -> str:
        return f"{self.method} {self.url}".strip() or "the server"

    def _not_json(self, problem: str) -> ProtocolError:
        if looks_like_html(self.body, self.headers.get("content-type", "")):
            title = html_title(self.body, self.redactor)
            page = f"an HTML page titled {title!r}" if title else "an HTML page"
            text = f"answered {self.status} with {page} instead of JSON: is it a proxy that answers?"
            reason = "a web page answered"
        elif problem.startswith("EOF"):
            text = f"answered {self.status} with JSON that is cut off after {len(self.body)} bytes"
            reason = "the answer was cut off"
        else:
            text = f"answered {self.status} with something that is not JSON ({self.redactor.clean(problem)})"
            reason = "the answer was not JSON"
        return ProtocolError(f"{self._asked()} {text}", detail=self._excerpt(), reason=reason)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.method} {self.url}, {len(self.body)} bytes>"


def is_number(value: object) -> bool:
    """Whether it is a number of seconds or a count, not True, not text."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=16)  # each answer of a second has the same
def parse_http_date(text: str | None) -> datetime | None:
    """Read an HTTP date (RFC 9110 §5.6.7) as aware UTC; None if it is none."""
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _check_query(query: object) -> None:
    if isinstance(query, tuple) and all(_is_pair(pair) for pair in query):
        return
    raise ConfigurationError(
        "a request's query is a tuple of pairs of texts, such as "
        "(('pageSize', '5'), ('source', '4711')); a dict gives them as tuple(found.items())"
    )


def _is_pair(pair: object) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


def check_headers(pairs: Iterable[tuple[object, object]]) -> None:
    """Refuse headers that cannot be sent.

    Raises:
        ConfigurationError: Names the header, never its value.
    """
    for name, value in pairs:
        if not isinstance(name, str) or _HEADER_NAME.fullmatch(name) is None:
            raise ConfigurationError(f"{name!r} is not a header name")
        if not isinstance(value, str) or value != value.strip() or _HEADER_VALUE.fullmatch(value) is None:
            raise ConfigurationError(f"the value of the header {name!r} cannot be sent as it is")
