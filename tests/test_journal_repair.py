"""Damage is refused, and a repair keeps what can be read."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Callable, Dict

import pytest

from adapters.storage.journal.disk import Directory
from adapters.storage.journal.files import Damage, journal_name
from adapters.storage.journal.frames import HEADER_SIZE, decode_header, encode_header
from adapters.storage.journal.reader import _frames
from adapters.storage.journal.repair import check
from domain.memory import InMemoryStore
from tests.disks import Crash, FaultyDisk, failing_at
from tests.journal_world import World, flipped, placed, reopened, repaired, some
from tests.support import Clock

JOURNAL = journal_name(1)

KEYS = 3500
"""Of a snapshot, in frames of a thousand."""

Files = Dict[str, bytes]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A snapshot, and two journals behind it that change some keys."""
    world = World(tmp_path_factory.mktemp("d")).load()
    world.store.set_many({f"k{number}": b"1" for number in range(KEYS)})
    world.rewrite()
    world.store.set_many({"after": b"1", "k0": b"2"})
    world.store.delete(["k1"])
    world.background.work()
    next(world.journal.upkeep.rewrite())
    world.background.work()
    world.store.set("last", b"1")
    world.background.work()
    world.journal.upkeep.tick()
    world.background.work()
    files = world.disk.killed()
    assert sorted(files) == [FIRST, SECOND, SNAPSHOT]
    world.close()
    return files


FIRST, SECOND, SNAPSHOT = "journal-0000000002", "journal-0000000003", "snapshot-0000000002"
WHOLE = {**{f"k{number}": b"1" for number in range(2, KEYS)}, "k0": b"2"}
BEHIND = {"after": b"1", "last": b"1"}


def of_another_journal(data: bytes) -> bytes:
    header = decode_header(data)
    assert header
    return encode_header(header._replace(uuid=bytes(16))) + data[HEADER_SIZE:]


