"""`kv export` and `kv import`: files round what `bulk` does.

Rule: results go to the file, everything else to standard error; `-` is a pipe, `.gz` is gzip.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from typing import Any, BinaryIO, Iterator, Optional

import click

from application.commands import Count
from domain.errors import KvError
from entrypoints.client.arguments import Target
from entrypoints.client.output import failure
from entrypoints.client.tools.bulk import Import, exported
from entrypoints.client.tools.progress import progress


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--prefix", default="", help="Only keys that begin so.")
@click.pass_obj
def export_command(target: Target, file: str, prefix: str) -> None:
    """Write all keys to FILE, as JSON lines of key, value and ttl.

    FILE may be - for standard output; one that ends with .gz is compressed.
    """
    keys = 0
    try:
        total = None if prefix else target.executor.execute(Count())
        with _written(file) as out, progress("exporting", total) as advance:
            for lines in exported(target.executor, prefix):
                out.writelines(lines)
                keys += len(lines)
                advance(len(lines), len(lines))
    except KvError as error:
        click.echo(f"stopped after {keys:,} keys", err=True)
        raise failure(error) from error
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    click.echo(f"{keys:,} keys exported", err=True)


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be stored.")
@click.pass_obj
def import_command(target: Target, file: str, strict: bool) -> None:
    """Store all keys of FILE, which has JSON lines such as export writes.

    A line that cannot be stored is told by its number, and the others are stored; the exit code is
    1 then. FILE may be - for standard input; one that ends with .gz is decompressed.
    """

    def told(number: int, why: str) -> None:
        click.echo(f"line {number}: {why}", err=True)
        if strict:
            raise click.Abort

    job = Import(target.executor, told)
    try:
        with _read(file) as (raw, lines), progress("importing", _size(raw)) as advance:
            at, stored = 0, 0
            for _ in job.run(lines):
                now = raw.tell() if raw.seekable() else 0
                advance(now - at, job.stored - stored)
                at, stored = now, job.stored
    except (KvError, KeyboardInterrupt, click.Abort) as error:
        click.echo(f"stopped after line {job.dealt_with:,}: {_tally(job)}", err=True)
        if isinstance(error, KvError):
            raise failure(error) from error
        raise click.exceptions.Exit(1) from error
    except (OSError, EOFError) as error:
        click.echo(f"stopped after line {job.dealt_with:,}: {_tally(job)}", err=True)
        raise click.ClickException(f"{file}: {error}") from error
    click.echo(_tally(job), err=True)
    if job.refused:
        raise click.exceptions.Exit(1)


def _tally(job: Import) -> str:
    refused = f", {job.refused:,} lines refused" if job.refused else ""
    return f"{job.stored:,} keys imported{refused}"


@contextlib.contextmanager
def _written(file: str) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        if file == "-":
            yield sys.stdout.buffer
            return
        out: Any = stack.enter_context(open(file, "wb"))
        if file.endswith(".gz"):
            out = stack.enter_context(gzip.GzipFile(fileobj=out, mode="wb"))
        yield out


@contextlib.contextmanager
def _read(file: str) -> Iterator[tuple[BinaryIO, Iterator[bytes]]]:
    """The file as it lies there, to see how far it is, and its lines."""
    with contextlib.ExitStack() as stack:
        raw = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb"))
        if file.endswith(".gz"):
            yield raw, stack.enter_context(gzip.GzipFile(fileobj=raw))
        else:
            yield raw, raw


def _size(raw: BinaryIO) -> Optional[int]:
    return os.fstat(raw.fileno()).st_size if raw.seekable() else None
