"""Alarms as a platform writes them: about 800 bytes of JSON, all standard fields and two fragments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["alarm", "page", "touch"]

_ALARM = (
    '{"self":"https://t1.example.com/alarm/alarms/%(id)d","id":"%(id)d","type":"acme_DoorForced",'
    '"time":"2026-11-21T10:15:%(second)02d.123+02:00","creationTime":"2026-11-21T08:15:%(second)02d.456Z",'
    '"lastUpdated":"2026-11-21T08:%(minute)02d:%(second)02d.789Z","text":"Door %(id)d of the north wing was '
    'opened by force","source":{"self":"https://t1.example.com/inventory/managedObjects/4711","id":"4711",'
    '"name":"North wing, ground floor"},"status":"%(status)s","severity":"MAJOR","count":1,'
    '"firstOccurrenceTime":"2026-11-21T10:15:00.123+02:00","history":{"self":"https://t1.example.com/alarm/'
    'alarms/%(id)d/history","auditRecords":[]},"acme_Door":{"wing":"north","floor":0,"number":%(id)d,'
    '"reader":"R-17","lastBadge":"0049-1213-77","held":false},"c8y_Position":{"lat":52.5200066,'
    '"lng":13.404954,"alt":67.5,"trackingProtocol":"TELIC","reportReason":"Time Event"}}'
)


def alarm(number: int, status: str = "ACTIVE", minute: int = 15) -> bytes:
    """One alarm; a later minute makes a later state of it."""
    return (_ALARM % {"id": number, "second": number % 60, "status": status, "minute": minute}).encode()


def page(rows: list[bytes], number: int, size: int, *, more: bool) -> bytes:
    """A page as REST answers it."""
    url = "https://t1.example.com/alarm/alarms?pageSize=%d&currentPage=%d"
    link = b',"next":"%s"' % (url % (size, number + 1)).encode() if more else b""
    head = b'{"self":"%s"%s' % ((url % (size, number)).encode(), link)
    return b'%s,"alarms":[%s],"statistics":{"currentPage":%d,"pageSize":%d}}' % (
        head,
        b",".join(rows),
        number,
        size,
    )


def touch(alarm: Any) -> object:
    """Read six fields, one of them a time."""
    return alarm.id, alarm.severity, alarm.status, alarm.time, alarm.source.id, alarm.text