DAMAGES: Dict[str, Callable[[Files], Files]] = {
    "the snapshot's header": lambda f: {**f, SNAPSHOT: flipped(f[SNAPSHOT], 3)},
    "the snapshot's first frame": lambda f: {**f, SNAPSHOT: flipped(f[SNAPSHOT], HEADER_SIZE + 2)},
    "the middle of the snapshot": lambda f: {
        **f,
        SNAPSHOT: flipped(f[SNAPSHOT], len(f[SNAPSHOT]) // 2),
    },
    "the snapshot's last frame": lambda f: {**f, SNAPSHOT: flipped(f[SNAPSHOT], -3)},
    "a snapshot that is cut": lambda f: {**f, SNAPSHOT: f[SNAPSHOT][: len(f[SNAPSHOT]) // 2]},
    "a snapshot with something behind": lambda f: {**f, SNAPSHOT: f[SNAPSHOT] + b"x"},
    "a journal's header": lambda f: {**f, FIRST: flipped(f[FIRST], 3)},
    "a journal's first frame": lambda f: {**f, FIRST: flipped(f[FIRST], HEADER_SIZE + 2)},
    "a journal's last frame": lambda f: {**f, FIRST: flipped(f[FIRST], -3)},
    "a journal's header by a byte more": lambda f: {**f, FIRST: b"x" + f[FIRST]},
    "a journal's header by a byte less": lambda f: {**f, FIRST: f[FIRST][1:]},
    "the last journal's header": lambda f: {**f, SECOND: flipped(f[SECOND], 3)},
    "the last journal's first frame": lambda f: {**f, SECOND: flipped(f[SECOND], HEADER_SIZE + 2)},
    "a journal that is missing": lambda f: {name: f[name] for name in (SNAPSHOT, SECOND)},
    "a snapshot that is missing": lambda f: {name: f[name] for name in (FIRST, SECOND)},
    "another journal's file": lambda f: {**f, SECOND: of_another_journal(f[SECOND])},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_and_a_repair_keeps_the_rest(
    tmp_path: Path, files: Files, name: str
) -> None:
    where = placed(tmp_path / "e", DAMAGES[name](files))
    with pytest.raises(Damage):
        World(where).load()
    done = repaired(where)
    assert done.damages
    world = World(where).load()
    found = world.contents()
    assert len(found) == done.keys
    if "header" in name and "journal" in name:
        assert found == {**WHOLE, **BEHIND}
    elif "snapshot" in name:
        assert BEHIND.items() <= found.items()
        assert len(found) > KEYS / 4 or "missing" in name
    else:
        assert "last" not in found
        assert len(found) >= KEYS
    found.pop("k1", None)
    assert found.items() <= {**WHOLE, **BEHIND, "k0": found.get("k0", b"")}.items()
    world.store.set("more", b"1")
    world.close()
    assert World(where).load().contents().keys() >= {*found, "more"}


def test_a_repair_behind_a_lost_header_and_a_lost_frame_keeps_nothing_of_what_came_later(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "d").load()
    states = some(world, 3)
    data = world.disk.killed()[JOURNAL]
    ends = [frame.end for frame in _frames(io.BytesIO(data), HEADER_SIZE, len(data), 0)]
    header = placed(tmp_path / "e", {JOURNAL: bytes(HEADER_SIZE) + data[HEADER_SIZE:]})
    repaired(header)
    assert World(header).load().contents() == states[-1]
    more = placed(tmp_path / "f", {JOURNAL: bytes(ends[1]) + data[ends[1] :]})
    with pytest.raises(Damage):
        repaired(more)


def test_a_missing_snapshot_is_named_and_a_repair_keeps_the_journals(
    tmp_path: Path, files: Files
) -> None:
    where = placed(tmp_path / "e", {name: files[name] for name in (FIRST, SECOND)})
    with pytest.raises(Damage, match=f"^{SNAPSHOT} .*the file is missing"):
        check(Directory(str(where)), InMemoryStore(Clock()), lambda: 5e8)
    done = repaired(where)
    assert [str(damage).split()[0] for damage in done.damages] == [SNAPSHOT]
    assert World(where).load().contents() == {**BEHIND, "k0": b"2"}


def test_a_missing_snapshot_and_a_missing_journal_are_both_named(
    tmp_path: Path, files: Files
) -> None:
    fourth = "journal-0000000004"
    done = repaired(placed(tmp_path / "e", {FIRST: files[FIRST], fourth: files[SECOND]}))
    assert [str(damage).split()[0] for damage in done.damages] == [SNAPSHOT, SECOND]
    assert (done.keys, done.lost) == (2, len(files[SECOND]))


def test_a_repair_of_what_is_whole_writes_nothing(tmp_path: Path, files: Files) -> None:
    disk = FaultyDisk(str(placed(tmp_path / "e", files)))
    assert repaired(tmp_path / "e", disk) == ([], 0, 0, len({**WHOLE, **BEHIND}))
    assert disk.operations == 0
    assert disk.killed() == files


def test_a_repair_of_an_incomplete_end_cuts_it_and_no_more(tmp_path: Path, files: Files) -> None:
    where = placed(tmp_path / "e", {**files, SECOND: files[SECOND] + b"torn"})
    assert repaired(where) == ([], 0, 4, len({**WHOLE, **BEHIND}))
    assert FaultyDisk(str(where)).killed() == files
    assert World(where).load().contents() == {**WHOLE, **BEHIND}


@pytest.mark.parametrize("left", [b"", b"kvjson"])
def test_a_repair_of_an_incomplete_header_leaves_what_can_be_loaded(
    tmp_path: Path, left: bytes
) -> None:
    where = placed(tmp_path / "e", {"journal-0000000001": left})
    assert repaired(where).cut == len(left)
    assert World(where).load().contents() == {}


@pytest.mark.parametrize("lost", [{FIRST: b""}, {SECOND: b"kvjson"}])
def test_a_repair_refuses_what_nothing_can_be_read_of(tmp_path: Path, lost: Files) -> None:
    where = placed(tmp_path / "e", lost)
    with pytest.raises(Damage):
        repaired(where)
    assert {path.name: path.read_bytes() for path in where.glob("journal*")} == lost


@pytest.mark.parametrize("at", range(1, 24))
def test_a_repair_that_is_interrupted_can_be_made_again(
    tmp_path: Path, files: Files, at: int
) -> None:
    where = placed(tmp_path / "e", DAMAGES["the middle of the snapshot"](files))
    disk = FaultyDisk(str(where))
    disk.before = failing_at(at)
    with contextlib.suppress(Crash):
        repaired(where, disk)
    again = placed(tmp_path / "f", disk.survivors())
    kept = repaired(again).keys
    assert kept == len(World(again).load().contents())
    assert (
        kept == repaired(placed(tmp_path / "g", DAMAGES["the middle of the snapshot"](files))).keys
    )


def test_no_flipped_bit_of_a_snapshot_is_served(tmp_path: Path, long: bool) -> None:
    world = World(tmp_path / "d").load()
    some(world, 3)
    world.rewrite()
    world.close()
    files = world.disk.killed()
    for bit in range(0, 8 * len(files["snapshot-0000000002"]), 1 if long else 7):
        changed = bytearray(files["snapshot-0000000002"])
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Damage, ValueError)):
            reopened(tmp_path / str(bit), {**files, "snapshot-0000000002": bytes(changed)})


def test_a_check_tells_what_is_there_and_changes_nothing(tmp_path: Path, files: Files) -> None:
    where = placed(tmp_path / "e", {**files, SECOND: files[SECOND][:-3]})
    disk = FaultyDisk(str(where))
    found = check(disk, InMemoryStore(Clock()), lambda: 5e8)
    assert found.keys == len({**WHOLE, **BEHIND})
    assert found.torn > 0
    assert found.written == 5e8
    assert found.bytes == sum(map(len, disk.killed().values()))
    assert disk.operations == 0
