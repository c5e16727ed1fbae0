"""Group commit: the frames of all clients of a turn are written and synced together.

Rule: the event loop never waits for the disk. One thread writes, one batch at a time; what comes
meanwhile is the next batch. A write or a sync that failed is never tried again, since the system
may have dropped what it could not write: nothing of it is ever said to be durable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from functools import partial
from typing import (
    Callable,
    Deque,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Set,
    Tuple,
    Union,
)

from adapters.storage.journal.disk import Disk, File
from adapters.storage.journal.frames import HEADER_SIZE, Header, encode_frames, encode_header
from adapters.storage.journal.loader import journal_name

SYNC_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""The upper bounds of the histogram of how long syncs take."""


class Background(Protocol):
    """Where jobs are done that wait for the disk."""

    def run(self, job: Callable[[], Job], done: Callable[[Union[Job, OSError]], None]) -> None:
        """Does a job in a thread, then calls `done` in the event loop's. One at a time."""
        ...

    def soon(self, call: Callable[[], None]) -> None:
        """Calls once the clients that wait have been served."""
        ...


class Job(NamedTuple):
    """What a batch has come to: the file to go on with, the time that the sync took."""

    file: File
    synced: Optional[float]


class Writer:
    """`sync_each` has every batch synced. `failed` is called when a batch could not be written.
    `clock` returns seconds."""

    def __init__(
        self,
        disk: Disk,
        background: Background,
        sync_each: bool,
        failed: Callable[[OSError], None],
        clock: Callable[[], float],
    ) -> None:
        self._disk = disk
        self._background = background
        self._sync_each = sync_each
        self._failed = failed
        self._clock = clock
        self._file: File
        self._uuid = b""
        self._pending: List[bytes] = []
        self._waiting: Deque[Tuple[int, Callable[[], None]]] = deque()
        self._is_scheduled = self._is_busy = self._has_failed = False
        self._wants_sync = self._wants_rotation = False
        self._clearing = 0
        self.pending_keys: Set[str] = set()
        self.written_keys: Set[str] = set()
        """Keys of the next batch and of the one that is being written."""
        self.pending_bytes = 0
        self.index = 0
        """Of the file that is written."""
        self.number = self.durable = 0
        """Of the last frame, and of the last one that is on the disk."""
        self.first = 0
        """The number before the first frame of the file that is written."""
        self.size = self.old_size = 0
        """Bytes of the file that is written, and of those before it that are still needed."""
        self.syncs = [0] * (len(SYNC_SECONDS) + 1)
        self.last_durable = clock()

    def start(self, file: File, index: int, header: Header, number: int) -> None:
        """Writes behind the frame with a number, which is on the disk, the last one in a file."""
        self._file, self.index, self._uuid = file, index, header.uuid
        self.first, self.number, self.durable = header.number, number, number

    @property
    def waiting(self) -> int:
        """How many wait for the disk."""
        return len(self._waiting)

    def append(self, payload: bytes, keys: Iterable[str] = (), clears: bool = False) -> None:
        """Has a frame written. Its `keys`, or all of them if it `clears`, are dirty until then."""
        self.number += 1
        self._pending.append(payload)
        self.pending_bytes += len(payload)
        self.pending_keys.update(keys)
        if clears:
            self._clearing = self.number
        if not self._is_scheduled:
            self._is_scheduled = True
            self._background.soon(self.commit)

    def dirty(self, keys: Iterable[str]) -> bool:
        """Whether what is known of any of `keys` is not on the disk yet."""
        if self.durable >= self.number:
            return False
        pending, written = self.pending_keys, self.written_keys
        return self._clearing > self.durable or any(
            key in pending or key in written for key in keys
        )

    def when_durable(self, number: int, wake: Callable[[], None]) -> None:
        """Calls `wake` once all frames up to `number` are on the disk. Numbers never go down."""
        self._waiting.append((number, wake))

    def sync_soon(self) -> None:
        """Has what there is synced, whatever is usual."""
        if self.durable < self.number:
            self._wants_sync = True
            self.commit()

    def rotate(self) -> None:
        """Has a new file begun, behind all that there is."""
        self._wants_rotation = True
        self.commit()

    def commit(self) -> None:
        """Begins the next batch, unless one is being written."""
        self._is_scheduled = False
        rotates = self._wants_rotation
        syncs = self._sync_each or self._wants_sync or rotates
        if self._is_busy or self._has_failed or not (self._pending or self._wants_sync or rotates):
            return
        self._is_busy, self._wants_sync, self._wants_rotation = True, False, False
        payloads, self._pending, self.pending_bytes = self._pending, [], 0
        self.written_keys, self.pending_keys = self.pending_keys, set()
        data = encode_frames(payloads, self.number - len(payloads), self.durable)
        size = len(data)
        job = partial(self._write, data, syncs, self.number if rotates else None)
        self._background.run(job, partial(self._done, self.number, size, rotates))

    def _write(self, data: bytes, syncs: bool, rotates_at: Optional[int]) -> Job:
        file, took = self._file, None
        if data:
            file.write(data)
        if syncs:
            began = self._clock()
            file.sync()
            took = self._clock() - began
        if rotates_at is not None:
            new = self._disk.create(journal_name(self.index + 1))
            new.write(encode_header(Header(self._uuid, rotates_at)))
            new.sync()
            self._disk.sync()
            file.close()
            file = new
        return Job(file, took)

    def _done(self, number: int, size: int, rotated: bool, outcome: Union[Job, OSError]) -> None:
        if isinstance(outcome, OSError):
            self._has_failed = True  # and stays busy: nothing is written behind a gap
            self._failed(outcome)
            return
        self._is_busy = False
        self._file = outcome.file
        self.size += size
        if rotated:
            self.index, self.first = self.index + 1, number
            self.old_size, self.size = self.old_size + self.size, HEADER_SIZE
        if outcome.synced is not None:
            self.durable = number
            self.last_durable = self._clock()
            self.syncs[bisect_left(SYNC_SECONDS, outcome.synced)] += 1
            while self._waiting and self._waiting[0][0] <= number:
                self._waiting.popleft()[1]()
        self.written_keys = set()
        self.commit()

    def close(self) -> None:
        """Frees the file."""
        self._file.close()
