"""`--config FILE`: several sources from one TOML file. Each mistake is one sentence that names its place."""

from __future__ import annotations

import stat
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from tocsin.cli._options import Connection, Login, Platform, Scope, Transport
from tocsin.errors import ConfigurationError
from tocsin.models import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Secret", "SourceConfig", "read_config"]

W = TypeVar("W", bound=StrEnum)

_LARGEST: Final = 1_000_000
"""Bytes of a file; nobody writes more by hand."""
_SECRET_KINDS: Final = ("password", "token")
_WAYS: Final = ("_env", "_file", "_command", "")
_SECRETS: Final = tuple(f"{kind}{way}" for kind in _SECRET_KINDS for way in _WAYS)
_COMMON: Final = ("platform", "url", "user", *_SECRETS, "auth", "ca", "source", "severity", "transport")
_KEYS: Final = {
    Platform.CUMULOCITY: {*_COMMON, "tenant", "children", "type", "subscriber"},
    Platform.XPROTECT: {*_COMMON},
}
_AUTHS: Final = {
    Platform.CUMULOCITY: (Login.BASIC, Login.OAUTH),
    Platform.XPROTECT: (Login.BASIC, Login.WINDOWS),
}
_TOP: Final = {"sources", "allow_plaintext"}


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a password or token is found.

    Attributes:
        kind: ``password`` or ``token``.
        way: How: ``_env``, ``_file``, ``_command``, or nothing for plain text.
        value: The variable's name, the path, the command with its arguments, or the secret itself.
    """

    kind: str
    way: str
    value: Any

    def __repr__(self) -> str:
        return f"<{self.kind}{self.way}>"


@dataclass(frozen=True, slots=True)
class SourceConfig:
    """One source of the file.

    Attributes:
        name: What its alarms are marked with.
        place: The file and the source, for messages.
        connection: Where it is, without its secret.
        scope: Which alarms.
        transport: How changes come.
        subscriber: The name of a durable consumer.
        secret: Where its secret is; None: it has none.
    """

    name: str
    place: str
    connection: Connection
    scope: Scope
    transport: Transport
    subscriber: str | None
    secret: Secret | None


def read_config(path: Path) -> list[SourceConfig]:
    """Read all sources of a file. No secret but plain text is read here.

    Raises:
        ConfigurationError: It cannot be read, or something in it makes no sense.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ConfigurationError(f"{path} is no configuration: it is too large")
        content = tomllib.loads(text.decode())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not text in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from None
    return _File(path, content, mode).sources()


