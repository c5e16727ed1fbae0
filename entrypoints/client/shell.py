"""Commands typed one a line, at a prompt or through a pipe.

Rule: a line is cut into words as a system shell does it, but for JSON: a word that begins with a
bracket, a brace or a double quote reaches to the end of that JSON value, spaces and all.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Iterable, Iterator, List

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from entrypoints.client.arguments import COMMAND_LINES, CommandTable, QuotedWord, Run
from entrypoints.client.output import NoConnection

_TABLE = CommandTable(
    "", commands=COMMAND_LINES, help="Type a command; help COMMAND explains it; exit leaves."
)
_json = json.JSONDecoder()


def words(line: str) -> List[str]:
    """The words of a line."""
    found: List[str] = []
    at = 0
    while True:
        at += len(line[at:]) - len(line[at:].lstrip())
        if at == len(line):
            return found
        word, at = _word(line, at)
        found.append(word)


def _word(line: str, start: int) -> tuple[str, int]:
    if line[start] in '"[{':
        try:
            value, end = _json.raw_decode(line, start)
        except ValueError:
            pass
        else:
            text = line[start:end]
            return (QuotedWord(value, text) if isinstance(value, str) else text), end
    if line[start] == "'" and "'" in line[start + 1 :]:
        end = line.index("'", start + 1)
        return line[start + 1 : end], end + 1
    end = next((at for at in range(start, len(line)) if line[at].isspace()), len(line))
    return line[start:end], end


def run_line(line: str, run: Run) -> None:
    """Run the command on one line; raises what click raises when it cannot be run."""
    typed = words(line)
    if typed and typed[0].lower() == "help":
        typed = [*typed[1:], "--help"]
    if typed:
        _TABLE.main(typed, prog_name="", obj=run, standalone_mode=False)


def run_pipe(lines: Iterable[str], run: Run) -> int:
    """Run a command a line; tells what failed by line number, goes on, and gives the exit code."""
    worst = 0
    for number, line in enumerate(lines, 1):
        try:
            run_line(line, run)
        except click.ClickException as error:
            click.echo(f"line {number}: {error.format_message()}", err=True)
            worst = max(worst, error.exit_code)
            if isinstance(error, NoConnection):
                break
    return worst


def run_prompt(name: str, run: Run) -> None:
    """Run what is typed at a prompt until the end of input, or `exit`. Ctrl-C ends one command."""
    for line in _typed_lines(f"{name}> "):
        if line.strip().lower() in ("exit", "quit"):
            return
        try:
            run_line(line, run)
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


def _typed_lines(prompt: str) -> Iterator[str]:
    session: PromptSession[str] = PromptSession(prompt, history=_history())
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _history() -> History:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    try:
        (state / "kvjson").mkdir(parents=True, exist_ok=True)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(state / "kvjson" / "history"))
