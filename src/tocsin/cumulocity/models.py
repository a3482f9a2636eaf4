"""Alarms as Cumulocity sends them: severities, states, sources, and the outcome of raising one.

Source: Cumulocity OpenAPI "core", "Alarms"; the older reference guide where it differs; captures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from pydantic import AliasChoices, AwareDatetime, ConfigDict, Field

from tocsin._brief import brief
from tocsin._wire import WireModel
from tocsin.models import Level, Phase

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Alarm",
    "AlarmResource",
    "AuditChange",
    "AuditRecord",
    "Created",
    "Outcome",
    "ProcessingMode",
    "Severity",
    "Source",
    "Status",
    "Upserted",
]


class _Word(StrEnum):
    """A word of the platform: read in any case; one that we do not know is kept as it came.

    An unknown word is a new member each time and not listed in the class: compare with ``==``, never ``is``.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        known = cls._member_map_.get(value.upper())
        if known is not None:
            return known  # type: ignore[return-value]
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member

    @property
    def is_known(self) -> bool:
        """Whether it is one of the words that Cumulocity documents."""
        return self._name_ in type(self)._member_map_


class Severity(_Word):
    """How serious an alarm is."""

    CRITICAL = "CRITICAL"
    MAJOR = "MAJOR"
    MINOR = "MINOR"
    WARNING = "WARNING"


class Status(_Word):
    """Where an alarm stands. `ACTIVE` and `ACKNOWLEDGED` are open; only a `CLEARED` one is raised anew."""

    ACTIVE = "ACTIVE"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLEARED = "CLEARED"


class ProcessingMode(StrEnum):
    """What the platform does with a write (the header ``X-Cumulocity-Processing-Mode``)."""

    PERSISTENT = "PERSISTENT"
    """Store it, and notify whoever follows. It is what happens without the header."""
    TRANSIENT = "TRANSIENT"
    """Hand it to the stream processing only: nothing is stored."""
    QUIESCENT = "QUIESCENT"
    """Store it and notify nobody. A change stream finds it by its next sweep."""
    CEP = "CEP"
    """As TRANSIENT, and notify nobody."""


@dataclass(frozen=True, slots=True)
class Source:
    """The device or asset that an alarm belongs to.

    Attributes:
        id: Its id in the inventory.
        name: Its name; the platform leaves it out in some replies.
        self_: Its URL, whose host may be an internal one. Do not follow it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, validate_by_name=False, validate_by_alias=True
    )

    id: str
    name: str | None = None
    self_: Annotated[str | None, Field(alias="self")] = None


_LEVELS: Final = {level.value: level for level in Level}
_PHASES: Final = {phase.value: phase for phase in Phase}


class Alarm(WireModel):
    """An alarm of Cumulocity, frozen.

    Every field but `id` may be missing on the wire and is None then, as is one whose value cannot be read;
    ``alarm["severity"]`` gives what was sent, `raw` the whole of it, `fragments` what is not listed here.

    Attributes:
        self_: Its URL, whose host may be an internal one. Do not follow it.
        type: What kind of alarm it is. Per source there is one open alarm of a type.
        time: When it happened by the device's clock, with the device's offset. A repeat moves it.
        creation_time: When the platform stored it, by its own clock.
        last_updated: When it was last changed there; platforms before 10.11 do not say.
        text: What it says.
        source: The device or asset it belongs to.
        status: Where it stands; an unknown word is kept.
        severity: How serious it is; an unknown word is kept.
        count: How often it was raised while open.
        first_occurrence_time: `time` of the first raise; told only once `count` is above 1.
    """

    _is_plain: ClassVar[bool] = True
    _silent: ClassVar[frozenset[str]] = frozenset({"history", "severityOrdinal", "statusOrdinal"})

    self_: str | None = Field(default=None, alias="self")
    type: str | None = None
    time: AwareDatetime | None = None
    creation_time: AwareDatetime | None = Field(default=None, alias="creationTime")
    last_updated: AwareDatetime | None = Field(default=None, alias="lastUpdated")
    text: str | None = None
    source: Source | None = None
    status: Status | None = None
    severity: Severity | None = None
    count: int | None = None
    # The reference guide spells it with one r, the wire with two.
    first_occurrence_time: AwareDatetime | None = Field(
        default=None,
        validation_alias=AliasChoices("firstOccurrenceTime", "firstOccurenceTime"),
        serialization_alias="firstOccurrenceTime",
    )

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What tells alarms apart; the whole is in `raw` and `model_dump`."""
        return brief(self, ("id", "type", "source_id", "severity", "status", "time", "count", "text"))

    @property
    def level(self) -> Level | None:
        """The severity in the words of all platforms; None if it is missing or unknown."""
        return None if self.severity is None else _LEVELS.get(self.severity)

    @property
    def phase(self) -> Phase | None:
        """The status in the words of all platforms; None if it is missing or unknown."""
        return None if self.status is None else _PHASES.get(self.status)

    @property
    def source_id(self) -> str | None:
        """The id of the device or asset; None if it is missing."""
        return None if self.source is None else self.source.id

    @property
    def history(self) -> Mapping[str, Any] | None:
        """The list of changes that old platforms sent along; today it is empty or missing."""
        history = self._read().get("history")
        return history if isinstance(history, dict) else None

    @classmethod
    def _mend(cls, name: str, value: Any, kind: str) -> Any:
        if name != "source":
            return super()._mend(name, value, kind)
        identity = value.get("id") if isinstance(value, dict) else value
        if isinstance(identity, bool) or not isinstance(identity, (str, int)):
            return None
        return {"id": str(identity)}


