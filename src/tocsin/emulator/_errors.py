"""What a handler raises to answer with one of the platform's error bodies."""

from __future__ import annotations

from tocsin.emulator._json import dump

INFO = "https://cumulocity.com/api/core/#tag/Error-reporting"


class RefusedError(Exception):
    """A request that is answered with an error body.

    Args:
        status: The HTTP status.
        error: The platform's name for it, such as `alarm/Not Found`.
        message: What is wrong, for people.
        headers: Added to the reply.
    """

    def __init__(
        self, status: int, error: str, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.headers = headers

    def body(self) -> bytes:
        """The error as JSON text."""
        return dump({"error": self.error, "message": self.message, "info": INFO})


def invalid(message: str) -> RefusedError:
    """422 for data or parameters that cannot be taken."""
    return RefusedError(422, "undefined/validationError", message)


def missing(kind: str, name: str) -> RefusedError:
    """404 for an object that is not there."""
    return RefusedError(
        404, f"{kind}/Not Found", f"Finding {kind} from database failed: no {kind} for id '{name}'!"
    )


def forbidden() -> RefusedError:
    """403 for a user who lacks the role."""
    return RefusedError(403, "security/Forbidden", "Access is denied")


def too_many(what: str) -> RefusedError:
    """The emulator's own cap on what it holds in memory."""
    return RefusedError(507, "emulator/Limit", f"this emulator holds no more {what}; see Limits")
