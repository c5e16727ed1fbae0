"""What the client prints, and the exit code it ends with (2, for usage, is click's own).

Rule: results go to standard output and everything else to standard error. For scripts a result is
one line of JSON, and an empty line when there is none, which `null` is not; on a terminal it is
laid out and coloured, and nothing that was stored can steer the terminal.
"""

from __future__ import annotations

import sys
from typing import IO, Any, Optional

import click
import msgspec
from msgspec import UNSET

from application.json_text import raw
from domain.errors import KvError, TimedOut, Unavailable

_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Characters that JSON leaves as they are and some terminals obey."""


class Refused(click.ClickException):
    """A command that the server refused."""

    exit_code = 1

    def show(self, file: Optional[IO[Any]] = None) -> None:
        click.echo(self.format_message(), file=file, err=file is None)


class NoConnection(Refused):
    """A command that no server answered."""

    exit_code = 3


class _InBatch(msgspec.Struct):
    """The result of a command in a batch; a member is missing where there is none."""

    ok: bool
    result: Any


def failure(error: KvError) -> Refused:
    """What the command line makes of an error."""
    kind = NoConnection if isinstance(error, (Unavailable, TimedOut)) else Refused
    where = "" if error.index is None else f"command {error.index} of the batch: "
    return kind(f"{error.code}: {where}{error}")


def show(result: object, missing: str = "", for_scripts: bool = False) -> None:
    """Print a command's result; `missing` stands for one that is not there."""
    if result is UNSET:
        click.echo(missing)
        return
    if type(result) is list:
        result = [_InBatch(True, raw(each)) for each in result]
    text = msgspec.json.encode(raw(result))
    if for_scripts or not sys.stdout.isatty():
        click.echo(text)
    else:
        _lay_out(text)


def _lay_out(text: bytes) -> None:
    from rich.console import Console  # slow to import
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    console = Console(soft_wrap=True)
    line = msgspec.json.format(text, indent=0)
    if len(line) > console.width:
        line = msgspec.json.format(text, indent=2)
    shown = Text(line.decode().translate(_CONTROLS))
    JSONHighlighter().highlight(shown)
    console.print(shown)
