"""The commands and their options. What a command does is loaded when it is called."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tocsin._version import __version__
from tocsin.cli._options import Connection, JsonLines, Platform, Profile, Scope, Transport, bundled
from tocsin.cli._run import DONE, MISUSED, complain, run
from tocsin.cli._text import plain
from tocsin.models import Level, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "call"]

# typer carries a click of its own or uses the one installed; its error classes are found through this one.
_WRONG_USE: Final[type[Any]] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="tocsin",
    help="Alarms from the command line: follow, list, raise, acknowledge and clear them; try `tocsin demo`.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Status = Annotated[list[Phase] | None, typer.Option(case_sensitive=False, help="Again for several.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID...", help="Ids of alarms; or give a filter for many.")
]
Yes = Annotated[bool, typer.Option("--yes", help="With a filter: do it; without it they are only counted.")]


def call(arguments: Sequence[str]) -> int:
    """Run the command line.

    Args:
        arguments: What stands after the program's name.

    Returns:
        The exit code.
    """
    if not arguments:
        app(["--help"], standalone_mode=False)
        return MISUSED
    try:
        result = app(list(arguments), standalone_mode=False)
    except _WRONG_USE as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context else "tocsin"
        message = plain(error.format_message(), 500).rstrip(".").replace(": Value error, ", ": ")
        complain(f"{message}; see {name} --help")
        return MISUSED
    except (typer.Abort, KeyboardInterrupt):
        return DONE
    except typer.Exit as stop:
        return int(stop.exit_code)
    except SystemExit:  # typer's answer to a pipe that nobody reads, and ours to a signal
        return DONE
    return result if isinstance(result, int) else DONE


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tocsin {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Alarms from the command line."""


@app.command()
@bundled
def watch(
    connection: Connection,
    scope: Scope,
    transport: Annotated[Transport, typer.Option(help="How changes come.")] = Transport.AUTO,
    subscriber: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With notification2: the platform keeps for it what you miss."),
    ] = None,
    snapshot: Annotated[bool, typer.Option("--snapshot/--no-snapshot", help="Open alarms first.")] = True,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Keep trying when the first connection fails.")
    ] = True,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Go on from this file, and keep there what was shown."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Follow all sources of this TOML file; see docs/cli.md."),
    ] = None,
    jsonl: JsonLines = False,
) -> int:
    """Follow every change until interrupted."""
    from tocsin.cli import _watch

    if config is not None:
        given = (connection, scope, transport, subscriber, checkpoint)
        if given != (Connection(), Scope(), Transport.AUTO, None, None):
            complain("--config says what is followed: of the other options only --snapshot, --wait, --jsonl")
            return MISUSED
        from tocsin.cli._many import watch_config

        return run(lambda output: watch_config(config, output, snapshot=snapshot, wait=wait, jsonl=jsonl))
    return run(
        lambda output: _watch.watch(
            connection,
            scope,
            output,
            transport=transport,
            subscriber=subscriber,
            snapshot=snapshot,
            wait=wait,
            checkpoint=checkpoint,
            jsonl=jsonl,
        )
    )


@app.command()
@bundled
def unsubscribe(
    connection: Connection,
    scope: Scope,
    subscriber: Annotated[str, typer.Argument(metavar="NAME", help="As given to watch --subscriber.")],
) -> int:
    """End a durable consumer and drop what waits for it."""
    from tocsin.cli import _watch

    return run(lambda output: _watch.unsubscribe(connection, scope, output, subscriber))


@app.command(name="list")
@bundled
def list_(
    connection: Connection,
    scope: Scope,
    status: Status = None,
    limit: Annotated[int | None, typer.Option(min=1, help="No more than this many.")] = None,
    jsonl: JsonLines = False,
) -> int:
    """List alarms, newest first."""
    from tocsin.cli import _commands

    return run(
        lambda output: _commands.list_alarms(
            connection, scope, output, status=status, limit=limit, jsonl=jsonl
        )
    )


@app.command()
@bundled
def count(connection: Connection, scope: Scope, status: Status = None, jsonl: JsonLines = False) -> int:
    """Count alarms."""
    from tocsin.cli import _commands

    return run(lambda output: _commands.count_alarms(connection, scope, output, status=status, jsonl=jsonl))


@app.command(name="raise")
@bundled
def raise_(
    connection: Connection,
    source: Annotated[str, typer.Option(metavar="ID", help="The device or camera it belongs to.")],
    type: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(help="What kind of alarm; per device there is one open of a kind. XProtect: its name."),
    ],
    text: Annotated[str, typer.Option(help="What it says.")],
    severity: Annotated[
        Level | None,
        typer.Option(case_sensitive=False, help="How serious it is; by default MAJOR, or the site's own."),
    ] = None,
    jsonl: JsonLines = False,
) -> int:
    """Raise an alarm."""
    from tocsin.cli import _commands

    return run(
        lambda output: _commands.raise_alarm(
            connection, output, source=source, kind=type, text=text, level=severity, jsonl=jsonl
        )
    )


