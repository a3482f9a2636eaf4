"""The options that several commands share, and how a command takes a bundle of them."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from functools import wraps
from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from tocsin.models import Level  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connection", "JsonLines", "Login", "Platform", "Profile", "Scope", "Transport", "bundled"]

R = TypeVar("R")


class Platform(StrEnum):
    """What stands at the other end."""

    CUMULOCITY = "cumulocity"
    XPROTECT = "xprotect"


class Login(StrEnum):
    """How to get in."""

    BASIC = "basic"
    OAUTH = "oauth"
    CERTIFICATE = "certificate"
    WINDOWS = "windows"


class Transport(StrEnum):
    """How changes come."""

    AUTO = "auto"
    WEBSOCKET = "websocket"
    LONG_POLLING = "long-polling"
    POLLING = "polling"
    NOTIFICATION2 = "notification2"


class Profile(StrEnum):
    """Which platform the emulator is."""

    CURRENT = "current"
    SEED = "seed"


_SHOWN = "Shows in the process list: prefer the file or the environment."

JsonLines = Annotated[
    bool, typer.Option("--jsonl", help="One JSON object a line on stdout, and nothing else.")
]


@dataclass(frozen=True, kw_only=True, repr=False)
class Connection:
    """Where the platform is and who asks."""

    platform: Annotated[Platform, typer.Option(help="The kind of platform.")] = Platform.CUMULOCITY
    url: Annotated[
        str | None,
        typer.Option(help="Base URL, such as https://acme.example.com. Or set C8Y_BASEURL, or XPROTECT_URL."),
    ] = None
    tenant: Annotated[str | None, typer.Option(help="Tenant id, such as t07007007. Or set C8Y_TENANT.")] = (
        None
    )
    user: Annotated[
        str | None, typer.Option(help="User name, without the tenant. Or set C8Y_USER, or XPROTECT_USER.")
    ] = None
    password_file: Annotated[
        Path | None,
        typer.Option(
            help="File whose first line is the password; - is stdin. Or set C8Y_ or XPROTECT_PASSWORD."
        ),
    ] = None
    password: Annotated[str | None, typer.Option(help=_SHOWN)] = None
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds a bearer token; - is stdin. Or set C8Y_TOKEN.")
    ] = None
    token: Annotated[str | None, typer.Option(help=_SHOWN)] = None
    auth: Annotated[
        Login | None,
        typer.Option(
            help="The password with each request, or once for a token (oauth), or a device's certificate. "
            "By default: a token if there is one, or else basic. XProtect: basic or windows, by default as "
            "the user's name has a backslash; or set XPROTECT_AUTH."
        ),
    ] = None
    tfa_code: Annotated[
        str | None,
        typer.Option(metavar="CODE|ask", help="The second factor; `ask`: on the terminal, each time."),
    ] = None
    cert: Annotated[
        Path | None, typer.Option(help="PEM file: a device's certificate, then those above it.")
    ] = None
    key: Annotated[Path | None, typer.Option(help="PEM file with its key, if that is a file of its own.")] = (
        None
    )
    ca: Annotated[
        Path | None, typer.Option(help="PEM file with the certificates to trust in place of the system's.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which alarms."""

    source: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only of this device; again for several.")
    ] = None
    children: Annotated[bool, typer.Option("--children", help="With --source: its child devices too.")] = (
        False
    )
    severity: Annotated[list[Level] | None, typer.Option(case_sensitive=False, help="Again for several.")] = (
        None
    )
    type: Annotated[list[str] | None, typer.Option(help="Only of this type; again for several.")] = None


def bundled(command: Callable[..., R]) -> Callable[..., R]:
    """Lets typer see the fields of a command's option bundles as options of the command itself.

    A parameter whose type is a dataclass of this module is replaced by that dataclass's fields.
    """
    hints = get_type_hints(command, include_extras=True)
    shown: list[inspect.Parameter] = []
    bundles: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if kind in (Connection, Scope):
            options = _parameters(kind)
            bundles[parameter.name] = (kind, [option.name for option in options])
            shown += options
        else:
            shown.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def call(**given: Any) -> R:
        made = {
            name: kind(**{option: given.pop(option) for option in options})
            for name, (kind, options) in bundles.items()
        }
        return command(**made, **given)

    call.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    del call.__wrapped__  # typer must not look behind it
    return call


def _parameters(bundle: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(bundle, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[field.name],
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
        )
        for field in fields(bundle)
    ]
