"""The journal: what was acknowledged is there after whatever happened, or the start is refused."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional
from zlib import crc32

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.storage.journal import queue, upkeep
from adapters.storage.journal.disk import RESERVE, Directory, InUse, NoRoom
from adapters.storage.journal.files import CLOSED, Damage, journal_name
from adapters.storage.journal.frames import FRAME_SIZE, HEADER_SIZE, MAGIC, Header, encode_header
from application.ports import Restriction
from domain.errors import OutOfMemory
from domain.evicting import EvictingStore
from domain.store import MAX_TTL, Store
from tests.disks import EIO, ENOSPC, Crash, failing_at
from tests.journal_world import World, flipped, placed, reopened, repaired, some
from tests.support import Clock

JOURNAL = journal_name(1)


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    world.store.set("gone", b"1")
    world.store.clear()
    world.store.set_many({"a": b"1", "b": b"2"}, ttl=50)
    world.store.set("b", b"3")
    world.store.atomically(lambda store: store.delete(["none"]))
    world.close()
    again = World(tmp_path / "d", wall=5e8 + 20).load()
    assert again.contents() == {"a": b"1", "b": b"3"}
    entry, _ = again.store.update("a", lambda entry: entry)
    assert entry
    assert entry.ttl == 30
    again.clock.now += 30
    assert again.contents() == {"b": b"3"}


def test_a_key_that_came_due_while_nothing_ran_stays_away_when_the_clock_goes_back(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "d").load()
    world.store.set("k", b"old")
    world.store.set_many({"k": b"new"}, ttl=50)
    world.close()
    for wall in (5e8 + 60, 5e8):
        world = World(tmp_path / "d", wall=wall).load()
        assert world.contents() == {}
        world.close()


def test_a_key_that_is_due_later_than_a_key_lives_is_loaded_with_the_longest_ttl(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "d").load()
    world.store.set_many({"k": b"1"}, ttl=1e300)
    world.close()
    entry, _ = World(tmp_path / "d").load().store.update("k", lambda entry: entry)
    assert entry
    assert entry.ttl == MAX_TTL


def test_what_does_not_fit_any_more_is_evicted_while_it_is_loaded_and_stays_away(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "d").load()
    world.store.set_many({str(number): b"1" * 100 for number in range(1000)})
    world.close()
    clock = Clock()
    world = World(tmp_path / "d", clock=clock, store=EvictingStore(clock, 20_000)).load()
    kept, stats = world.contents(), world.store.stats()
    assert 50 < len(kept) < 200
    assert stats.memory is not None
    assert stats.memory <= 20_000
    world.close()
    assert World(tmp_path / "d").load().contents() == kept


@pytest.mark.parametrize("code", [EIO, ENOSPC])
@pytest.mark.parametrize("at", range(1, 9))
def test_after_a_failed_write_or_sync_nothing_more_is_durable(
    tmp_path: Path, code: int, at: int
) -> None:
    world = World(tmp_path / "d").load()
    world.disk.operations = 0
    world.disk.before = failing_at(at, code)
    acknowledged: Dict[str, bytes] = {}
    for number in range(10):
        world.store.set(f"k{number}", b"1")
        stored = {f"k{number}": b"1"}
        world.journal.when_durable(
            world.journal.needed([f"k{number}"]), partial(acknowledged.update, stored)
        )
        world.background.work()
    assert len(world.failures) == 1
    assert len(acknowledged) == (at - 1) // 2
    again = reopened(tmp_path / "e", world.disk.survivors())
    assert acknowledged.items() <= again.contents().items()


def test_every_cut_of_the_last_frames_is_one_of_the_states(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    states = some(world)
    ((name, data),) = world.disk.killed().items()
    for size in range(len(data)):
        again = reopened(tmp_path / str(size), {name: data[:size]})
        assert again.contents() in states
        again.store.set("more", b"1")
        again.close()
    assert reopened(tmp_path / "all", {name: data}).contents() == states[-1]


def test_no_flipped_bit_is_served_or_passed_over(tmp_path: Path, long: bool) -> None:
    """Even after a crash, if a second went by before it."""
    world = World(tmp_path / "d").load()
    states = some(world, 3)
    world.journal.upkeep.tick()
    world.background.work()
    ((name, data),) = world.disk.killed().items()
    last = len(data) - FRAME_SIZE - 1  # the seal, whose loss loses nothing
    for bit in range(0, 8 * len(data), 1 if long else 5):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            again = reopened(tmp_path / str(bit), {name: bytes(changed)})
        except (Damage, ValueError):
            assert bit // 8 < last
        else:
            assert bit // 8 >= last
            assert again.contents() == states[-1]


def test_where_nothing_is_synced_a_flipped_bit_before_good_frames_is_damage(tmp_path: Path) -> None:
    world = World(tmp_path / "d", "no").load()
    states = some(world, 5)
    ((name, data),) = world.disk.killed().items()
    assert reopened(tmp_path / "whole", {name: data}).contents() == states[-1]
    for at in range(HEADER_SIZE, len(data) // 2, 7):
        with pytest.raises(Damage, match="good ones follow"):
            reopened(tmp_path / str(at), {name: flipped(data, at)})


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_after_a_clean_stop_all_that_is_missing_is_damage(
    tmp_path: Path, fsync: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path / "d", fsync).load()
    states = some(world, 3)
    world.close()
    files = world.disk.survivors()
    assert sorted(files) == [CLOSED, JOURNAL]
    data = files[JOURNAL]
    with pytest.raises(Damage, match=f"^{JOURNAL} .* frames up to "):
        reopened(tmp_path / "missing", {CLOSED: files[CLOSED]})
    changed = {f"cut to {size}": data[:size] for size in range(len(data))}
    changed.update({f"flipped {at}": flipped(data, at) for at in range(len(data))})
    for name, left in changed.items():
        with pytest.raises(Damage):
            reopened(tmp_path / name, {**files, JOURNAL: left})
    done = repaired(placed(tmp_path / "repaired", {**files, JOURNAL: data[:-1]}))
    assert (done.cut, len(done.damages)) == (0, 1)
    assert "a crash left" not in caplog.text
    again = reopened(tmp_path / "whole", files)
    assert again.contents() == states[-1]
    assert sorted(again.disk.killed()) == [JOURNAL]  # it is not closed now


@pytest.mark.parametrize("change", ["missing", "damaged", "another journal's"])
def test_what_does_not_tell_of_a_clean_stop_is_passed_over(tmp_path: Path, change: str) -> None:
    world = World(tmp_path / "d").load()
    states = some(world, 1)
    world.close()
    files = world.disk.killed()
    left = {
        "missing": {},
        "damaged": {CLOSED: flipped(files[CLOSED], 20)},
        "another journal's": {CLOSED: encode_header(Header(bytes(16), 1000))},
    }[change]
    again = reopened(tmp_path / "e", {JOURNAL: files[JOURNAL][:-1], **left})
    assert again.contents() in states


def test_a_clean_stop_that_cannot_be_noted_is_logged_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path / "d").load()
    states = some(world, 1)
    world.disk.before = failing_at(world.disk.operations + 1, ENOSPC)
    world.close()
    assert "could not note a clean stop" in caplog.text
    assert reopened(tmp_path / "e", world.disk.killed()).contents() == states[-1]


def test_the_second_frame_of_a_job_without_the_first_is_a_torn_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "FRAME_BYTES", 1)
    world = World(tmp_path / "d").load()
    world.store.set("a", b"1")
    world.background.work()
    before = len(next(iter(world.disk.killed().values())))
    world.store.set("b", b"1")
    world.store.set("c", b"1")  # both written and synced at once
    world.background.work()
    ((name, data),) = world.disk.killed().items()
    torn = data[:before] + bytes(30) + data[before + 30 :]
    assert reopened(tmp_path / "e", {name: torn}).contents() == {"a": b"1"}


def test_a_rewrite_shrinks_it_and_loses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    for number in range(300):
        world.store.set_many({f"k{number % 10}": b"%d" % number}, ttl=None if number % 2 else 99)
        world.background.work()
    size = world.journal.upkeep.size()
    world.rewrite()
    assert world.journal.upkeep.size() < size / 2
    assert sorted(world.disk.names()) == ["journal-0000000002", "snapshot-0000000002"]
    world.store.set("after", b"1")
    world.background.work()
    assert reopened(tmp_path / "e", world.disk.survivors()).contents() == world.contents()


@pytest.mark.parametrize("at", range(1, 25))
def test_a_crash_at_any_step_of_a_rewrite_loses_nothing(tmp_path: Path, at: int) -> None:
    world = World(tmp_path / "d").load()
    some(world)
    world.rewrite()
    states = some(world, 3)
    world.disk.operations = 0
    world.disk.before = failing_at(at)
    with contextlib.suppress(Crash):
        for job in world.journal.upkeep.rewrite():
            world.store.set("during", b"1")
            world.background.work()
            if job:
                job()
    for name, files in (("p", world.disk.survivors()), ("k", world.disk.killed())):
        found = reopened(tmp_path / name, files).contents()
        found.pop("during", None)
        assert found == states[-1]


def test_a_rewrite_stops_before_it_takes_the_room_that_the_journal_needs(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    states = some(world)
    world.disk.room = RESERVE - 1
    with pytest.raises(OSError, match="No space"):
        world.rewrite()
    world.store.set("during", b"1")
    world.background.work()
    assert not world.failures
    assert sorted(world.disk.names()) == ["journal-0000000001", "journal-0000000002"]
    found = reopened(tmp_path / "e", world.disk.survivors()).contents()
    assert found == {**states[-1], "during": b"1"}
    world.disk.room = RESERVE
    world.rewrite()
    assert sorted(world.disk.names()) == ["journal-0000000003", "snapshot-0000000003"]
    assert world.contents() == found


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_on_a_full_disk_keys_come_due_and_no_reply_waits_for_that(
    tmp_path: Path, fsync: str
) -> None:
    world = World(tmp_path / "d", fsync).load()
    world.store.set_many({"timed": b"1"}, ttl=50)
    world.store.set("kept", b"2")
    world.tick()
    world.disk.room = 0
    world.clock.now += 60
    assert world.store.get("timed") is None
    for _ in range(3):
        world.tick()
    assert world.journal.needed(["timed"]) == world.journal.needed(None) == 0
    assert world.journal.restrictions == {Restriction.FULL, Restriction.STUCK}
    killed = world.disk.killed()
    assert reopened(tmp_path / "k", killed, wall=5e8 + 60).contents() == {"kept": b"2"}
    assert reopened(tmp_path / "back", killed).contents().keys() == {"kept", "timed"}
    world.disk.room = 2 * RESERVE
    world.tick()
    assert not world.journal.restrictions
    world.close()
    assert not world.failures
    assert reopened(tmp_path / "e", world.disk.survivors()).contents() == {"kept": b"2"}


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_what_there_is_no_room_for_is_durable_once_there_is(tmp_path: Path, fsync: str) -> None:
    world = World(tmp_path / "d", fsync).load()
    states = some(world)
    world.store.set("before", b"1")
    world.background.work()
    world.disk.room = 0
    world.store.set("during", b"1")
    woken: List[int] = []
    number = world.journal.needed(["during"])
    assert world.journal.when_durable(number, lambda: woken.append(number))
    for _ in range(3):
        world.tick()
    assert woken == [number]
    assert Restriction.STUCK in world.journal.restrictions
    found = reopened(tmp_path / "cut", world.disk.survivors()).contents()
    assert found == {**states[-1], "before": b"1"}
    world.disk.room = 2 * RESERVE
    world.tick()
    world.tick()
    found = reopened(tmp_path / "e", world.disk.survivors()).contents()
    assert found == {**states[-1], "before": b"1", "during": b"1"}
    assert not world.failures
    assert not world.journal.restrictions


def test_a_new_file_that_there_is_no_room_for_is_begun_once_there_is(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    states = some(world)
    world.disk.room = HEADER_SIZE - 1
    next(world.journal.upkeep.rewrite())
    world.store.set("during", b"1")
    world.background.work()
    assert world.journal.restrictions == {Restriction.FULL, Restriction.STUCK}
    world.disk.room = 2 * RESERVE
    world.tick()
    assert sorted(world.disk.names()) == ["journal-0000000001", "journal-0000000002"]
    world.close()
    assert not world.failures
    found = reopened(tmp_path / "e", world.disk.survivors()).contents()
    assert found == {**states[-1], "during": b"1"}


def test_a_stop_without_room_for_what_waits_fails(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    states = some(world)
    world.disk.room = 0
    world.store.set("during", b"1")
    world.background.work()
    assert not world.failures
    world.close()
    (failure,) = world.failures
    assert failure.endswith("No space left on device")
    assert reopened(tmp_path / "e", world.disk.killed()).contents() == states[-1]


def test_what_was_written_before_the_room_ended_is_taken_out_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, rooms = os.write, [9, 0]

    def write_some(descriptor: int, data: bytes) -> int:
        room = rooms.pop(0) if rooms else len(data)
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:room])

    directory = Directory(str(tmp_path / "d"))
    directory.open()
    file = directory.create("file")
    file.write(b"good")
    monkeypatch.setattr(os, "write", write_some)
    with pytest.raises(NoRoom):
        file.write_through(b"none of this")
    assert Path(directory.where, "file").read_bytes() == b"good"
    file.write(b" again")
    file.close()
    assert Path(directory.where, "file").read_bytes() == b"good again"


def test_a_directory_that_is_gone_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "d").load()

    def gone() -> int:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(world.disk, "free", gone)
    world.tick()
    (failure,) = world.failures
    assert failure.endswith("No such file or directory")
    world.store.set("k", b"1")
    world.background.work()
    assert world.journal.needed(["k"])


def _remove_files(where: Path) -> None:
    for path in where.glob("journal-*"):
        path.unlink()


def _put_a_copy_there(where: Path) -> None:
    where.rename(where.with_name("before"))
    shutil.copytree(where.with_name("before"), where)


@pytest.fixture(params=[_remove_files, _put_a_copy_there])
def displaced(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world whose journal is no longer where it was."""
    world = World(tmp_path / "d").load()
    world.store.set("k", b"1")
    world.background.work()
    request.param(tmp_path / "d")
    return world


