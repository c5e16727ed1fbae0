"""A store whose keys are in an SQLite file, and there again when the server starts again.

Rule: one process owns the file. Each method is one transaction and never switches greenlets, so
each is atomic; all clients wait for the disk meanwhile.

Keys are kept as their UTF-8 bytes, which sort as the keys do, and texts as the bytes they are. A
deadline is an instant of the clock: one that means the same after a restart, `time.time`. A row
that is due is no key for any method, and stays in the file until `expire_due` removes it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import (
    Any,
    Callable,
    Collection,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
    Union,
)

from domain.errors import BadRequest, Unavailable
from domain.store import Change, Entry, Page, Stats, Store, Traits

R = TypeVar("R")

STEP = 100
"""How many due rows one call of `run_maintenance` removes, about a millisecond's worth."""

_OPEN = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, text BLOB NOT NULL, due REAL);
    CREATE INDEX IF NOT EXISTS entries_due ON entries (due) WHERE due IS NOT NULL;
"""
_READ = "SELECT text, due FROM entries WHERE key = ? AND (due IS NULL OR due > ?)"
_WRITE = """
    INSERT INTO entries VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET text = excluded.text, due = excluded.due
"""
_DELETE = "DELETE FROM entries WHERE key = ? AND (due IS NULL OR due > ?)"
_COUNT = "SELECT count(*) FROM entries"
_SCAN = """
    SELECT key FROM entries WHERE key >= ? AND key < ? AND (due IS NULL OR due > ?)
    ORDER BY key LIMIT ?
"""
_EXPIRE = """
    DELETE FROM entries WHERE key IN (SELECT key FROM entries WHERE due <= ? ORDER BY due LIMIT ?)
"""
_CURSOR = "after:"


class SqliteStore:
    """A `Store` in a database, and `Maintained`. `Stats.expired` counts the rows that were removed
    after their deadline, and not those that were written again before."""

    traits = Traits(blocks=False)

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self._hits = self._misses = self._expired = 0

    @classmethod
    def open(cls, path: Union[str, Path], clock: Callable[[], float]) -> SqliteStore:
        """A store in the file at `path`, which is made if it is not there.

        Raises `Unavailable` if it cannot be used, or another process uses it.
        """
        with _engine_errors():
            connection = sqlite3.connect(str(path), timeout=0, isolation_level=None)
            try:
                connection.executescript(_OPEN)
            except BaseException:
                connection.close()
                raise
        return cls(connection, clock)

    def close(self) -> None:
        """Closes the file; no method may be called any more."""
        self._connection.close()

    def get(self, key: str) -> Optional[bytes]:
        found = self._read(key, self._clock())
        if found is None:
            self._misses += 1
            return None
        self._hits += 1
        return found[0]

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        return [self.get(key) for key in keys]

    def set(self, key: str, text: bytes) -> None:
        self._run(_WRITE, _encoded(key), text, None)

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        due = None if ttl is None else self._clock() + ttl
        with self._savepoint():
            for key, text in items.items():
                self._run(_WRITE, _encoded(key), text, due)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        now = self._clock()
        before, due = None, None
        found = self._read(key, now)
        if found is not None:
            text, due = found
            before = Entry(text, None if due is None else due - now)
        after = change(before)
        if after is None and before is not None:
            self._run(_DELETE, _encoded(key), now)
        elif after is not None and after is not before:
            if before is None or after.ttl != before.ttl:  # otherwise the same instant, unrounded
                due = None if after.ttl is None else now + after.ttl
            self._run(_WRITE, _encoded(key), after.text, due)
        return before, after

    def delete(self, keys: Collection[str]) -> int:
        now = self._clock()
        with self._savepoint():
            return sum(self._run(_DELETE, _encoded(key), now)[1] for key in keys)

    def clear(self) -> int:
        with self._savepoint():
            count = self.count()
            self._run("DELETE FROM entries")
        return count

    def count(self) -> int:
        self.expire_due(sys.maxsize)
        return self._rows()

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        first = _encoded(prefix)
        end = first + b"\xff"  # no byte of UTF-8 is as high
        start = first if cursor is None else max(first, _after(cursor))
        rows, _ = self._run(_SCAN, start, end, self._clock(), limit + 1)
        keys = [_decoded(key) for (key,) in rows[:limit]]
        return Page(keys, _CURSOR + keys[-1] if len(rows) > limit else None)

    def atomically(self, work: Callable[[Store], R]) -> R:
        if self._connection.in_transaction:
            return work(self)
        with self._savepoint():
            return work(self)

    def stats(self) -> Stats:
        return Stats(keys=self._rows(), hits=self._hits, misses=self._misses, expired=self._expired)

    def expire_due(self, limit: int) -> int:
        _, done = self._run(_EXPIRE, self._clock(), limit)
        self._expired += done
        return done

    def run_maintenance(self) -> bool:
        return self.expire_due(STEP) == STEP

    def _rows(self) -> int:
        """How many rows there are, those included that are due."""
        (rows,), _ = self._run(_COUNT)
        count: int = rows[0]
        return count

    def _read(self, key: str, now: float) -> Optional[Tuple[bytes, Optional[float]]]:
        """The text at `key` and its deadline."""
        rows, _ = self._run(_READ, _encoded(key), now)
        return rows[0] if rows else None

    def _run(self, statement: str, *values: object) -> Tuple[List[Any], int]:
        """Runs a statement to its end; returns its rows, and how many rows it changed."""
        with _engine_errors():
            done = self._connection.execute(statement, values)
            return done.fetchall(), done.rowcount

    @contextlib.contextmanager
    def _savepoint(self) -> Iterator[None]:
        """All that is done inside stays, or nothing if it raises; may be nested."""
        expired = self._expired
        self._run("SAVEPOINT request")
        try:
            yield
            self._run("RELEASE request")
        except BaseException:
            self._expired = expired
            if self._connection.in_transaction:  # SQLite has undone all if the disk was full
                self._run("ROLLBACK TO request")
                self._run("RELEASE request")
            raise


@contextlib.contextmanager
def _engine_errors() -> Iterator[None]:
    """Makes SQLite's errors ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"the database cannot be used: {error}") from error


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _decoded(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")


def _after(cursor: str) -> bytes:
    """The least key that may follow the one a cursor names."""
    if not cursor.startswith(_CURSOR):
        raise BadRequest("`cursor` is not one that a scan returned")
    return _encoded(cursor[len(_CURSOR) :]) + b"\0"
