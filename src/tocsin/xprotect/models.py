"""Alarms as XProtect sends them: states, priorities, categories, and what stands behind an alarm.

Source: Milestone's Alarms, Events and Configuration REST APIs; reference `xprotect.md` 2 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import AliasChoices, AwareDatetime, ConfigDict, Field

from tocsin._brief import brief
from tocsin._wire import WireModel
from tocsin.models import Level, Phase
from tocsin.xprotect._guids import guid
from tocsin.xprotect._ranks import mended_rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

__all__ = [
    "Alarm",
    "AlarmCategory",
    "AlarmDefinition",
    "AlarmHistory",
    "AlarmPriority",
    "AlarmState",
    "AlarmStatistics",
    "Camera",
    "CloseReason",
    "Event",
    "EventType",
    "Rank",
]

LEVELS: Final = {1: Level.CRITICAL, 2: Level.MAJOR, 3: Level.MINOR}
"""Levels of priorities in the words of all platforms."""
PHASES: Final = {1: Phase.ACTIVE, 4: Phase.ACKNOWLEDGED, 9: Phase.ACKNOWLEDGED, 11: Phase.CLEARED}
"""Levels of states in the words of all platforms. Sites may have more of them, which have no word."""


@dataclass(frozen=True, slots=True)
class Rank:
    """One entry of a list that a site can change: its ids and names differ from site to site.

    Attributes:
        id: Its id, a GUID; empty if the platform did not tell it.
        level: The number that means the same on every site; None if it has none.
        name: What this site calls it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore", coerce_numbers_to_str=True, validate_by_name=False, validate_by_alias=True
    )

    id: str
    level: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AlarmState(Rank):
    """Where an alarm stands: level 1 is new, 4 in progress, 9 on hold, 11 closed; sites may add others."""


@dataclass(frozen=True, slots=True)
class AlarmPriority(Rank):
    """How serious an alarm is: level 1 is the highest, 3 the lowest of those that every site has."""


@dataclass(frozen=True, slots=True)
class AlarmCategory(Rank):
    """What kind of alarm it is, in the words of the site."""


@dataclass(frozen=True, slots=True)
class CloseReason(Rank):
    """Why an alarm was closed, in the words of the site."""


_RANKS: Final = frozenset({"state", "priority", "category"})


class Alarm(WireModel):
    """An alarm of XProtect, frozen.

    Every field but `id` may be missing on the wire and is None then, as is one whose value cannot be read;
    ``alarm["priority"]`` gives what was sent, `raw` the whole of it, `fragments` what is not listed here.

    Attributes:
        local_id: The short number that operators see.
        name: What the alarm is called.
        message: What it says beside that.
        source: Where it came from as the platform writes it, ``cameras/<guid>``; see `source_id`.
        time: When it was triggered, by the server's clock.
        last_updated: When it was last changed.
        state: Where it stands.
        priority: How serious it is.
        category: What kind it is.
        tag: The site's own mark.
        legacy_type: The text that older versions had for the type of the event.
    """

    _is_plain: ClassVar[bool] = True
    _silent: ClassVar[frozenset[str]] = frozenset({"assignedTo", "cameraId", "data"})

    local_id: int | None = Field(default=None, alias="localId")
    name: str | None = None
    message: str | None = None
    source: str | None = None
    time: AwareDatetime | None = None
    last_updated: AwareDatetime | None = Field(default=None, alias="lastUpdatedTime")
    state: AlarmState | None = None
    priority: AlarmPriority | None = None
    category: AlarmCategory | None = None
    tag: str | None = None
    legacy_type: str | None = Field(default=None, alias="legacyType")

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What tells alarms apart; the whole is in `raw` and `model_dump`."""
        yield from brief(self, ("id", "local_id", "source_id"))
        for name in ("priority", "state"):
            rank = getattr(self, name)
            if rank is not None:
                yield name, rank.name or rank.level
        yield from brief(self, ("time", "text"))

    @property
    def text(self) -> str | None:
        """The message, or the name if there is none."""
        return self.message or self.name

    @property
    def level(self) -> Level | None:
        """The priority in the words of all platforms; None if it is missing or one of the site's own."""
        return None if self.priority is None else LEVELS.get(self.priority.level or 0)

    @property
    def phase(self) -> Phase | None:
        """The state in the words of all platforms; None if it is missing or one of the site's own."""
        return None if self.state is None else PHASES.get(self.state.level or 0)

    @property
    def source_id(self) -> str | None:
        """The GUID of the camera or whatever else it came from, in lower case; None if there is none."""
        return guid(self.source) or self.camera_id

    @property
    def camera_id(self) -> str | None:
        """The GUID of its camera, in lower case; None if there is none."""
        return guid(self._read().get("cameraId"))

    @property
    def assigned_to(self) -> str | None:
        """Who takes care of it, as the platform shows the name; None if nobody does."""
        assigned = self._read().get("assignedTo")
        name = assigned.get("displayName") if isinstance(assigned, dict) else assigned
        return name if isinstance(name, str) and name else None

    @property
    def data(self) -> Mapping[str, Any] | None:
        """Its metadata, such as ``rules`` and ``objects``; None unless asked for, as `get` does."""
        data = self._read().get("data")
        return data if isinstance(data, dict) else None

    @classmethod
    def _mend(cls, name: str, value: Any, kind: str) -> Any:
        if name not in _RANKS:
            return super()._mend(name, value, kind)
        return mended_rank(value)


