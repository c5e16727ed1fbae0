"""Replies wait for the disk: those alone that show what a power cut could take back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional, cast

import gevent
import pytest
from gevent.event import Event

from adapters.client.loopback import LoopbackLink
from adapters.storage.journal import background, queue, upkeep
from adapters.storage.journal.disk import RESERVE, File
from adapters.storage.journal.files import NEW
from adapters.storage.journal.journal import Journal
from adapters.storage.journal.writer import LOOK_BYTES
from application.durability import SMALL_BYTES, DurableConversation
from application.executor import LocalExecutor
from application.limits import Limits
from application.long_requests import LongRequests
from application.ports import Wants
from application.service import Service
from application.stats import ServerStats
from domain.evicting import EvictingStore
from domain.memory import InMemoryStore
from tests.disks import FaultyDisk
from tests.journal_world import World
from tests.support import TIMEOUT, Clock, finish, server_container, wanted

SET = b'{"type":"SET","key":"k","value":1}\n'
GET = b'{"type":"GET","key":"k"}\n'
TRUE, ONE = b'{"ok":true,"result":true}\n', b'{"ok":true,"result":1}\n'


class Link(LoopbackLink):
    """Notes how often its conversation is woken."""

    woken = 0

    def wake(self) -> None:
        self.woken += 1


class Client:
    """A client of a world's store."""

    def __init__(self, world: World) -> None:
        self.link = Link()
        limits = Limits()
        stats = ServerStats("test", limits, world.clock, lambda: 1)
        executor = LocalExecutor(world.store, limits)
        container = server_container()
        protocols, pause = container.protocols(), container.pause()
        service = Service(executor, protocols, limits, stats, LongRequests(), pause)
        self.conversation = DurableConversation(world.journal, service, self.link)

    def send(self, line: bytes) -> bytes:
        """What is sent at once."""
        return self.conversation.receive(line) + finish(self.conversation)

    def receive(self) -> bytes:
        """What is sent after being woken, which has to have happened once."""
        assert self.link.woken == 1
        self.link.woken = 0
        return self.conversation.advance() + finish(self.conversation)

    @property
    def waits(self) -> bool:
        return wanted(self.conversation) is Wants.WAKE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "d").load()


def test_a_write_and_a_read_of_its_key_wait_and_other_reads_do_not(world: World) -> None:
    world.store.set("other", b"1")
    world.background.work()
    writer, reader, other = Client(world), Client(world), Client(world)
    assert writer.send(SET) == reader.send(GET) == b""
    assert other.send(GET.replace(b'"k"', b'"other"')) == ONE
    world.background.work()
    assert not writer.conversation.may_take_long
    assert not reader.conversation.may_take_long
    assert writer.receive() == TRUE
    assert reader.receive() == ONE
    assert reader.send(GET) == ONE


def test_a_read_waits_while_the_batch_of_its_key_is_being_written(world: World) -> None:
    world.store.set("k", b"1")
    world.background.begin()
    world.store.set("later", b"1")
    reader = Client(world)
    assert reader.send(GET) == b""
    world.background.end()
    assert reader.receive() == ONE  # and not only with the batch behind


class Change(NamedTuple):
    """What happens to the key `k`, with the text 1, and what a request then tells of it."""

    happens: Callable[[World], object]
    request: bytes
    reply: bytes


def line(text: str) -> bytes:
    return text.encode() + b"\n"


def pass_time(world: World) -> None:
    world.clock.now += 100


def expire(world: World) -> None:
    pass_time(world)
    world.store.expire_due(100)


def evict(world: World) -> None:
    for number in range(40):
        world.store.set(f"more{number}", b'"%s"' % (b"x" * 200))


