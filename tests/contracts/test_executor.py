"""What every executor promises: commands do the same in this process and across the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest
from msgspec import UNSET, Raw

from adapters.gevent_server import GreenletConnection
from application.commands import COMMANDS, Delete, Flush, Get, MGet, MSet, Ping, Set, name_of
from application.executor import Executor, LocalExecutor
from domain.errors import BadRequest
from domain.memory import InMemoryStore
from tests.samples import BRACKETS_IN_STRINGS, DEEPEST, REFUSED, VALUES
from tests.support import BlockingStore, served, server_container


def _local() -> Iterator[Executor]:
    yield LocalExecutor(InMemoryStore())


def _tcp() -> Iterator[Executor]:
    with served(server_container()) as client:
        yield client


def _tcp_to_a_store_that_blocks() -> Iterator[Executor]:
    container = server_container()
    container.store.override(BlockingStore())
    container.connection.override(GreenletConnection)
    with served(container) as client:
        yield client


@pytest.fixture(params=[_local, _tcp, _tcp_to_a_store_that_blocks])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    yield from request.param()


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def value(result: Any) -> Any:
    assert isinstance(result, bytes)
    return json.loads(result)


def test_ping_is_answered(executor: Executor) -> None:
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


def test_setting_again_replaces(executor: Executor) -> None:
    executor.execute(Set("k", raw(1)))
    executor.execute(Set("k", raw([2])))
    assert value(executor.execute(Get("k"))) == [2]


def test_deleting_tells_whether_the_key_was_there(executor: Executor) -> None:
    executor.execute(Set("k", raw(None)))
    assert executor.execute(Delete("k")) is True
    assert executor.execute(Delete("k")) is False
    assert executor.execute(Get("k")) is UNSET


def test_many_come_back_without_those_missing(executor: Executor) -> None:
    executor.execute(MSet({"a": raw({"x": 1}), "": raw(None), "ключ": raw("й")}))
    found = executor.execute(MGet(["a", "", "missing", "ключ", "a"]))
    assert {key: value(text) for key, text in found.items()} == {
        "a": {"x": 1},
        "": None,
        "ключ": "й",
    }


def test_none_can_be_asked_for_or_set(executor: Executor) -> None:
    assert executor.execute(MGet([])) == {}
    assert executor.execute(MSet({})) is True


def test_flush_removes_all_and_counts_them(executor: Executor) -> None:
    executor.execute(MSet({str(number): raw(number) for number in range(1000)}))
    assert executor.execute(Flush()) == 1000
    assert executor.execute(Flush()) == 0
    assert executor.execute(Get("1")) is UNSET


def test_an_id_changes_nothing(executor: Executor) -> None:
    assert executor.execute(Set("k", raw(1), id="mark")) is True
    assert executor.execute(Get("k", id=2**80)) == b"1"


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_every_command_has_a_test_here(kind: Any) -> None:
    assert f"execute({kind.__name__}(" in Path(__file__).read_text(encoding="utf-8")
