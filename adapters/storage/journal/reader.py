"""Reading a journal back.

Rule: the state is that of the last whole frame, or nothing is served. A bad place with nothing
behind it that proves that it was on the disk is a torn tail, which a crash leaves; anything else is
damage. A clean stop proves all frames. A snapshot is written while the store changes: it is right
together with the frames up to the number at its end.

A salvage reads on where it can: what is whole of a damaged snapshot, and the frames up to the first
damage of a journal, behind a damaged header, too.
"""

from __future__ import annotations

from contextlib import closing
from typing import BinaryIO, Generator, Iterator, List, NamedTuple, Optional, Tuple

from adapters.storage.journal.disk import Disk
from adapters.storage.journal.files import (
    CLOSED,
    Damage,
    files_in,
    journal_name,
    snapshot_name,
)
from adapters.storage.journal.frames import (
    FRAME_SIZE,
    HEADER_SIZE,
    MARKER,
    Complete,
    FrameHead,
    Header,
    Record,
    decode_head,
    decode_header,
    decode_payload,
)

SEARCHED = 1 << 20
"""Bytes that are searched for frames at once."""


class Frame(NamedTuple):
    """A whole frame; `end` is the offset behind it."""

    head: FrameHead
    records: List[Record]
    end: int


class Tail(NamedTuple):
    """The last file, by its number among the journals: where its good part ends, 0 when its header
    is not good; how many bytes are behind that; the number before its first frame."""

    journal: int = 1
    end: int = 0
    torn: int = 0
    first: int = 0


class Reader:
    """Reads the files of a directory once. While it does, and then, its attributes say how far it
    has come, and what a salvage has left out."""

    def __init__(self, disk: Disk, salvages: bool = False) -> None:
        self._disk = disk
        self._salvages = salvages
        self.files = files_in(disk)
        self.uuid: Optional[bytes] = None
        self.number = 0
        """Of the last good frame."""
        self.frames = 0
        self.bytes_read = 0
        self.written: Optional[float] = None
        """When the last frame was, in seconds since 1970."""
        self.tail = Tail()
        self.damages: List[Damage] = []
        self.lost = 0
        """The bytes that were left out."""

    @property
    def snapshot_bytes(self) -> int:
        """The size of the snapshot."""
        index = self.files.snapshot
        return 0 if index is None else self.files.sizes[snapshot_name(index)]

    @property
    def bytes_in_all(self) -> int:
        """The size of all files that are read."""
        sizes = self.files.sizes
        return self.snapshot_bytes + sum(sizes[journal_name(at)] for at in self.files.journals)

    def run(self) -> Iterator[List[Record]]:
        """The records, a frame at a time. Raises `Damage`, unless it salvages anything, `OSError`,
        and `ValueError` for a format that this version cannot read."""
        files, needed, is_whole = self.files, 0, True
        self.lost = sum(files.sizes[name] for name in files.unreachable)
        for name in files.missing:
            self._damaged(name, 0, "the file is missing")
        if files.snapshot is not None:
            needed = yield from self._snapshot(snapshot_name(files.snapshot))
        for index in files.journals:
            if is_whole:
                is_last = index == files.journals[-1] and not files.unreachable
                is_whole = yield from self._journal(index, is_last)
            else:
                self.lost += files.sizes[journal_name(index)]
        needed = max(needed, self._closed_number())
        if self.number < needed:
            self.lost += self.tail.torn
            self.tail = self.tail._replace(torn=0)
            why = f"it ends at number {self.number}, and frames up to {needed} were on the disk"
            self._damaged(journal_name(self.tail.journal), self.tail.end, why)
        if self.damages and not self.frames:
            raise self.damages[0]

    def _snapshot(self, name: str) -> Generator[List[Record], None, int]:
        """Returns the number that it needs."""
        size = self.files.sizes[name]
        with closing(self._disk.read(name)) as file:
            header = self._header(name, file)
            number = end = needed = 0
            if header:
                end = HEADER_SIZE
                self.uuid, self.number = header
            while end < size or not needed:
                for frame in self._counted(_frames(file, end, size, number)):
                    number, end = frame.head.number, frame.end
                    last = frame.records[-1] if frame.records else None
                    if isinstance(last, Complete):
                        needed = last.number
                        break
                    yield frame.records
                if needed and end == size:
                    break
                self._damaged(name, end, f"the frame with number {number + 1} is not whole")
                found, head = next(_search(file, end, size), (size, None))
                self.lost += found - end
                if head is None:
                    break
                number, end = head.number - 1, found
        return needed

    def _journal(self, index: int, is_last: bool) -> Generator[List[Record], None, bool]:
        """Returns whether all of it is whole, or a tail is torn."""
        name = journal_name(index)
        size = self.files.sizes[name]
        with closing(self._disk.read(name)) as file:
            header, end = self._header(name, file), HEADER_SIZE
            is_lost = header is None
            if header is None:
                header, end = _first_found(file, size)
            why = self._misfit(header) if header else ""
            if header and is_lost:
                self._damaged(name, 0, "its header is not whole")
            if why:
                end = 0
            self.tail = Tail(index, end, 0, header.number if header else self.number)
            if header and end:
                self.uuid, self.number = header.uuid or self.uuid, header.number
                for frame in self._counted(_frames(file, end, size, self.number)):
                    self.number, end = frame.head.number, frame.end
                    yield frame.records
            why = why or self._flaw(file, end, size, is_last)
        self.tail = self.tail._replace(end=end, torn=0 if why else size - end)
        if why:
            self.lost += size - end
            self._damaged(name, end, why)
        return not why

    def _misfit(self, header: Header) -> str:
        """Why a journal cannot follow what was read before; "" if it can."""
        if header.uuid and self.uuid not in (None, header.uuid):
            return "it belongs to another journal"
        if header.number == self.number or (self.uuid is None and self.damages):
            return ""
        return f"it begins behind number {header.number}, and {self.number} was the last"

    def _flaw(self, file: BinaryIO, end: int, size: int, is_last: bool) -> str:
        """Why the end of a journal's good part is no torn tail; "" if it is one, or the end."""
        if 0 < end == size:
            return ""
        lost = self.number + 1
        if not is_last:
            return f"the frame with number {lost} is not whole"
        for offset, head in _search(file, end, size):
            if head.proven >= lost or end == 0:
                return (
                    f"the frame with number {lost} is not whole, and good ones follow at {offset}"
                )
        return ""

    def _counted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.frames += 1
            self.bytes_read += frame.head.length + FRAME_SIZE
            self.written = frame.head.written
            yield frame

    def _damaged(self, name: str, offset: int, why: str) -> None:
        damage = Damage(name, offset, why)
        if not self._salvages:
            raise damage
        self.damages.append(damage)

    def _header(self, name: str, file: BinaryIO) -> Optional[Header]:
        try:
            return decode_header(file.read(HEADER_SIZE))
        except ValueError as error:
            raise ValueError(f"{name} has {error}") from error

    def _closed_number(self) -> int:
        """The number of the last frame when the journal was closed; 0 after a crash."""
        if CLOSED not in self.files.sizes:
            return 0
        with closing(self._disk.read(CLOSED)) as file:
            header = self._header(CLOSED, file)
        return header.number if header and self.uuid in (None, header.uuid) else 0


