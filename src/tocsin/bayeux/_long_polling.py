"""Long polling over HTTP. Bayeux 1.0, section long-polling Request and Response Messages."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from anyio import current_time

from tocsin._http._request import Request, Timeouts
from tocsin.bayeux._failures import unanswered, unwelcome
from tocsin.bayeux._transport import Reply
from tocsin.errors import RequestTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tocsin._http._session import HttpSession

__all__ = ["LongPolling"]

_CONNECT = 10.0


class LongPolling:
    """One Bayeux session's HTTP: POSTs to one address, with cookies and two connections of its own.

    Args:
        open_session: Makes the HTTP session; called at the first exchange.
        path: The path below the base URL.
        max_bytes: Cap on one answer, decompressed.
    """

    name = "long-polling"

    def __init__(
        self, open_session: Callable[[], HttpSession], path: str, *, max_bytes: int | None = None
    ) -> None:
        self._open_session = open_session
        self._path = path
        self._max_bytes = max_bytes
        self._http: HttpSession | None = None
        self._stack = AsyncExitStack()

    async def exchange(self, messages: bytes, *, held: float | None, silence: float, total: float) -> Reply:
        """Send messages and wait for the answer; see `Transport.exchange`."""
        if self._http is None:
            # The handshake goes alone, so that nobody else can be here.
            http = self._open_session()
            await self._stack.enter_async_context(http)
            self._http = http
        heard = _Heard(current_time())
        try:
            response = await self._http.send(
                self._request(messages, silence, total),
                on_bytes=heard,
                refusal=lambda answer: unwelcome(answer.body),
            )
        except RequestTimeoutError as exc:
            if held and heard.any and current_time() - heard.since < silence:
                raise unanswered(total, alive=True) from exc
            raise
        return Reply(response.body, response.date)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._stack.aclose()

    def _request(self, messages: bytes, silence: float, total: float) -> Request:
        return Request(
            "POST",
            self._path,
            body=messages,
            idempotent=False,
            timeouts=Timeouts(
                connect=min(_CONNECT, total), read=silence, write=min(silence, total), pool=total, total=total
            ),
            max_bytes=self._max_bytes,
        )


class _Heard:
    """Notes when a byte last came."""

    __slots__ = ("any", "since")

    def __init__(self, since: float) -> None:
        self.any = False
        self.since = since

    def __call__(self, _length: int) -> None:
        self.any = True
        self.since = current_time()
