"""`kv export` and `kv import`: files around `bulk`.

Rule: results go to the file, everything else to standard error; `-` is a pipe, `.gz` is gzip. An
export replaces its file only when it is complete: until then, and when it fails, the old one stays.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
import sys
import tempfile
from typing import Any, BinaryIO, Iterator, Optional, Tuple, Type, cast

import click

from application.commands import Count
from application.databases import MARK
from application.executor import LocalExecutor
from application.in_process import InProcess
from application.limits import Limits
from application.ports import Pipelined
from domain.store import Store
from entrypoints.client.keys import keys_with
from entrypoints.client.target import Target
from entrypoints.client.tools.bulk import Import, exported
from entrypoints.client.tools.progress import progress
from entrypoints.client.tools.redis_import import import_from, redis_address
from entrypoints.client.tools.stopping import stopping
from entrypoints.engine_address import EngineAddress
from entrypoints.param_type import Parsed
from entrypoints.settings.kinds import CERTIFICATE
from entrypoints.streams import terminated_in_order
from entrypoints.wording import counted


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--prefix", default="", help="Only keys with this prefix.")
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False),
    help="Read this directory of a server that does not run, and ask no server.",
)
@click.pass_obj
def export_command(target: Target, file: str, prefix: str, data_dir: Optional[str]) -> None:
    """Write all keys of database 0 to FILE, as JSON lines of key, value and ttl.

    Keys of the databases that clients of Redis select are left out: how many is said, and the exit
    code is 1 then.

    FILE may be - for standard output; one that ends with .gz is compressed. Only its owner can read
    it. An existing FILE is replaced when all keys are written, and kept when that fails.
    """
    if data_dir is None:
        _export(target.executor, file, prefix)
        return
    from entrypoints.data_directory import loaded  # the journal's modules, which others need not

    with loaded(data_dir) as store:
        _export(executor_on(store), file, prefix)


def executor_on(store: Store) -> Pipelined:
    """An executor on the store of a server that does not run, for keys of any length."""
    limits = Limits(max_key_bytes=sys.maxsize)
    return InProcess(LocalExecutor(store, limits), limits, lambda: None)


def _export(executor: Pipelined, file: str, prefix: str) -> None:
    keys = left_out = 0

    def how_far() -> str:
        kept = f"; {file} is as it was" if os.path.isfile(file) else ""
        return f"stopped after {counted(keys)}{kept}"

    with stopping(how_far), _named(file, OSError):
        total = None if prefix else executor.execute(Count())
        with written(file) as out, progress("exporting", total) as advance:
            for lines in exported(executor, prefix):
                out.writelines(lines)
                keys += len(lines)
                advance(len(lines), len(lines))
            if not prefix:
                left_out = sum(map(len, keys_with(executor, MARK)))
    if left_out:
        click.echo(f"left out: {counted(left_out)} of databases other than 0", err=True)
    elif not keys:
        click.echo("no key has this prefix" if prefix else "the server has no keys", err=True)
    click.echo(f"{counted(keys)} exported", err=True)
    if left_out:
        raise click.exceptions.Exit(1)


@click.command("import")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--from",
    "source",
    type=Parsed("redis", redis_address),
    metavar="redis://HOST[:PORT][/DB]",
    help="Copy the strings of a Redis, with their ttls; its password is read from REDISCLI_AUTH.",
)
@click.option(
    "--from-tls-ca",
    type=CERTIFICATE,
    help="With --from rediss://, authorities to trust, PEM; else those of the system.",
)
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be stored.")
@click.pass_obj
def import_command(
    target: Target,
    file: Optional[str],
    source: Optional[EngineAddress],
    from_tls_ca: Optional[str],
    strict: bool,
) -> None:
    """Store all keys of FILE, which has JSON lines such as export writes, or of a Redis.

    A line that cannot be stored is reported by its number, and the others are stored; the exit code
    is 1 then. FILE may be - for standard input; one that ends with .gz is decompressed.
    """
    if (file is None) == (source is None):
        raise click.UsageError("give FILE or --from, one of them")
    if from_tls_ca and not (source and source.tls):
        raise click.UsageError("--from-tls-ca is for --from rediss://")
    if source:
        import_from(target, source, from_tls_ca, strict)
    else:
        _import_file(target, cast(str, file), strict)


def _import_file(target: Target, file: str, strict: bool) -> None:

    def report(number: int, why: str) -> None:
        click.echo(f"line {number}: {why}", file=sys.stderr)  # which the bar may have replaced
        if strict:
            raise click.Abort

    job = Import(target.executor, report)

    def how_far() -> str:
        return f"stopped after line {job.dealt_with:,}: {job.tally_when_stopped()}"

    with stopping(how_far), _named(file, OSError, EOFError, ValueError):
        at, stored = 0, 0
        with _read(file) as (raw, lines), progress("importing", _size(raw)) as advance:
            for _ in job.run(lines):
                now = raw.tell() if raw.seekable() else 0
                advance(now - at, job.stored - stored)
                at, stored = now, job.stored
    click.echo(job.tally(), err=True)
    if job.refused:
        raise click.exceptions.Exit(1)


@contextlib.contextmanager
def _named(file: str, *kinds: Type[Exception]) -> Iterator[None]:
    """Has errors of these kinds name the file; a pipe that nobody reads is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except kinds as error:
        why = getattr(error, "strerror", None) or error
        raise click.ClickException(f"{file}: {why}") from error


@contextlib.contextmanager
def written(file: str) -> Iterator[BinaryIO]:
    """Where to write what is to be in `file`, compressed when its name ends with .gz."""
    with contextlib.ExitStack() as stack:
        if file == "-":
            out: Any = sys.stdout.buffer
        elif _is_special(file):
            out = stack.enter_context(open(file, "wb"))
        else:
            out = stack.enter_context(_replaced(os.path.realpath(file)))
        if file.endswith(".gz"):
            out = stack.enter_context(gzip.GzipFile(fileobj=out, mode="wb"))
        yield out
        if file == "-":
            out.flush()


def _is_special(file: str) -> bool:
    """Whether it is a device or a named pipe, which cannot be replaced."""
    try:
        return not stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        return False


@contextlib.contextmanager
def _replaced(path: str) -> Iterator[BinaryIO]:
    """A new file beside `path`, for its owner alone, that takes its place at the end."""
    folder, name = os.path.split(path)
    with terminated_in_order():
        descriptor, beside = tempfile.mkstemp(prefix=f".{name[:50]}.", suffix=".part", dir=folder)
        try:
            with open(descriptor, "wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise


@contextlib.contextmanager
def _read(file: str) -> Iterator[Tuple[BinaryIO, Iterator[bytes]]]:
    """The file as it lies there, to see how far it is, and its lines."""
    with contextlib.ExitStack() as stack:
        raw = sys.stdin.buffer if file == "-" else stack.enter_context(open(file, "rb"))
        if file.endswith(".gz"):
            yield raw, stack.enter_context(gzip.GzipFile(fileobj=raw))
        else:
            yield raw, raw


def _size(raw: BinaryIO) -> Optional[int]:
    return os.fstat(raw.fileno()).st_size if raw.seekable() else None
