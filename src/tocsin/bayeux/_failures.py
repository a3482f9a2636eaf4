"""What an exchange that brought no messages means: one table from our error tree to what the session does.

No I/O.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from tocsin.bayeux._messages import error_code, parse
from tocsin.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RequestTimeoutError,
    StatusError,
    TocsinError,
    TransportError,
)

__all__ = [
    "Failure",
    "HeldTooLongError",
    "WornOutError",
    "refusal",
    "session_unknown",
    "unanswered",
    "unwelcome",
]

# Request Timeout (also CometD's for the first of two connects), Too Early, Too Many Requests.
_PASSING_STATUSES = (408, 425, 429)
_REFUSAL_MOST = 65_536  # bytes; an answer that refuses is short


class HeldTooLongError(RequestTimeoutError):
    """The server kept sending heartbeats, yet held a connect for longer than it was asked to."""


class WornOutError(TransportError):
    """A connection type does not hold: connects over it failed again and again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One exchange that failed.

    Attributes:
        error: The error itself.
        fatal: Trying again cannot help: refused credentials, a missing role, an untrusted certificate.
        hopeless: Trying again cannot help until somebody changes something. Before there was a session it is
            fatal too: the settings are wrong. Later somebody may mend it, and the stream goes on.
        lossy: The request may have reached the server, so that events may have been written into the void.
        moved: There is no such address (404).
        rejected: The server answered that it will not take such a request: sending it again, in this session,
            is of no use.
        held: The server is alive but holds connects for longer than asked.
        retry_after: Seconds that the server asked to wait, or None.
    """

    error: TocsinError
    fatal: bool = False
    hopeless: bool = False
    lossy: bool = True
    moved: bool = False
    rejected: bool = False
    held: bool = False
    retry_after: float | None = None

    @property
    def cause(self) -> str:
        """Why, in a few words: without the address, which is always the same here."""
        return self.error.reason or type(self.error).__name__

    @classmethod
    def of(cls, error: TocsinError) -> Failure:
        """Classify an error.

        By now the authentication flow has had its one renewal: a 401 that still gets here is final.
        """
        fatal = isinstance(
            error, AuthenticationError | PermissionDeniedError | ConfigurationError
        ) or _untrusted_certificate(error)
        return cls(
            error=error,
            fatal=fatal,
            hopeless=isinstance(error, TransportError) and error.permanent,
            lossy=not isinstance(error, ConnectError),
            moved=isinstance(error, NotFoundError),
            rejected=isinstance(error, StatusError)
            and 400 <= error.status < 500
            and error.status not in _PASSING_STATUSES,
            held=isinstance(error, HeldTooLongError),
            retry_after=error.retry_after if isinstance(error, StatusError) else None,
        )


def unanswered(limit: float, *, alive: bool = False) -> RequestTimeoutError:
    """Return the error for an answer that did not come.

    Args:
        limit: Seconds that it was waited for.
        alive: It was to a connect, and there were signs of life: such a server holds it longer than asked.
    """
    if alive:
        return HeldTooLongError(
            f"the server is alive but did not answer a connect within {limit:.0f} s",
            maybe_applied=True,
            reason=f"signs of life, but no answer within {limit:.0f} s",
        )
    return RequestTimeoutError(
        f"the server did not answer within {limit:.0f} s",
        maybe_applied=True,
        reason=f"no answer within {limit:.0f} s",
    )


def refusal(what: str, error: str | None) -> TocsinError:
    """Return the error for a reply that rules out any further try.

    Args:
        what: What the server did, as the beginning of a sentence.
        error: The server's words, or None.
    """
    text = f"{what}: {error}" if error else what
    code = error_code(error)
    if code == 401:
        return AuthenticationError(text, status=401, message=error)
    if code == 403:
        return PermissionDeniedError(text, status=403, message=error)
    return ProtocolError(text, detail=error)


def session_unknown(error: str | None) -> bool:
    """Whether the words of a reply without advice say that the server does not know the session."""
    words = (error or "").lower().replace("_", " ")
    return error_code(error) == 402 or any(
        said in words for said in ("unknown client", "session unknown", "unknown session")
    )


def unwelcome(body: bytes) -> bool:
    """Whether an answer that came as a success refuses our credentials in one of its messages.

    401 also stands for a session that is not known; and whoever advises a handshake will say there whether
    we are welcome.
    """
    if b"401" not in body or len(body) > _REFUSAL_MOST:
        return False
    try:
        answers = parse(body).answers
    except ProtocolError:
        return False
    return any(
        not answer.successful
        and error_code(answer.error) == 401
        and not session_unknown(answer.error)
        and (answer.advice or {}).get("reconnect") != "handshake"
        for answer in answers
    )


def _untrusted_certificate(error: BaseException | None) -> bool:
    """Whether a certificate error is what stands behind a connection that failed."""
    for _ in range(20):  # a chain that somebody tied into a ring must not hold us
        if error is None:
            return False
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