SHOWN = {
    "deleted": Change(lambda world: world.store.delete(["k"]), GET, b'{"ok":true}\n'),
    "evicted": Change(evict, GET, b'{"ok":true}\n'),
    "flushed": Change(lambda world: world.store.clear(), GET, b'{"ok":true}\n'),
    "counted": Change(
        lambda world: world.store.delete(["k"]),
        line('{"type":"COUNT"}'),
        b'{"ok":true,"result":1}\n',
    ),
    "scanned": Change(
        lambda world: world.store.delete(["k", "t"]),
        line('{"type":"SCAN"}'),
        b'{"ok":true,"result":{"keys":[],"cursor":null}}\n',
    ),
    "a condition that does not hold": Change(
        lambda world: world.store.set("k", b"2"),
        line('{"type":"SET","key":"k","value":1,"if":"absent"}'),
        b'{"ok":true,"result":false}\n',
    ),
    "a refusal": Change(
        lambda world: world.store.set("k", b"[]"),
        line('{"type":"INCR","key":"k"}'),
        b"NOT_A_NUMBER",
    ),
    "the reads of a batch": Change(
        lambda world: world.store.set("k", b"2"),
        line('{"type":"BATCH","commands":[{"type":"GET","key":"t"},{"type":"GET","key":"k"}]}'),
        b'"result":2}',
    ),
    "a read of many": Change(
        lambda world: world.store.set("k", b"2"),
        line('{"type":"MGET","keys":["t","k"]}'),
        b'"k":2}',
    ),
    "Redis's count": Change(lambda world: world.store.delete(["k"]), b"DBSIZE\r\n", b":1\r\n"),
    "Redis's EXISTS": Change(lambda world: world.store.delete(["k"]), b"EXISTS t k\r\n", b":1\r\n"),
    "Redis's KEYS": Change(lambda world: world.store.delete(["k"]), b"KEYS *\r\n", b"t\r\n"),
    "Redis's EXEC": Change(
        lambda world: world.store.delete(["k"]),
        b"MULTI\r\nRANDOMKEY\r\nEXEC\r\n",
        b"*1\r\n$1\r\nt\r\n",
    ),
    "another database of Redis": Change(
        lambda world: Client(world).send(b"SELECT 1\r\nSET k 5\r\n"),
        b"SELECT 1\r\nGET k\r\n",
        b"$1\r\n5\r\n",
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_no_reply_shows_a_change_that_is_not_on_the_disk(tmp_path: Path, name: str) -> None:
    change = SHOWN[name]
    clock = Clock()
    store: Optional[InMemoryStore] = EvictingStore(clock, 4000) if name == "evicted" else None
    world = World(tmp_path / "d", clock=clock, store=store).load()
    world.store.set("k", b"1")
    world.store.set_many({"t": b"1"}, ttl=50)
    world.background.work()
    change.happens(world)
    reader = Client(world)
    assert change.reply not in reader.send(change.request)
    assert reader.waits
    world.background.work()
    assert change.reply in reader.receive()


@pytest.mark.parametrize("happens", [expire, pass_time])
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (GET, b'{"ok":true}\n'),
        (line('{"type":"COUNT"}'), b'{"ok":true,"result":0}\n'),
        (line('{"type":"SCAN"}'), b'{"ok":true,"result":{"keys":[],"cursor":null}}\n'),
    ],
)
def test_that_a_key_came_due_is_shown_once_its_deadline_is_on_the_disk(
    world: World, happens: Callable[[World], object], asked: bytes, told: bytes
) -> None:
    world.store.set_many({"k": b"1"}, ttl=50)
    world.background.begin()
    happens(world)
    reader = Client(world)
    assert reader.send(asked) == b""
    world.background.end()
    assert reader.receive() == told
    assert Client(world).send(asked) == told


def test_what_there_is_no_room_for_is_told_to_no_client(world: World) -> None:
    world.store.set_many({"other": b"1", "k": b"0"})
    world.background.work()
    writer, reader, other = Client(world), Client(world), Client(world)
    world.disk.room = 0
    assert writer.send(SET) == reader.send(GET) == b""
    world.background.work()
    for client in (writer, reader):
        assert client.receive() == b""
        assert wanted(client.conversation) is Wants.END
    assert other.send(GET.replace(b'"k"', b'"other"')) == ONE
    for asked in (
        GET,
        line('{"type":"COUNT"}'),
        line('{"type":"MGET","keys":["other","k"]}'),
        GET * 3,
    ):
        told = other.send(asked)
        assert told.count(b'"UNAVAILABLE","message":"the disk is full: this would tell') >= 1
        assert b'"ok":true' not in told
    world.disk.room = 2 * RESERVE
    world.tick()
    assert other.send(GET) == ONE


