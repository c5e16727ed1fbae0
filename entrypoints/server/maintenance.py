"""`kv-server --check DIR` and `--repair DIR`: a journal's directory without a server.

Rule: the directory is locked meanwhile; a check changes nothing in it, and a repair only what is
damaged or incomplete. A setting of the server that is typed beside one of them has no effect, and
is refused; so is the one beside the other.
"""

from __future__ import annotations

import time
from typing import Any, Callable, TypeVar

import click

from adapters.storage.journal.repair import check, repair
from domain.memory import InMemoryStore
from entrypoints.data_directory import UNREADABLE, locked, readable
from entrypoints.settings.sources import COMMAND_LINE_RANK, given
from entrypoints.wording import counted

F = TypeVar("F", bound=Callable[..., object])


def maintenance_options(command: F) -> F:
    """Give a command `--check` and `--repair`."""
    existing: Any = click.Path(exists=True, file_okay=False)
    for name, text in (
        ("--repair", "Keep what can be read of a damaged directory, and end."),
        ("--check", "Read all of a journal, tell what is in it, and end."),
    ):
        command = click.option(name, type=existing, metavar="DIR", help=text)(command)
    return command


def maintain(context: click.Context) -> None:
    """Do what `--check` or `--repair` asks for, and end. Raises `click.UsageError` for a setting
    that was typed beside it."""
    asked = [name for name in _ACTIONS if context.params[name] is not None]
    if not asked:
        return
    name, *others = asked
    typed = [one.origin for one in given(context).values() if one.rank == COMMAND_LINE_RANK]
    for unused in [*(f"'--{other}'" for other in others), *typed]:
        raise click.UsageError(f"{unused} has no effect with --{name}")
    _ACTIONS[name](context.params[name])
    context.exit()


def _check(where: str) -> None:
    with locked(where) as directory, readable(where):
        found = check(directory, InMemoryStore(time.time), time.time)
    parts = ((found.keys, "key"), (found.frames, "frame"), (found.bytes, "byte"))
    keys, frames, size = (counted(number, what) for number, what in parts)
    click.echo(f"{keys} in {frames}, {size}")
    if found.written is not None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.written))
        click.echo(f"last written at {moment}, {time.time() - found.written:,.0f} s ago")
    if found.torn:
        click.echo(f"the last {found.torn:,} bytes are incomplete, as a crash leaves them")


def _repair(where: str) -> None:
    with locked(where) as directory, readable(where, UNREADABLE):
        done = repair(directory, InMemoryStore(time.time), time.time)
    there = f"{counted(done.keys)} there"
    for damage in done.damages:
        click.echo(f"{damage}")
    if done.damages:
        click.echo(f"left out {done.lost:,} bytes; {there}")
    elif done.cut:
        click.echo(f"cut the last {done.cut:,} bytes, which a crash left incomplete; {there}")
    else:
        click.echo(f"nothing is damaged; {there}")


_ACTIONS = {"check": _check, "repair": _repair}
