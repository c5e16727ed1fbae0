"""The journal: what was acknowledged is there after whatever happened, or the start is refused."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.client.loopback import LoopbackLink
from adapters.storage.journal.disk import Directory, InUse
from adapters.storage.journal.journal import RESERVE, Journal, repair
from adapters.storage.journal.loader import Damage
from application.commands import Get, Set
from application.durability import DurableConversation
from application.executor import LocalExecutor
from application.ports import Wants
from domain.errors import Unavailable
from domain.memory import InMemoryStore
from tests.certificates import Files
from tests.disks import EIO, ENOSPC, Crash, FaultyDisk, failing_at
from tests.support import SERVER, TIMEOUT, Clock, kv, running_server, service_of
from tests.test_server_process import start


class Manual:
    """A thread that a test runs: jobs wait until `work`."""

    def __init__(self) -> None:
        self.jobs: List[Tuple[Callable[[], Any], Callable[[Any], None]]] = []
        self.calls: List[Callable[[], None]] = []

    def run(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self.jobs.append((job, done))

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def work(self) -> None:
        while self.jobs or self.calls:
            while self.calls:
                self.calls.pop(0)()
            if self.jobs:
                job, done = self.jobs.pop(0)
                outcome: Union[Any, OSError]
                try:
                    outcome = job()
                except OSError as error:
                    outcome = error
                done(outcome)


class World:
    """A store with a journal in a directory. `wall` is 1970's time, `clock` the store's."""

    def __init__(
        self, where: Path, fsync: str = "always", clock: Optional[Clock] = None, wall: float = 5e8
    ) -> None:
        self.disk = FaultyDisk(str(where))
        self.disk.open()
        self.clock = clock or Clock()
        self.wall_less_clock = wall - self.clock.now
        self.background = Manual()
        self.failures: List[str] = []
        self.store = InMemoryStore(self.clock)
        self.journal = Journal(
            self.disk,
            fsync,
            self.store,
            self.background,
            self.clock,
            lambda: self.clock.now + self.wall_less_clock,
            self.failures.append,
            min_rewrite=1,
        )

    def load(self) -> World:
        for _ in self.journal.load():
            pass
        self.background.work()
        return self

    def rewrite(self) -> None:
        for job in self.journal.rewrite():
            self.background.work()
            if job:
                job()
        self.background.work()

    def close(self) -> None:
        for _ in self.journal.close():
            self.background.work()
        self.disk.close()

    def contents(self) -> Dict[str, bytes]:
        keys = self.store.scan(None, "", 10_000).keys
        return self.store.get_many(keys)


def reopened(where: Path, files: Dict[str, bytes]) -> World:
    """A world with these files, loaded."""
    where.mkdir()
    for name, data in files.items():
        (where / name).write_bytes(data)
    return World(where).load()


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


class TestReplies:
    """Replies wait for the disk."""

    def talk(self, world: World) -> Tuple[DurableConversation, List[str]]:
        woken: List[str] = []

        class Link:
            name = "test"
            account = LoopbackLink().account

            def wake(self) -> None:
                woken.append("")

            def wake_after(self, seconds: float) -> None: ...

        return DurableConversation(world.journal, service.of(world), Link()), woken

    def test_a_write_and_who_reads_it_wait_and_others_do_not(self, tmp_path: Path) -> None:
        world = World(tmp_path / "d").load()
        world.store.set("other", b"1")
        world.background.work()
        (writer, woken), (reader, _), (other, _) = (self.talk(world) for _ in range(3))
        assert writer.receive(b'{"type":"SET","key":"k","value":1}\n') == b""
        assert writer.wants is Wants.WAKE
        assert reader.receive(b'{"type":"GET","key":"k"}\n') == b""
        assert other.receive(b'{"type":"GET","key":"other"}\n') == b'{"ok":true,"result":1}\n'
        counted = self.talk(world)[0]
        assert counted.receive(b'{"type":"COUNT"}\n') == b""
        world.background.work()
        assert woken
        assert writer.advance() == b'{"ok":true,"result":true}\n'
        assert reader.advance() == b'{"ok":true,"result":1}\n'
        assert writer.receive(b'{"type":"GET","key":"k"}\n') == b'{"ok":true,"result":1}\n'

    @pytest.mark.parametrize("fsync", ["everysec", "no"])
    def test_without_always_nobody_waits(self, tmp_path: Path, fsync: str) -> None:
        world = World(tmp_path / "d", fsync).load()
        conversation, _ = self.talk(world)
        reply = conversation.receive(b'{"type":"SET","key":"k","value":1}\n')
        assert reply == b'{"ok":true,"result":true}\n'

    def test_while_it_loads_it_says_so(self, tmp_path: Path) -> None:
        world = World(tmp_path / "d")
        for line in (b'{"type":"GET","key":"k"}\n', b'{"type":"COUNT"}\n' * 2):
            conversation, _ = self.talk(world)
            reply = conversation.receive(line)
            while conversation.wants is Wants.TURN:
                reply += conversation.advance()
            assert b"UNAVAILABLE" in reply
            assert b"loading" in reply

    def test_a_full_disk_refuses_writes_and_serves_reads(self, tmp_path: Path) -> None:
        world = World(tmp_path / "d").load()
        world.disk.room = RESERVE - 1
        world.journal.tick()
        with pytest.raises(Unavailable, match="disk is full"):
            world.journal.admit(Set("k", b"1"))  # type: ignore[arg-type]
        world.journal.admit(Get("k"))
        world.disk.room = RESERVE
        world.journal.tick()
        world.journal.admit(Set("k", b"1"))  # type: ignore[arg-type]


class service:  # noqa: N801
    @staticmethod
    def of(world: World) -> Any:
        return service_of(LocalExecutor(world.store))


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
    world = World(tmp_path / "d").load()
    states = some(world, 3)
    world.close()
    ((name, data),) = world.disk.killed().items()
    last = len(data) - 24 - 1  # the seal, whose loss loses nothing
    for bit in range(0, 8 * len(data), 1 if long else 5):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            again = reopened(tmp_path / str(bit), {name: bytes(flipped)})
        except (Damage, ValueError):
            assert bit // 8 < last
        else:
            assert bit // 8 >= last
            assert again.contents() == states[-1]


def test_a_repair_keeps_what_is_before_the_damage(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    states = some(world, 3)
    ((name, data),) = world.disk.killed().items()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    with pytest.raises(Damage):
        reopened(tmp_path / "e", {name: bytes(flipped)})
    assert repair(Directory(str(tmp_path / "e"))) > 0
    (left,) = [file for file in (tmp_path / "e").iterdir() if file.name == name]
    again = reopened(tmp_path / "f", {name: left.read_bytes()})
    assert again.contents() in states[1:]


def test_a_batch_half_on_the_disk_in_any_order_is_a_torn_tail(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    world.store.set("a", b"1")
    world.background.work()
    before = len(next(iter(world.disk.killed().values())))
    world.store.set("b", b"1")
    world.store.set("c", b"1")  # both in one batch, of which a power cut keeps the second
    world.background.work()
    ((name, data),) = world.disk.killed().items()
    torn = data[:before] + bytes(30) + data[before + 30 :]
    assert reopened(tmp_path / "e", {name: torn}).contents() == {"a": b"1"}


def test_a_rewrite_shrinks_it_and_loses_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    for number in range(300):
        world.store.set_many({f"k{number % 10}": b"%d" % number}, ttl=None if number % 2 else 99)
    world.background.work()
    size = world.journal.size()
    world.rewrite()
    assert world.journal.size() < size / 2
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
        for job in world.journal.rewrite():
            world.store.set("during", b"1")
            world.background.work()
            if job:
                job()
    for name, files in (("p", world.disk.survivors()), ("k", world.disk.killed())):
        found = reopened(tmp_path / name, files).contents()
        found.pop("during", None)
        assert found == states[-1]


def test_two_servers_cannot_have_one_directory(tmp_path: Path) -> None:
    World(tmp_path / "d")
    with pytest.raises(InUse):
        Directory(str(tmp_path / "d")).open()
    assert (tmp_path / "d" / "lock").stat().st_mode & 0o777 == 0o600


class Restarts(RuleBasedStateMachine):
    """A store that is restarted, killed and cut off at any time, beside a dict."""

    keys = st.sampled_from("abcde")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.count = 0
        self.model: Dict[str, bytes] = {}
        self.world = World(self.place()).load()

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

    @rule()
    def clear(self) -> None:
        self.world.store.clear()
        self.model.clear()

    @rule()
    def rewrite(self) -> None:
        self.world.rewrite()

    @rule(powerless=st.booleans())
    def die(self, powerless: bool) -> None:
        self.world.background.work()
        disk = self.world.disk
        files = disk.survivors() if powerless else disk.killed()
        self.world.disk.close()
        self.world = reopened(self.place(), files)

    @rule()
    def restart(self) -> None:
        self.world.close()
        self.world = reopened(self.place(), self.world.disk.killed())

    @invariant()
    def the_same_is_there(self) -> None:
        assert self.world.contents() == self.model

    def teardown(self) -> None:
        self.world.disk.close()
        self.directory.cleanup()


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


class TestProcess:
    """The server as its users start it."""

    @pytest.mark.parametrize("number", [9, 15])
    def test_a_signal_under_load_loses_nothing_acknowledged(
        self, tmp_path: Path, number: int
    ) -> None:
        where = str(tmp_path / "d")
        acknowledged: List[Tuple[str, int]] = []

        def load(sock: socket.socket, name: str) -> None:
            with sock, contextlib.suppress(OSError):
                lines = sock.makefile("rb")
                for count in range(1, 1_000_000):
                    sock.sendall(b'{"type":"SET","key":"%s","value":%d}\n' % (name.encode(), count))
                    if lines.readline() != b'{"ok":true,"result":true}\n':
                        return
                    acknowledged.append((name, count))

        with running_server("--data-dir", where) as server:
            threads = [
                threading.Thread(target=load, args=(server.connect(), f"k{index}"))
                for index in range(8)
            ]
            for thread in threads:
                thread.start()
            while len(acknowledged) < 200:
                pass
            server.stop(number)
            for thread in threads:
                thread.join()
        with loaded_server(where) as ask:
            for name, count in dict(acknowledged).items():
                assert ask(b'{"type":"GET","key":"%s"}\n' % name.encode()) >= count

    def test_a_second_server_and_a_check_are_refused_while_one_runs(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        with running_server("--data-dir", where) as server:
            for arguments in (("--port", "0", "--data-dir", where), ("--check", where)):
                ended = start(*arguments)
                assert ended.returncode == 1
                assert "in use by another process" in ended.stderr
            assert server.stop() == 0
        assert "0 keys in " in start("--check", where).stdout

    def test_a_data_directory_is_exported_without_a_server(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        with running_server("--data-dir", where) as server:
            server.ask(b'{"type":"SET","key":"k","value":[1]}\n')
            assert server.stop() == 0
        done = kv(0, "export", "--data-dir", where, "-")
        assert done.stdout == '{"key":"k","value":[1]}\n'

    @pytest.mark.parametrize("tls", [False, True])
    def test_who_pipelines_gets_all_replies_in_order(
        self, tmp_path: Path, files: Files, tls: bool
    ) -> None:
        typed = ["--tls-cert", files.server.certificate, "--tls-key", files.server.key]
        with running_server("--data-dir", str(tmp_path / "d"), *typed if tls else []) as server:
            sock = server.connect()
            if tls:
                context = ssl.create_default_context(cafile=files.authority)
                sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
            with sock:
                for _ in range(2000):
                    sock.sendall(b'{"type":"INCR","key":"n"}\n{"type":"GET","key":"n"}\n')
                lines = sock.makefile("rb")
                for number in range(1, 2001):
                    for _ in range(2):
                        assert json.loads(lines.readline())["result"] == number

    def test_a_copy_of_a_directory_in_use_is_a_backup(self, tmp_path: Path) -> None:
        where, copy = tmp_path / "d", tmp_path / "copy"
        with running_server("--data-dir", str(where)) as server:
            for number in range(50):
                server.ask(b'{"type":"SET","key":"%d","value":1}\n' % number)
            shutil.copytree(str(where), str(copy))
            server.ask(b'{"type":"FLUSH"}\n')
        assert start("--check", str(copy)).stdout.startswith("50 keys in ")

    def test_where_files_may_not_grow_it_ends_and_says_why(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *SERVER]
        with running_server("--data-dir", where, program=limited) as server:
            reply = server.ask(b'{"type":"SET","key":"small","value":1}\n')
            assert reply == b'{"ok":true,"result":true}\n'
            large = b'{"type":"SET","key":"large","value":"%s"}\n' % (b"x" * 50_000)
            with contextlib.suppress(OSError):
                assert server.ask(large) == b""
            assert server.process.wait(TIMEOUT) == 1
        with loaded_server(where) as ask:
            assert ask(b'{"type":"COUNT"}\n') == 1

    def test_damage_ends_the_start_and_says_what_to_do(self, tmp_path: Path) -> None:
        where = tmp_path / "d"
        with running_server("--data-dir", str(where)) as server:
            for _ in range(3):
                server.ask(b'{"type":"SET","key":"k","value":1}\n')
            server.stop()
        (journal,) = where.glob("journal-*")
        data = bytearray(journal.read_bytes())
        data[len(data) // 2] ^= 1
        journal.write_bytes(data)
        for arguments in (("--port", "0", "--data-dir", str(where)), ("--check", str(where))):
            ended = start(*arguments)
            assert ended.returncode == 1
            assert "is damaged at offset" in ended.stderr
            assert "--repair" in ended.stderr
        assert "cut " in start("--repair", str(where)).stdout
        assert start("--check", str(where)).returncode == 0


@contextlib.contextmanager
def loaded_server(where: str) -> Iterator[Callable[[bytes], Any]]:
    """Asks a server that has loaded a directory."""
    with running_server("--data-dir", where) as server:

        def ask(line: bytes) -> Any:
            while True:
                reply = json.loads(server.ask(line))
                if reply["ok"]:
                    return reply["result"]
                assert "loading" in reply["error"]["message"]

        yield ask
        assert server.stop() == 0
