"""A store with a journal whose disk and thread a test controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import Directory, Disk
from adapters.storage.journal.journal import Journal
from adapters.storage.journal.repair import Repaired, repair
from application.snapshot_read import present
from domain.memory import InMemoryStore
from tests.disks import FaultyDisk
from tests.support import Clock


class Manual:
    """A thread that a test runs: jobs wait until `work`."""

    def __init__(self) -> None:
        self.jobs: List[Tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.calls: List[Callable[[], None]] = []

    def run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((job, done))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def work(self) -> None:
        while self.begin():
            self.end()

    def begin(self) -> bool:
        """Comes to the next job, without doing it; false when there is none."""
        while self.calls and not self.jobs:
            self.calls.pop(0)()
        return bool(self.jobs)

    def end(self) -> None:
        """Does one job."""
        job, done = self.jobs.pop(0)
        outcome: Union[Any, Exception]
        try:
            outcome = job()
        except Exception as error:  # noqa: BLE001 - as the thread does
            outcome = error
        done(outcome)


class World:
    """A store with a journal in a directory. `wall` is 1970's time, `clock` the store's."""

    def __init__(
        self,
        where: Path,
        fsync: str = "always",
        clock: Optional[Clock] = None,
        wall: float = 5e8,
        store: Optional[InMemoryStore] = None,
    ) -> None:
        self.disk = FaultyDisk(str(where))
        self.disk.open()
        self.clock = clock or Clock()
        self.wall_less_clock = wall - self.clock.now
        self.background = Manual()
        self.failures: List[str] = []
        self.store = store or InMemoryStore(self.clock)
        self.journal = Journal(
            self.disk,
            fsync,
            self.store,
            self.background,
            Clocks(self.clock, self.wall),
            self.failures.append,
        )

    def wall(self) -> float:
        return self.clock.now + self.wall_less_clock

    def load(self) -> World:
        try:
            for _ in self.journal.load():
                pass
        except BaseException:
            self.disk.close()
            raise
        self.background.work()
        return self

    def rewrite(self) -> None:
        try:
            for job in self.journal.upkeep.rewrite():
                self.background.work()
                if job:
                    job()
        except OSError as error:
            self.journal.upkeep.abandon_rewrite(error)
            raise
        self.background.work()

    def tick(self) -> None:
        self.journal.upkeep.tick()
        self.background.work()

    def close(self) -> None:
        for _ in self.journal.close():
            self.background.work()
        self.disk.close()

    def contents(self) -> Dict[str, bytes]:
        page = self.store.scan(None, "", 10_000)
        keys = page.keys
        while page.cursor is not None:
            page = self.store.scan(page.cursor, "", 10_000)
            keys += page.keys
        return present(keys, self.store.get_many(keys))


def placed(where: Path, files: Dict[str, bytes]) -> Path:
    """A directory with these files."""
    where.mkdir()
    for name, data in files.items():
        (where / name).write_bytes(data)
    return where


def reopened(
    where: Path, files: Dict[str, bytes], wall: float = 5e8, fsync: str = "always"
) -> World:
    """A world with these files, loaded."""
    return World(placed(where, files), fsync, wall=wall).load()


def repaired(where: Path, disk: Optional[Disk] = None) -> Repaired:
    """Repairs a directory that nothing uses."""
    return repair(disk or Directory(str(where)), InMemoryStore(Clock()), lambda: 5e8)


def flipped(data: bytes, at: int) -> bytes:
    """With one bit changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def some(world: World, count: int = 5) -> List[Dict[str, bytes]]:
    """Does things to a store, each on the disk before the next; returns the states before and
    after each."""
    states = [world.contents()]
    for number in range(count):
        text = b"%d" % number
        world.store.set_many({f"a{number}": text, f"b{number}": text, "same": text})
        world.background.work()
        states.append(world.contents())
    world.store.delete(["a0", "b1"])
    world.background.work()
    states.append(world.contents())
    return states
