"""Group commit: the changes of all clients of a turn are written and synced together.

Rule: the event loop never waits for the disk. One thread writes, one job at a time; what comes
meanwhile is the next job. A write or a sync that failed is never tried again, since the system may
have dropped what it could not write: nothing of it is ever said to be durable. Only what the disk
had no room for, which is not in the file then, is kept and tried again.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import logging
import os
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, NamedTuple, Optional, Protocol, Set, TypeVar, Union

from msgspec import Struct
from msgspec.structs import replace

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import RESERVE, Disk, File, NoRoom
from adapters.storage.journal.files import CLOSED, journal_name
from adapters.storage.journal.frames import HEADER_SIZE, Header, encode_frame, encode_header
from adapters.storage.journal.queue import ChangeBatch, ChangeQueue
from application.ports import Restriction
from application.stats import Times

log = logging.getLogger(__name__)

R = TypeVar("R")

LOOK_BYTES = 1 << 20
"""After so many written bytes the disk is asked for its room, as it is once a second."""

WRITE_AFTER_SECONDS = 0.01
"""Seconds that changes are collected for where no reply waits for them."""

SYNC_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""The upper bounds of the histogram of how long syncs take."""

_FULLNESS = {
    True: "the disk is full: writes are refused",
    False: "there is room again: writes are accepted",
}


class Background(Protocol):
    """Where jobs are done that wait for the disk."""

    def run(self, job: Callable[[], R], done: Callable[[Union[R, Exception]], None]) -> None:
        """Does a job in a thread, then calls `done` in the event loop's, with what it returned or
        raised. One at a time."""
        ...

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Calls once that time has passed and the clients that wait have been served."""
        ...


class Step(enum.IntEnum):
    """How far a job goes; each includes those before it."""

    WRITE = 0
    SYNC = 1
    ROTATE = 2


class Segment(NamedTuple):
    """The file that is written, its number among the journals and its header."""

    file: File
    journal: int
    header: Header


class Job(Struct, frozen=True, gc=False):
    """What is to be written, how far, and the numbers of the frame before it and of its last."""

    data: bytes
    step: Step
    before: int
    number: int
    looks: bool
    """Whether to ask for the disk's room."""


class Outcome(Struct, frozen=True, gc=False):
    """What a job has come to: the file to go on with; how long the sync took, and the bytes that
    there is room for, None if it did not sync, or look; and what of it there is no room for."""

    segment: Segment
    synced: Optional[float]
    room: Optional[int]
    rest: Optional[Job]


@dataclass
class WriterFigures:
    """Bytes of the file that is written and of those before it that are still needed; syncs by how
    long they took; the time of the last one by the store's clock."""

    last_durable: float
    size: int = 0
    old_size: int = 0
    syncs: Times = field(default_factory=partial(Times, SYNC_SECONDS))


