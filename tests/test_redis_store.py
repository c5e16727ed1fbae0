"""The store over an engine: what it promises beyond the contract of stores."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable, Iterator, List, Optional, Type

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from adapters.storage.redis import store as redis_store
from adapters.storage.redis.engine import Lost
from adapters.storage.redis.reply_socket import SPARE_BYTES, TURN_BYTES, WORD_BYTES
from adapters.storage.redis.store import PAGE_BYTES, RedisStore
from adapters.storage.redis.texts import MARK, Names, from_engine, many_from_engine, to_engine
from adapters.storage.redis.view import MAX_NAMES
from application.commands import Batch, Command, Count, Flush, Get, Incr, MDelete, MGet, MSet, Set
from application.executor import LocalExecutor
from application.in_process import InProcess
from application.limits import Limits
from application.steps import finished
from domain.errors import (
    BadRequest,
    KvError,
    Misconfigured,
    NotANumber,
    OutOfMemory,
    TooLarge,
    Unavailable,
    Unreachable,
)
from domain.store import MAX_TTL, Entry, Store
from tests.engines import (
    Engine,
    opened,
    programs,
    running,
    shared,
    shared_cluster,
    start,
    stop,
)
from tests.fake_engine import Words, fake_engine
from tests.library.proxy import Proxy, passed_on, reply_cut, reply_lost, request_cut, request_lost
from tests.support import TIMEOUT

NAME, PROGRAM = next(reversed(list(programs().items())), ("", ""))
"""The newest engine. The contracts of stores and executors run over each of them."""


@pytest.fixture
def engine() -> Engine:
    if not NAME:
        pytest.skip("no Redis or Valkey is here")
    return shared(NAME)


@pytest.fixture
def store(engine: Engine) -> Iterator[RedisStore]:
    with opened(engine.url) as store:
        yield store


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "data"),
        [
            (b'"word"', b"word"),
            (b'"\xc3\xa9"', b"\xc3\xa9"),
            (b'"a\\nb"', b"a\nb"),
            (b"5", b"5"),
            (b'{"a":[1,2]}', b'{"a":[1,2]}'),
            (b'{"$binary":{"base64":"/w==","subType":"00"}}', b"\xff"),
            (b"true", MARK + b"true"),
            (b"null", MARK + b"null"),
            (b'"5"', MARK + b'"5"'),
            (b'"\\u0035"', MARK + b'"\\u0035"'),
            (b'"\\u0000json 5"', MARK + b'"\\u0000json 5"'),
        ],
    )
    def test_the_engine_has_what_clients_of_resp_see_or_a_marked_text(
        self, text: bytes, data: bytes
    ) -> None:
        assert to_engine(text) == data
        assert from_engine(data) == text

    @pytest.mark.parametrize(
        ("text", "plain"),
        [
            (b'"\\u0061"', b'"a"'),
            (b'"caf\\u00e9"', b'"caf\xc3\xa9"'),
            (b'"http:\\/\\/x"', b'"http://x"'),
            (b'"\\ud83d\\ude00\\u000a"', b'"\xf0\x9f\x98\x80\\n"'),
        ],
    )
    def test_the_engine_has_a_string_without_the_escapes_that_it_does_not_need(
        self, text: bytes, plain: bytes
    ) -> None:
        data = to_engine(text)
        assert data == to_engine(plain) == json.loads(text).encode()
        assert from_engine(data) == plain

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            st.lists,
        )
    )
    def test_every_value_comes_back_and_its_text_as_it_was_but_for_escapes(
        self, value: Any
    ) -> None:
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only).encode()
            data = to_engine(text)
            assert json.loads(from_engine(data)) == value
            assert from_engine(data) == text or isinstance(value, str)
            reply = b"$4194304\r\n%b\r\n$13\r\n1700000000000\r\n:1700000000000\r\n" % data
            assert len(reply) <= len(text) + WORD_BYTES

    @given(st.binary() | st.binary().map(MARK.__add__))
    def test_whatever_the_engines_own_clients_store_is_one_json_text(self, data: bytes) -> None:
        text = from_engine(data)
        assert b"\n" not in text
        json.loads(text)

    @given(st.lists(st.binary() | st.sampled_from([MARK + b"true", b"1", b'{"a":1}', b"[", b""])))
    def test_many_become_what_each_becomes(self, datas: List[bytes]) -> None:
        assert finished(many_from_engine(datas)) == [from_engine(data) for data in datas]

    @given(st.binary() | st.binary().map(MARK.__add__))
    def test_bytes_that_are_stored_as_a_value_come_back(self, data: bytes) -> None:
        text = from_engine(data)
        assert from_engine(to_engine(text)) == text

    def test_a_key_that_is_no_unicode_is_refused(self) -> None:
        with pytest.raises(BadRequest, match="surrogate"):
            Names("kv:").of("\ud800")


FOREIGN = ["k", "kv", "kx:a", "kv*", "other", "", "k*[a]?\\", "k*[a]?\\y:1", "kk[a]x\\:1"]
"""Names that begin with neither of the prefixes below."""


@pytest.mark.parametrize("prefix", ["kv:", "k*[a]?\\:", "k*[^v]-"])
class TestPrefix:
    def test_keys_of_others_are_neither_seen_nor_changed(self, engine: Engine, prefix: str) -> None:
        client = engine.client
        makers: List[Callable[[str], object]] = [
            lambda name: client.set(name, "x"),
            lambda name: client.rpush(name, "x"),
            lambda name: client.sadd(name, "x"),
            lambda name: client.zadd(name, {"x": 1}),
            lambda name: client.hset(name, "f", "x"),
            lambda name: client.xadd(name, {"f": "x"}),
        ]
        for number, name in enumerate(FOREIGN):
            makers[number % len(makers)](name)
        before = {name: client.dump(name) for name in FOREIGN}
        with opened(engine.url, prefix) as store:
            keys = [str(number) for number in range(300)]
            store.set_many(dict.fromkeys(keys, b"1"))
            assert store.count() == 300
            assert sorted(scanned(store)) == sorted(keys)
            assert store.delete([*keys[:100], *FOREIGN, ":a"]) == 100
            assert store.atomically(lambda view: (view.count(), len(view.scan(None, "", 999).keys)))
            assert store.atomically(lambda view: view.clear()) == 200
            store.set("again", b"1")
            assert store.clear() == 1
            assert (store.count(), scanned(store), store.get_many(FOREIGN)) == (
                0,
                [],
                [None] * len(FOREIGN),
            )
        assert {name: client.dump(name) for name in FOREIGN} == before
        assert client.dbsize() == len(FOREIGN)


def scanned(store: Store, limit: int = 7) -> List[str]:
    page = store.scan(None, "", limit)
    keys = list(page.keys)
    while page.cursor is not None:
        page = store.scan(page.cursor, "", limit)
        keys += page.keys
    return keys


def test_a_cursor_within_a_batch_is_short_and_its_pages_hold_each_key_once(
    store: RedisStore,
) -> None:
    keys = [f"{at:03}".ljust(5000, "x") for at in range(50)]
    store.set_many(dict.fromkeys(keys, b"1"))
    page = store.atomically(lambda view: view.scan(None, "", 10))
    assert page.cursor is not None
    assert len(page.cursor) < 30
    assert sorted(store.atomically(scanned)) == sorted(keys)
    with pytest.raises(BadRequest, match="cursor"):
        store.atomically(lambda view: view.scan("7", "", 10))


class TestValuesOfOthers:
    def test_a_string_that_another_program_stored_is_a_value(
        self, engine: Engine, store: RedisStore
    ) -> None:
        engine.client.mset({"kv:n": 41, "kv:word": "hello", "kv:raw": b"\xff"})
        executor = LocalExecutor(store)
        assert executor.execute(Incr("n")) == 42
        assert engine.client.incr("kv:n") == 43
        assert store.get_many(["n", "word"]) == [b"43", b'"hello"']
        assert b"$binary" in (store.get("raw") or b"")

    def test_a_value_of_another_type_is_refused_by_name(
        self, engine: Engine, store: RedisStore
    ) -> None:
        engine.client.rpush("kv:list", "x")
        executor = LocalExecutor(store)
        commands: List[Command[Any]] = [Get("list"), Incr("list"), Batch([Get("list")])]
        for command in commands:
            with pytest.raises(BadRequest, match="WRONGTYPE: a key holds another type"):
                executor.execute(command)
        assert engine.client.lrange("kv:list", 0, -1) == [b"x"]

    def test_a_value_of_another_type_is_replaced_by_what_does_not_read_it(
        self, engine: Engine, store: RedisStore
    ) -> None:
        executor = LocalExecutor(store)
        replacing: List[Command[Any]] = [
            Set("list", Raw(b"1")),
            MSet({"list": Raw(b"1")}),
            MSet({"list": Raw(b"1")}, ttl=100),
        ]
        for command in replacing:
            engine.client.delete("kv:list")
            engine.client.rpush("kv:list", "x")
            assert executor.execute(MGet(["list"])) == {}
            assert executor.execute(Count()) == 1
            with pytest.raises(BadRequest, match="WRONGTYPE"):
                executor.execute(Set("list", Raw(b"1"), ttl=100))
            assert executor.execute(command)
            assert store.get("list") == b"1"

    def test_a_key_that_is_no_text_is_counted_and_removed_but_not_listed(
        self, engine: Engine, store: RedisStore
    ) -> None:
        engine.client.set(b"kv:\xff", "x")
        store.set("k", b"1")
        assert (store.count(), scanned(store)) == (2, ["k"])
        assert store.clear() == 2


class TestTime:
    def test_the_engine_expires_keys_to_the_millisecond(
        self, engine: Engine, store: RedisStore
    ) -> None:
        store.set_many({"a": b"1", "b": b"2"}, ttl=500.0004)
        store.update("c", lambda _: Entry(b"3", 1000))
        assert 499_000 < engine.client.pttl("kv:a") <= 500_001
        assert 999_000 < engine.client.pttl("kv:c") <= 1_000_000
        due = engine.client.pexpiretime("kv:c")
        store.update("c", lambda before: before and Entry(b"4", before.ttl))
        assert engine.client.pexpiretime("kv:c") == due
        store.update("c", lambda before: before and Entry(b"5"))
        assert engine.client.pttl("kv:c") == -1

    @pytest.mark.parametrize("ttl", [1e-9, MAX_TTL])
    def test_the_engine_has_the_shortest_and_the_longest_ttl(
        self, store: RedisStore, ttl: float
    ) -> None:
        store.set_many({"k": b"1"}, ttl=ttl)
        entry, _ = store.update("k", lambda before: before and Entry(b"2", before.ttl))
        assert entry is None or entry.ttl == pytest.approx(ttl, abs=60)


class TestTransactions:
    def test_counters_that_many_clients_raise_count_exactly(self, store: RedisStore) -> None:
        executor = LocalExecutor(store)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: executor.execute(Incr("n")), range(400)))
        assert store.get("n") == b"400"

    def test_work_is_done_again_when_what_it_read_has_changed(self, store: RedisStore) -> None:
        store.set_many({"a": b"1", "b": b"1"})
        seen: List[List[Optional[bytes]]] = []

        def work(view: Store) -> None:
            seen.append(view.get_many(["a", "b"]))
            if len(seen) == 1:
                store.set("b", b"2")
            view.set("sum", b"".join(filter(None, seen[-1])))

        store.atomically(work)
        assert seen == [[b"1", b"1"], [b"1", b"2"]]
        assert store.get("sum") == b"12"

    @pytest.mark.parametrize("other", ["new", None])
    def test_work_on_all_keys_is_done_again_when_keys_came_or_went(
        self, store: RedisStore, other: str
    ) -> None:
        store.set_many({"a": b"1", "b": b"1"})
        counts: List[int] = []

        def work(view: Store) -> None:
            counts.append(view.count())
            if len(counts) == 1:
                store.delete(["a"])
                if other:
                    store.set(other, b"1")
            view.set("count", b"%d" % counts[-1])

        store.atomically(work)
        assert counts == [2, 2 if other else 1]

    def test_a_refusal_on_ground_of_what_changed_meanwhile_is_none(self, store: RedisStore) -> None:
        store.set_many({"a": b"1", "b": b"1"})
        calls: List[int] = []

        def work(view: Store) -> bytes:
            first = view.get("a")
            if not calls:
                store.set_many({"a": b"2", "b": b"2"})
            calls.append(1)
            if view.get("b") != first:
                raise NotANumber("torn")
            return first or b""

        assert store.atomically(work) == b"2"
        assert len(calls) == 2

    def test_a_batch_of_reads_is_of_one_moment(self, store: RedisStore) -> None:
        store.set_many({"a": b"1", "b": b"1"})
        calls: List[int] = []

        def work(view: Store) -> Any:
            first = view.get("a")
            if not calls:
                store.set_many({"a": b"2", "b": b"2"})
            calls.append(1)
            return first, view.get("b")

        assert store.atomically(work) == (b"2", b"2")

    def test_one_that_never_succeeds_is_given_up(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_store, "ATTEMPTS", 3)
        texts = iter([b"1", b"2", b"3"])

        def work(view: Store) -> None:
            view.get("k")
            store.set("k", next(texts))
            view.set("k", b"0")

        with pytest.raises(Unavailable, match="during each of 3 attempts"):
            store.atomically(work)
        assert store.get("k") == b"3"

    def test_a_batch_on_more_keys_than_it_may_read_is_refused(
        self, store: RedisStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MAX_NAMES == 10_000
        monkeypatch.setattr("adapters.storage.redis.view.MAX_NAMES", 10)
        store.set_many({str(number): b"1" for number in range(11)})
        with pytest.raises(TooLarge, match="there are 11; at most 10"):
            LocalExecutor(store).execute(Batch([Count()]))


REFUSED: List[Any] = [
    (b"-LOADING Redis is loading the dataset in memory", Unavailable, "LOADING"),
    (b"-OOM command not allowed when used memory > 'maxmemory'.", OutOfMemory, "maxmemory"),
    (b"-READONLY You can't write against a read only replica.", Unavailable, "READONLY"),
    (b"-MOVED 866 127.0.0.1:7001", Misconfigured, "MOVED"),
    (b"-MASTERDOWN Link with MASTER is down", Unavailable, "MASTERDOWN|Link with MASTER"),
    (b"-MISCONF Errors writing to the AOF file", Unavailable, "MISCONF"),
    (b"-BUSY Redis is busy running a script.", Unavailable, "BUSY"),
    (b"-NOPERM this user has no permissions", Misconfigured, "refuses the user"),
    (b"-NOAUTH Authentication required.", Misconfigured, "refuses the password"),
    (b"-WRONGTYPE Operation against a key", BadRequest, "WRONGTYPE"),
    (b"-WHATEVER it may be", Unavailable, "WHATEVER it may be"),
]

COMMANDS: List[Command[Any]] = [
    Get("k"),
    MGet(["k"]),
    Set("k", Raw(b"1")),
    Incr("k"),
    MDelete(["k"]),
    Flush(),
    Count(),
]


class TestAnEngineThatFails:
    @pytest.mark.parametrize(("line", "kind", "words"), REFUSED)
    def test_its_refusals_are_errors_of_ours(
        self, line: bytes, kind: Type[KvError], words: str
    ) -> None:
        with fake_engine(lambda _: line + b"\r\n") as fake, opened(fake.url) as store:
            for command in COMMANDS:
                with pytest.raises(kind, match=words) as refusal:
                    LocalExecutor(store).execute(command)
                assert refusal.type is kind
            assert len(fake.seen) == len(COMMANDS)

    def test_one_that_hangs_up_fails_reads_at_the_second_attempt_and_writes_at_once(self) -> None:
        asked: List[bytes] = []

        def hang_up(words: Words) -> None:
            asked.append(words[0])

        with fake_engine(hang_up) as fake, opened(fake.url) as store:
            for command in COMMANDS[0], COMMANDS[2]:
                with pytest.raises(Unavailable, match="connection to the engine was lost"):
                    LocalExecutor(store).execute(command)
        assert asked == [b"GET", b"GET", b"SET"]

    def test_a_late_reply_is_no_reply_to_the_next_command(self) -> None:
        late = threading.Event()

        def reply(words: Words) -> bytes:
            if words[1] == b"kv:late":
                late.wait(TIMEOUT)
            return b"$4\r\n%b\r\n" % words[1][-4:]

        with fake_engine(reply) as fake, opened(fake.url, timeout=0.05) as store:
            with pytest.raises(Unavailable, match="no reply from the engine in time"):
                store.get("late")
            late.set()
            assert store.get("next") == b'"next"'

    def test_a_slow_reply_keeps_no_other_client_waiting(self) -> None:
        late = threading.Event()

        def reply(words: Words) -> bytes:
            if words[1] == b"kv:late":
                late.wait(TIMEOUT)
            return b"$1\r\n1\r\n"

        with fake_engine(reply) as fake, opened(fake.url) as store, ThreadPoolExecutor() as threads:
            slow = threads.submit(store.get, "late")
            assert store.get("other") == b"1"
            late.set()
            assert slow.result() == b"1"

    def test_a_reply_over_the_bound_is_refused_and_the_next_one_is_read(self) -> None:
        large = b"*1\r\n$40000000\r\n%b\r\n" % (b"x" * 40_000_000)

        def reply(words: Words) -> bytes:
            return large if words[0] == b"MGET" else b"$1\r\n1\r\n"

        with fake_engine(reply) as fake, opened(fake.url, max_reply_bytes=1000) as store:
            for _ in range(2):
                with pytest.raises(TooLarge, match=r"over 1,000 bytes \(max_reply_bytes\)"):
                    store.get_many(["k"])
                assert store.get("k") == b"1"
        with fake_engine(reply) as fake, opened(fake.url) as store:
            assert store.get_many(["k"]) == [b'"%b"' % (b"x" * 40_000_000)]

    def test_without_a_free_connection_a_command_is_refused_unsent(self) -> None:
        arrived, late = threading.Event(), threading.Event()

        def reply(words: Words) -> bytes:
            arrived.set()
            late.wait(TIMEOUT)
            return b"$1\r\n1\r\n"

        full = pytest.raises(Unreachable, match=r"all 1 connections .* \(store_connections\)")
        with fake_engine(reply) as fake, opened(
            fake.url, connections=1, connect_timeout=0.01
        ) as store:
            with ThreadPoolExecutor() as threads:
                slow = threads.submit(store.get, "k")
                arrived.wait(TIMEOUT)
                with full:
                    store.set("k", b"1")
                late.set()
                assert slow.result() == b"1"
            assert len(fake.seen) == 1

    def test_one_that_is_too_old_is_refused(self) -> None:
        info = b"redis_version:6.2.14\r\nrole:master\r\n"
        reply = b"$%d\r\n%b\r\n" % (len(info), info)
        refused = pytest.raises(Misconfigured, match=r"redis 6\.2\.14; 7 or newer")
        with fake_engine(lambda _: reply) as fake, opened(fake.url) as store, refused:
            store.describe()

    def test_where_there_is_none_nothing_was_sent(self) -> None:
        with fake_engine(lambda _: None) as fake:
            pass
        with opened(fake.url) as store:
            for use in (partial(store.get, "k"), partial(store.set, "k", b"1"), store.count):
                with pytest.raises(Unreachable, match="cannot be reached"):
                    use()


def test_an_engine_that_is_killed_and_started_again_is_used_again() -> None:
    first = start(PROGRAM)
    with opened(first.url) as store:
        store.set("k", b"1")
        stop(first)
        for use in (partial(store.get, "k"), partial(store.set, "k", b"1")):
            with pytest.raises(Unreachable):
                use()
        with running(PROGRAM, port=first.port):
            assert store.get("k") is None
            store.update("k", lambda _: Entry(b"2"))
            assert store.get("k") == b"2"


class TestCutConnections:
    @pytest.fixture
    def proxy(self, engine: Engine) -> Iterator[Proxy]:
        with Proxy(engine.port) as proxy:
            yield proxy

    @pytest.mark.parametrize(
        ("fault", "count"), [(request_lost, 0), (request_cut, 0), (reply_lost, 1), (reply_cut, 1)]
    )
    def test_a_write_without_a_reply_is_not_sent_again(
        self, engine: Engine, proxy: Proxy, fault: Any, count: int
    ) -> None:
        with opened(f"redis://127.0.0.1:{proxy.port}") as store:
            executor = LocalExecutor(store)
            executor.execute(Incr("n", by=0))
            proxy.faults.extend([passed_on, fault])  # the read, the write
            with pytest.raises(Unavailable, match="connection to the engine was lost"):
                executor.execute(Incr("n"))
            assert store.get("n") == b"%d" % count

    @pytest.mark.parametrize("fault", [request_lost, request_cut, reply_lost, reply_cut])
    def test_a_read_without_a_reply_is_sent_again(
        self, engine: Engine, proxy: Proxy, fault: Any
    ) -> None:
        with opened(f"redis://127.0.0.1:{proxy.port}") as store:
            store.set("k", b"1")
            proxy.faults.append(fault)
            assert store.get_many(["k"]) == [b"1"]

    def test_a_run_of_writes_without_a_reply_is_not_executed_again(self, proxy: Proxy) -> None:
        with opened(f"redis://127.0.0.1:{proxy.port}") as store:
            executor = InProcess(LocalExecutor(store), Limits(), store.close)
            proxy.faults.append(reply_lost)
            outcomes = executor.execute_all([Set("a", Raw(b"1")), Set("b", Raw(b"2"))])
            assert [type(each) for each in outcomes] == [Lost, Lost]
            assert proxy.requests == 1

    def test_counters_count_what_was_done_exactly(self, engine: Engine, proxy: Proxy) -> None:
        chance = random.Random(1)
        faults = [request_lost, request_cut, reply_lost, reply_cut]
        with opened(f"redis://127.0.0.1:{proxy.port}") as store, ThreadPoolExecutor(4) as threads:
            executor = LocalExecutor(store)
            store.set("n", b"0")
            proxy.faults.extend(
                chance.choice(faults) if chance.random() < 0.1 else passed_on for _ in range(2000)
            )
            outcomes = list(threads.map(partial(_outcome, executor), [Incr("n")] * 300))
            proxy.faults.clear()
            done = [each for each in outcomes if isinstance(each, int)]
            unknown = [each for each in outcomes if isinstance(each, Unavailable)]
            assert len(set(done)) == len(done) > 100
            assert len(unknown) == 300 - len(done) > 10
            assert len(done) <= int(store.get("n") or b"") <= 300


def _outcome(executor: LocalExecutor, command: Command[Any]) -> object:
    try:
        return executor.execute(command)
    except KvError as error:
        return error


MANY = 9000
"""More than a program of the engine can pass to one command."""


def test_many_keys_at_once_are_stored_and_read(store: RedisStore) -> None:
    executor = InProcess(LocalExecutor(store), Limits(), store.close)
    items = {str(number): Raw(b"%d" % number) for number in range(MANY)}
    assert executor.execute(MSet(items)) is True
    assert executor.execute(MSet(items, ttl=100)) is True
    assert len(executor.execute(MGet(list(items)))) == MANY
    outcomes = executor.execute_all([Get(key) for key in items] + [Get("no")])
    assert outcomes[:MANY] == [b"%d" % number for number in range(MANY)]
    assert executor.execute(MDelete(list(items))) == MANY


def test_pages_have_as_many_keys_as_they_may(store: RedisStore) -> None:
    store.set_many({f"key:{at}": b"1" for at in range(3000)})
    cursor: Optional[str] = None
    pages: List[List[str]] = []
    while not pages or cursor:
        keys, cursor = store.scan(cursor, "", 100)
        pages.append(keys)
    assert len({key for page in pages for key in page}) == 3000
    assert max(map(len, pages)) <= 100
    assert len(pages) < 60  # some more where the engine is about to make its table smaller


def test_a_page_of_long_keys_ends_by_their_length(store: RedisStore) -> None:
    keys = [f"{at:04}".ljust(60_000, "x") for at in range(200)]
    store.set_many(dict.fromkeys(keys, b"1"))
    page = store.scan(None, "", 1000)
    assert sum(map(len, page.keys)) < 3 * PAGE_BYTES
    assert sorted(scanned(store, 1000)) == keys


def test_flushing_a_cluster_reads_names_without_a_bound() -> None:
    with opened(shared_cluster().url, max_reply_bytes=0) as store:
        names = [f"{at:04}".ljust(60_000, "x") for at in range(4 * SPARE_BYTES // 60_000)]
        for name in names:
            store.set(name, b"1")
        assert store.clear() == len(names)


def test_others_run_while_many_values_become_texts(store: RedisStore) -> None:
    turns: List[None] = []
    store._yield_turn = lambda: turns.append(None)
    values = {f"k{at}": b'"%b"' % (b"x" * 100_000) for at in range(30)}
    store.set_many(values)
    assert store.get_many([*values]) == [*values.values()]
    n_read = len(turns)
    assert n_read > 3_000_000 // TURN_BYTES
    assert store.atomically(lambda view: view.get_many([*values])) == [*values.values()]
    assert len(turns) >= 2 * n_read


def test_a_store_in_the_program_keeps_the_bounds_on_keys(store: RedisStore) -> None:
    executor = InProcess(LocalExecutor(store), Limits(max_key_bytes=10), store.close)
    commands = [Get("x" * 11), Get("k"), Get("k")]
    with pytest.raises(BadRequest, match="max_key_bytes"):
        executor.execute(commands[0])
    first, *others = executor.execute_all(commands)
    assert isinstance(first, BadRequest)
    assert not any(isinstance(each, KvError) for each in others)
