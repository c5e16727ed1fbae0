"""Commands typed at a prompt, or piped in, one a line.

Rule: nothing that is typed ends the shell but `exit` and the end of input: not what cannot be run,
not a lost connection, and Ctrl-C ends one command.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import Any, BinaryIO, Callable, Iterable, Iterator, List, Optional

import click

from application.commands import Auth, Info
from domain.errors import KvError, Unauthenticated
from entrypoints import streams
from entrypoints.client.arguments import COMMAND_LINES
from entrypoints.client.command_line import syntax_of
from entrypoints.client.keys import keys_command
from entrypoints.client.output import NOTHING_THERE, NoConnection, Refused, page
from entrypoints.client.reconnecting import Reconnecting
from entrypoints.client.table import CommandTable, grouped, summary
from entrypoints.client.target import Target
from entrypoints.client.values import is_utf8, without_mark
from entrypoints.client.words import State, commands_in, numbered_commands, scan, words
from entrypoints.param_type import Choice
from entrypoints.wording import counted

PROGRAMS = ("bench", "completion", "export", "import", "monitor")
"""What `kv` does as a program of its own, and the shell does not."""


class Leave(Exception):
    """The shell is to end."""


class Table(CommandTable):
    """The commands, with the words of the shell itself."""

    def resolve_command(self, ctx: click.Context, args: List[str]) -> Any:
        """See `CommandTable`; `?` is help, `GET --help` is `help GET`, and the name of a program is
        answered with it."""
        name = args[0].lower()
        if name in PROGRAMS:
            ctx.fail(f"{name} is a program: run kv {name} outside this shell.")
        if args[1:] in (["-h"], ["--help"]):
            return super().resolve_command(ctx, ["help", args[0]])
        return super().resolve_command(ctx, [_SHORT.get(name, args[0]), *args[1:]])


_SHORT = {"?": "help", "quit": "exit", "q": "exit", "\\q": "exit", ":q": "exit"}


@click.command("help")
@click.argument("command", default="")
@click.pass_context
def help_command(ctx: click.Context, command: str) -> None:
    """List the commands, or explain one."""
    if not command:
        page(_overview())
        return
    _, found, _ = TABLE.resolve_command(ctx, [command])
    assert found is not None
    settings = {**found.context_settings, "terminal_width": streams.help_width()}
    with click.Context(found, info_name=found.name, obj=ctx.obj, **settings) as explained:
        page(found.get_help(explained).splitlines())


@click.command("timing")
@click.argument("state", type=Choice(["on", "off"]), required=False, metavar="on|off")
@click.pass_obj
def timing_command(target: Target, state: Optional[str]) -> None:
    """Show after each command how long the server took, or stop it."""
    target.timing = not target.timing if state is None else state == "on"
    click.echo(f"timing is {'on' if target.timing else 'off'}", err=True)


@click.command("clear")
def clear_command() -> None:
    """Clear the screen."""
    click.clear()


@click.command("exit")
def exit_command() -> None:
    """Leave the shell; Ctrl-D does too."""
    raise Leave


TABLE = Table(
    "",
    commands=[
        *COMMAND_LINES,
        keys_command,
        help_command,
        timing_command,
        clear_command,
        exit_command,
    ],
    add_help_option=False,
)


def run_line(line: str, target: Target) -> int:
    """Run the command on one line, and return its exit code; raises what click raises when it
    cannot be run."""
    if not is_utf8(line):
        raise click.UsageError("the line is not UTF-8")
    for word in scan(line):
        if word.state is not State.CLOSED and line[word.start] in "'\"":
            raise click.UsageError(
                f"the quote before {line[word.start + 1 : word.end]!r:.100} is not closed"
            )
    typed = words(line)
    return TABLE.main(typed, prog_name="", obj=target, standalone_mode=False) or 0 if typed else 0


def run_pipe(lines: BinaryIO, target: Target) -> int:
    """Run a command a line; tells what failed by line number, goes on, and returns the worst exit
    code by `_SEVERITY`.

    A value that goes on has several lines.
    """
    worst = 0
    try:
        for number, command in numbered_commands(_text(lines)):
            code = _run_from_pipe(number, command, target)
            worst = max(worst, code, key=_SEVERITY.index)
            if code == NoConnection.exit_code:
                break
    except Leave:
        pass
    except ValueError as error:
        click.echo(f"stopped: {error}", err=True)
        worst = max(worst, click.UsageError.exit_code, key=_SEVERITY.index)
    return worst


_SEVERITY = (
    0,
    NOTHING_THERE,
    Refused.exit_code,
    click.UsageError.exit_code,
    NoConnection.exit_code,
)
"""The exit codes of commands in a pipe: the last of these that there was is that of all."""


def _run_from_pipe(number: int, command: str, target: Target) -> int:
    with _timed(target):
        try:
            return run_line(command, target)
        except click.ClickException as error:
            click.echo(f"line {number}: {error.format_message()}", err=True)
            return error.exit_code


@contextmanager
def _timed(target: Target) -> Iterator[None]:
    """Tell, after a command that asked the server, how long that took, where timing is on."""
    target.seconds = 0.0
    yield
    if target.timing and target.seconds:
        click.echo(streams.styled(f"{target.seconds * 1000:.2f} ms", dim=True), err=True)


def _text(lines: Iterable[bytes]) -> Iterator[str]:
    """The lines as text, bytes that are not UTF-8 as surrogates; raises `ValueError` for the byte
    order mark of another encoding."""
    for number, line in enumerate(lines, 1):
        line = without_mark(line, "the input") if number == 1 else line
        yield line.decode("utf-8", "surrogateescape")


def run_prompt(target: Target) -> None:
    """Run what is typed at a prompt until the end of input, or `exit`."""
    from entrypoints.client.prompt import Prompt

    reconnecting = Reconnecting(target.executor, lambda notice: click.echo(notice, err=True))
    target.executor = reconnecting
    target.style = target.style._replace(at_prompt=True)
    prompt = Prompt(target, TABLE, lambda: reconnecting.is_lost)
    try:
        _greet(target, reconnecting)
        for text in prompt.texts():
            for command in commands_in(text):
                _run_at_prompt(command, target, prompt.ask_password)
    except Leave:
        pass


def _greet(target: Target, reconnecting: Reconnecting) -> None:
    """One line that says where one is; a server that does not answer at once costs a second."""
    from entrypoints.version import version

    ours = version()
    parts = [f"kv {ours}"]
    connection = target.connect(timeout=GREETING_PATIENCE, connect_timeout=GREETING_PATIENCE)
    try:
        report = connection.execute(Info())
        server = getattr(report.server, "version", ours)
        parts += [f"server {server}"] if server != ours else []
        parts.append(counted(report.keyspace.keys))
    except Unauthenticated:
        parts.append("the server asks for a password (type auth)")
    except KvError as error:
        reconnecting.is_lost = True
        parts.append(str(error))
    except KeyboardInterrupt:
        reconnecting.is_lost = True
    finally:
        connection.close()
    width = shutil.get_terminal_size().columns
    said = click.wrap_text(", ".join(parts) + "; help, exit", width)
    click.echo(streams.styled(said, dim=True), err=True)


GREETING_PATIENCE = 1.0
"""Seconds."""


def _run_at_prompt(line: str, target: Target, ask_password: Callable[[], Optional[str]]) -> None:
    with _timed(target):
        try:
            if [word.lower() for word in words(line)] == ["auth"]:
                _log_in(target, ask_password())
            else:
                run_line(line, target)
        except click.ClickException as error:
            _explain(error)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
        except streams.PipeClosed:
            pass


def _log_in(target: Target, password: Optional[str]) -> None:
    if password is not None:
        context = click.Context(TABLE.commands["AUTH"])
        target.run(Auth(password), context)


def _explain(error: click.ClickException) -> None:
    """What was wrong, and how the command is typed when it was not understood."""
    _say(("" if isinstance(error, Refused) else "error: ") + error.format_message())
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and context.command is not TABLE:
        command = context.command
        _say(f"usage: {command.name} {syntax_of(command)}".rstrip())


def _say(text: str) -> None:
    """A text on standard error, its first word in red, wrapped between words."""
    first, _, rest = click.wrap_text(text, streams.help_width()).partition(" ")
    click.echo(f"{streams.styled(first, fg='red', bold=True)} {rest}", err=True)


def _overview() -> List[str]:
    """The commands in groups, with what is typed after each and what it does, as lines."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table as Columns
    from rich.text import Text

    from entrypoints.client.palette import console

    screen = console()
    is_wide = screen.width >= 70
    parts: List[Any] = []
    for title, names in grouped(TABLE.commands):
        columns = Columns.grid(padding=(0, 2, 0, 0))
        columns.add_column(width=min(40, screen.width // 2) if is_wide else None)
        for name in names:
            command = TABLE.commands[name]
            typed = Text.assemble((name, "kv.command"), f" {syntax_of(command)}")
            if is_wide:
                columns.add_row(typed, summary(command))
            else:
                columns.add_row(typed)
                columns.add_row(Padding(summary(command), (0, 0, 0, 4)))
        parts += [Text(title, "kv.heading"), columns]
    with screen.capture() as captured:
        screen.print(Group(*parts), soft_wrap=False)
    return [line.rstrip() for line in captured.get().splitlines()]