class Outcome(StrEnum):
    """What the platform made of a raised alarm."""

    CREATED = "created"
    """It is a new alarm."""
    REPEATED = "repeated"
    """An alarm of that source and type was open: it was counted up, nothing else of the request was taken."""
    UPDATED = "updated"
    """An alarm of that source and type was open and has taken what an upsert sent."""
    SUPPRESSED = "suppressed"
    """The source is in maintenance: nothing was stored."""


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to raising an alarm.

    Attributes:
        outcome: What the platform made of it.
        alarm: The alarm as it stands now. None if it was suppressed, or if the platform told only its id and
            it may not be read.
        id: The alarm's id; None if it was suppressed or not told.
        ignored: What was asked for and not taken because the alarm was open already, by wire name: an
            escalated ``severity`` is among them. Use `update` to change it.
    """

    outcome: Outcome
    alarm: Alarm | None
    id: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Upserted:
    """The answer to an upsert.

    Attributes:
        outcome: `CREATED`, `UPDATED` or `SUPPRESSED`; where the platform has no upsert, `CREATED`, `REPEATED`
            or `SUPPRESSED`.
        alarm: The alarm as it stands now. None if it was suppressed, or if only its id was told.
        previous: The alarm as it stood before; None if there was none, or if `posted`.
        posted: The platform has no upsert (it came in 2026), so the alarm was raised by a POST. If one was
            open (`REPEATED`), that counted it up, moved its `time`, and took nothing else.
        id: The alarm's id; None if it was suppressed or not told.
        ignored: What a POST was asked for and the platform did not take, by wire name; see `Created.ignored`.
    """

    outcome: Outcome
    alarm: Alarm | None
    previous: Alarm | None = None
    posted: bool = False
    id: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AlarmResource:
    """What the platform says of its alarm API (``GET /alarm``).

    The addresses are the platform's own; their host may be an internal one. tocsin does not follow them.

    Attributes:
        self_: The address of the API.
        alarms: The address of the collection.
        templates: URI templates of filtered collections, such as
            ``…/alarm/alarms?source={source}&status={status}`` under ``alarmsForSourceAndStatus``.
    """

    self_: str | None
    alarms: str | None
    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AuditChange:
    """One field that a write changed.

    Attributes:
        attribute: The field's wire name.
        previous: Its value before, as JSON has it.
        new: Its value after.
        type: What the platform calls the type of the value, a Java class.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore", validate_by_name=False, validate_by_alias=True
    )

    attribute: str
    previous: Annotated[Any, Field(alias="previousValue")] = None
    new: Annotated[Any, Field(alias="newValue")] = None
    type: str | None = None


class AuditRecord(WireModel):
    """Who did what to an alarm, frozen. Every field but `id` may be missing and is None then.

    Attributes:
        self_: Its URL, whose host may be an internal one. Do not follow it.
        type: ``Alarm``; older platforms say more.
        time: When it was done.
        creation_time: When the platform stored the record.
        activity: What was done, such as ``Alarm created``.
        text: The same in more words.
        user: Who did it.
        application: With which application; empty if it was not told.
        severity: The platform's own mark, in any case.
        source: The alarm; its `id` is the alarm's.
        changes: What changed; empty where the alarm was created.
    """

    self_: str | None = Field(default=None, alias="self")
    type: str | None = None
    time: AwareDatetime | None = None
    creation_time: AwareDatetime | None = Field(default=None, alias="creationTime")
    activity: str | None = None
    text: str | None = None
    user: str | None = None
    application: str | None = None
    severity: str | None = None
    source: Source | None = None
    changes: tuple[AuditChange, ...] = ()

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What tells records apart; the whole is in `raw` and `model_dump`."""
        return brief(self, ("id", "time", "user", "activity", "text"))

    @classmethod
    def _mend(cls, name: str, value: Any, kind: str) -> Any:
        if name != "changes":
            return super()._mend(name, value, kind)
        rows = value if isinstance(value, list) else [value]
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("attribute"), str)]
