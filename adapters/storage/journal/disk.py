"""The directory of a journal: names, files, and what the system is asked to do with them.

Rule: everything that can fail, or be lost by a power cut, is here, so that a test can have it fail.
A file or a name lasts only after `sync`. Files can be read by their owner alone. A directory has
one user: it is locked for as long as it is open, and a file in it as well, since not all file
systems lock directories, and the file may be removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from pathlib import Path
from typing import BinaryIO, Dict, List, Protocol

LOCK = "lock"

RESERVE = 32 << 20
"""Bytes of the disk that are left free for what is under way: with less, writes are refused."""


class NoRoom(OSError):
    """The disk has no room for what was to be written, of which nothing is left in the file."""


class File(Protocol):
    """A file that is written from its end on."""

    def write(self, data: bytes) -> None:
        """Writes all of it; raises `NoRoom`, and `OSError` when it is not known how much."""
        ...

    def write_through(self, data: bytes) -> None:
        """The same, and returns once it is on the disk; what was written before need not be."""
        ...

    def sync(self) -> None:
        """Returns once all that was written is on the disk."""
        ...

    def check(self) -> None:
        """Raises `OSError` when its name stands for another file now, or for none."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """What a journal needs of its directory. All of it raises `OSError`."""

    where: str

    def names(self) -> Dict[str, int]:
        """The files, with their sizes."""
        ...

    def read(self, name: str) -> BinaryIO: ...

    def create(self, name: str) -> File:
        """A new file, or one emptied."""
        ...

    def append_to(self, name: str, size: int) -> File:
        """A file that is there, cut to a size."""
        ...

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def sync(self) -> None:
        """Returns once the names are on the disk."""
        ...

    def free(self) -> int:
        """The bytes that there is room for."""
        ...


class InUse(Exception):
    """Another process has the directory open."""


class Directory:
    """A `Disk` on the system's; made if it is missing."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._locks: List[int] = []

    def open(self, create: bool = True) -> None:
        """Takes the directory for this process. Raises `OSError` and `InUse`."""
        if create and not os.path.isdir(self.where):
            os.mkdir(self.where, 0o700)
            _sync_names(os.path.dirname(os.path.abspath(self.where)))
        self._lock(self.where, os.O_RDONLY, is_needed=False)
        self._lock(os.path.join(self.where, LOCK), os.O_RDWR | os.O_CREAT, is_needed=True)

    def close(self) -> None:
        """Lets others open it."""
        while self._locks:
            os.close(self._locks.pop())

    def names(self) -> Dict[str, int]:
        with os.scandir(self.where) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.name != LOCK}

    def read(self, name: str) -> BinaryIO:
        return open(Path(self.where, name), "rb", buffering=1 << 18)

    def create(self, name: str) -> File:
        return self._opened(name, os.O_CREAT | os.O_TRUNC)

    def append_to(self, name: str, size: int) -> File:
        os.truncate(Path(self.where, name), size)
        return self._opened(name, 0)

    def rename(self, old: str, new: str) -> None:
        os.rename(Path(self.where, old), Path(self.where, new))

    def remove(self, name: str) -> None:
        os.unlink(Path(self.where, name))

    def sync(self) -> None:
        _sync_names(self.where)

    def free(self) -> int:
        found = os.statvfs(self.where)
        return found.f_bavail * found.f_frsize

    def _lock(self, path: str, flags: int, is_needed: bool) -> None:
        self._locks.append(os.open(path, flags | os.O_CLOEXEC, 0o600))
        try:
            fcntl.flock(self._locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise InUse(f"{self.where} is in use by another process") from error
        except OSError:
            if is_needed:
                raise

    def _opened(self, name: str, flags: int) -> SystemFile:
        return SystemFile(os.path.join(self.where, name), flags)


class SystemFile:
    """A `File` of the system's. A second descriptor writes through: one call takes less time than a
    write and a sync, since a thread waits for Python's lock after each."""

    def __init__(self, path: str, flags: int) -> None:
        self._path = path
        with contextlib.ExitStack() as opened:
            self._descriptor = _open(path, flags)
            opened.callback(os.close, self._descriptor)
            self._through = _open(path, _THROUGH) if _THROUGH else None
            if self._through is not None:
                opened.callback(os.close, self._through)
            self._closing = opened.pop_all()

    def write(self, data: bytes) -> None:
        _write(self._descriptor, data)

    def write_through(self, data: bytes) -> None:
        if self._through is not None:
            _write(self._through, data)
        else:
            self.write(data)
            self.sync()

    def sync(self) -> None:
        _sync_data(self._descriptor)

    def check(self) -> None:
        if not os.path.samestat(os.stat(self._path), os.fstat(self._descriptor)):
            raise OSError(errno.ESTALE, "another file has taken its place", self._path)

    def close(self) -> None:
        self._closing.close()


_THROUGH = os.O_DSYNC if sys.platform == "linux" else 0
"""Elsewhere it may leave the data in the disk's own memory."""


def _open(path: str, flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        written = len(data) - len(view)
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        raise NoRoom(error.errno, error.strerror) from error


def _sync_names(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_data(descriptor: int) -> None:
    """macOS has a request of its own for what the others call fsync."""
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):  # a file system that does not know it
            fcntl.fcntl(descriptor, full)
            return
    getattr(os, "fdatasync", os.fsync)(descriptor)