def _frames(file: BinaryIO, offset: int, size: int, number: int) -> Iterator[Frame]:
    """The good frames from an offset on, the first of them with the number after `number`."""
    file.seek(offset)
    while True:
        data = file.read(FRAME_SIZE)
        head = decode_head(data)
        number += 1
        if head is None or head.number != number or head.length > size - offset - FRAME_SIZE:
            return
        records = decode_payload(data, file.read(head.length))
        if records is None:
            return
        offset += FRAME_SIZE + head.length
        yield Frame(head, records, offset)


def _search(file: BinaryIO, start: int, size: int) -> Iterator[Tuple[int, FrameHead]]:
    """Good frames anywhere from `start` on."""
    for offset in _markers(file, start, size):
        file.seek(offset)
        data = file.read(FRAME_SIZE)
        head = decode_head(data)
        if head is None or head.length > size - offset - FRAME_SIZE:
            continue
        if decode_payload(data, file.read(head.length)) is not None:
            yield offset, head


def _first_found(file: BinaryIO, size: int) -> Tuple[Optional[Header], int]:
    """What the header of a journal said but for the uuid, by the first good frame, and where that
    begins; None and 0 where there is none."""
    for offset, head in _search(file, 0, size):
        return Header(b"", head.number - 1), offset
    return None, 0


def _markers(file: BinaryIO, start: int, size: int) -> Iterator[int]:
    while start < size:
        file.seek(start)
        data = file.read(SEARCHED + len(MARKER) - 1)
        found = data.find(MARKER)
        while found >= 0:
            yield start + found
            found = data.find(MARKER, found + 1)
        start += SEARCHED
