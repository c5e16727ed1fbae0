"""A directory that fails when a test says so, and forgets what was not synced."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Callable, Dict, Optional

from adapters.storage.journal.disk import Directory, File, NoRoom


class Crash(BaseException):
    """The process is gone."""


class FaultyDisk(Directory):
    """Counts what it is asked to do; `before` is called with each number and the kind of it, and
    may raise. `room` are the bytes that it has room for; `survivors` are the files that a power cut
    leaves."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.before: Callable[[int, str], None] = lambda number, kind: None
        self.operations = 0
        self.room = 1 << 40
        self._synced: Dict[int, bytes] = {}
        self._durable_names: Dict[str, int] = {}
        self._note_existing()

    def __del__(self) -> None:
        """A process that is gone has no directory open."""
        self.close()

    def count(self, kind: str) -> None:
        self.operations += 1
        self.before(self.operations, kind)

    def create(self, name: str) -> File:
        self.count("create")
        file = super().create(name)
        self._synced.pop(self._inode(name), None)  # it may have been the number of another file
        return FaultyFile(file, self, self._inode(name))

    def append_to(self, name: str, size: int) -> File:
        self.count("append")
        return FaultyFile(super().append_to(name, size), self, self._inode(name))

    def rename(self, old: str, new: str) -> None:
        self.count("rename")
        super().rename(old, new)

    def remove(self, name: str) -> None:
        self.count("remove")
        super().remove(name)

    def sync(self) -> None:
        self.count("sync names")
        super().sync()
        self._durable_names = {name: self._inode(name) for name in self.names()}

    def free(self) -> int:
        return self.room

    def note_synced(self, inode: int) -> None:
        for name in self.names():
            if self._inode(name) == inode:
                self._synced[inode] = Path(self.where, name).read_bytes()

    def survivors(self) -> Dict[str, bytes]:
        return {name: self._synced.get(inode, b"") for name, inode in self._durable_names.items()}

    def killed(self) -> Dict[str, bytes]:
        """The files that a process leaves which was killed."""
        return {name: Path(self.where, name).read_bytes() for name in self.names()}

    def _note_existing(self) -> None:
        if os.path.isdir(self.where):
            for name in self.names():
                self._durable_names[name] = self._inode(name)
                self._synced[self._inode(name)] = Path(self.where, name).read_bytes()

    def _inode(self, name: str) -> int:
        return os.stat(Path(self.where, name)).st_ino


class FaultyFile:
    """A file of such a directory."""

    def __init__(self, file: File, disk: FaultyDisk, inode: int) -> None:
        self._file = file
        self._disk = disk
        self._inode = inode

    def write(self, data: bytes) -> None:
        self._disk.count("write")
        if len(data) > self._disk.room:
            raise NoRoom(ENOSPC, os.strerror(ENOSPC))
        self._file.write(data)

    def write_through(self, data: bytes) -> None:
        self.write(data)
        self.sync()

    def sync(self) -> None:
        self._disk.count("sync")
        self._file.sync()
        self._disk.note_synced(self._inode)

    def check(self) -> None:
        self._file.check()

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        """A process that is gone has closed its files."""
        self._file.close()


def failing_at(number: int, code: Optional[int] = None) -> Callable[[int, str], None]:
    """Crashes at the operation with a number, or has it and all after it fail with an error."""

    def before(current: int, kind: str) -> None:
        if code is None and current >= number:
            raise Crash
        if code is not None and current >= number:
            raise OSError(code, os.strerror(code))

    return before


ENOSPC, EIO = errno.ENOSPC, errno.EIO
