"""The journal of one store: its life from loading to closing, and what replies ask of it.

Rule: it listens to the store, which knows nothing of it. With `always` whatever a reply shows is on
the disk; with the other settings replies wait only while too much is still to be written.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Callable, Collection, Iterator, NamedTuple, Optional, Protocol, Sequence

from adapters.storage.journal.disk import Disk
from adapters.storage.journal.frames import (
    HEADER_SIZE,
    Gone,
    Header,
    encode_header,
    encode_records,
    records,
)
from adapters.storage.journal.loader import Damage, Reader, Replay, RestorableStore, journal_name
from adapters.storage.journal.rewrite import Rewrite, Steps
from adapters.storage.journal.writer import SYNC_SECONDS, Background, Writer
from application.commands import Auth, Command, Info
from application.stats import Journal as Figures
from domain.effects import Cleared, Effect, Observable, Put, Reason
from domain.errors import Unavailable

log = logging.getLogger(__name__)

STEP_SECONDS = 0.005
"""How long a step of loading takes."""

MIN_REWRITE = 64 << 20
"""Bytes below which a journal is not rewritten."""

RESERVE = 32 << 20
"""Bytes of the disk that are left free by refusing writes, for what was begun already."""

MAX_BEHIND = 64 << 20
"""Bytes that are still to be written, above which replies wait whatever the setting."""

RETRY_TICKS = 60
"""Ticks until a rewrite that failed is tried again."""


class JournalledStore(RestorableStore, Observable, Protocol):
    """What a store has to be to have a journal."""


class Journal:
    """`fsync` is `always`, `everysec` or `no`; `clock` is the store's, `wall` counts from 1970.
    `failed` is told why nothing can be written any more; it should end the process at once, since
    clients wait for replies that must not be sent."""

    def __init__(
        self,
        disk: Disk,
        fsync: str,
        store: JournalledStore,
        background: Background,
        clock: Callable[[], float],
        wall: Callable[[], float],
        failed: Callable[[str], None],
        min_rewrite: int = MIN_REWRITE,
    ) -> None:
        self._disk = disk
        self._fsync = fsync
        self._store = store
        self._clock = clock
        self._wall = wall
        self._failed = failed
        self._min_rewrite = min_rewrite
        self._writer = Writer(disk, background, fsync == "always", self._fail, clock)
        self._waits_always = fsync == "always"
        self._uuid = b""
        self._reader: Optional[Reader] = None
        self._is_loaded = False
        self._is_full = False
        self._snapshot_bytes = 0
        self._rewrite: Optional[Rewrite] = None
        self._rewritten: Optional[float] = None
        self._pause = 0
        self._unsubscribe: Callable[[], None] = lambda: None

    # Loading.

    def load(self) -> Iterator[None]:
        """Brings what was written into the store, in steps, and begins to write. Raises `Damage`,
        `OSError`, and `ValueError` for a format that this version cannot read."""
        reader = self._reader = Reader(self._disk)
        replay = Replay(self._store, self._clock, self._wall)
        end = self._clock() + STEP_SECONDS
        for frame in reader.run():
            replay(frame)
            if self._clock() > end:
                yield
                end = self._clock() + STEP_SECONDS
        if reader.torn:
            name = journal_name(reader.files.journals[-1])
            what = {"file": name, "offset": reader.end, "bytes": reader.torn}
            log.warning("cut the end of the journal, which a crash left incomplete", extra=what)
        self._begin(reader)
        self._unsubscribe = self._store.subscribe(self._listen)
        if replay.expired:
            self._writer.append(encode_records([Gone(list(replay.expired))]))
        self._is_loaded = True
        self.tick()
        log.info("loaded the journal", extra={"bytes": reader.bytes_read, "frames": reader.frames})

    def _begin(self, reader: Reader) -> None:
        """Opens the last file to write behind its good part, which is synced first: what a killed
        process left to the system is shown from now on."""
        for name in reader.files.leftovers:
            self._disk.remove(name)
        self._uuid = reader.uuid or os.urandom(16)
        index = reader.files.journals[-1] if reader.files.journals else 1
        header = Header(self._uuid, reader.first)
        if reader.end:
            file = self._disk.append_to(journal_name(index), reader.end)
        else:
            file = self._disk.create(journal_name(index))
            file.write(encode_header(header))
        file.sync()
        self._disk.sync()
        self._writer.start(file, index, header, reader.number)
        self._writer.size = reader.end or HEADER_SIZE
        self._writer.old_size = reader.bytes_in_all - reader.snapshot_bytes - reader.end
        self._writer.old_size -= reader.torn
        self._snapshot_bytes = reader.snapshot_bytes
        self._seal()

    def _seal(self) -> None:
        """Writes a frame with no effects: it proves that those before it were on the disk."""
        self._writer.append(encode_records([]))

    # What happens to the store.

    def _listen(self, effects: Sequence[Effect]) -> None:
        offset = self._wall() - self._clock()
        payload = encode_records(records(effects, offset))
        if not self._waits_always:
            self._writer.append(payload)
            return
        keys = [
            effect.key
            for effect in effects
            if isinstance(effect, Put)
            or not (isinstance(effect, Cleared) or effect.reason is Reason.EXPIRED)
        ]
        self._writer.append(payload, keys, any(isinstance(one, Cleared) for one in effects))

    # What replies ask.

    def admit(self, command: Command[Any]) -> None:
        if self._is_loaded and not self._is_full:
            return
        if not self._is_loaded:
            if not isinstance(command, (Auth, Info)):
                raise Unavailable(f"the server is loading its data ({self._loaded_share():.0%})")
        elif not command.readonly:
            raise Unavailable("the disk is full: no write is accepted until there is room")

    def needed(self, keys: Optional[Collection[str]]) -> int:
        writer = self._writer
        if writer.durable >= writer.number:
            return 0
        if not self._waits_always:
            return writer.number if writer.pending_bytes > MAX_BEHIND else 0
        return writer.number if keys is None or writer.dirty(keys) else 0

    def when_durable(self, number: int, wake: Callable[[], None]) -> None:
        self._writer.when_durable(number, wake)

    def _loaded_share(self) -> float:
        reader = self._reader
        return reader.bytes_read / max(1, reader.bytes_in_all) if reader else 0.0

    # Upkeep.

    def tick(self) -> None:
        """To be called about once a second."""
        self._pause = max(0, self._pause - 1)
        if self._fsync == "everysec":
            self._writer.sync_soon()
        try:
            is_full = self._disk.free() < RESERVE
        except OSError as error:
            self._fail(error)
            return
        if is_full != self._is_full:
            self._is_full = is_full
            log.warning("the disk is full: writes are refused" if is_full else "the disk has room")

    def size(self) -> int:
        """Bytes of all files that are needed."""
        return self._snapshot_bytes + self._writer.old_size + self._writer.size

    def is_due(self) -> bool:
        """Whether to rewrite the journal."""
        most = max(self._min_rewrite, 2 * self._snapshot_bytes)
        return self.size() > most and not (self._pause or self._is_full)

    def rewrite(self) -> Steps:
        """Puts a snapshot in the place of all there is, in steps; see `Rewrite`."""
        rewrite = self._rewrite = Rewrite(
            self._disk,
            self._writer,
            self._uuid,
            self._store,
            lambda: self._wall() - self._clock(),
        )
        yield from rewrite.steps()
        self._rewrite = None
        self._rewritten = self._clock()
        self._snapshot_bytes, self._writer.old_size = rewrite.size, 0
        log.info("rewrote the journal", extra={"bytes": rewrite.size})

    def abandon_rewrite(self, error: OSError) -> None:
        """A job of it failed. Nothing is lost: all files before it are there."""
        log.error("could not rewrite the journal", extra={"why": str(error)})
        self._pause = RETRY_TICKS
        if self._rewrite:
            self._rewrite.abandon()
            self._rewrite = None

    def close(self) -> Iterator[None]:
        """Syncs all there is, in steps to wait between."""
        self._unsubscribe()
        if not self._is_loaded:
            return
        for _ in range(2):
            self._writer.sync_soon()
            while self._writer.durable < self._writer.number:
                yield
            self._seal()
        self._writer.close()

    def _fail(self, error: OSError) -> None:
        self._failed(f"cannot write the journal in {self._disk.where}: {error.strerror or error}")

    def figures(self) -> Figures:
        """What INFO tells."""
        writer, now = self._writer, self._clock()
        bounds = [f"{bound:g}" for bound in SYNC_SECONDS] + ["more"]
        return Figures(
            fsync=self._fsync,
            loading=not self._is_loaded,
            rewriting=self._rewrite is not None,
            full=self._is_full,
            size=self.size(),
            snapshot=self._snapshot_bytes,
            frames=writer.number,
            durable_frames=writer.durable,
            waiting=writer.waiting,
            since_durable=round(now - writer.last_durable, 3),
            since_rewrite=None if self._rewritten is None else round(now - self._rewritten, 3),
            fsyncs=dict(zip(bounds, writer.syncs)),
        )


class CheckResult(NamedTuple):
    """What a check found: `torn` are the bytes that a crash left at the end."""

    frames: int
    keys: int
    bytes: int
    torn: int


def check(disk: Disk, store: JournalledStore, wall: Callable[[], float]) -> CheckResult:
    """Reads all of a journal into a store, changing nothing on the disk. Raises as `load` does."""
    reader = Reader(disk)
    replay = Replay(store, wall, wall)
    for frame in reader.run():
        replay(frame)
    return CheckResult(reader.frames, store.count(), reader.bytes_in_all, reader.torn)


def repair(disk: Disk) -> int:
    """Cuts a journal where it is damaged; returns how many bytes that were. Raises `Damage` where
    that cannot help: a snapshot is damaged, or a file is missing."""
    reader = Reader(disk)
    try:
        for _ in reader.run():
            pass
    except Damage as damage:
        names = [journal_name(index) for index in reader.files.journals]
        if damage.name not in names or not damage.offset:
            raise
        sizes = disk.names()
        behind = names[names.index(damage.name) + 1 :]
        for name in behind:
            disk.remove(name)
        file = disk.append_to(damage.name, damage.offset)
        file.sync()
        file.close()
        disk.sync()
        return sizes[damage.name] - damage.offset + sum(sizes[name] for name in behind)
    return 0
