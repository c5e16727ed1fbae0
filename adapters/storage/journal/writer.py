"""Group commit: the changes of all clients of a turn are written and synced together.

Rule: the event loop never waits for the disk. One thread writes, one job at a time; what comes
meanwhile is the next job. A write or a sync that failed is never tried again, since the system may
have dropped what it could not write: nothing of it is ever said to be durable.
"""

from __future__ import annotations

import enum
import logging
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Protocol, Set, TypeVar, Union

from adapters.storage.journal.disk import RESERVE, Disk, File
from adapters.storage.journal.files import CLOSED, journal_name
from adapters.storage.journal.frames import HEADER_SIZE, Header, encode_frame, encode_header
from adapters.storage.journal.queue import Batch, Queue
from application.ports import Restriction

log = logging.getLogger(__name__)

R = TypeVar("R")

LOOK_BYTES = 1 << 20
"""After so many written bytes the disk is asked for its room, as it is once a second."""

WRITE_AFTER = 0.01
"""Seconds that changes are collected for where no reply waits for them."""

SYNC_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""The upper bounds of the histogram of how long syncs take."""

_FULLNESS = {
    True: "the disk is full: writes are refused",
    False: "there is room again: writes are accepted",
}


class Background(Protocol):
    """Where jobs are done that wait for the disk."""

    def run(self, job: Callable[[], R], done: Callable[[Union[R, OSError]], None]) -> None:
        """Does a job in a thread, then calls `done` in the event loop's. One at a time."""
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


class Job(NamedTuple):
    """What is to be written, how far, and the number of its last frame."""

    data: bytes
    step: Step
    number: int
    follows_durable: bool
    """Whether all that was written before is on the disk."""
    looks: bool
    """Whether to ask for the disk's room."""


class Outcome(NamedTuple):
    """What a job has come to: the file to go on with, how long the sync took, and the bytes that
    there is room for, None if it did not sync, or look."""

    segment: Segment
    synced: Optional[float]
    room: Optional[int]


@dataclass
class WriterFigures:
    """Bytes of the file that is written and of those before it that are still needed; syncs by how
    long they took; the time of the last one by the writer's clock. `restrictions` has `FULL` while
    the disk has too little room for more writes."""

    last_durable: float
    restrictions: Set[Restriction]
    size: int = 0
    old_size: int = 0
    syncs: List[int] = field(default_factory=lambda: [0] * (len(SYNC_SECONDS) + 1))

    @property
    def is_full(self) -> bool:
        """Whether the disk has too little room for more writes, when it was last asked."""
        return Restriction.FULL in self.restrictions

    def note_room(self, room: int) -> None:
        """Takes the bytes that there is room for; logs when that makes the disk full or ends it."""
        is_full = room < RESERVE
        if is_full != self.is_full:
            (self.restrictions.add if is_full else self.restrictions.discard)(Restriction.FULL)
            log.warning(_FULLNESS[is_full], extra={"free": room, "needed": RESERVE})

    def note_sync(self, seconds: float, now: float) -> None:
        """Counts a sync."""
        self.last_durable = now
        self.syncs[bisect_left(SYNC_SECONDS, seconds)] += 1

    def histogram(self) -> Dict[str, int]:
        """How many syncs took up to so many seconds."""
        return dict(zip([f"{bound:g}" for bound in SYNC_SECONDS] + ["more"], self.syncs))


class Writer:
    """Writes a queue. `sync_each` has every job synced. `failed` is called when something could not
    be written. `clock` returns seconds, `wall` those since 1970."""

    def __init__(
        self,
        disk: Disk,
        queue: Queue,
        background: Background,
        sync_each: bool,
        failed: Callable[[OSError], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
        figures: WriterFigures,
    ) -> None:
        self._disk = disk
        self._queue = queue
        self._background = background
        self._usual = Step.SYNC if sync_each else Step.WRITE
        self._wanted = Step.WRITE
        self._failed = failed
        self._clock = clock
        self._wall = wall
        self.segment: Segment
        self.durable = 0
        """The number of the last frame that is on the disk."""
        self.figures = figures
        self._sealed = -1
        self._unlooked = 0
        """Bytes written since the disk was asked for its room."""
        self._is_scheduled = self._is_busy = False

    def start(self, segment: Segment, number: int) -> None:
        """Writes behind the frame with a number, which is on the disk."""
        self.segment, self.durable = segment, number
        self._queue.restart(number)

    @property
    def is_idle(self) -> bool:
        """Whether everything is on the disk, and nothing is being done."""
        queue = self._queue
        return not self._is_busy and self.durable == queue.number and not queue.newest(None)

    def schedule(self) -> None:
        """Has written what is in the queue, soon."""
        if not self._is_scheduled:
            self._is_scheduled = True
            seconds = 0 if self._usual is Step.SYNC else WRITE_AFTER
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

    def close(self) -> None:
        """Proves all frames, and frees the file; to be called when the writer is idle."""
        self.segment.file.close()
        try:
            self._create(CLOSED, self.segment.header._replace(number=self.durable)).close()
        except OSError as error:
            log.warning("could not note a clean stop", extra={"why": str(error)})

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
            self._is_busy = True
            data = b"".join(map(self._frame, batches))
            follows_durable = self.durable == number - len(batches)
            job = Job(data, step, number, follows_durable, self._unlooked + len(data) > LOOK_BYTES)
            self._background.run(partial(self._write, job), partial(self._done, job))

    def _frame(self, batch: Batch) -> bytes:
        unsynced = batch.number - self.durable
        return encode_frame(batch.records(), batch.number, unsynced, self._wall())

    def _write(self, job: Job) -> Outcome:
        segment = self.segment
        began = self._clock()
        syncs = job.step >= Step.SYNC
        if syncs and job.follows_durable and job.data:
            segment.file.write_through(job.data)
        else:
            if job.data:
                segment.file.write(job.data)
            if syncs:
                segment.file.sync()
        took = self._clock() - began if syncs else None
        if job.step is Step.ROTATE:
            segment.file.close()
            header = segment.header._replace(number=job.number)
            index = segment.journal + 1
            segment = Segment(self._create(journal_name(index), header), index, header)
        return Outcome(segment, took, self._disk.free() if job.looks else None)

    def _create(self, name: str, header: Header) -> File:
        """A file with a header, which lasts."""
        file = self._disk.create(name)
        file.write(encode_header(header))
        file.sync()
        self._disk.sync()
        return file

    def _done(self, job: Job, outcome: Union[Outcome, OSError]) -> None:
        if isinstance(outcome, OSError):
            self._failed(outcome)  # it stays busy: nothing is written behind a gap
            return
        figures = self.figures
        figures.size += len(job.data)
        if outcome.segment is not self.segment:
            figures.old_size += figures.size
            figures.size = HEADER_SIZE
        self.segment = outcome.segment
        self._unlooked += len(job.data)
        if outcome.room is not None:
            self._unlooked = 0
            figures.note_room(outcome.room)
        if outcome.synced is not None:
            self.durable = job.number
            figures.note_sync(outcome.synced, self._clock())
        self._is_busy = False
        self._queue.done()
        if not self._is_scheduled:
            self._commit()
