"""Objects as the platforms send them: declared fields typed, everything else kept as it came.

A page is cut into the bytes of its rows once; each row is validated when it is wanted, declared fields only.
The bytes stay with the object: what tocsin does not know is never lost, and parsed only when asked for.

A row that is spelled as its model declares it is validated by msgspec, and what pydantic keeps in an object
is laid out when it is first looked at. Nothing can go wrong then: the values are there already.

No platform is known here, and no I/O is done.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

import pydantic_core
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from tocsin._cut import CutPage, cut_object, cut_page, excerpt, parse_object
from tocsin._rows import REFUSED, RowReader, spellings
from tocsin._times import parse_time, write_time
from tocsin.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from pydantic import GetCoreSchemaHandler, SerializationInfo, SerializerFunctionWrapHandler
    from pydantic_core import CoreSchema

__all__ = [
    "CutPage",
    "WireModel",
    "cut_object",
    "cut_page",
    "excerpt",
    "id_of",
    "parse_object",
    "parse_time",
    "time_of",
    "write_time",
]

T = TypeVar("T")

_OURS: Final = frozenset({"_raw", "_wire", "_row"})
_LATER: Final = frozenset({"__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"})
_get_dict: Final = BaseModel.__dict__["__dict__"].__get__
_set_dict: Final = BaseModel.__dict__["__dict__"].__set__


@lru_cache(maxsize=128)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class WireModel(BaseModel):
    """A frozen object of a platform: declared fields are typed, the rest is kept raw.

    A value that a declared field cannot take becomes None there and stays readable by its wire name,
    ``model["severity"]``. Equality compares the whole content, the hash is taken over type and id.

    Attributes:
        id: The platform's id; a number on the wire becomes text.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        validate_by_name=True,
        validate_by_alias=True,
        coerce_numbers_to_str=True,
        serialize_by_alias=False,
    )
    # A slot, not a PrivateAttr: pydantic leaves it alone, and private attributes cost a quarter of the whole.
    __slots__ = ("_raw", "_row", "_wire")
    if TYPE_CHECKING:
        _raw: bytes | None
        _row: Any  # what msgspec read, until it is laid out as pydantic keeps it; then None
        _wire: dict[str, Any] | None

    _spellings: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {}
    )  # wire name → all of that field
    _silent: ClassVar[frozenset[str]] = frozenset()  # wire names that are neither fields nor fragments
    # A subclass may validate in ways that msgspec does not know, so each class says for itself.
    _is_plain: ClassVar[bool] = False  # nothing but declared fields, no validators
    _reader: ClassVar[RowReader | None] = None

    id: str = Field(min_length=1)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        known: dict[str, tuple[str, ...]] = {}
        for name, field in cls.model_fields.items():
            names = spellings(name, field)
            known |= dict.fromkeys(names, names)
        cls._spellings = MappingProxyType(known)
        cls._reader = RowReader(cls.model_fields) if cls.__dict__.get("_is_plain") else None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As a part of somebody else's model, keep the fragments too."""
        schema = handler(source)
        if "__pydantic_core_schema__" not in cls.__dict__:  # its own: nothing in the way of a page
            return schema
        return pydantic_core.core_schema.no_info_wrap_validator_function(cls._adopt, schema)

    @classmethod
    def _adopt(cls, value: Any, handler: Callable[[Any], Self]) -> Self:
        known = handler(value)
        if isinstance(value, dict) and getattr(known, "_raw", None) is None:
            rest = {k: v for k, v in value.items() if k not in cls.model_fields and k not in cls._spellings}
            wire = {**pydantic_core.from_json(known.raw), **rest}
            object.__setattr__(known, "_raw", pydantic_core.to_json(wire, inf_nan_mode="constants"))
        return known

    @classmethod
    def model_validate(cls, obj: Any, **settings: Any) -> Self:
        """Validate as pydantic does, strictly, and keep the fragments. `from_wire` forgives odd values."""
        return cls._adopt(obj, lambda value: super(WireModel, cls).model_validate(value, **settings))

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **settings: Any) -> Self:
        """Validate as pydantic does, strictly, and keep the JSON as `raw`. `from_raw` forgives odd values."""
        self = super().model_validate_json(json_data, **settings)
        raw = json_data.encode() if isinstance(json_data, str) else bytes(json_data)
        object.__setattr__(self, "_raw", raw)
        return self

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """Read one object from its JSON.

        Args:
            raw: The bytes as they came. They are kept.

        Raises:
            ProtocolError: It is not a JSON object, or has no usable id.
        """
        reader = cls._reader
        if reader is None:
            return cls._from_odd(raw)
        try:
            row = reader.decode(raw)
        except REFUSED:
            return cls._from_odd(raw)
        self = cls.__new__(cls)
        _set_row(self, row)
        _set_raw(self, raw)
        return self

    @classmethod
    def _from_odd(cls, raw: bytes) -> Self:
        """Read one object as pydantic does, which may mean to mend it."""
        try:
            self = cls.__pydantic_validator__.validate_json(raw, by_alias=True, by_name=False)
        except ValidationError:
            self = cls._salvage(raw)
        _set_raw(self, raw)
        return self  # type: ignore[no-any-return]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read one object from parsed JSON with the platform's own names.

        Args:
            wire: The object.

        Raises:
            ProtocolError: It has no usable id.
        """
        return cls.from_raw(pydantic_core.to_json(wire, inf_nan_mode="constants"))

    @classmethod
    def _salvage(cls, raw: bytes) -> Self:
        """Read an object of which some fields are not what they should be: mend them, or leave them out."""
        noun = cls.__name__.lower()
        wire = parse_object(raw, what=noun)
        fields = {name: value for name, value in wire.items() if name in cls._spellings}
        mended: set[str] = set()
        dropped: set[str] = set()
        while True:
            try:
                return cls.__pydantic_validator__.validate_python(  # type: ignore[no-any-return]
                    fields, by_alias=True, by_name=False
                )
            except ValidationError as error:
                wrong = {str(item["loc"][0]): item["type"] for item in error.errors(include_input=False)}
            # A field that takes neither what was mended nor nothing is one that a subclass insists on.
            unusable = [n for n in wrong if n == "id" or n in dropped or n not in cls._spellings]
            if unusable:
                raise ProtocolError(f"the {noun} has no usable {unusable[0]}", detail=excerpt(raw))
            for name, kind in wrong.items():
                values = [fields.pop(spelling, None) for spelling in cls._spellings[name]]
                if name in mended:
                    dropped.add(name)
                else:
                    value = next((value for value in values if value is not None), None)
                    fields[name] = cls._mend(name, value, kind)
                    mended.add(name)

    @classmethod
    def _mend(cls, name: str, value: Any, kind: str) -> Any:  # noqa: ARG003 - subclasses look at it
        """Return what a field may take instead of `value`, which it refused with pydantic's error `kind`."""
        if not isinstance(value, str) or not kind.startswith(("datetime", "timezone")):
            return None
        try:
            return parse_time(value)
        except ValueError:
            return None

    if not TYPE_CHECKING:
        # What pydantic keeps in an object is laid out when somebody asks for the first of it. A type checker
        # would take these for a promise that any name is there.

        def __getattr__(self, name: str) -> Any:
            if name in _OURS:
                raise AttributeError(name)
            row = getattr(self, "_row", None)
            # Another thread may have laid it out since the name was looked for.
            values = _get_dict(self) if row is None else self._lay_out(row)
            if name in values:
                return values[name]
            if name in _LATER and hasattr(self, "_row"):
                value = self._names_set() if name == "__pydantic_fields_set__" else None
                object.__setattr__(self, name, value)
                return value
            return super().__getattr__(name)

        @property
        def __dict__(self) -> dict[str, Any]:
            row = getattr(self, "_row", None)
            return _get_dict(self) if row is None else self._lay_out(row)

        @__dict__.setter
        def __dict__(self, values: dict[str, Any]) -> None:
            _set_dict(self, values)

    def _lay_out(self, row: Any) -> dict[str, Any]:
        """Put what msgspec read where pydantic looks for it. It raises nothing: no attribute may."""
        reader: Any = self._reader
        raw: Any = self._raw
        values: dict[str, Any] = reader.values(row)
        if reader.is_rounded(values, raw):  # everything else here cuts such times off
            with suppress(ProtocolError):
                values = type(self)._from_odd(raw).__dict__
        _set_dict(self, values)
        _set_row(self, None)
        return values

    def _names_set(self) -> set[str]:
        sent = self._read().keys()
        fields = type(self).model_fields.items()
        return {name for name, field in fields if not sent.isdisjoint(spellings(name, field))}

    @property
    def raw(self) -> bytes:
        """The object's JSON, exactly as it came."""
        raw = getattr(self, "_raw", None)
        if raw is None:  # built in Python, not read
            raw = self.__pydantic_serializer__.to_json(self, by_alias=True, exclude_unset=True)
            object.__setattr__(self, "_raw", raw)
        return raw

    def _read(self) -> dict[str, Any]:
        """The object with its wire names, parsed once, when first asked for."""
        wire = getattr(self, "_wire", None)
        if wire is None:
            wire = parse_object(self.raw, what=type(self).__name__.lower())
            object.__setattr__(self, "_wire", wire)
        return wire

    @property
    def fragments(self) -> Mapping[str, Any]:
        """What the platform sent beside the declared fields, by its wire name. Read it, do not change it."""
        known = self._spellings.keys() | self._silent
        return MappingProxyType({name: value for name, value in self._read().items() if name not in known})

    def fragment(self, name: str, kind: type[T]) -> T:
        """Read a fragment as a type.

        Args:
            name: Its wire name.
            kind: Anything that pydantic can validate: a model, a dataclass, a TypedDict, ``list[int]``.

        Raises:
            KeyError: There is no such fragment.
            ProtocolError: It is there, but is not of that type.
        """
        value = self._read()[name]
        try:
            return _adapter(kind).validate_python(value)  # type: ignore[no-any-return, arg-type]
        except ValidationError as error:
            noun = type(self).__name__.lower()
            raise ProtocolError(
                f"{name!r} of {noun} {self.id} is not a {getattr(kind, '__name__', kind)}",
                detail=excerpt(str(error).encode()),
            ) from error

    def __getitem__(self, name: str) -> Any:
        """A value by its wire name, declared or not, as JSON has it. KeyError if it is not there."""
        return self._read()[name]

    def __contains__(self, name: object) -> bool:
        return name in self._read()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WireModel) or type(other) is not type(self):
            return NotImplemented
        return self.raw == other.raw or self._read() == other._read()

    def __hash__(self) -> int:
        return hash((type(self), self.id))

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "raw": self.raw}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        raw = state.pop("raw")
        super().__setstate__(state)
        object.__setattr__(self, "_raw", raw)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        object.__setattr__(copied, "_raw", self.raw)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        object.__setattr__(copied, "_raw", self.raw)
        return copied

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the object, changing some of it.

        Args:
            update: New values by field name; any other name is a fragment. They are read as if the platform
                had sent them, and `raw` of the copy has them too.
            deep: Kept for pydantic's sake.
        """
        if not update:
            return super().model_copy(deep=deep)
        wire = dict(self._read())
        for name, value in update.items():
            field = type(self).model_fields.get(name)
            spelling = (field.serialization_alias if field else None) or name
            for other in self._spellings.get(spelling, ()):
                wire.pop(other, None)
            wire[spelling] = value
        return self.from_wire(wire)

    @model_serializer(mode="wrap")
    def _serialise(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Add what is not declared, so that a dump loses nothing unless it names what to include."""
        data: dict[str, Any] = handler(self)
        if info.include is not None or getattr(self, "_raw", None) is None:
            return data
        known, left_out = self._spellings, info.exclude or ()
        for name, value in self._read().items():
            if name not in known and name not in left_out:
                data.setdefault(name, value)
        return data


_set_raw: Final = WireModel.__dict__["_raw"].__set__
_set_row: Final = WireModel.__dict__["_row"].__set__


def id_of(model: WireModel) -> str:
    """The id of an object, without laying the object out for it."""
    row = getattr(model, "_row", None)
    return model.id if row is None else row.id


def time_of(model: WireModel, name: str) -> datetime | None:
    """A time of an object, to the microsecond or so, without laying the object out for it."""
    row = getattr(model, "_row", None)
    return getattr(model if row is None else row, name)  # type: ignore[no-any-return]
