"""The journal of one store: its life from loading to closing, and what replies ask of it.

Rule: it listens to the store, which knows nothing of it. With `always` whatever a reply shows is on
the disk; with the other settings replies wait only while too much is still to be written.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Callable, Iterator, Optional, Protocol, Set

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import Disk
from adapters.storage.journal.files import journal_name
from adapters.storage.journal.frames import HEADER_SIZE, Header, encode_header
from adapters.storage.journal.queue import ChangeQueue
from adapters.storage.journal.reader import Reader
from adapters.storage.journal.replay import Replay, RestorableStore
from adapters.storage.journal.upkeep import Upkeep
from adapters.storage.journal.writer import Background, Segment, Writer
from application.commands import Auth, Command, Info
from application.ports import Restriction
from application.stats import JournalReport
from domain.effects import Observable, Reason, Removed
from domain.errors import DiskFull, Loading

log = logging.getLogger(__name__)

STEP_SECONDS = 0.005
"""How long a step of loading takes."""


class JournalledStore(RestorableStore, Observable, Protocol):
    """What a store has to be to have a journal."""


class Journal:
    """`fsync` is `always`, `everysec` or `no`. `failed` is told why nothing can be written any
    more; it should end the process at once, since clients wait for replies that must not be
    sent."""

    def __init__(
        self,
        disk: Disk,
        fsync: str,
        store: JournalledStore,
        background: Background,
        clocks: Clocks,
        failed: Callable[[str], None],
    ) -> None:
        self._disk = disk
        self._store = store
        self._clocks = clocks
        self.restrictions: Set[Restriction] = {Restriction.LOADING}
        self.tracks_keys = fsync == "always"
        self._queue = queue = ChangeQueue(
            clocks.offset, self._schedule, self.restrictions, self.tracks_keys
        )
        tell = _telling(failed, disk)
        self._writer = Writer(disk, queue, background, fsync, tell, clocks, self.restrictions)
        self.needed = queue.newest
        self.backlog = queue.backlog
        self.when_durable = queue.when_done
        self.upkeep = Upkeep(disk, fsync, store, queue, self._writer, clocks)
        self.reader: Optional[Reader] = None
        self._unsubscribe: Callable[[], None] = lambda: None

    # Loading.

    def load(self, salvages: bool = False) -> Iterator[None]:
        """Brings what was written into the store, in steps, and begins to write. Raises `Damage`,
        `OSError`, and `ValueError` for a format that this version cannot read."""
        reader = self.reader = Reader(self._disk, salvages)
        replay = Replay(self._store, self._clocks)
        yield from self._in_steps(map(replay, reader.run()))
        if reader.tail.torn:
            name = journal_name(reader.tail.journal)
            what = {"file": name, "offset": reader.tail.end, "bytes": reader.tail.torn}
            log.warning("cut the end of the journal, which a crash left incomplete", extra=what)
        self._begin(reader)
        self._unsubscribe = self._store.subscribe(self._queue.add)
        self._queue.add([Removed(key, Reason.EXPIRED) for key in replay.expired])
        yield from self._in_steps(iter(self._store.fit, False))
        self.restrictions.discard(Restriction.LOADING)
        self.upkeep.tick()
        log.info("loaded the journal", extra={"bytes": reader.bytes_read, "frames": reader.frames})

    def _in_steps(self, work: Iterator[object]) -> Iterator[None]:
        """Does all the work, with others in between."""
        clock = self._clocks.store
        end = clock() + STEP_SECONDS
        for _ in work:
            if clock() > end:
                yield
                end = clock() + STEP_SECONDS

    def _begin(self, reader: Reader) -> None:
        """Opens the last file to write behind its good part, which is synced first: what a killed
        process left to the system is shown from now on. After a salvage a new one is begun."""
        for name in reader.files.leftovers:
            self._disk.remove(name)
        index, end, torn, first = reader.tail
        number = reader.number
        uuid = reader.uuid or os.urandom(16)
        if reader.damages:
            index, end, number, uuid = reader.files.next_index, 0, 0, os.urandom(16)
        if end:
            file = self._disk.append_to(journal_name(index), end)
        else:
            first = number
            file = self._disk.create(journal_name(index))
            file.write(encode_header(Header(uuid, first)))
        file.sync()
        self._disk.sync()
        self._writer.start(Segment(file, index, Header(uuid, first)), number)
        sizes = self._writer.figures
        sizes.size = end or HEADER_SIZE
        sizes.old_size = reader.bytes_in_all - reader.snapshot_bytes - end - torn
        self.upkeep.snapshot_bytes = reader.snapshot_bytes
        self._writer.seal()

    def _schedule(self) -> None:
        self._writer.schedule()

    # What replies ask.

    def admit(self, command: Command[Any]) -> None:
        if Restriction.LOADING in self.restrictions:
            if not isinstance(command, (Auth, Info)):
                raise Loading(f"the server is loading its data ({self._loaded_share():.0%})")
        elif Restriction.FULL in self.restrictions and command.may_write():
            raise DiskFull("the disk is full: no write is accepted until there is room")

    def _loaded_share(self) -> float:
        reader = self.reader
        return reader.bytes_read / max(1, reader.bytes_in_all) if reader else 0.0

    # The end.

    def close(self) -> Iterator[None]:
        """Syncs all there is, in steps to wait between; what waits for room is tried once more."""
        self._unsubscribe()
        if Restriction.LOADING in self.restrictions:
            return
        self._writer.sync()
        if self._writer.is_stuck:
            self._writer.look()
        while not self._writer.is_idle:
            yield
            if self._writer.is_stuck:
                self._writer.give_up()
                return
        self._writer.close()

    def figures(self) -> JournalReport:
        """What INFO tells."""
        return self.upkeep.figures(is_loading=Restriction.LOADING in self.restrictions)


def _telling(failed: Callable[[str], None], disk: Disk) -> Callable[[Exception], None]:
    def tell(error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else None
        failed(f"cannot write the journal in {disk.where}: {why or repr(error)}")

    return tell
