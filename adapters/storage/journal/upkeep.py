"""What an open journal needs from time to time: a sync, a look at the disk's room, a rewrite.

Rule: a rewrite that fails loses nothing, since all files before it are still there; it is tried
again later. Without room on the disk, writes are refused and no rewrite begins.
"""

from __future__ import annotations

import logging
from typing import Optional

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import Disk
from adapters.storage.journal.queue import ChangeQueue
from adapters.storage.journal.rewrite import Rewrite, Steps
from adapters.storage.journal.writer import Writer
from application.stats import JournalReport
from domain.store import Restorable

log = logging.getLogger(__name__)

MIN_REWRITE = 64 << 20
"""Bytes below which a journal is not rewritten."""

RETRY_TICKS = 60
"""Ticks until a rewrite that failed is tried again."""


class Upkeep:
    """The upkeep of one journal; `tick` is to be called about once a second."""

    def __init__(
        self,
        disk: Disk,
        fsync: str,
        store: Restorable,
        queue: ChangeQueue,
        writer: Writer,
        clocks: Clocks,
    ) -> None:
        self._disk = disk
        self._fsync = fsync
        self._store = store
        self._queue = queue
        self._writer = writer
        self._clocks = clocks
        self._rewrite: Optional[Rewrite] = None
        self._rewritten: Optional[float] = None
        self._pause = 0
        self.snapshot_bytes = 0

    def tick(self) -> None:
        """Syncs with `everysec`, seals what is on the disk, and looks whether there is room."""
        self._pause = max(0, self._pause - 1)
        if self._writer.is_idle:
            self._writer.seal()
        if self._fsync == "everysec":
            self._writer.sync()
        self._writer.look()

    def size(self) -> int:
        """Bytes of all files that are needed."""
        return self.snapshot_bytes + self._writer.figures.old_size + self._writer.figures.size

    def is_due(self) -> bool:
        """Whether to rewrite the journal."""
        most = max(MIN_REWRITE, 2 * self.snapshot_bytes)
        return self.size() > most and not (self._pause or self._writer.is_full)

    def rewrite(self) -> Steps:
        """Puts a snapshot in the place of all there is, in steps; see `Rewrite`."""
        rewrite = Rewrite(self._disk, self._queue, self._writer, self._store, self._clocks)
        self._rewrite = rewrite
        yield from rewrite.steps()
        self._rewrite = None
        self._rewritten = self._clocks.store()
        self.snapshot_bytes, self._writer.figures.old_size = rewrite.size, 0
        log.info("rewrote the journal", extra={"bytes": rewrite.size})

    def abandon_rewrite(self, error: Exception) -> None:
        """It failed. What is neither the disk's error nor want of memory is a bug."""
        bug = None if isinstance(error, (OSError, MemoryError)) else error
        why = str(error) or type(error).__name__
        log.error("could not rewrite the journal", extra={"why": why}, exc_info=bug)
        self._pause = RETRY_TICKS
        rewrite, self._rewrite = self._rewrite, None
        if rewrite:
            rewrite.abandon()

    def figures(self, is_loading: bool) -> JournalReport:
        """What INFO tells."""
        writer, queue, now = self._writer, self._queue, self._clocks.store()
        return JournalReport(
            fsync=self._fsync,
            loading=is_loading,
            rewriting=self._rewrite is not None,
            full=writer.is_full,
            size=self.size(),
            snapshot=self.snapshot_bytes,
            frames=queue.number,
            durable_frames=writer.durable,
            waiting=queue.waiting,
            since_durable=round(now - writer.figures.last_durable, 3),
            since_rewrite=None if self._rewritten is None else round(now - self._rewritten, 3),
            fsyncs=writer.figures.syncs.histogram(),
        )