class _File:
    """A file's content, to be checked."""

    def __init__(self, path: Path, content: dict[str, Any], mode: int) -> None:
        self._path = path
        self._content = content
        self._mode = mode

    def sources(self) -> list[SourceConfig]:
        """Give all sources."""
        for key in self._content.keys() - _TOP:
            self._wrong(key, f"is unknown; a source is a table such as [sources.{_bare(key)}]")
        if not isinstance(self._content.get("allow_plaintext", False), bool):
            self._wrong("allow_plaintext", "must be true or false")
        sources = self._content.get("sources")
        if not isinstance(sources, dict) or not sources:
            self._wrong("sources", "is missing: write at least one table such as [sources.north]")
        return [self._source(name, table) for name, table in sources.items()]

    def _source(self, name: str, table: object) -> SourceConfig:
        place = f"{self._path}: source {name!r}"
        if not name.strip():
            raise ConfigurationError(f"{place} needs a name, which its alarms are marked with")
        if not isinstance(table, dict):
            raise ConfigurationError(f"{place} must be a table: [sources.{_bare(name)}]")
        taken = _Table(place, table)
        platform = taken.word("platform", Platform) or Platform.CUMULOCITY
        for key in sorted(table.keys() - _KEYS[platform]):
            elsewhere = any(key in keys for keys in _KEYS.values())
            taken.wrong(key, f"is nothing that {platform} has" if elsewhere else "is unknown")
        connection = self._connection(taken, platform)
        scope = Scope(
            source=taken.texts("source"),
            children=taken.flag("children"),
            severity=taken.words("severity", Level),
            type=taken.texts("type"),
        )
        transport = taken.word("transport", Transport) or Transport.AUTO
        secret = self._secret(taken, connection)
        return SourceConfig(name, place, connection, scope, transport, taken.text("subscriber"), secret)

    def _connection(self, taken: _Table, platform: Platform) -> Connection:
        url = taken.text("url")
        if url is None:
            taken.wrong("url", "is missing")
        auth = taken.word("auth", Login)
        known = _AUTHS[platform]
        if auth is not None and auth not in known:
            taken.wrong("auth", f"must be {known[0]} or {known[1]} with {platform}")
        user, tenant, ca = taken.text("user"), taken.text("tenant"), self._file(taken, "ca")
        return Connection(platform=platform, url=url, tenant=tenant, user=user, auth=auth, ca=ca)

    def _secret(self, taken: _Table, connection: Connection) -> Secret | None:
        given = [(kind, way) for kind in _SECRET_KINDS for way in _WAYS if taken.has(f"{kind}{way}")]
        if not given:
            if connection.user is None and connection.platform is Platform.XPROTECT:
                taken.wrong("user", "is missing: nothing can be read there without a log-in")
            if connection.user is not None:
                taken.wrong("password_env", "is missing, as are password_file and password_command")
            return None
        kind, way = given[0]
        key = f"{kind}{way}"
        if len(given) > 1:
            taken.wrong(key, f"and {''.join(given[1])!r} exclude each other")
        if kind == "password" and connection.user is None:
            taken.wrong("user", f"is missing: whose is the {key}?")
        if kind == "token" and connection.auth is not None:
            taken.wrong("auth", f"does not go with {key}")
        if way == "_command":
            return Secret(kind, way, taken.command(key))
        if way == "_file":
            return Secret(kind, way, self._file(taken, key))
        if way == "":
            self._check_plaintext(taken, key)
        return Secret(kind, way, taken.text(key, secret=way == ""))

    def _check_plaintext(self, taken: _Table, key: str) -> None:
        instead = f"use {key}_env, {key}_file or {key}_command"
        if self._content.get("allow_plaintext") is not True:
            taken.wrong(
                key, f"is a secret in plain text: {instead}, or set allow_plaintext = true at the top"
            )
        if self._mode & 0o077:
            taken.wrong(
                key, f"is a secret in a file that others may read: chmod 600 {self._path}, or {instead}"
            )

    def _file(self, taken: _Table, key: str) -> Path | None:
        """A path as the file says it, seen from where the file is."""
        text = taken.text(key)
        if text is None:
            return None
        path = self._path.parent / Path(text).expanduser()
        if not path.is_file():
            taken.wrong(key, f"names {text}, and there is no such file")
        return path

    def _wrong(self, key: str, why: str) -> NoReturn:
        raise ConfigurationError(f"{self._path}: {key!r} {why}")


class _Table:
    """One source's keys, read with their types."""

    def __init__(self, place: str, table: Mapping[str, Any]) -> None:
        self._place = place
        self._table = table

    def wrong(self, key: str, why: str) -> NoReturn:
        """Refuse a key."""
        raise ConfigurationError(f"{self._place}: {key!r} {why}")

    def has(self, key: str) -> bool:
        """Whether it is there."""
        return key in self._table

    def text(self, key: str, *, secret: bool = False) -> str | None:
        """A text that is not empty; None if the key is not there."""
        value = self._table.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            self.wrong(key, "must be a text" if secret else f"must be a text, not {value!r:.60}")
        return value

    def texts(self, key: str) -> list[str] | None:
        """One text or a list of them."""
        value = self._table.get(key)
        if value is None:
            return None
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(one, str) and one.strip() for one in values):
            self.wrong(key, f"must be a text or a list of texts, not {value!r:.60}")
        return values

    def command(self, key: str) -> list[str]:
        """A command with its arguments: a list, for no shell takes it apart."""
        value = self._table[key]
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            self.wrong(key, 'must be a list, such as ["pass", "show", "north"]: no shell runs it')
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            self.wrong(key, f"must be true or false, not {value!r:.60}")
        return value

    def word(self, key: str, kind: type[W]) -> W | None:
        """One of some words."""
        value = self.text(key)
        return None if value is None else self._known(key, kind, value)

    def words(self, key: str, kind: type[W]) -> list[W] | None:
        """One or several of some words."""
        values = self.texts(key)
        return None if values is None else [self._known(key, kind, value) for value in values]

    def _known(self, key: str, kind: type[W], value: str) -> W:
        found = next((word for word in kind if word.value.lower() == value.lower()), None)
        if found is None:
            self.wrong(key, f"is {value!r:.60}, and must be one of {', '.join(kind)}")
        return found


def _bare(name: str) -> str:
    """A key as TOML writes it."""
    plain = all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    return name if plain and name else f'"{name}"'
