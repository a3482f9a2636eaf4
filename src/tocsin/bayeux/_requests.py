"""Writes our messages, each with an id of its own. Bayeux 1.0, sections Handshake to Delivery. No I/O."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from tocsin.bayeux._messages import encode
from tocsin.bayeux._outputs import Kind, Send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.bayeux._settings import SessionSettings

__all__ = ["Requests"]

VERSION = "1.0"


class Requests:
    """Makes exchanges. Ids never begin again, so that a late reply of an old session matches nothing."""

    __slots__ = ("_ids", "_settings")

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._ids = count(1)

    def handshake(self, link: int, connection_types: Sequence[str]) -> Send:
        """A handshake goes alone: a server must ignore, and some refuse, what comes with it.

        Args:
            link: The transport.
            connection_types: What can be spoken on it.
        """
        ask = _milliseconds(self._settings.ask)
        message: dict[str, Any] = {
            "channel": "/meta/handshake",
            "version": VERSION,
            "minimumVersion": VERSION,
            "supportedConnectionTypes": list(connection_types),
            "advice": {"timeout": ask, "interval": 0},
        }
        ext: dict[str, Any] = {"ack": True}
        if self._settings.handshake_ext is not None:
            ext |= self._settings.handshake_ext()
        message["ext"] = ext
        return self._command(Kind.HANDSHAKE, link, [message])

    def connect(
        self,
        link: int,
        client_id: str,
        connection_type: str,
        *,
        ask: float,
        grace: float,
        acked: int | None = None,
    ) -> Send:
        """A connect goes alone too: some servers do not hold one that has company.

        Args:
            link: The transport.
            client_id: The session.
            connection_type: What was agreed on.
            ask: Seconds that the server is asked to hold it; 0 for an answer at once.
            grace: Seconds that the server holds it longer than it is asked to, as it has shown.
            acked: The last batch that was taken in, where the server keeps batches until then.
        """
        allowance = self._settings.allowance
        message = self._message(
            channel="/meta/connect",
            clientId=client_id,
            connectionType=connection_type,
            advice={"timeout": _milliseconds(ask)},
            **({} if acked is None else {"ext": {"ack": acked}}),
        )
        return Send(
            kind=Kind.CONNECT,
            link=link,
            messages=encode([message]),
            ids=(message["id"],),
            held=ask,
            silence=self._settings.liveness if ask else allowance,
            total=ask + grace + allowance,
        )

    def subscriptions(
        self, link: int, client_id: str, *, subscribe: Sequence[str], unsubscribe: Sequence[str]
    ) -> Send:
        """One message a channel, because an array of channels is refused whole; all in one request."""
        messages: list[Mapping[str, Any]] = [
            {"channel": channel, "clientId": client_id, "subscription": name}
            for channel, names in (("/meta/unsubscribe", unsubscribe), ("/meta/subscribe", subscribe))
            for name in names
        ]
        return self._command(Kind.COMMAND, link, messages)

    def disconnect(self, link: int, client_id: str) -> Send:
        """The end of a session. It may take no longer than closing may."""
        message = {"channel": "/meta/disconnect", "clientId": client_id}
        limit = self._settings.close_timeout
        return replace(self._command(Kind.COMMAND, link, [message], limit=limit), last=True)

    def _command(
        self, kind: Kind, link: int, messages: Sequence[Mapping[str, Any]], *, limit: float | None = None
    ) -> Send:
        numbered = [self._message(**message) for message in messages]
        limit = min(limit or self._settings.allowance, self._settings.allowance)
        return Send(
            kind=kind,
            link=link,
            messages=encode(numbered),
            ids=tuple(message["id"] for message in numbered),
            held=None,
            silence=limit,
            total=limit,
        )

    def _message(self, **fields: Any) -> dict[str, Any]:
        """Ids are strings: CometD's Java server refuses others."""
        return {"id": str(next(self._ids)), **fields}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