class Writer:
    """Writes a queue; each job is synced if `fsync` is `always`. `failed` is called when something
    could not be written. `restrictions` has `FULL` while the disk has too little room for more
    writes, and `STUCK` while some wait for room."""

    def __init__(
        self,
        disk: Disk,
        queue: ChangeQueue,
        background: Background,
        fsync: str,
        failed: Callable[[Exception], None],
        clocks: Clocks,
        restrictions: Set[Restriction],
    ) -> None:
        self._disk = disk
        self._queue = queue
        self._background = background
        self._fsync = fsync
        self._usual = Step.SYNC if fsync == "always" else Step.WRITE
        """How far each job goes."""
        self._wanted = Step.WRITE
        self._failed = failed
        self._clocks = clocks
        self.segment: Segment
        self.durable = 0
        """The number of the last frame that is on the disk."""
        self.figures = WriterFigures(clocks.store())
        self._restrictions = restrictions
        self._unlooked = 0
        """Bytes written since the disk was asked for its room."""
        self._sealed = -1
        self._rest: Optional[Job] = None
        """What waits for room; nothing is written before it."""
        self._is_scheduled = self._is_busy = False

    def start(self, segment: Segment, number: int) -> None:
        """Writes behind the frame with a number, which is on the disk."""
        self.segment, self.durable = segment, number
        self._queue.restart(number)

    @property
    def is_full(self) -> bool:
        """Whether the disk has too little room for more writes, when it was last asked."""
        return Restriction.FULL in self._restrictions

    @property
    def is_stuck(self) -> bool:
        """Whether something waits for room."""
        return self._rest is not None

    @property
    def is_idle(self) -> bool:
        """Whether everything is on the disk, and nothing is being done."""
        return not self._is_busy and self.durable == self._queue.last

    def schedule(self) -> None:
        """Has written what is in the queue, soon."""
        if not self._is_scheduled:
            self._is_scheduled = True
            seconds = 0 if self._usual is Step.SYNC else WRITE_AFTER_SECONDS
            self._background.after(seconds, self._commit_scheduled)

    def sync(self) -> None:
        """Has what there is synced, whatever is usual."""
        self._commit(Step.SYNC)

    def seal(self) -> None:
        """Has a frame with no changes written, which proves that all before it were on the disk;
        there is none to prove right behind another."""
        if self._queue.number > self._sealed:
            self._queue.close_batch()
            self._sealed = self._queue.number
            self.schedule()

    def rotate(self) -> None:
        """Has a new file begun, behind all that there is."""
        self._commit(Step.ROTATE)

    def look(self) -> None:
        """Tries again to write what waits for room, or asks the disk for its room."""
        if self._rest:
            rest, self._rest = self._rest, None
            self._begin(replace(rest, looks=True))
            return
        if self._is_busy:
            self._unlooked = LOOK_BYTES + 1  # so the next job does
            return
        try:
            self._note_room(self._room(self.segment.file))
        except OSError as error:  # such as that the directory is gone
            self._is_busy = True
            self._failed(error)

    def give_up(self) -> None:
        """Fails for want of room."""
        self._failed(NoRoom(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def close(self) -> None:
        """Proves all frames, and frees the file; to be called when the writer is idle."""
        try:
            self.segment.file.check()
            self._create(CLOSED, self.segment.header._replace(number=self.durable)).close()
        except OSError as error:
            log.warning("could not note a clean stop", extra={"why": str(error)})
        self.segment.file.close()

    def _commit_scheduled(self) -> None:
        self._is_scheduled = False
        self._commit()

    def _commit(self, wanted: Step = Step.WRITE) -> None:
        """Begins the next job, or has it go as far as `wanted` when the one before it is done."""
        self._wanted = step = max(self._wanted, wanted)
        if self._is_busy:
            return
        batches = self._queue.take()
        if self._queue.has_more:
            step = self._usual  # and what is wanted comes with the last of it
        else:
            self._wanted = Step.WRITE
        number = batches[-1].number if batches else self._queue.number
        if step < Step.ROTATE:
            step = max(step, self._usual) if self.durable < number else Step.WRITE
        if batches or step:
            data = b"".join(map(self._frame, batches))
            looks = self._unlooked + len(data) > LOOK_BYTES
            self._begin(Job(data, step, number - len(batches), number, looks))

    def _begin(self, job: Job) -> None:
        self._is_busy = True
        self._background.run(partial(self._write, job), partial(self._done, job))

    def _frame(self, batch: ChangeBatch) -> bytes:
        # Where nothing is ever synced, a bad frame is told when good ones follow, whatever it was.
        unsynced = 1 if self._fsync == "no" else batch.number - self.durable
        return encode_frame(batch.records(), batch.number, unsynced, self._clocks.wall())

    def _write(self, job: Job) -> Outcome:
        segment, rest = self.segment, None
        began = self._clocks.store()
        syncs = job.step >= Step.SYNC
        writes_through = syncs and job.data and self.durable == job.before
        try:
            if writes_through:
                segment.file.write_through(job.data)
            elif job.data:
                segment.file.write(job.data)
        except NoRoom:
            rest = job
        if syncs and not writes_through:
            segment.file.sync()
        took = self._clocks.store() - began if syncs else None
        if job.step is Step.ROTATE and not rest:
            header = segment.header._replace(number=job.number)
            index = segment.journal + 1
            try:
                segment = Segment(self._create(journal_name(index), header), index, header)
                self.segment.file.close()
            except NoRoom:
                rest = replace(job, data=b"", before=job.number)
        return Outcome(segment, took, self._room(segment.file) if job.looks else None, rest)

    def _room(self, file: File) -> int:
        """The bytes that there is room for; raises `OSError` when the file is gone."""
        file.check()
        return self._disk.free()

    def _create(self, name: str, header: Header) -> File:
        """A file with a header, which lasts."""
        with contextlib.ExitStack() as opened:
            file = self._disk.create(name)
            opened.callback(file.close)
            file.write(encode_header(header))
            file.sync()
            self._disk.sync()
            opened.pop_all()
        return file

    def _done(self, job: Job, outcome: Union[Outcome, Exception]) -> None:
        if isinstance(outcome, Exception):
            self._failed(outcome)  # it stays busy: nothing is written behind a gap
            return
        rest = outcome.rest
        if outcome.synced is not None:
            self.durable = job.before if rest is job else job.number
            self.figures.last_durable = self._clocks.store()
            self.figures.syncs.note(outcome.synced)
        if rest is not job:
            self._note_written(len(job.data), outcome.segment)
        if rest:
            self._rest = rest
            self._note_room(0)
            self._restrictions.add(Restriction.STUCK)
            self._queue.wake_all()
            return
        self._restrictions.discard(Restriction.STUCK)
        if outcome.room is not None:
            self._note_room(outcome.room)
        self._is_busy = False
        if not self._is_scheduled:
            self._commit()

    def _note_written(self, size: int, segment: Segment) -> None:
        figures = self.figures
        figures.size += size
        self._unlooked += size
        if segment is not self.segment:
            figures.old_size += figures.size
            figures.size = HEADER_SIZE
        self.segment = segment
        self._queue.done()

    def _note_room(self, room: int) -> None:
        """Takes the bytes that there is room for; logs when that makes the disk full or ends it."""
        self._unlooked = 0
        is_full = room < RESERVE
        if is_full != self.is_full:
            (self._restrictions.add if is_full else self._restrictions.discard)(Restriction.FULL)
            log.warning(_FULLNESS[is_full], extra={"free": room, "needed": RESERVE})
