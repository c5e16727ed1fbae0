"""The rewrite: a snapshot of the store in place of all the files before it, while clients go on.

Rule: at any moment the directory holds a whole state. A new journal begins first; then the keys are
written shard by shard, as they are by then; the snapshot gets its name once every frame is on the
disk that it may have seen; only then the files before it are removed.

The store may change between two shards. Every such change is a frame of the new journal, so reading
the snapshot and then that journal ends with what there was, whenever a shard was written.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import Callable, Dict, Iterator, List, Optional, Tuple, Union

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import RESERVE, Disk, File
from adapters.storage.journal.files import NEW, files_in, snapshot_name
from adapters.storage.journal.frames import (
    HEADER_SIZE,
    Complete,
    Header,
    Record,
    Texts,
    TimedTexts,
    encode_frame,
    encode_header,
)
from adapters.storage.journal.queue import ChangeQueue
from adapters.storage.journal.writer import Writer
from domain.store import Restorable

MAX_FRAME_KEYS, MAX_FRAME_BYTES = 1000, 1 << 20
"""Of a frame of a snapshot, at about which it ends."""

SYNC_BYTES = 8 << 20
"""After so many bytes a snapshot is synced, so that the journal's syncs find little to do."""

Steps = Iterator[Optional[Callable[[], None]]]
"""What to do in a thread, one after another; None to wait a moment."""


class Rewrite:
    """One rewrite; `steps` is to be run to its end."""

    def __init__(
        self,
        disk: Disk,
        queue: ChangeQueue,
        writer: Writer,
        store: Restorable,
        clocks: Clocks,
    ) -> None:
        self._disk = disk
        self._queue = queue
        self._writer = writer
        self._store = store
        self._clocks = clocks
        self._name = ""
        self._file: Optional[File] = None
        self._frames = self._unsynced = 0
        self.size = 0
        """Bytes of the snapshot."""

    def steps(self) -> Steps:
        """All of it; raises `OSError` where the caller does, from the job that failed."""
        writer, index = self._writer, self._writer.segment.journal + 1
        writer.rotate()
        while writer.segment.journal < index:
            yield None
        self._name = snapshot_name(index)
        yield partial(self._begin, writer.segment.header)
        keys = 0
        for records in _records(self._store, self._clocks.offset):
            keys += sum(len(record.items) for record in records)
            yield partial(self._write, self._frame(*records))
        number = self._queue.last
        writer.sync()
        while writer.durable < number:
            yield self._check_room
        yield partial(self._complete, self._frame(Complete(number, keys)))
        yield self._remove_old

    def abandon(self) -> None:
        """Removes what there is of it."""
        if self._file:
            self._file.close()
            self._file = None
            self._disk.remove(self._name + NEW)

    def _frame(self, *records: Record) -> bytes:
        self._frames += 1
        return encode_frame(list(records), self._frames, 1, self._clocks.wall())

    def _begin(self, header: Header) -> None:
        self._file = self._disk.create(self._name + NEW)
        self._file.write(encode_header(header))
        self.size = HEADER_SIZE

    def _check_room(self) -> None:
        if self._disk.free() < RESERVE:  # which the journal needs
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _write(self, data: bytes) -> None:
        assert self._file
        self._check_room()
        self._file.write(data)
        self.size += len(data)
        self._unsynced += len(data)
        if self._unsynced > SYNC_BYTES:
            self._file.sync()
            self._unsynced = 0

    def _complete(self, data: bytes) -> None:
        assert self._file
        self._write(data)
        self._file.sync()
        self._file.close()
        self._file = None
        self._disk.rename(self._name + NEW, self._name)
        self._disk.sync()

    def _remove_old(self) -> None:
        for name in files_in(self._disk).leftovers:
            self._disk.remove(name)


def _records(
    store: Restorable, offset: Callable[[], float]
) -> Iterator[List[Union[Texts, TimedTexts]]]:
    """The keys of a store, a frame of them at a time; `offset` makes a deadline a time since 1970.
    What a frame holds is referred to, not copied."""
    texts: Dict[str, bytes] = {}
    timed: Dict[str, Tuple[bytes, float]] = {}
    size = index = 0
    while (shard := store.copy_shard(index)) is not None:
        index += 1
        for key, text in shard.texts.items():
            texts[key] = text
            size += len(text)
            if size > MAX_FRAME_BYTES or len(texts) >= MAX_FRAME_KEYS:
                yield [Texts(texts)]
                texts, size = {}, 0
        now = offset()
        for key, (text, due) in shard.timed.items():
            timed[key] = text, due + now
            size += len(text)
            if size > MAX_FRAME_BYTES or len(timed) >= MAX_FRAME_KEYS:
                yield [TimedTexts(timed)]
                timed, size = {}, 0
    yield [Texts(texts), TimedTexts(timed)]
