"""The end of what takes long, before it is done."""

from __future__ import annotations

import contextlib
from typing import Callable, Iterator

import click

from domain.errors import KvError
from entrypoints.client.output import failure
from entrypoints.starting import INTERRUPTED


@contextlib.contextmanager
def stopping(how_far: Callable[[], str]) -> Iterator[None]:
    """Where a refusal or an interruption ends the block, say how far it came, then end the program
    with what went wrong, in words and as its exit code."""
    try:
        yield
    except (KvError, KeyboardInterrupt, click.Abort, click.ClickException) as error:
        click.echo(how_far(), err=True)
        if isinstance(error, click.ClickException):
            raise
        if isinstance(error, KvError):
            raise failure(error) from error
        code = 1 if isinstance(error, click.Abort) else INTERRUPTED
        raise click.exceptions.Exit(code) from error
