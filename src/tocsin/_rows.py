"""Rows read by msgspec at the speed of C, as long as they are spelled as models declare them.

A `RowReader` is made from a pydantic model: what it accepts, pydantic reads to the same values. Whatever is
odd (a time without a zone, a number for a text, NaN, a second spelling of a name) it refuses, and pydantic
and the rules of `WireModel` have the word.

No platform is known here, and no I/O is done.
"""

from __future__ import annotations

import dataclasses
import re
import types
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import asdict
from pydantic import AliasChoices, AwareDatetime
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["REFUSED", "RowReader", "spellings"]

REFUSED: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""What `RowReader.decode` raises for a row that is not for it."""

_has_long_fraction: Final = re.compile(rb"\.[0-9]{7,}[-+Zz]").search


class RowReader:
    """Reads the rows of one model.

    Args:
        fields: The model's.

    Raises:
        TypeError: It has a field of a kind that is not known here.

    Attributes:
        decode: Makes a struct of a row's bytes; raises `REFUSED` if it is odd in any way. All of the row is
            checked to be JSON.
    """

    __slots__ = ("_others", "_parts", "_times", "decode")

    def __init__(self, fields: Mapping[str, FieldInfo]) -> None:
        self._parts: list[tuple[str, Callable[..., Any], Callable[[Any], tuple[Any, ...]]]] = []
        self._others: list[str] = []
        self._times: list[str] = []
        members: list[tuple[str, Any, Any]] = []
        for name, field in fields.items():
            first, *others = spellings(name, field)
            members.append((name, self._kind(name, field), _member(first, required=field.is_required())))
            for other in others:  # takes null and nothing else: which one counts is for pydantic
                self._others.append(f"{name}_{len(self._others)}")
                members.append((self._others[-1], None, _member(other)))
        row = msgspec.defstruct("Row", members, kw_only=True, gc=False)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(row).decode

    def values(self, row: Any) -> dict[str, Any]:
        """The model's values by field name, of what `decode` made."""
        values = asdict(row)
        for name in self._others:
            del values[name]
        for name, make, taken in self._parts:
            part = values[name]
            if part is not None:
                values[name] = make(*taken(part))
        return values

    def is_rounded(self, values: dict[str, Any], raw: bytes) -> bool:
        """Whether a time among the values may have been finer than a microsecond, which msgspec rounds.

        One that it rounded up to a whole millisecond passes for that: half a microsecond is not worth a
        search in every row.
        """
        for name in self._times:
            time = values[name]
            if time is not None and time.microsecond % 1000:
                return _has_long_fraction(raw) is not None
        return False

    def _kind(self, name: str, field: FieldInfo) -> Any:
        """The type that msgspec is to read a field as."""
        kind, optional = _without_none(field.annotation)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            kind = self._part(name, kind)
        else:
            if kind is AwareDatetime:
                self._times.append(name)
            kind = _plain(kind)
        for limit in field.metadata:
            least = getattr(limit, "min_length", None)
            if least is None:
                raise TypeError(f"{name} is limited by {limit!r}")
            kind = Annotated[kind, msgspec.Meta(min_length=least)]
        return kind | None if optional else kind

    def _part(self, name: str, kind: type) -> Any:
        """A dataclass in a field: a struct of its own, of which `values` makes the dataclass."""
        hints = get_type_hints(kind, include_extras=True)
        members: list[tuple[str, Any, Any]] = []
        for field in dataclasses.fields(kind):
            said = FieldInfo.from_annotation(hints[field.name])
            plain, optional = _without_none(said.annotation)
            required = field.default is dataclasses.MISSING
            first = spellings(field.name, said)[0]
            members.append(
                (
                    field.name,
                    _plain(plain) | None if optional else _plain(plain),
                    _member(first, required=required),
                )
            )
        self._parts.append((name, kind, attrgetter(*[member[0] for member in members])))
        return msgspec.defstruct(kind.__name__, members, kw_only=True, gc=False)


def spellings(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The wire names of a field, the one that counts first."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return tuple(choice for choice in choices if isinstance(choice, str))


def _member(wire: str, *, required: bool = False) -> Any:
    return msgspec.field(name=wire) if required else msgspec.field(name=wire, default=None)


def _without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) not in (types.UnionType, Union):
        return kind, False
    left = [one for one in get_args(kind) if one is not types.NoneType]
    if len(left) != 1 or len(get_args(kind)) != 2:
        raise TypeError(f"no single kind: {kind!r}")
    return left[0], True


def _plain(kind: Any) -> Any:
    if kind is AwareDatetime:
        return Annotated[datetime, msgspec.Meta(tz=True)]
    if kind in (str, int) or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return kind
    raise TypeError(f"unknown here: {kind!r}")
