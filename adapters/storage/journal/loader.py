"""Reading a journal back.

Files: `journal-N` are the frames in their order; `snapshot-N` holds the keys as they were when
`journal-N` began or later, so that the files before it are needed no more. A snapshot is written
while the store changes: it is right together with the frames up to the number at its end.

Rule: the state is that of the last whole frame, or nothing is served. A bad place with nothing
behind it that proves that it was on the disk is a torn tail, which a crash leaves; anything else is
damage.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import (
    BinaryIO,
    Callable,
    Dict,
    Generator,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Set,
    Tuple,
)

from adapters.storage.journal.disk import Disk
from adapters.storage.journal.frames import (
    FRAME_SIZE,
    HEADER_SIZE,
    MARKER,
    Complete,
    Emptied,
    FrameHead,
    Gone,
    Header,
    Record,
    Texts,
    TimedTexts,
    decode_head,
    decode_header,
    decode_payload,
)
from domain.store import Restorable, Store

NEW = ".new"
"""The end of the name of a snapshot that is not complete."""

SEARCHED = 1 << 20
"""Bytes that are searched for frames at once."""

_NAME = re.compile(r"(journal|snapshot)-(\d{10})(\.new)?")


class Damage(Exception):
    """A file is not as it was written. `offset` is where the good part ends."""

    def __init__(self, name: str, offset: int, why: str) -> None:
        super().__init__(f"{name} is damaged at offset {offset}: {why}")
        self.name, self.offset = name, offset


class RestorableStore(Store, Restorable, Protocol):
    """What a store has to be for a journal to rebuild it."""


def journal_name(index: int) -> str:
    """The name of the file with the frames from a snapshot on."""
    return f"journal-{index:010}"


def snapshot_name(index: int) -> str:
    """The name of a snapshot."""
    return f"snapshot-{index:010}"


class Files(NamedTuple):
    """The files of a directory: those to read, in order, and what is left of a rewrite."""

    snapshot: Optional[int]
    journals: List[int]
    leftovers: List[str]


def files_in(disk: Disk) -> Files:
    """What there is; raises `Damage` when a file is missing."""
    found: Dict[str, List[int]] = {"journal": [], "snapshot": []}
    leftovers = []
    for name in sorted(disk.names()):
        match = _NAME.fullmatch(name)
        if match and match.group(3):
            leftovers.append(name)
        elif match:
            found[match.group(1)].append(int(match.group(2)))
    snapshot = max(found["snapshot"], default=None)
    first = 1 if snapshot is None else snapshot
    leftovers += [snapshot_name(index) for index in found["snapshot"] if index < first]
    leftovers += [journal_name(index) for index in found["journal"] if index < first]
    journals = [index for index in found["journal"] if index >= first]
    expected = list(range(first, first + len(journals)))
    if journals != expected or (snapshot is not None and not journals):
        missing = min({*expected, first} - set(journals))
        raise Damage(journal_name(missing), 0, "the file is missing")
    return Files(snapshot, journals, leftovers)


class Reader:
    """Reads the files of a directory once. While it does, and then, its attributes say how far it
    has come."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.files = files_in(disk)
        sizes = disk.names()
        self._sizes = sizes
        self.uuid: Optional[bytes] = None
        self.number = 0
        """Of the last good frame."""
        self.frames = 0
        self.bytes_read = 0
        self.snapshot_bytes = 0
        self.first = 0
        """The number before the last file's first frame."""
        self.end = 0
        """The size of the last journal's good part; 0 when its header is not good."""
        self.torn = 0
        """The bytes behind that."""
        names = [journal_name(index) for index in self.files.journals]
        if self.files.snapshot is not None:
            self.snapshot_bytes = sizes[snapshot_name(self.files.snapshot)]
        self.bytes_in_all = self.snapshot_bytes + sum(sizes[name] for name in names)

    def run(self) -> Iterator[List[Record]]:
        """The effects, a frame at a time. Raises `Damage`, `OSError`, and `ValueError` for a format
        that this version cannot read."""
        needed = 0
        if self.files.snapshot is not None:
            needed = yield from self._snapshot(snapshot_name(self.files.snapshot))
        name = ""
        for index in self.files.journals:
            name = journal_name(index)
            yield from self._journal(name, is_last=index == self.files.journals[-1])
        if self.number < needed:
            why = f"it ends at number {self.number}, and the snapshot needs {needed}"
            raise Damage(name, self.end, why)

    def _snapshot(self, name: str) -> Generator[List[Record], None, int]:
        with closing(self._disk.read(name)) as file:
            header = self._header(name, file)
            if header is None:
                raise Damage(name, 0, "its header is not whole")
            self.uuid, self.number = header
            at, number = HEADER_SIZE, 0
            complete: Optional[Complete] = None
            for frame in _frames(file, 0):
                if complete is not None:
                    break
                number, at = frame.number, at + frame.size
                self.frames += 1
                self.bytes_read += frame.size
                if frame.records and isinstance(frame.records[-1], Complete):
                    complete = frame.records[-1]
                else:
                    yield frame.records
        if complete is None or at != self._sizes[name]:
            raise Damage(name, at, f"the frame with number {number + 1} is not whole")
        return complete.number

    def _journal(self, name: str, is_last: bool) -> Iterator[List[Record]]:
        size = self._sizes[name]
        with closing(self._disk.read(name)) as file:
            header = self._header(name, file)
            if header is None:
                self._tear(name, file, 0, size, is_last)
                return
            if self.uuid not in (None, header.uuid):
                raise Damage(name, 0, "it belongs to another journal")
            if header.number != self.number:
                why = f"it begins behind number {header.number}, and {self.number} was the last"
                raise Damage(name, 0, why)
            self.uuid, self.first = header
            self.end = HEADER_SIZE
            for frame in _frames(file, self.number):
                self.number = frame.number
                self.end += frame.size
                self.frames += 1
                self.bytes_read += frame.size
                yield frame.records
            if self.end < size:
                self._tear(name, file, self.end, size, is_last)

    def _tear(self, name: str, file: BinaryIO, end: int, size: int, is_last: bool) -> None:
        """The good part of a file ends before its end; raises `Damage` unless that is what a crash
        leaves."""
        lost = self.number + 1
        if not is_last:
            raise Damage(name, end, f"the frame with number {lost} is not whole")
        for offset, head in _search(file, end, size):
            if head.proven >= lost or end == 0:
                why = f"the frame with number {lost} is not whole, and good ones follow at {offset}"
                raise Damage(name, end, why)
        self.end, self.torn = end, size - end
        if end == 0:
            self.first = self.number
        self.bytes_read += self.torn

    def _header(self, name: str, file: BinaryIO) -> Optional[Header]:
        try:
            return decode_header(file.read(HEADER_SIZE))
        except ValueError as error:
            raise ValueError(f"{name} has {error}") from error


