"""A journal's directory, as both programs use it.

Rule: whatever is wrong with it ends the program with one line that says what to do.
"""

from __future__ import annotations

import contextlib
import time
from typing import Iterator

import click

from adapters.storage.journal.disk import Directory, InUse
from adapters.storage.journal.files import Damage, files_in
from adapters.storage.journal.repair import check
from domain.memory import InMemoryStore

DAMAGED = "restore the backup, or keep what can be read: kv-server --repair {}"
UNREADABLE = "nothing of it can be read: restore the backup"


@contextlib.contextmanager
def readable(where: str, advice: str = DAMAGED) -> Iterator[None]:
    """End the program with one line when a journal cannot be used; `advice` is what to do about
    damage."""
    try:
        yield
    except Damage as error:
        raise click.ClickException(f"{error} ({advice.format(where)})") from error
    except InUse as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.ClickException(f"cannot read {where}: {error}") from error
    except OSError as error:
        place = error.filename or where
        raise click.ClickException(f"cannot use {place}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(where: str) -> Iterator[Directory]:
    """A directory that holds a journal, which no server uses meanwhile; any other is refused, and
    stays as it is."""
    directory = Directory(where)
    with readable(where):
        if not files_in(directory).is_journal:
            raise click.ClickException(f"{where} is no data directory: it holds no journal")
        directory.open(create=False)
    try:
        yield directory
    finally:
        directory.close()


@contextlib.contextmanager
def loaded(where: str) -> Iterator[InMemoryStore]:
    """A store with what a directory holds, which is locked meanwhile and stays as it is."""
    store = InMemoryStore(time.time)
    with locked(where) as directory:
        with readable(where):
            check(directory, store, time.time)
        yield store