def test_a_journal_that_is_no_longer_at_its_place_ends_the_server(displaced: World) -> None:
    displaced.tick()
    assert len(displaced.failures) == 1


def test_a_clean_stop_is_not_noted_in_another_directory(displaced: World) -> None:
    displaced.close()
    assert not Path(displaced.disk.where, CLOSED).exists()


def test_a_rewrite_is_due_when_the_files_are_twice_what_a_snapshot_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MIN_REWRITE", 2000)
    world = World(tmp_path / "d").load()
    sizes = []
    for number in range(1000):
        world.store.set(f"k{number % 10}", b"1")
        world.background.work()
        if world.journal.upkeep.is_due():
            sizes.append(world.journal.upkeep.size())
            world.rewrite()
    assert len(sizes) > 10
    assert 2000 < min(sizes) <= max(sizes) < 2100


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_what_has_piled_up_is_written_in_parts(
    tmp_path: Path, fsync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "FRAME_BYTES", 1)
    world = World(tmp_path / "d", fsync).load()
    for number in range(10 * queue.MAX_BATCHES_AT_ONCE):
        world.store.set(f"k{number}", b"1")
    next(world.journal.upkeep.rewrite())  # a new file, behind all of it
    jobs = 0
    while world.background.begin():
        world.background.end()
        jobs += 1
    assert jobs >= 10
    assert len(world.disk.names()) == 2
    for _ in world.journal.close():
        world.background.work()
    assert reopened(tmp_path / "e", world.disk.survivors()).contents() == world.contents()


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_an_idle_journal_does_not_grow(tmp_path: Path, fsync: str) -> None:
    world = World(tmp_path / "d", fsync).load()
    some(world)
    sizes = []
    for _ in range(6):
        world.journal.upkeep.tick()
        world.background.work()
        sizes.append(world.journal.upkeep.size())
    assert len(set(sizes[-3:])) == 1
    assert world.journal.figures().frames == world.journal.figures().durable_frames


