"""What the client prints, and the exit code it ends with (2, for usage, is click's own).

Rule: results are JSON on standard output, one a line, for scripts to read; everything else goes to
standard error. A result that is not there is an empty line, told apart from `null`.
"""

from __future__ import annotations

from typing import IO, Any, Optional

import click
import msgspec
from msgspec import UNSET

from application.values import encodable
from domain.errors import KvError, TimedOut, Unavailable


class Refused(click.ClickException):
    """A command that the server refused."""

    exit_code = 1

    def show(self, file: Optional[IO[Any]] = None) -> None:
        click.echo(self.format_message(), file=file, err=file is None)


class NoConnection(Refused):
    """A command that no server answered."""

    exit_code = 3


def failure(error: KvError) -> Refused:
    """What the command line makes of an error."""
    kind = NoConnection if isinstance(error, (Unavailable, TimedOut)) else Refused
    where = "" if error.index is None else f"command {error.index} of the batch: "
    return kind(f"{error.code}: {where}{error}")


def show(result: object, missing: str = "") -> None:
    """Print a command's result; `missing` stands for one that is not there."""
    click.echo(missing if result is UNSET else msgspec.json.encode(encodable(result)))
