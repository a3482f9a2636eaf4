"""Every error that tocsin raises, in one tree.

    TocsinError
    ├── ConfigurationError          the call or the settings are wrong; nothing was sent
    ├── TransportError              no whole answer came back
    │   ├── ConnectError            no connection; the request never left
    │   └── RequestTimeoutError     a time limit ran out (also a TimeoutError)
    ├── StatusError                 the server answered with a failure status
    │   ├── BadRequestError         400
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── UnprocessableError      422
    │   ├── RateLimitError          429
    │   └── ServerError             500 and above
    ├── ProtocolError               an answer came, but not one that the protocol allows
    ├── SubscriptionRefusedError    the server will not deliver a channel
    ├── CheckpointError             what a stream keeps of its progress cannot be used or written
    └── GapError                    changes were lost for good and the caller asked for changes only

    InsecureTransportWarning        (a UserWarning) credentials go over plain http to another machine

Each reads as a sentence and carries what it was about. None carries a secret: URLs are given without
user information and query, server texts are cut and cleaned before they get here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin.models import Gap

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "CheckpointError",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "GapError",
    "InsecureTransportWarning",
    "NotFoundError",
    "PermissionDeniedError",
    "ProtocolError",
    "RateLimitError",
    "RequestTimeoutError",
    "ServerError",
    "StatusError",
    "SubscriptionRefusedError",
    "TocsinError",
    "TransportError",
    "UnprocessableError",
]


class TocsinError(Exception):
    """The root: catch this to catch all that tocsin raises.

    Every error can be pickled and copied with its attributes.
    """

    _reason: str | None = None

    @property
    def reason(self) -> str:
        """Why, in a few words where there are few, without method and address: the `cause` of a `Gap`."""
        return self._reason or str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls the class with `args` alone, which loses keyword-only arguments.
        return _remake, (type(self), self.args), self.__dict__.copy()


def _remake(cls: type[TocsinError], args: tuple[Any, ...]) -> TocsinError:
    error = cls.__new__(cls)
    error.args = args  # not through __new__: OSError, a base of TimeoutError, would read errno into them
    return error


class ConfigurationError(TocsinError):
    """The call or the settings are wrong, or the client is not open. Nothing was sent."""


class TransportError(TocsinError):
    """No whole answer came back.

    Attributes:
        method: The HTTP method, or None where there was no single request.
        url: The URL without user information and query, or None.
        maybe_applied: True if the request may have reached the server and taken effect. Writing again may
            then do it twice.
        permanent: True if trying again cannot help until somebody changes something, such as a certificate
            that does not verify.
        attempts: How often the request was tried.
        reason: Why, in a few words, such as ``connection refused``.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str | None = None,
        url: str | None = None,
        maybe_applied: bool = False,
        permanent: bool = False,
        attempts: int = 1,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self._reason = reason
        self.method = method
        self.url = url
        self.maybe_applied = maybe_applied
        self.permanent = permanent
        self.attempts = attempts


class ConnectError(TransportError):
    """No connection could be made: the request never left this machine."""


class RequestTimeoutError(TransportError, TimeoutError):
    """A time limit ran out. `except TimeoutError` catches it too."""


class StatusError(TocsinError):
    """The server answered with a failure status.

    Attributes:
        status: The HTTP status code.
        error: The platform's error code, such as ``alarm/Not Found``; None where there was none.
        message: The platform's own words; None where there were none.
        info: A link to the platform's documentation; None where there was none.
        method: The HTTP method.
        url: The URL without user information and query.
        retry_after: Seconds that the server asked to wait, or None.
        attempts: How often the request was tried.
        reason: Such as ``HTTP 503``.
    """

    _said: str | None = None

    def __init__(
        self,
        text: str,
        *,
        status: int,
        error: str | None = None,
        message: str | None = None,
        info: str | None = None,
        method: str | None = None,
        url: str | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
        reason: str | None = None,
    ) -> None:
        super().__init__(text)
        said = f"{self._said} (HTTP {status})" if self._said else f"HTTP {status}"
        self._reason = reason or said
        self.status = status
        self.error = error
        self.message = message
        self.info = info
        self.method = method
        self.url = url
        self.retry_after = retry_after
        self.attempts = attempts


class BadRequestError(StatusError):
    """400: the server could not read the request."""


class AuthenticationError(StatusError):
    """401: the server does not accept the credentials, or a token has expired."""

    _said = "credentials refused"


class PermissionDeniedError(StatusError):
    """403: the credentials are good, a role is missing."""

    _said = "permission denied"


class NotFoundError(StatusError):
    """404: there is no such thing at this address."""


class ConflictError(StatusError):
    """409: it exists already, or somebody else holds it."""


class UnprocessableError(StatusError):
    """422: the server read the request and refused what it says."""


class RateLimitError(StatusError):
    """429: too many requests; see `retry_after`."""


class ServerError(StatusError):
    """500 and above: the server, or a proxy in front of it, failed."""


class ProtocolError(TocsinError):
    """An answer came, but not one that the protocol allows.

    Attributes:
        detail: A short, cleaned excerpt of what came, or None.
        reason: What came, in a few words, such as ``a web page answered``.
    """

    def __init__(self, message: str, *, detail: str | None = None, reason: str | None = None) -> None:
        super().__init__(message)
        self._reason = reason
        self.detail = detail


class SubscriptionRefusedError(TocsinError):
    """The server will not deliver a channel.

    Attributes:
        channel: The channel that was asked for.
        error: The server's own words, or None.
    """

    def __init__(self, message: str, *, channel: str, error: str | None = None) -> None:
        super().__init__(message)
        self.channel = channel
        self.error = error


class CheckpointError(TocsinError):
    """What a stream keeps of its progress cannot be used, or cannot be written.

    Attributes:
        mismatch: It is damaged, newer than this version, or about another stream: with
            ``on_mismatch="fresh"`` the stream begins anew instead. False: it is in use by another process, or
            the disk refuses.
    """

    def __init__(self, message: str, *, mismatch: bool = False) -> None:
        super().__init__(message)
        self.mismatch = mismatch


class GapError(TocsinError):
    """Changes were lost for good (`Gap.recovered` is None) and the caller iterates over changes only.

    Attributes:
        gap: The `Gap` that could not be recovered.
    """

    def __init__(self, gap: Gap) -> None:
        super().__init__(f"alarm changes between {gap.since} and {gap.until} may be lost: {gap.cause}")
        self.gap = gap


class InsecureTransportWarning(UserWarning):
    """Credentials are sent in plain text to another machine: give an https:// base URL."""