def test_a_close_waits_for_a_new_file_that_is_being_begun(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    states = some(world)
    next(world.journal.upkeep.rewrite())
    for _ in world.journal.close():
        world.background.end()
    world.disk.close()
    assert not world.failures
    assert World(tmp_path / "d").load().contents() == states[-1]


def test_a_write_that_the_system_takes_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    world = World(tmp_path / "d").load()
    states = some(world)
    world.close()
    monkeypatch.undo()
    assert World(tmp_path / "d").load().contents() == states[-1]


def test_a_load_of_what_one_version_wrote_is_refused_by_its_format(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    world.close()
    data = world.disk.killed()[JOURNAL]
    packed = struct.pack("<8sI", MAGIC, 2) + data[12:36]
    newer = packed + struct.pack("<I", crc32(packed)) + data[HEADER_SIZE:]
    with pytest.raises(ValueError, match="has format 2; this version reads format 1"):
        reopened(tmp_path / "e", {JOURNAL: newer})


def test_two_servers_cannot_have_one_directory(tmp_path: Path) -> None:
    first = World(tmp_path / "d")
    with pytest.raises(InUse):
        Directory(str(tmp_path / "d")).open()
    (tmp_path / "d" / "lock").unlink()
    with pytest.raises(InUse):
        Directory(str(tmp_path / "d")).open()
    first.disk.close()
    Directory(str(tmp_path / "d")).open()
    assert (tmp_path / "d" / "lock").stat().st_mode & 0o777 == 0o600


def test_a_file_system_that_locks_no_directories_locks_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def only_files(descriptor: int, operation: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", only_files)
    first = World(tmp_path / "d")
    with pytest.raises(InUse):
        Directory(str(tmp_path / "d")).open()
    first.disk.close()
    Directory(str(tmp_path / "d")).open()


class Restarts(RuleBasedStateMachine):
    """A store that is restarted, killed and cut off at any time, beside a dict."""

    fsync = "always"
    keys = st.sampled_from("abcdefgh")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.count = 0
        self.model: Dict[str, bytes] = {}
        self.world = World(self.place(), self.fsync).load()

    def place(self) -> Path:
        self.count += 1
        return Path(self.directory.name, str(self.count))

    @rule(items=st.dictionaries(keys, st.integers(0, 9).map(lambda n: b"%d" % n)))
    def put(self, items: Dict[str, bytes]) -> None:
        self.world.store.set_many(items)
        self.model.update(items)

    @rule(keys=st.lists(keys, unique=True))
    def remove(self, keys: List[str]) -> None:
        self.world.store.delete(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(steps=st.lists(keys | st.none(), max_size=6), fails=st.booleans())
    def do_at_once(self, steps: List[Optional[str]], fails: bool) -> None:
        """A request that sets, deletes and clears, or is refused at the end and undone."""
        model = dict(self.model)

        def work(store: Store) -> None:
            for number, key in enumerate(steps):
                if key is None:
                    store.clear()
                    model.clear()
                elif number % 3:
                    store.set_many({key: b"%d" % number}, ttl=[None, 1000][number % 2])
                    model[key] = b"%d" % number
                else:
                    store.delete([key])
                    model.pop(key, None)
            if fails:
                raise OutOfMemory("full")

        with contextlib.suppress(OutOfMemory):
            self.world.store.atomically(work)
            self.model = model

    @rule(key=keys)
    def expire(self, key: str) -> None:
        self.world.store.set_many({key: b"0"}, ttl=1)
        self.world.clock.now += 2
        self.model.pop(key, None)

    @rule()
    def rewrite(self) -> None:
        self.world.rewrite()

    @rule(powerless=st.booleans())
    def die(self, powerless: bool) -> None:
        self.world.background.work()
        disk = self.world.disk
        files = disk.survivors() if powerless and self.fsync == "always" else disk.killed()
        self.world.disk.close()
        self.world = reopened(self.place(), files, self.world.wall(), self.fsync)

    @rule()
    def restart(self) -> None:
        self.world.close()
        files = self.world.disk.killed()
        self.world = reopened(self.place(), files, self.world.wall(), self.fsync)

    @invariant()
    def the_same_is_there(self) -> None:
        assert self.world.contents() == self.model

    def teardown(self) -> None:
        self.world.disk.close()
        self.directory.cleanup()


class RestartsEverySecond(Restarts):
    """The same where no reply waits for the disk."""

    fsync = "everysec"


TestRestarts, TestRestartsEverySecond = Restarts.TestCase, RestartsEverySecond.TestCase
for _case in (TestRestarts, TestRestartsEverySecond):
    _case.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
