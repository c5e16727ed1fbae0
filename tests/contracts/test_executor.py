"""What every executor promises: commands do the same in this process and across the network."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any, Iterator, List, TypeVar, cast

import pytest
from msgspec import UNSET, Raw

from application.commands import (
    COMMANDS,
    Auth,
    Batch,
    Command,
    Count,
    Delete,
    Exists,
    Expire,
    Flush,
    Get,
    GetDel,
    GetSet,
    GetTtl,
    Incr,
    Info,
    MDelete,
    MGet,
    MSet,
    Persist,
    Ping,
    Scan,
    Set,
    name_of,
)
from application.executor import LocalExecutor
from application.ports import Executor
from domain.errors import BadRequest, KvError, NotANumber, OutOfRange, TooLarge
from domain.memory import InMemoryStore
from domain.store import MAX_TTL, Stats
from sqlite_store import SqliteStore
from tests.engines import NewEngineStore, on_engines
from tests.samples import BRACKETS_IN_STRINGS, DEEPEST, REFUSED, VALUES
from tests.support import BlockingStore, Clock, loopback, served, server_container

R = TypeVar("R")


def _local(clock: Clock) -> Iterator[Executor]:
    yield LocalExecutor(InMemoryStore(clock))


def _loopback(clock: Clock) -> Iterator[Executor]:
    yield loopback(clock)


def _tcp(clock: Clock) -> Iterator[Executor]:
    container = server_container()
    container.clock.override(clock)
    with served(container) as client:
        yield client


def _tcp_to_a_store_that_blocks(clock: Clock) -> Iterator[Executor]:
    container = server_container()
    container.store.override(BlockingStore(clock))
    with served(container) as client:
        yield client


def _tcp_to_a_database(clock: Clock) -> Iterator[Executor]:
    container = server_container()
    with contextlib.closing(SqliteStore.open(":memory:", clock)) as store:
        container.store.override(store)
        with served(container) as client:
            yield client


def _tcp_to_an_engine(new_store: NewEngineStore, clock: Clock) -> Iterator[Executor]:
    container = server_container()
    store = new_store(clock)
    container.store.override(store)
    with contextlib.closing(store), served(container) as client:
        yield client


class InSteps(Executor):
    """Executes each command incrementally."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def execute(self, command: Command[R]) -> R:
        steps = self._inner.execute_in_steps(command)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return cast(R, stop.value)


