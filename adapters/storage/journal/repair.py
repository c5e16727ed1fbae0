"""Checking and repairing a directory that no server uses.

Rule: a check changes nothing. A repair keeps what can be read and is complete for its time: what is
whole of a snapshot, and each journal up to its first damage. It writes that anew, and removes the
damaged files only then. An end that a crash left incomplete is cut. What is whole is not written.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, TypeVar, Union

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import Disk
from adapters.storage.journal.files import Damage, journal_name
from adapters.storage.journal.journal import Journal, JournalledStore
from adapters.storage.journal.reader import Reader, Tail
from adapters.storage.journal.replay import Replay

R = TypeVar("R")


class Found(NamedTuple):
    """What a check found: `torn` are the bytes that a crash left at the end, `written` is when the
    last frame was, in seconds since 1970."""

    frames: int
    keys: int
    bytes: int
    torn: int
    written: Optional[float]


def check(disk: Disk, store: JournalledStore, wall: Callable[[], float]) -> Found:
    """Reads all of a journal into a store, changing nothing on the disk. Raises as `load` does."""
    reader = Reader(disk)
    replay = Replay(store, Clocks(wall, wall))
    for frame in reader.run():
        replay(frame)
    torn = reader.tail.torn
    return Found(reader.frames, store.count(), reader.bytes_in_all, torn, reader.written)


class Repaired(NamedTuple):
    """What was damaged, and the bytes that were left out; those of an incomplete end that were cut;
    the keys that were kept."""

    damages: List[Damage]
    lost: int
    cut: int
    keys: int


def repair(disk: Disk, store: JournalledStore, wall: Callable[[], float]) -> Repaired:
    """Brings a journal to a whole state, with the help of an empty store; one that is in it is not
    written to. Raises `Damage` where nothing can be read, `OSError` and `ValueError` as `load`
    does."""
    reader = Reader(disk, salvages=True)
    replay = Replay(store, Clocks(wall, wall))
    for frame in reader.run():
        replay(frame)
    cut = 0
    if reader.damages:
        store.clear()
        _write_anew(disk, store, wall)
    elif reader.tail.torn:
        cut = _cut(disk, reader.tail)
    return Repaired(reader.damages, reader.lost, cut, store.count())


def _cut(disk: Disk, tail: Tail) -> int:
    """Removes the incomplete end of the last file; returns its size."""
    file = disk.append_to(journal_name(tail.journal), tail.end)
    file.sync()
    file.close()
    return tail.torn


def _write_anew(disk: Disk, store: JournalledStore, wall: Callable[[], float]) -> None:
    """Puts a snapshot of what can be read in the place of all files."""
    journal = Journal(disk, "no", store, _Immediate(), Clocks(wall, wall), failed=_raise)
    for _ in journal.load(salvages=True):
        pass
    for job in journal.upkeep.rewrite():
        if job:
            job()
    for _ in journal.close():
        pass


def _raise(why: str) -> None:
    raise AssertionError(why)  # the foreground's errors are raised where they happen


class _Immediate:
    """A background that is the foreground."""

    def run(self, job: Callable[[], R], done: Callable[[Union[R, OSError]], None]) -> None:
        done(job())

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        call()
