"""Commands that are sent together, in a pipeline and in a batch, by each kind of client."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, List

import pytest
from kvjson import BadRequest, Client, NotANumber, NotOfType, Page, TooLarge, Unreachable

from tests.library.kinds import CALLS, METHODS, greenlets, tasks, threads
from tests.support import Server


@dataclass
class User:
    name: str


def buffers(client: Client) -> List[Any]:
    return [client.pipeline(), client.batch()]


def test_results_come_in_order_and_as_single_commands_return_them(client: Client) -> None:
    for buffer in buffers(client):
        client.flush()
        results_to_come = [
            buffer.set("user", User("Ada")),
            buffer.get("user"),
            buffer.get("user", decode_as=User),
            buffer.get("missing"),
            buffer.get("missing", "default"),
            buffer.mget(["user", "missing"]),
            buffer.set("nothing", None),
            buffer.get("nothing", "default"),
            buffer.incr("n", 0.5),
            buffer.ttl("n"),
            buffer.ttl("missing", -1),
            buffer.getset("bytes", b"x"),
            buffer.getdel("bytes"),
            buffer.scan("us"),
            buffer.ping(),
        ]
        results = buffer.run()
        ada = {"name": "Ada"}
        assert results == [
            *(True, ada, User("Ada"), None, "default", {"user": ada}, True, None, 0.5, None, -1),
            *(None, b"x", Page(["user"], None), "PONG"),
        ]
        assert [pending.result for pending in results_to_come] == results
        assert isinstance(results[13], Page)


@pytest.mark.parametrize("name", METHODS)
def test_every_command_can_be_buffered(client: Client, name: str) -> None:
    for buffer in buffers(client):
        client.flush()
        client.mset({"k": 1, "n": 1})
        alone = getattr(client, name)(*CALLS[name])
        client.flush()
        client.mset({"k": 1, "n": 1})
        pending = getattr(buffer, name)(*CALLS[name])
        buffer.run()
        if name == "info":
            assert pending.result["keyspace"]["keys"] == alone["keyspace"]["keys"]
        else:
            assert pending.result == alone


def test_an_error_is_the_result_of_its_command_alone(client: Client) -> None:
    buffer = client.pipeline()
    buffer.set("word", "x")
    wrong, odd, last = buffer.incr("word"), buffer.get("word", decode_as=int), buffer.incr("n")
    stored, not_a_number, not_an_int, one = buffer.run()
    assert (stored, one, last.result) == (True, 1, 1)
    assert isinstance(not_a_number, NotANumber)
    assert isinstance(not_an_int, NotOfType)
    with pytest.raises(NotANumber):
        _ = wrong.result
    with pytest.raises(NotOfType):
        _ = odd.result
    assert wrong.outcome is not_a_number


def test_a_batch_with_an_error_changes_nothing_and_says_which_it_was(client: Client) -> None:
    client.set("word", "x")
    batch = client.batch()
    results_to_come: List[Any] = [batch.set("a", 1), batch.delete("word"), batch.set("b", "x")]
    results_to_come.append(batch.incr("b"))
    with pytest.raises(NotANumber) as refusal:
        batch.run()
    assert refusal.value.index == 3
    assert client.count() == 1
    assert client.get("word") == "x"
    for pending in results_to_come:
        with pytest.raises(NotANumber):
            _ = pending.result


def test_a_value_of_another_type_refuses_no_batch(client: Client) -> None:
    batch = client.batch()
    batch.set("word", "x")
    batch.get("word", decode_as=int)
    stored, not_an_int = batch.run()
    assert stored is True
    assert isinstance(not_an_int, NotOfType)
    assert client.get("word") == "x"


def test_a_batch_that_costs_too_much_is_refused_whole(client: Client) -> None:
    batch = client.batch()
    for _ in range(200):
        batch.flush()
    with pytest.raises(TooLarge):
        batch.run()


def test_a_value_that_cannot_be_stored_is_refused_when_it_is_buffered(client: Client) -> None:
    for buffer in buffers(client):
        buffer.set("a", 1)
        with pytest.raises(BadRequest):
            buffer.set("b", float("nan"))
        assert buffer.run() == [True]
    assert client.mget(["a", "b"]) == {"a": 1}


def test_a_result_before_sending_raises(client: Client) -> None:
    for buffer in buffers(client):
        pending = buffer.set("k", 1)
        with pytest.raises(RuntimeError, match="not sent"):
            _ = pending.result
        assert client.get("k") is None


def test_a_block_sends_at_its_end(client: Client) -> None:
    for buffer in buffers(client):
        client.flush()
        with buffer as same:
            assert same is buffer
            pending = buffer.set("k", 1)
            assert client.get("k") is None
        assert pending.result is True
        assert client.get("k") == 1


def test_a_block_that_raises_sends_nothing(client: Client) -> None:
    for buffer in buffers(client):
        with pytest.raises(BadRequest), buffer:
            buffer.set("k", buffer.set("j", 1))
        assert client.count() == 0
        (unsent,) = buffer.pending
        with pytest.raises(RuntimeError, match="not sent"):
            _ = unsent.result


def test_an_empty_pipeline_or_batch_returns_no_results(client: Client) -> None:
    for buffer in buffers(client):
        assert buffer.run() == []
        with buffer:
            pass


def test_a_command_that_was_run_is_not_sent_again(client: Client) -> None:
    for buffer in buffers(client):
        client.flush()
        first = buffer.incr("n")
        assert buffer.run() == [1]
        assert buffer.run() == []
        buffer.incr("n", 10)
        assert buffer.run() == [11]
        assert first.result == 1


def test_a_batch_that_was_refused_is_not_sent_again(client: Client) -> None:
    batch = client.batch()
    batch.set("k", "x")
    batch.incr("k")
    with pytest.raises(NotANumber):
        batch.run()
    batch.set("k", 1)
    assert batch.run() == [True]


def test_thousands_of_commands_with_large_values_each_get_their_own_result(client: Client) -> None:
    one, other = "x" * 20_000, "y" * 20_000
    with client.pipeline() as stores:
        for number in range(1500):
            stores.set(f"{number}", [number, one])
    with client.pipeline() as exchanges:
        results_to_come = [exchanges.getset(f"{number}", other) for number in range(1500)]
    assert [pending.result[0] for pending in results_to_come] == list(range(1500))
    assert all(pending.result[1] == one for pending in results_to_come)


def test_thousands_of_commands_in_one_batch(client: Client) -> None:
    batch = client.batch()
    for number in range(5000):
        batch.incr("n", by=number)
    assert batch.run()[-1] == sum(range(5000))


@pytest.mark.parametrize("kind", [threads, tasks])
def test_every_result_of_a_pipeline_without_a_server_is_unreachable(kind: Any) -> None:
    with kind(1, attempts=1) as client:
        for buffer in buffers(client):
            results_to_come = [buffer.set("a", 1), buffer.get("a")]
            with pytest.raises(Unreachable):
                buffer.run()
            for pending in results_to_come:
                with pytest.raises(Unreachable):
                    _ = pending.result


@pytest.mark.parametrize("kind", [threads, greenlets, tasks])
def test_a_traceback_shows_the_call_and_the_systems_error_once(kind: Any) -> None:
    with kind(1, attempts=3) as client:
        pipeline = client.pipeline()
        pipeline.ping()
        for call in (client.ping, pipeline.run):
            with pytest.raises(Unreachable) as refusal:
                call()
            shown = traceback.format_exception(None, refusal.value, refusal.value.__traceback__)
            text = "".join(shown)
            assert text.count("Traceback") == 1
            assert text.count("adapters") == 0
            assert text.count("Unreachable") == 1


def test_a_key_that_cannot_be_sent_is_refused_in_a_batch_and_in_a_pipeline(server: Server) -> None:
    with threads(server.port) as client:
        for buffer in buffers(client):
            buffer.set("a", 1)
            buffer.get("\ud800")
            with pytest.raises(BadRequest):
                buffer.run()
            assert client.count() == 0