def test_a_reply_in_turns_is_sent_when_the_disk_was_faster_than_the_turns(world: World) -> None:
    client = Client(world)
    world.store.set("k", b"1")
    reply = client.conversation.receive(b'{"type":"FLUSH"}\n')
    while wanted(client.conversation) is Wants.TURN:
        world.background.work()
        reply += client.conversation.advance()
    world.background.work()
    if client.waits:
        reply += client.receive()
    assert reply == ONE


@pytest.mark.parametrize("fsync", ["everysec", "no"])
def test_without_always_no_reply_waits(tmp_path: Path, fsync: str) -> None:
    world = World(tmp_path / "d", fsync).load()
    assert Client(world).send(SET) == TRUE


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_replies_wait_while_too_much_is_to_be_written(
    tmp_path: Path, fsync: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "FRAME_BYTES", 1)
    monkeypatch.setattr(queue, "MAX_BATCHES", 3)
    world = World(tmp_path / "d", fsync).load()
    for number in range(3):
        world.store.set(f"k{number}", b"1")
    client = Client(world)
    assert client.send(SET) == b""
    world.background.work()
    assert client.receive() == TRUE


def test_output_that_waits_is_counted_until_it_is_sent(world: World) -> None:
    text = b'"%s"' % (b"x" * SMALL_BYTES)
    world.store.set("k", text)
    client = Client(world)
    client.send(GET)
    assert client.link.account.held > SMALL_BYTES
    world.background.work()
    assert text in client.receive()
    assert client.link.account.held == 0


LOADING_REFUSALS = {
    GET: b'"code":"UNAVAILABLE"',
    b'{"type":"COUNT"}\n' * 2: b"loading",
    b"GET k\r\n": b"-LOADING the server is loading its data",
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\n1\r\n": b"-LOADING ",
}


@pytest.mark.parametrize("request_bytes", LOADING_REFUSALS)
def test_while_it_loads_it_says_so(tmp_path: Path, request_bytes: bytes) -> None:
    world = World(tmp_path / "d")
    assert LOADING_REFUSALS[request_bytes] in Client(world).send(request_bytes)


def test_a_full_disk_refuses_writes_and_serves_reads_until_there_is_room(world: World) -> None:
    assert Client(world).send(GET) == b'{"ok":true}\n'
    world.disk.room = RESERVE - 1
    world.journal.upkeep.tick()
    client = Client(world)
    assert b"the disk is full" in client.send(SET)
    assert client.send(GET) == b'{"ok":true}\n'
    assert Client(world).send(b"SET k 1\r\n").startswith(b"-MISCONF the disk is full")
    world.disk.room = RESERVE
    world.journal.upkeep.tick()
    assert client.send(SET) == b""
    world.background.work()
    assert client.receive() == TRUE


def test_the_reply_that_a_watched_key_has_changed_waits_for_the_change(world: World) -> None:
    client = Client(world)
    client.send(b"WATCH k\r\nMULTI\r\nGET other\r\n")
    world.store.set("k", b"1")
    assert client.send(b"EXEC\r\n") == b""
    world.background.work()
    assert client.receive() == b"*-1\r\n"


READS = {
    line('{"type":"BATCH","commands":[{"type":"GET","key":"k"}]}'): b'{"ok":true,"result":[',
    b"HELLO 3\r\n": b"%",
    b"WATCH k\r\nMULTI\r\nGET k\r\nEXEC\r\n": b"+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$-1\r\n",
}


@pytest.mark.parametrize("request_bytes", READS)
def test_a_full_disk_refuses_no_request_that_only_reads(world: World, request_bytes: bytes) -> None:
    world.disk.room = 0
    world.journal.upkeep.tick()
    assert Client(world).send(request_bytes).startswith(READS[request_bytes])


def test_the_mebibyte_that_fills_the_disk_is_the_last_one_accepted(world: World) -> None:
    client = Client(world)
    world.disk.room = RESERVE - 1
    for accepted in (SET, SET.replace(b"1", b'"%b"' % (b"x" * LOOK_BYTES))):
        assert client.send(accepted) == b""
        world.background.work()
        assert client.receive() == TRUE
    assert b"the disk is full" in client.send(SET)


