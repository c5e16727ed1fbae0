"""The rewrite: a snapshot of the store in place of all the files before it, while clients go on.

Rule: at any moment the directory holds a whole state. A new journal begins first; then the keys are
written part by part, as they are by then; the snapshot gets its name once every frame is on the
disk that it may have seen; only then the files before it are removed.

The store may change between two parts. Every such change is a frame of the new journal, so reading
the snapshot and then that journal ends with what there was, whenever a part was written.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from adapters.storage.journal.disk import Disk, File
from adapters.storage.journal.frames import (
    HEADER_SIZE,
    Complete,
    Header,
    Record,
    Texts,
    TimedTexts,
    encode_frames,
    encode_header,
    encode_records,
)
from adapters.storage.journal.loader import NEW, files_in, snapshot_name
from adapters.storage.journal.writer import Writer
from domain.store import Restorable

KEYS, BYTES = 1000, 1 << 20
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
        writer: Writer,
        uuid: bytes,
        store: Restorable,
        offset: Callable[[], float],
    ) -> None:
        self._disk = disk
        self._writer = writer
        self._uuid = uuid
        self._store = store
        self._offset = offset
        self._file: Optional[File] = None
        self._frames = self._keys = self._unsynced = 0
        self.size = 0
        """Bytes of the snapshot."""
        self.name = ""

    def steps(self) -> Steps:
        """All of it; raises `OSError` where the caller does, from the job that failed."""
        index = self._writer.index + 1
        self._writer.rotate()
        while self._writer.index < index:
            yield None
        self.name = snapshot_name(index)
        yield partial(self._begin, Header(self._uuid, self._writer.first))
        for records, keys in self._records():
            self._keys += keys
            yield partial(self._write, self._frame(records))
        number = self._writer.number
        self._writer.sync_soon()
        while self._writer.durable < number:
            yield None
        yield partial(self._complete, self._frame([Complete(number, self._keys)]))
        yield self._remove_old

    def abandon(self) -> None:
        """Removes what there is of it."""
        if self._file:
            self._file.close()
            self._file = None
            self._disk.remove(self.name + NEW)

    def _records(self) -> Iterator[Tuple[List[Record], int]]:
        """The keys of the store, some at a time. What a part holds is referred to, not copied."""
        texts: Dict[str, bytes] = {}
        timed: Dict[str, Tuple[bytes, float]] = {}
        size = index = 0
        while True:
            part = self._store.part(index)
            index += 1
            if part is None:
                break
            offset = self._offset()
            for key, text in part.texts.items():
                texts[key] = text
                size += len(text)
                if size > BYTES or len(texts) >= KEYS:
                    yield [Texts(texts)], len(texts)
                    texts, size = {}, 0
            for key, (text, due) in part.timed.items():
                timed[key] = text, due + offset
                size += len(text)
                if size > BYTES or len(timed) >= KEYS:
                    yield [TimedTexts(timed)], len(timed)
                    timed, size = {}, 0
        yield [Texts(texts), TimedTexts(timed)], len(texts) + len(timed)

    def _frame(self, records: List[Record]) -> bytes:
        frame = encode_frames([encode_records(records)], self._frames, self._frames)
        self._frames += 1
        return frame

    def _begin(self, header: Header) -> None:
        self._file = self._disk.create(self.name + NEW)
        self._file.write(encode_header(header))
        self.size = HEADER_SIZE

    def _write(self, data: bytes) -> None:
        assert self._file
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
        self._disk.rename(self.name + NEW, self.name)
        self._disk.sync()

    def _remove_old(self) -> None:
        for name in files_in(self._disk).leftovers:
            self._disk.remove(name)
