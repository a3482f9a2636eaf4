"""A connection that left HTTP for another protocol: bytes both ways, and the errors of `tocsin.errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from anyio import move_on_after

from tocsin._http._errors import FOREIGN
from tocsin._http._redact import NOTHING_SECRET
from tocsin.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from tocsin._http._redact import Redactor
    from tocsin._http._request import Headers, Response

__all__ = ["SWITCHED", "Upgraded"]

T = TypeVar("T")

SWITCHED: Final = 101
_CLOSING: Final = 2.0  # seconds that closing may take
_READ: Final = 1 << 18


class _Stream(Protocol):
    """What transports hand over as the extension ``network_stream``."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes: ...

    async def write(self, buffer: bytes, timeout: float | None = None) -> None: ...


class Upgraded:
    """The connection after ``101 Switching Protocols``.

    One task may read while another one writes; writes must not overlap, and one that is cancelled has broken
    the connection. A read that is cancelled loses nothing.

    Attributes:
        response: The answer to the upgrade.
    """

    __slots__ = ("_answer", "_stream", "_url", "response")

    def __init__(self, answer: httpx.Response, url: str) -> None:
        self._answer = answer
        self._stream: _Stream = answer.extensions["network_stream"]
        self._url = url
        self.response: Response | None = None

    @property
    def headers(self) -> Headers:
        """The headers of the answer."""
        if self.response is None:
            raise AssertionError("the answer was not judged yet")
        return self.response.headers

    @property
    def redactor(self) -> Redactor:
        """Cleans foreign texts; see `Response.redactor`."""
        return NOTHING_SECRET if self.response is None else self.response.redactor

    async def read(self) -> bytes:
        """Wait for bytes; none at the end.

        Raises:
            TransportError: The connection broke.
        """
        data = await self._mapped(lambda: self._stream.read(_READ))
        return data or b""

    async def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            TransportError: The connection broke.
        """
        await self._mapped(lambda: self._stream.write(data))

    async def aclose(self) -> None:
        """Close the connection; takes 2 s at most, also when cancelled. It may be called twice."""
        with move_on_after(_CLOSING, shield=True):
            try:
                await self._answer.stream.aclose()  # type: ignore[union-attr]  # an asynchronous one
            except Exception as exc:
                if not _is_foreign(exc):
                    raise

    async def _mapped(self, call: Callable[[], Awaitable[T]]) -> T:
        failure: TransportError
        try:
            return await call()
        except Exception as exc:
            if not _is_foreign(exc):
                raise
            failure = TransportError(
                f"the connection to {self._url} broke: {type(exc).__name__}",
                method="GET",
                url=self._url,
                reason="the connection broke",
            )
        # Raised here: as context the error would bring foreign buffers.
        try:
            raise failure
        finally:
            del failure


def _is_foreign(error: Exception) -> bool:
    # httpcore's own errors come through unmapped here; it may not even be imported.
    return isinstance(error, FOREIGN) or type(error).__module__.partition(".")[0] == "httpcore"
