"""The audit records of one alarm, page by page.

Source: Cumulocity OpenAPI "core", "Audits"; reference 2.12. The `history` inside alarms is empty today.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tocsin._http._pages import Batch
from tocsin._http._paging import Seen
from tocsin.cumulocity._paging import Position
from tocsin.cumulocity._service import needing
from tocsin.cumulocity._window import read_rows
from tocsin.cumulocity.models import AuditRecord
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from tocsin._http._core import HttpCore
    from tocsin.cumulocity._paging import Ask
    from tocsin.cumulocity._window import Window

__all__ = ["AuditWalk"]

_PATH: Final = "/audit/auditRecords"


class AuditWalk:
    """One pass over the records of an alarm, newest first. It is a `Walk`.

    New records arrive at the top meanwhile and push the others on: those that came before are dropped.

    Args:
        core: Sends the requests.
        alarm_id: Whose records.
        page_size: Rows of a page, 1 to 2000.
    """

    noun = "audit records"

    def __init__(self, core: HttpCore, alarm_id: str, *, page_size: int) -> None:
        self._core = core
        self._query = (("source", alarm_id),)
        self._position = Position(page_size, frozenset({"source"}))
        self._seen = Seen()
        self._fresh = 0

    @property
    def more(self) -> bool:
        """Whether another request is due."""
        return self._position.more

    def asks(self, most: int) -> list[Ask]:  # noqa: ARG002 - records of one alarm fill few pages
        """The request that is due."""
        return [self._position.ask()]

    async def read(self, ask: Ask, *, early: bool) -> Batch:  # noqa: ARG002 - none is
        """Send the request that is due."""
        query = (*self._query, *ask.extra)
        size, page = ask.size, ask.page
        with needing("ROLE_AUDIT_READ"):
            window = await read_rows(self._core, _PATH, "auditRecords", query, page_size=size, page=page)
        return Batch(window.rows, window.statistics, (ask, window), not window.more)

    def accept(self, batch: Batch, *, early: bool) -> bool:  # noqa: ARG002 - none is
        """Move on past a batch; False if it does not join the rows before it and another read is due."""
        ask: Ask
        window: Window
        ask, window = batch.context
        fresh, self._fresh = self._fresh, 0
        return self._position.accept(
            ask, window, fresh=fresh, joins=lambda: any(map(self._knows, batch.rows))
        )

    def take(self, raw: bytes) -> AuditRecord | None:
        """Make a record of a row; None if it was given before."""
        record = AuditRecord.from_raw(raw)
        fresh = self._seen.add(record.id)
        self._fresh += fresh
        return record if fresh else None

    def _knows(self, raw: bytes) -> bool:
        try:
            return AuditRecord.from_raw(raw).id in self._seen
        except ProtocolError:
            return False  # told when its turn comes
