"""Commands typed at a prompt, or piped in, one a line.

Rule: nothing that is typed ends the shell but `exit` and the end of input: not what cannot be run,
not a lost connection, and Ctrl-C ends one command.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, List, Sequence

import click

from application.commands import Command
from application.ports import Pipelined
from domain.errors import Unavailable, Unreachable
from entrypoints.client.arguments import COMMAND_LINES, CommandTable, Target
from entrypoints.client.output import NoConnection
from entrypoints.client.prompt import typed_lines
from entrypoints.client.words import words

_TABLE = CommandTable(
    "",
    commands=COMMAND_LINES,
    help="Type a command; help COMMAND explains it, timing tells how long each takes, exit leaves.",
    add_help_option=False,
)


def run_line(line: str, target: Target) -> None:
    """Run the command on one line; raises what click raises when it cannot be run."""
    typed = words(line)
    if typed and typed[0].lower() == "help":
        typed = [*typed[1:2], "--help"]
    if typed == ["--help"]:
        context = click.Context(_TABLE, info_name="")
        click.echo(_TABLE.get_help(context))
    elif typed:
        _TABLE.main(typed, prog_name="", obj=target, standalone_mode=False)


def run_pipe(lines: Iterable[str], target: Target) -> int:
    """Run a command a line; tells what failed by line number, goes on, and gives the exit code."""
    worst = 0
    for number, line in enumerate(lines, 1):
        try:
            run_line(line, target)
        except click.ClickException as error:
            click.echo(f"line {number}: {error.format_message()}", err=True)
            worst = max(worst, error.exit_code)
            if isinstance(error, NoConnection):
                break
    return worst


def run_prompt(target: Target) -> None:
    """Run what is typed at a prompt until the end of input, or `exit`."""
    timing = False
    for line in typed_lines(target, _TABLE):
        word = line.strip().lower()
        if word in ("exit", "quit"):
            return
        if word == "timing":
            timing = not timing
            click.echo(f"timing is {'on' if timing else 'off'}", err=True)
            continue
        start = time.perf_counter()
        _run_at_prompt(line, target)
        if timing and word:
            click.echo(f"{(time.perf_counter() - start) * 1000:.2f} ms", err=True)


def _run_at_prompt(line: str, target: Target) -> None:
    try:
        run_line(line, target)
    except click.ClickException as error:
        click.echo(_explained(error), err=True)
    except click.Abort:
        click.echo("interrupted", err=True)


def _explained(error: click.ClickException) -> str:
    """What was wrong, and how the command is typed when it was not understood."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or context.command is _TABLE:
        return error.format_message()
    return f"{error.format_message()}\n{context.command.get_usage(context)}"


class Reconnecting(Pipelined):
    """An executor that tells when the connection was lost, and when there is one again; what only
    reads is asked once more at once."""

    def __init__(self, executor: Pipelined, tell: Callable[[str], None]) -> None:
        self._executor = executor
        self._tell = tell
        self._is_lost = False

    def execute(self, command: Command[Any]) -> Any:
        """See `Executor`."""
        try:
            result = self._executor.execute(command)
        except Unavailable as error:
            self._is_lost = True
            if isinstance(error, Unreachable):
                raise
            self._tell(f"connection lost: {error}")
            if not command.readonly:
                raise Unavailable("whether the command took effect is not known") from error
            result = self._executor.execute(command)
        if self._is_lost:
            self._is_lost = False
            self._tell("connected again")
        return result

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        return self._executor.execute_all(commands)

    def close(self) -> None:
        self._executor.close()
