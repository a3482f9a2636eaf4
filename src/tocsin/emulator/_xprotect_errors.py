"""XProtect's error bodies: objects at the REST API, strings at the identity provider."""

from __future__ import annotations

from typing import Any, Final

from tocsin.emulator._errors import RefusedError
from tocsin.emulator._json import dump

NO_RIGHT: Final = "VMO61008"


class ApiError(RefusedError):
    """A request to the REST API that is answered with an error body.

    Args:
        status: The HTTP status.
        text: What is wrong, for people.
        text_id: The stable part.
        property: The key or parameter that is wrong.
        headers: Added to the reply.
    """

    def __init__(
        self,
        status: int,
        text: str,
        text_id: str | None = None,
        property: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(status, text_id or "", text, headers)
        self.property = property

    def body(self) -> bytes:
        """The error as JSON text."""
        return envelope(self.status, self.message, self.error or None, self.property)


class TokenError(RefusedError):
    """A log-in that is answered with an error body.

    Args:
        error: The name that OAuth has for it.
        description: What is wrong.
        code: XProtect's own name.
    """

    def __init__(self, error: str, description: str | None = None, code: str | None = None) -> None:
        super().__init__(400, error, description or error)
        self._more = {"error_description": description, "error_code": code}

    def body(self) -> bytes:
        """The error as JSON text."""
        return dump({"error": self.error, **{key: text for key, text in self._more.items() if text}})


def envelope(
    status: int, text: str, text_id: str | None = None, property: str | None = None
) -> bytes:  # fmt: skip
    """The error object of the REST API."""
    detail: dict[str, Any] = {"errorText": text}
    if text_id is not None:
        detail["errorTextId"] = text_id
    if property is not None:
        detail["property"] = property
    return dump({"error": {"httpCode": status, "details": [detail]}})


def bad(text: str, property: str | None = None) -> ApiError:
    """400 for what cannot be taken."""
    return ApiError(400, text, "VMO61001", property)


def absent(what: str) -> ApiError:
    """404 for what is not there, or not to be seen."""
    return ApiError(404, f"The requested item was not found: {what:.200}", "VMO61002")


def no_right(what: str) -> ApiError:
    """403 for who may not."""
    return ApiError(403, f"You do not have sufficient permissions to {what}", NO_RIGHT)