@dataclass(frozen=True, slots=True)
class AlarmHistory:
    """One entry of what was done to an alarm. Each but `wire` may be None.

    Attributes:
        time: When; aware.
        author: Who did it.
        text: The comment.
        state: The state that it was given, its name or level as the platform tells it.
        priority: The priority that it was given, likewise.
        assigned_to: Who was given it.
        wire: The entry as it came.
    """

    time: datetime | None
    author: str | None
    text: str | None
    state: str | None
    priority: str | None
    assigned_to: str | None
    wire: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AlarmStatistics:
    """How many alarms there are.

    Attributes:
        states: By the level of their state.
        priorities: By the level of their priority.
        wire: The answer as it came.
    """

    states: Mapping[int, int]
    priorities: Mapping[int, int]
    wire: Any = field(repr=False)


class _Item(WireModel):
    """Something that a site has configured.

    Attributes:
        name: Its name.
        display_name: The name that people see.
        description: What the site says of it.
        last_modified: When it was last changed.
    """

    name: str | None = None
    display_name: str | None = Field(default=None, alias="displayName")
    description: str | None = None
    last_modified: AwareDatetime | None = Field(default=None, alias="lastModified")

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What tells them apart; the whole is in `raw` and `model_dump`."""
        return brief(self, ("id", "name"))


class Camera(_Item):
    """A camera. Every field but `id` may be missing and is None then.

    Attributes:
        enabled: Whether it is in use.
        channel: Its number on its hardware.
    """

    enabled: bool | None = None
    channel: int | None = None

    @property
    def path(self) -> str:
        """Its path, ``cameras/<guid>``, as sources are written."""
        return f"cameras/{guid(self.id)}"


class EventType(_Item):
    """A type of events. Every field but `id` may be missing and is None then.

    Attributes:
        generator_type: What makes such events; users may trigger those of ``External`` and ``MIPDevice``.
        generator_subtype: More of that; ``Generic`` ones cannot be triggered by users.
        generator_name: The name of what makes them.
        generator_group_name: The name of the group that it belongs to.
        built_in: Whether it came with the platform.
        occurs_globally: Whether such events need no source.
        state: The state that such an event brings about, if its type has states.
        state_group_id: The group of states that exclude each other.
    """

    generator_type: str | None = Field(default=None, alias="generatorType")
    generator_subtype: str | None = Field(default=None, alias="generatorSubtype")
    generator_name: str | None = Field(default=None, alias="generatorName")
    generator_group_name: str | None = Field(default=None, alias="generatorGroupName")
    built_in: bool | None = Field(default=None, alias="builtIn")
    occurs_globally: bool | None = Field(default=None, alias="occursGlobally")
    state: str | None = None
    state_group_id: str | None = Field(default=None, alias="stateGroupId")


class AlarmDefinition(_Item):
    """What makes alarms of events. Every field but `id` may be missing and is None then.

    Attributes:
        enabled: Whether it is in use.
        event_type: The GUID of the type of events.
        event_type_group: The GUID of the group that this belongs to.
        sources: The paths of what the events come from.
        related_cameras: The paths of the cameras that are shown with such alarms.
        owner: Who is given them.
        priority: The GUID of their priority.
        category: The GUID of their category.
    """

    enabled: bool | None = None
    event_type: str | None = Field(default=None, alias="eventType")
    event_type_group: str | None = Field(default=None, alias="eventTypeGroup")
    sources: tuple[str, ...] | None = Field(default=None, alias="sourceList")
    related_cameras: tuple[str, ...] | None = Field(default=None, alias="relatedCameraList")
    owner: str | None = None
    priority: str | None = None
    category: str | None = None


class Event(WireModel):
    """An event, from the Events REST API or the WebSocket, frozen.

    Every field but `id` may be missing on the wire and is None then.

    Attributes:
        local_id: The short number that operators see.
        type: The GUID of its type.
        source: What it came from, ``cameras/<guid>``; see `source_id`.
        time: When it happened; aware.
        spec_version: The version of CloudEvents that it is written by.
        data_type: What kind of data it carries.
        state_group_id: The group of states that it belongs to, if it brings one about.
    """

    _is_plain: ClassVar[bool] = True
    _silent: ClassVar[frozenset[str]] = frozenset({"data"})

    local_id: int | None = Field(default=None, alias="localId")
    type: str | None = None
    source: str | None = None
    time: AwareDatetime | None = None
    # The WebSocket writes these in lower case, the Events REST API in camel case.
    spec_version: str | None = Field(
        default=None,
        validation_alias=AliasChoices("specversion", "specVersion"),
        serialization_alias="specversion",
    )
    data_type: str | None = Field(
        default=None, validation_alias=AliasChoices("datatype", "dataType"), serialization_alias="datatype"
    )
    state_group_id: str | None = Field(
        default=None,
        validation_alias=AliasChoices("stategroupid", "stateGroupId"),
        serialization_alias="stategroupid",
    )

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """What tells events apart; the whole is in `raw` and `model_dump`."""
        return brief(self, ("id", "type", "source", "time"))

    @property
    def source_id(self) -> str | None:
        """The GUID of what it came from, in lower case; None if there is none."""
        return guid(self.source)

    @property
    def data(self) -> Any:
        """What it carries, as JSON has it; None if nothing, or if it was not asked for."""
        return self._read().get("data")