def test_a_disk_that_is_full_and_one_with_room_again_are_logged_once_each_at_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.disk.room = RESERVE - 1
    world.journal.upkeep.tick()
    assert [record.message for record in caplog.records] == ["the disk is full: writes are refused"]
    world.journal.upkeep.tick()
    world.disk.room = RESERVE
    for _ in range(2):
        world.journal.upkeep.tick()
        world.background.work()
    messages = [(record.levelname, record.message) for record in caplog.records]
    assert messages[1:] == [("WARNING", "there is room again: writes are accepted")]


def test_a_client_that_is_gone_while_it_waits_harms_no_other(world: World) -> None:
    gone, other = Client(world), Client(world)
    assert gone.send(SET) == other.send(SET) == b""
    gone.conversation.close()
    world.background.work()
    assert other.receive() == TRUE


@pytest.mark.parametrize(
    ("error", "is_told_whole"),
    [(OSError("broken"), False), (MemoryError(), False), (ZeroDivisionError(), True)],
)
@pytest.mark.parametrize("fails", ["writing", "reading the store"])
def test_a_rewrite_that_fails_is_given_up_logged_once_and_not_due_again_at_once(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    is_told_whole: bool,
    fails: str,
) -> None:
    monkeypatch.setattr(background, "TICK_SECONDS", 0)
    monkeypatch.setattr(upkeep, "RETRY_TICKS", 1000)
    monkeypatch.setattr(upkeep, "MIN_REWRITE", 0)

    def fail(*arguments: object) -> None:
        raise error

    def create(name: str) -> File:
        file = FaultyDisk.create(world.disk, name)
        if name.endswith(NEW) and fails == "writing":
            monkeypatch.setattr(file, "write", fail)
        return file

    monkeypatch.setattr(world.disk, "create", create)
    if fails == "reading the store":
        monkeypatch.setattr(world.store, "copy_shard", fail)
    with looked_after(world), gevent.Timeout(TIMEOUT):
        while not caplog.records:
            gevent.sleep(0)
        for _ in range(10):
            assert not world.journal.upkeep.is_due()
            gevent.sleep(0)
        assert not world.journal.figures().rewriting
        assert sorted(world.disk.names()) == ["journal-0000000001", "journal-0000000002"]
    (record,) = caplog.records
    assert record.message == "could not rewrite the journal"
    assert bool(record.exc_info) is is_told_whole


@contextlib.contextmanager
def looked_after(world: World) -> Iterator[None]:
    """Has a world's journal kept as a server does, its thread among the greenlets."""

    def work() -> None:
        while True:
            world.background.work()
            gevent.sleep(0)

    keeper, thread = background.JournalKeeper(world.journal), gevent.spawn(work)
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()
        thread.kill()


def test_the_thread_of_the_journal_hands_over_whatever_a_job_raises() -> None:
    thread, outcomes, done = background.GeventBackground(), [], Event()

    def told(outcome: object) -> None:
        outcomes.append(outcome)
        if len(outcomes) == 3:
            done.set()

    for job in (lambda: 1 // 0, lambda: [][0], lambda: "done"):
        thread.run(job, told)
    assert done.wait(TIMEOUT)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, IndexError, str]


def test_whatever_a_write_fails_with_nothing_more_is_written(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()

    def no_memory(number: int, kind: str) -> None:
        raise MemoryError

    world.disk.before = no_memory
    world.store.set("k", b"1")
    world.background.work()
    (failure,) = world.failures
    assert "MemoryError" in failure


class EndlessRewrite:
    """A journal, and its upkeep, with a rewrite that comes to no end; `ticked` is set by a tick
    while it is under way."""

    def __init__(self) -> None:
        self.upkeep = self
        self.ticked = Event()
        self._is_rewriting = False

    def is_due(self) -> bool:
        return True

    def rewrite(self) -> Iterator[None]:
        self._is_rewriting = True
        while True:
            yield None

    def tick(self) -> None:
        if self._is_rewriting:
            self.ticked.set()

    def close(self) -> Iterator[None]:
        return iter(())


def test_a_journal_is_synced_while_it_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "TICK_SECONDS", 0)
    journal = EndlessRewrite()
    keeper = background.JournalKeeper(cast(Journal, journal))
    keeper.start()
    try:
        assert journal.ticked.wait(TIMEOUT)
    finally:
        keeper.stop()