@app.command()
@bundled
def ack(
    connection: Connection, scope: Scope, ids: Ids = None, yes: Yes = False, jsonl: JsonLines = False
) -> int:
    """Acknowledge alarms by their IDs, or all that match."""
    return _change("acknowledge", connection, scope, ids, sure=yes, jsonl=jsonl)


@app.command()
@bundled
def clear(
    connection: Connection, scope: Scope, ids: Ids = None, yes: Yes = False, jsonl: JsonLines = False
) -> int:
    """Clear alarms by their IDs, or all that match."""
    return _change("clear", connection, scope, ids, sure=yes, jsonl=jsonl)


@app.command()
@bundled
def history(
    connection: Connection,
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="Id of an alarm.")],
    jsonl: JsonLines = False,
) -> int:
    """Show who did what to an alarm, newest first."""
    from tocsin.cli import _history

    return run(lambda output: _history.show_history(connection, alarm_id, output, jsonl=jsonl))


@app.command()
@bundled
def doctor(
    connection: Connection,
    source: Annotated[
        str | None,
        typer.Option(metavar="ID", help="A device or camera to follow, and with --write to test on."),
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Raise a test alarm on --source, change it, clear and (Cumulocity) delete it."
        ),
    ] = False,
    hold: Annotated[
        float, typer.Option(min=1, max=600, help="Seconds to wait for heartbeats in a held poll.")
    ] = 20.0,
    mask: Annotated[bool, typer.Option("--mask", help="Leave out tenant, user, host and device.")] = False,
    jsonl: JsonLines = False,
) -> int:
    """Ask a tenant or site what its documents leave open."""
    from tocsin.cli import _doctor

    return run(
        lambda output: _doctor.doctor(
            connection, output, source=source, write=write, hold=hold, mask=mask, jsonl=jsonl
        )
    )


@app.command()
def emulator(
    platform: Annotated[Platform, typer.Option(help="What to serve.")] = Platform.CUMULOCITY,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8111,
    tenant: Annotated[str, typer.Option(help="Cumulocity: its only tenant.")] = "t1",
    user: Annotated[str, typer.Option(help="Its only user.")] = "demo",
    password: Annotated[str, typer.Option(help="The user's password.")] = "demo",  # noqa: S107 - a toy's
    profile: Annotated[Profile, typer.Option(help="Cumulocity: today's, or the old one.")] = Profile.CURRENT,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines reach it.")
    ] = False,
    control: Annotated[
        bool,
        typer.Option("--control", help="Take orders for faults over HTTP; a token is printed on stderr."),
    ] = False,
) -> int:
    """Serve an in-memory Cumulocity or XProtect on this machine."""
    try:
        from tocsin.cli import _emulate
    except ModuleNotFoundError as error:
        return _without(error)
    address = _emulate.Address(host=host, port=port, allow_remote=allow_remote, control=control)
    served = _emulate.Platform(
        name=platform.value, tenant=tenant, user=user, password=password, profile=profile.value
    )
    return run(lambda output: _emulate.emulate(output, address, served), needs_reader=False)


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="About how long it takes.")] = 20.0,
    sweep: Annotated[
        bool, typer.Option("--sweep/--no-sweep", help="Recovery reads, or what happens without them.")
    ] = True,
    jsonl: JsonLines = False,
) -> int:
    """Alarms live through a network cut, on this machine."""
    try:
        from tocsin.cli import _demo
    except ModuleNotFoundError as error:
        return _without(error)
    return run(lambda output: _demo.demo(output, seconds=seconds, sweep=sweep, jsonl=jsonl))


def _change(
    verb: str, connection: Connection, scope: Scope, ids: list[str] | None, *, sure: bool, jsonl: bool
) -> int:
    from tocsin.cli import _bulk, _commands

    if not ids:
        return run(
            lambda output: _bulk.change_matching(connection, scope, output, verb=verb, sure=sure, jsonl=jsonl)
        )
    if scope != Scope():
        complain("either IDs or a filter, not both: it would not be clear which alarms are meant")
        return MISUSED
    return run(lambda output: _commands.change_alarms(connection, ids, output, verb=verb, jsonl=jsonl))


def _without(error: ModuleNotFoundError) -> int:
    """Say in one sentence which extra brings a missing library."""
    if error.name is None or error.name.startswith("tocsin"):
        raise error
    complain(f"this needs {error.name.split('.')[0]}: pip install 'tocsin[all]'")
    return MISUSED
