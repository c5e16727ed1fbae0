"""A journal's directory, as both programs use it.

Rule: whatever is wrong with it ends the program with one line that says what to do.
"""

from __future__ import annotations

import contextlib
import time
from typing import Iterator

import click

from adapters.storage.journal.disk import Directory, InUse
from adapters.storage.journal.files import Damage
from adapters.storage.journal.repair import check
from domain.memory import InMemoryStore

DAMAGED = "restore the backup, or keep what can be read: kv-server --repair {}"


@contextlib.contextmanager
def readable(where: str) -> Iterator[None]:
    """End the program with one line when a journal cannot be used."""
    try:
        yield
    except Damage as error:
        raise click.ClickException(f"{error} ({DAMAGED.format(where)})") from error
    except InUse as error:
        raise click.ClickException(str(error)) from error
    except ValueError as error:
        raise click.ClickException(f"cannot read {where}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"cannot use {where}: {error.strerror or error}") from error


@contextlib.contextmanager
def loaded(where: str) -> Iterator[InMemoryStore]:
    """A store with what a directory holds, which is locked meanwhile and stays as it is."""
    directory, store = Directory(where), InMemoryStore(time.time)
    with readable(where):
        directory.open(create=False)
        check(directory, store, time.time)
    try:
        yield store
    finally:
        directory.close()