class InRuns(Executor):
    """Executes each command as a run of one where its kind has runs, and again by itself when the
    run is refused, which has had no effect."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def execute(self, command: Command[R]) -> R:
        try:
            run = self._inner.execute_run(type(command), [command])
        except KvError:
            run = None
        if run is None:
            return self._inner.execute(command)
        (result,) = run.results
        if isinstance(result, Exception):
            raise result
        return cast(R, result)


class Wrapper(Executor):
    """Sees every command as itself, and has nothing but the one method that a port must have."""

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    def execute(self, command: Command[R]) -> R:
        assert type(command) in COMMANDS
        return self._inner.execute(command)


def _in_steps(clock: Clock) -> Iterator[Executor]:
    yield InSteps(LocalExecutor(InMemoryStore(clock)))


def _in_steps_by_the_fall_back(clock: Clock) -> Iterator[Executor]:
    yield InSteps(Wrapper(LocalExecutor(InMemoryStore(clock))))


def _in_runs(clock: Clock) -> Iterator[Executor]:
    yield InRuns(LocalExecutor(InMemoryStore(clock)))


def _tcp_to_a_wrapper(clock: Clock) -> Iterator[Executor]:
    container = server_container()
    container.clock.override(clock)
    container.executor.override(Wrapper(LocalExecutor(InMemoryStore(clock))))
    with served(container) as client:
        yield client


WIRINGS = [
    _local,
    _loopback,
    _tcp,
    _tcp_to_a_store_that_blocks,
    _tcp_to_a_database,
    _in_steps,
    _in_steps_by_the_fall_back,
    _in_runs,
    _tcp_to_a_wrapper,
    *(partial(_tcp_to_an_engine, new_store) for new_store in on_engines()),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=WIRINGS)
def executor(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Executor]:
    yield from request.param(clock)


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def value(result: Any) -> Any:
    assert isinstance(result, bytes)
    return json.loads(result)


def test_auth_without_a_password_accepts_any(executor: Executor) -> None:
    assert executor.execute(Auth("anything")) is True


def test_ping_returns_pong(executor: Executor) -> None:
    assert executor.execute(Ping()) == "PONG"


@pytest.mark.parametrize("sample", VALUES, ids=lambda sample: repr(sample)[:20])
def test_every_json_value_comes_back_as_it_went_in(executor: Executor, sample: Any) -> None:
    assert executor.execute(Set("k", raw(sample))) is True
    back = value(executor.execute(Get("k")))
    assert back == sample
    assert type(back) is type(sample)


@pytest.mark.parametrize("text", [DEEPEST, BRACKETS_IN_STRINGS, '"%s"' % ("1" * 5000)])
def test_values_near_a_bound_are_kept(executor: Executor, text: str) -> None:
    executor.execute(MSet({"k": Raw(text.encode())}))
    assert value(executor.execute(Get("k"))) == json.loads(text)


@pytest.mark.parametrize(
    "text", [text for _, text, code in REFUSED if code == "BAD_REQUEST"], ids=lambda text: text[:20]
)
def test_values_that_a_strict_reader_could_not_take_are_refused(
    executor: Executor, text: bytes
) -> None:
    with pytest.raises(BadRequest, match="value"):
        executor.execute(Set("k", Raw(text)))
    with pytest.raises(BadRequest, match=r"items\.bad"):
        executor.execute(MSet({"good": Raw(b"1"), "bad": Raw(text)}))
    assert executor.execute(MGet(["k", "good", "bad"])) == {}


def test_line_breaks_between_tokens_are_not_kept(executor: Executor) -> None:
    executor.execute(MSet({"k": Raw(b'{"a":\n[1,\r\n"b  c"]}'), "n": Raw(b"1")}))
    text = bytes(executor.execute(Get("k")))  # type: ignore[arg-type]
    assert json.loads(text) == {"a": [1, "b  c"]}
    assert not set(b"\r\n") & set(text)


def test_a_missing_key_is_not_a_stored_null(executor: Executor) -> None:
    executor.execute(Set("null", raw(None)))
    assert executor.execute(Get("null")) == b"null"
    assert executor.execute(Get("missing")) is UNSET


def test_setting_a_key_again_replaces_its_value(executor: Executor) -> None:
    executor.execute(Set("k", raw(1)))
    executor.execute(Set("k", raw([2])))
    assert value(executor.execute(Get("k"))) == [2]


def test_delete_returns_whether_the_key_existed(executor: Executor) -> None:
    executor.execute(Set("k", raw(None)))
    assert executor.execute(Delete("k")) is True
    assert executor.execute(Delete("k")) is False
    assert executor.execute(Get("k")) is UNSET


def test_mget_returns_the_keys_that_exist(executor: Executor) -> None:
    executor.execute(MSet({"a": raw({"x": 1}), "": raw(None), "ключ": raw("й")}))
    found = executor.execute(MGet(["a", "", "missing", "ключ", "a"]))
    assert {key: value(text) for key, text in found.items()} == {
        "a": {"x": 1},
        "": None,
        "ключ": "й",
    }


def test_mget_and_mset_accept_no_keys(executor: Executor) -> None:
    assert executor.execute(MGet([])) == {}
    assert executor.execute(MSet({})) is True


def test_flush_removes_all_keys_and_returns_their_number(executor: Executor) -> None:
    executor.execute(MSet({str(number): raw(number) for number in range(1000)}))
    assert executor.execute(Flush()) == 1000
    assert executor.execute(Flush()) == 0
    assert executor.execute(Get("1")) is UNSET


def test_an_id_changes_nothing(executor: Executor) -> None:
    assert executor.execute(Set("k", raw(1), id="mark")) is True
    assert executor.execute(Get("k", id=2**80)) == b"1"


class TestConditions:
    def test_set_if_absent_or_present(self, executor: Executor) -> None:
        assert executor.execute(Set("k", raw(1), if_="present")) is False
        assert executor.execute(Set("k", raw(1), if_="absent")) is True
        assert executor.execute(Set("k", raw(2), if_="absent")) is False
        assert executor.execute(Set("k", raw(3), if_="present")) is True
        assert value(executor.execute(Get("k"))) == 3

    @pytest.mark.parametrize(
        ("stored", "wanted", "equal"),
        [
            (1, 1.0, True),
            (2**53, 2**53 + 1, False),
            (True, 1, False),
            ([False], [0], False),
            (None, False, False),
            ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
            ({"a": 1}, {"a": 1, "b": None}, False),
            ([1, 2], [2, 1], False),
            ("1", 1, False),
            ("é", "\u00e9", True),
        ],
    )
    def test_if_equals_compares_json_values(
        self, executor: Executor, stored: Any, wanted: Any, equal: bool
    ) -> None:
        executor.execute(Set("k", raw(stored)))
        assert executor.execute(Set("k", raw("new"), if_equals=raw(wanted))) is equal
        executor.execute(Set("k", raw(stored)))
        assert executor.execute(Delete("k", if_equals=raw(wanted))) is equal
        assert executor.execute(Exists("k")) is not equal

    def test_no_value_equals_a_missing_key(self, executor: Executor) -> None:
        assert executor.execute(Set("k", raw(1), if_equals=raw(None))) is False
        assert executor.execute(Delete("k", if_equals=raw(None))) is False
        assert executor.execute(Exists("k")) is False

    def test_mset_if_absent_stores_all_keys_or_none(self, executor: Executor) -> None:
        executor.execute(Set("b", raw(0)))
        items = {"a": raw(1), "b": raw(2)}
        assert executor.execute(MSet(items, if_="absent")) is False
        assert executor.execute(MGet(["a", "b"])) == {"b": b"0"}
        executor.execute(Delete("b"))
        assert executor.execute(MSet(items, if_="absent")) is True
        assert executor.execute(MGet(["a", "b"])) == {"a": b"1", "b": b"2"}


class TestReplacing:
    def test_getset_returns_the_old_value(self, executor: Executor, clock: Clock) -> None:
        assert executor.execute(GetSet("k", raw(1))) is UNSET
        assert executor.execute(GetSet("k", raw(2), ttl=5)) == b"1"
        clock.now += 5
        assert executor.execute(GetSet("k", raw(3))) is UNSET

    def test_getdel_returns_the_value_once(self, executor: Executor) -> None:
        executor.execute(Set("k", raw(None)))
        assert executor.execute(GetDel("k")) == b"null"
        assert executor.execute(GetDel("k")) is UNSET

    def test_mdelete_returns_how_many_keys_existed(self, executor: Executor) -> None:
        executor.execute(MSet({"a": raw(1), "b": raw(2), "c": raw(3)}))
        assert executor.execute(MDelete(["a", "c", "x", "a"])) == 2
        assert executor.execute(Count()) == 1


class TestTime:
    def test_a_ttl_ends_a_key(self, executor: Executor, clock: Clock) -> None:
        executor.execute(Set("k", raw(1), ttl=1.5))
        assert executor.execute(GetTtl("k")) == 1.5
        clock.now += 1
        assert executor.execute(GetTtl("k")) == 0.5
        clock.now += 0.5
        assert executor.execute(GetTtl("k")) is UNSET
        assert executor.execute(Exists("k")) is False
        assert executor.execute(Count()) == 0
        assert executor.execute(Scan()).keys == []
        assert executor.execute(MSet({"k": raw(2)}, if_="absent")) is True

    def test_a_key_without_ttl_has_null_left(self, executor: Executor) -> None:
        executor.execute(Set("k", raw(1)))
        assert executor.execute(GetTtl("k")) is None

    def test_setting_a_key_again_clears_or_keeps_its_ttl(
        self, executor: Executor, clock: Clock
    ) -> None:
        executor.execute(MSet({"k": raw(1)}, ttl=10))
        clock.now += 4
        executor.execute(Set("k", raw(2), keep_ttl=True))
        assert executor.execute(GetTtl("k")) == 6
        executor.execute(Set("k", raw(3)))
        assert executor.execute(GetTtl("k")) is None
        assert executor.execute(Set("new", raw(1), keep_ttl=True)) is True
        assert executor.execute(GetTtl("new")) is None

    def test_expire_and_persist(self, executor: Executor, clock: Clock) -> None:
        assert executor.execute(Expire("k", 5)) is False
        assert executor.execute(Persist("k")) is False
        executor.execute(Set("k", raw(1)))
        assert executor.execute(Persist("k")) is False
        assert executor.execute(Expire("k", 5)) is True
        assert executor.execute(GetTtl("k")) == 5
        assert executor.execute(Persist("k")) is True
        clock.now += 10
        assert executor.execute(GetTtl("k")) is None

    def test_the_longest_ttl_is_told_as_it_was_given(self, executor: Executor) -> None:
        executor.execute(Set("k", raw(1), ttl=MAX_TTL))
        assert executor.execute(GetTtl("k")) == pytest.approx(MAX_TTL, abs=60)

    @pytest.mark.parametrize("ttl", [0, -1, 0.0, MAX_TTL + 1, 1e17, 1e300])
    def test_a_ttl_out_of_range_is_refused(self, executor: Executor, ttl: float) -> None:
        commands: List[Command[Any]] = [
            Set("k", raw(1), ttl=ttl),
            MSet({"k": raw(1)}, ttl=ttl),
            GetSet("k", raw(1), ttl=ttl),
            Incr("k", ttl=ttl),
            Expire("k", ttl),
        ]
        for command in commands:
            with pytest.raises(BadRequest, match="ttl"):
                executor.execute(command)
        with pytest.raises(BadRequest, match="keep_ttl"):
            executor.execute(Set("k", raw(1), ttl=1, keep_ttl=True))
        assert executor.execute(Count()) == 0


class TestCounters:
    def test_counting_from_0_up_and_down(self, executor: Executor) -> None:
        assert executor.execute(Incr("n")) == 1
        assert executor.execute(Incr("n", by=41)) == 42
        assert executor.execute(Incr("n", by=-50)) == -8
        assert value(executor.execute(Get("n"))) == -8

    def test_a_counter_with_a_fraction_added_stays_a_float(self, executor: Executor) -> None:
        assert executor.execute(Incr("n", by=0.5)) == 0.5
        total = executor.execute(Incr("n", by=1))
        assert (total, type(total)) == (1.5, float)
        total = executor.execute(Incr("n", by=0.5))
        assert (total, type(total)) == (2.0, float)

    def test_whole_numbers_are_exact_up_to_64_bits(self, executor: Executor) -> None:
        for start, by, end in [(2**63 - 2, 1, 2**63 - 1), (-(2**63) + 1, -1, -(2**63))]:
            executor.execute(Set("n", raw(start)))
            assert executor.execute(Incr("n", by=by)) == end
            with pytest.raises(OutOfRange):
                executor.execute(Incr("n", by=by))
            assert value(executor.execute(Get("n"))) == end

    @pytest.mark.parametrize(
        ("start", "by"), [(1.7e308, 1.7e308), (10**400, 0.5), (0.5, 10**400), (2**70, 1)]
    )
    def test_incr_beyond_the_range_is_refused(
        self, executor: Executor, start: Any, by: Any
    ) -> None:
        executor.execute(Set("n", raw(start)))
        with pytest.raises(OutOfRange):
            executor.execute(Incr("n", by=by))
        assert value(executor.execute(Get("n"))) == start

    @pytest.mark.parametrize("other", [None, True, "1", [], {}])
    def test_incr_of_a_value_that_is_no_number_is_refused(
        self, executor: Executor, other: Any
    ) -> None:
        executor.execute(Set("n", raw(other)))
        with pytest.raises(NotANumber):
            executor.execute(Incr("n"))

    def test_a_ttl_counts_only_when_the_key_is_made(self, executor: Executor, clock: Clock) -> None:
        executor.execute(Incr("n", ttl=10))
        clock.now += 4
        assert executor.execute(Incr("n", ttl=10)) == 2
        assert executor.execute(GetTtl("n")) == 6
        clock.now += 6
        assert executor.execute(Incr("n")) == 1
        assert executor.execute(GetTtl("n")) is None


class TestScans:
    def test_the_pages_of_a_scan_hold_every_key(self, executor: Executor) -> None:
        executor.execute(MSet({f"user:{number}": raw(number) for number in range(300)}))
        executor.execute(Set("other", raw(0)))
        seen: List[str] = []
        page = executor.execute(Scan(prefix="user:", limit=7))
        seen += page.keys
        while page.cursor is not None:
            page = executor.execute(Scan(prefix="user:", limit=7, cursor=page.cursor))
            seen += page.keys
        assert sorted(seen) == sorted(f"user:{number}" for number in range(300))

    def test_a_scan_with_a_bad_limit_or_cursor_is_refused(self, executor: Executor) -> None:
        with pytest.raises(BadRequest, match="limit"):
            executor.execute(Scan(limit=0))
        with pytest.raises(BadRequest, match="cursor"):
            executor.execute(Scan(cursor="nonsense"))

    def test_a_scan_finds_all_keys_with_long_escapes(self, executor: Executor) -> None:
        keys = {f"{number:02}" + "\x01" * 60_000 for number in range(8)}
        for key in keys:
            executor.execute(Set(key, raw(0)))
        found: List[str] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            page = executor.execute(Scan(limit=1000, cursor=cursor))
            found += page.keys
            cursor, pages = page.cursor, pages + 1
        assert set(found) == keys  # an engine may return one twice while its table is resized
        assert pages > 2


class TestLargeValues:
    """The bytes decoded to compare or count are bounded."""

    LARGE = Raw(b"[%b1]" % (b"1," * 600_000))
    OTHER = Raw(b"[%b 1]" % (b"1," * 600_000))

    def test_a_large_value_differs_from_one_of_another_type_undecoded(
        self, executor: Executor
    ) -> None:
        executor.execute(Set("k", self.LARGE))
        assert executor.execute(Delete("k", if_equals=raw("text"))) is False
        assert executor.execute(Set("k", raw(1), if_equals=raw(None))) is False
        with pytest.raises(NotANumber):
            executor.execute(Incr("k"))
        assert executor.execute(Delete("k", if_equals=self.LARGE)) is True

    def test_a_large_value_that_would_have_to_be_decoded_is_refused(
        self, executor: Executor
    ) -> None:
        executor.execute(Set("k", self.LARGE))
        commands: List[Command[Any]] = [
            Delete("k", if_equals=self.OTHER),
            Set("k", raw(1), if_equals=raw([])),
        ]
        for command in commands:
            with pytest.raises(TooLarge, match=r"at most 1,048,576 \(max_opened_bytes\)"):
                executor.execute(command)
        assert executor.execute(Get("k")) == bytes(self.LARGE)

    def test_the_bytes_that_a_batch_decodes_are_summed(self, executor: Executor) -> None:
        executor.execute(Set("k", Raw(b"[%b1]" % (b"1," * 100_000))))
        compare = Delete("k", if_equals=raw([]))
        assert executor.execute(Batch([compare] * 5)) == [False] * 5
        with pytest.raises(TooLarge, match="max_opened_bytes") as refused:
            executor.execute(Batch([Set("new", raw(1)), *[compare] * 6]))
        assert refused.value.index == 6
        assert executor.execute(Exists("new")) is False


class TestBatches:
    def test_a_batch_returns_what_each_command_returns_by_itself(self, executor: Executor) -> None:
        commands: List[Command[Any]] = [
            Set("k", raw([1])),
            Get("k", id=7),
            Get("no"),
            GetTtl("k"),
            MGet(["k"]),
            Incr("n"),
        ]
        results = executor.execute(Batch(commands))
        assert results == [True, b"[1]", UNSET, None, {"k": b"[1]"}, 1]
        assert executor.execute(Batch([])) == []

    def test_a_refused_command_undoes_the_batch(self, executor: Executor, clock: Clock) -> None:
        executor.execute(MSet({"a": raw(1), "b": raw(2), "word": raw("x")}))
        executor.execute(Set("timed", raw(3), ttl=10))
        with pytest.raises(NotANumber) as refused:
            executor.execute(
                Batch(
                    [
                        Set("a", raw("changed")),
                        Incr("b", by=5),
                        Incr("new"),
                        Persist("timed"),
                        MDelete(["a", "timed"]),
                        Flush(),
                        MSet({"word": raw("y")}),
                        Incr("word"),
                        Set("never", raw(0)),
                    ]
                )
            )
        assert refused.value.index == 7
        everything = executor.execute(MGet(["a", "b", "word", "timed", "new", "never"]))
        assert everything == {"a": b"1", "b": b"2", "word": b'"x"', "timed": b"3"}
        assert executor.execute(GetTtl("timed")) == 10

    def test_a_batch_without_a_refusal_keeps_its_changes(self, executor: Executor) -> None:
        executor.execute(Batch([Set("a", raw(1)), Flush(), Set("b", raw(2)), Delete("c")]))
        assert executor.execute(MGet(["a", "b"])) == {"b": b"2"}


def test_info_tells_about_the_keys(executor: Executor, clock: Clock) -> None:
    executor.execute(MSet({"a": raw(1), "b": raw(2)}))
    executor.execute(Get("a"))
    executor.execute(Get("x"))
    executor.execute(Set("brief", raw(1), ttl=1))
    clock.now += 1
    executor.execute(Count())
    assert executor.execute(Info()).keyspace == Stats(keys=2, hits=1, misses=1, expired=1)


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_every_command_has_a_test_here(kind: Any) -> None:
    assert f"{kind.__name__}(" in Path(__file__).read_text(encoding="utf-8")
