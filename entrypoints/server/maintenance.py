"""`kv-server --check DIR` and `--repair DIR`: a journal's directory without a server.

Rule: the directory is locked meanwhile; a check changes nothing in it, and a repair only what is
damaged or incomplete.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, Mapping, Optional, Tuple, TypeVar

import click

from adapters.storage.journal.repair import check, repair
from domain.memory import InMemoryStore
from entrypoints.data_directory import UNREADABLE, locked, readable

F = TypeVar("F", bound=Callable[..., object])


class _Exclusive(click.Option):
    """One of `--check` and `--repair`; both together are refused before anything is done."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: List[str]
    ) -> Tuple[Any, List[str]]:
        if {"check", "repair"} <= opts.keys():
            raise click.UsageError("--check and --repair exclude each other: give one of them", ctx)
        return super().handle_parse_result(ctx, opts, args)


def maintenance_options(command: F) -> F:
    """Give a command `--check` and `--repair`."""
    existing = click.Path(exists=True, file_okay=False)
    for name, callback, text in (
        ("--repair", _repair, "Keep what can be read of a damaged directory, and end."),
        ("--check", _check, "Read all of a journal, tell what is in it, and end."),
    ):
        option: Any = click.option(
            name,
            cls=_Exclusive,
            type=existing,
            callback=callback,
            is_eager=True,
            expose_value=False,
            metavar="DIR",
            help=text,
        )
        command = option(command)
    return command


def _check(context: click.Context, parameter: click.Parameter, where: Optional[str]) -> None:
    if where is None:
        return
    with locked(where) as directory, readable(where):
        found = check(directory, InMemoryStore(time.time), time.time)
    click.echo(f"{found.keys:,} keys in {found.frames:,} frames, {found.bytes:,} bytes")
    if found.written is not None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.written))
        click.echo(f"last written at {moment}, {time.time() - found.written:,.0f} s ago")
    if found.torn:
        click.echo(f"the last {found.torn:,} bytes are incomplete, as a crash leaves them")
    context.exit()


def _repair(context: click.Context, parameter: click.Parameter, where: Optional[str]) -> None:
    if where is None:
        return
    with locked(where) as directory, readable(where, UNREADABLE):
        done = repair(directory, InMemoryStore(time.time), time.time)
    there = f"{done.keys:,} keys are there"
    for damage in done.damages:
        click.echo(f"{damage}")
    if done.damages:
        click.echo(f"left out {done.lost:,} bytes; {there}")
    elif done.cut:
        click.echo(f"cut the last {done.cut:,} bytes, which a crash left incomplete; {there}")
    else:
        click.echo(f"nothing is damaged; {there}")
    context.exit()