class _Frame(NamedTuple):
    number: int
    size: int
    records: List[Record]


def _frames(file: BinaryIO, number: int) -> Iterator[_Frame]:
    """The good frames from where the file is, the first of them with the number after `number`."""
    left = os.fstat(file.fileno()).st_size
    while True:
        data = file.read(FRAME_SIZE)
        head = decode_head(data)
        number += 1
        if head is None or head.number != number or head.length > left:
            return
        records = decode_payload(data, head, file.read(head.length))
        if records is None:
            return
        yield _Frame(number, FRAME_SIZE + head.length, records)


def _search(file: BinaryIO, start: int, size: int) -> Iterator[Tuple[int, FrameHead]]:
    """Good frames anywhere from `start` on."""
    for offset in _markers(file, start, size):
        file.seek(offset)
        data = file.read(FRAME_SIZE)
        head = decode_head(data)
        if head and head.length <= size - offset - FRAME_SIZE:
            payload = file.read(head.length)
            if decode_payload(data, head, payload) is not None:
                yield offset, head


def _markers(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    while start < size:
        file.seek(start)
        data = file.read(SEARCHED + len(MARKER) - 1)
        found = data.find(MARKER)
        while found >= 0:
            yield start + found
            found = data.find(MARKER, found + 1)
        start += SEARCHED


class Replay:
    """Does to a store what records tell. `clock` is the store's, `wall` counts from 1970."""

    def __init__(
        self, store: RestorableStore, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall = wall
        self.expired: Set[str] = set()
        """Keys that came due while nothing ran. They are to be removed in the journal, too, so that
        a clock that is set back does not bring them back."""

    def __call__(self, records: List[Record]) -> None:
        """Does what one frame tells."""
        for record in records:
            if isinstance(record, Texts):
                self._store.restore(record.items)
                if self.expired:
                    self.expired.difference_update(record.items)
            elif isinstance(record, TimedTexts):
                self._restore_timed(record)
            elif isinstance(record, Gone):
                self._store.delete(record.keys)
            elif isinstance(record, Emptied):
                self._store.clear()
                self.expired.clear()

    def _restore_timed(self, record: TimedTexts) -> None:
        now = self._clock()
        offset = self._wall() - now
        for key, (text, due) in record.items.items():
            if due - offset > now:
                self._store.restore({key: text}, due - offset)
                self.expired.discard(key)
            else:
                self._store.delete((key,))
                self.expired.add(key)
