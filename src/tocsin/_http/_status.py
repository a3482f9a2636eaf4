"""From an answer that is not a success to the errors of `tocsin.errors`, in the server's own words."""

from __future__ import annotations

import http
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tocsin._http._html import html_title, looks_like_html
from tocsin._http._request import parse_http_date
from tocsin.errors import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    ServerError,
    StatusError,
    TocsinError,
    UnprocessableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tocsin._http._request import Response
    from tocsin._http._trace import Flight

__all__ = ["retry_after", "status_error"]

_DETAILS: Final = 5
_STATUSES: dict[int, type[StatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    429: RateLimitError,
}


def status_error(
    response: Response, flight: Flight, *, clock: Callable[[], datetime], note: str = ""
) -> TocsinError:
    """Make an error of an answer that is not a success.

    Args:
        response: The answer, its status not 2xx.
        flight: The call that it answers.
        clock: Aware UTC now; asked only if Retry-After is a date and the answer has no Date.
        note: What we know of it ourselves, for the end of the text.
    """
    status = response.status
    asked = f"{response.method} {response.url}"
    if 300 <= status < 400:
        return _redirect_error(response, asked)
    error, message, info = _words(response)
    says = ": ".join(part for part in (error, message) if part)
    reason = None
    if looks_like_html(response.body, response.headers.get("content-type", "")):
        title = html_title(response.body, response.redactor)
        message = title or message
        says = f"an HTML page titled {title!r}" if title else "an HTML page"
        reason = f"a web page answered (HTTP {status})"
    cls = _STATUSES.get(status, ServerError if status >= 500 else StatusError)
    return cls(
        f"{asked} failed with {status} {_phrase(status)}".rstrip()
        + (f": {says}" if says else "")
        + flight.tried
        + (f"; {note}" if note else ""),
        status=status,
        error=error,
        message=message,
        info=info,
        method=response.method,
        url=response.url,
        retry_after=retry_after(response, clock),
        attempts=flight.attempts,
        reason=reason,
    )


def retry_after(response: Response, clock: Callable[[], datetime]) -> float | None:
    """Seconds that the server asks to wait, given as a number or as a date (RFC 9110 §10.2.3).

    A date is held against the answer's own Date, so that a wrong clock on either side does not matter.
    """
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,9})?", text):
        return float(text)
    moment = parse_http_date(text)
    if moment is None:
        return None
    return max(0.0, (moment - (response.date or clock())).total_seconds())


def _redirect_error(response: Response, asked: str) -> ProtocolError:
    try:
        target = urlsplit(response.headers.get("location", ""))
        to = f"{target.scheme}://{target.hostname}" if target.scheme and target.hostname else "another path"
    except ValueError:
        to = "an unreadable address"
    to = response.redactor.clean(to, limit=200)
    return ProtocolError(
        f"{asked} was redirected to {to} ({response.status}); redirects are not followed, because they would "
        f"carry the credentials elsewhere: give the right base URL",
        reason=f"redirected (HTTP {response.status})",
    )


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _words(response: Response) -> tuple[str | None, str | None, str | None]:
    """The server's error code, message and link, cleaned, from whatever shape it sent."""
    clean = response.redactor.clean
    body = response.body.strip()
    if not body:
        return None, None, None
    data: Any = None
    if body[:1] in b"{[":
        try:
            data = response.json()
        except ProtocolError:
            data = None
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        return None, clean(body[:4096].decode("utf-8", "replace")) or None, None

    def text(holder: dict[str, Any], *keys: str) -> str | None:
        found = (holder[key] for key in keys if isinstance(holder.get(key), str))
        return next((cleaned for value in found if (cleaned := clean(value))), None)

    inner = data["error"] if isinstance(data.get("error"), dict) else data
    details = [part for part in _listed(inner.get("details")) if isinstance(part, dict)]
    message = text(data, "message", "error_description", "detail", "title") or text(
        inner, "message", "errorText"
    )
    if message is None and details:
        said = ((text(part, "property", "propertyName"), text(part, "errorText")) for part in details)
        message = "; ".join(": ".join(filter(None, pair)) for pair in said if pair[1]) or None
    error = text(data, "error") or text(inner, "code")
    if error is None:
        error = next((found for part in details if (found := text(part, "errorTextId"))), None)
        if error is None and details and inner.get("httpCode") is not None:
            error = clean(str(inner["httpCode"]))  # no name, but the platform's own words
    # Beside an OAuth error (RFC 6749 §5.2): whether a password is wrong or an account is locked.
    if message is not None and (code := text(data, "error_code")) is not None and code not in message:
        message = f"{message} ({code})"
    if error is None and message is None:
        message = clean(body[:4096].decode("utf-8", "replace")) or None
    return error, message, text(data, "info")


def _listed(value: object) -> list[Any]:
    """A list, if it is one; an error has a few details, and no more are read."""
    return value[:_DETAILS] if isinstance(value, list) else []
