"""Commands that are sent together: in line, in a batch, by clients that wait and by asyncio's."""

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


def queues(client: Client) -> List[Any]:
    return [client.pipeline(), client.batch()]


def test_answers_come_in_order_and_as_single_commands_give_them(client: Client) -> None:
    for queue in queues(client):
        client.flush()
        answers = [
            queue.set("user", User("Ada")),
            queue.get("user"),
            queue.get("user", decode_as=User),
            queue.get("missing"),
            queue.get("missing", "default"),
            queue.mget(["user", "missing"]),
            queue.set("nothing", None),
            queue.get("nothing", "default"),
            queue.incr("n", 0.5),
            queue.ttl("n"),
            queue.ttl("missing", -1),
            queue.getset("bytes", b"x"),
            queue.getdel("bytes"),
            queue.scan("us"),
            queue.ping(),
        ]
        results = queue.run()
        ada = {"name": "Ada"}
        assert results == [
            *(True, ada, User("Ada"), None, "default", {"user": ada}, True, None, 0.5, None, -1),
            *(None, b"x", Page(["user"], None), "PONG"),
        ]
        assert [answer.result for answer in answers] == results
        assert isinstance(results[13], Page)


@pytest.mark.parametrize("name", METHODS)
def test_every_command_can_be_put_in_line(client: Client, name: str) -> None:
    for queue in queues(client):
        client.flush()
        client.mset({"k": 1, "n": 1})
        alone = getattr(client, name)(*CALLS[name])
        client.flush()
        client.mset({"k": 1, "n": 1})
        answer = getattr(queue, name)(*CALLS[name])
        queue.run()
        if name == "info":
            assert answer.result["keyspace"]["keys"] == alone["keyspace"]["keys"]
        else:
            assert answer.result == alone


def test_an_error_is_the_answer_to_its_command_alone(client: Client) -> None:
    queue = client.pipeline()
    queue.set("word", "x")
    wrong, odd, last = queue.incr("word"), queue.get("word", decode_as=int), queue.incr("n")
    stored, not_a_number, not_an_int, one = queue.run()
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
    answers: List[Any] = [batch.set("a", 1), batch.delete("word"), batch.set("b", "x")]
    answers.append(batch.incr("b"))
    with pytest.raises(NotANumber) as refusal:
        batch.run()
    assert refusal.value.index == 3
    assert client.count() == 1
    assert client.get("word") == "x"
    for answer in answers:
        with pytest.raises(NotANumber):
            _ = answer.result


def test_a_value_of_another_type_refuses_no_batch(client: Client) -> None:
    batch = client.batch()
    batch.set("word", "x")
    batch.get("word", decode_as=int)
    stored, not_an_int = batch.run()
    assert stored is True
    assert isinstance(not_an_int, NotOfType)
    assert client.get("word") == "x"


def test_a_batch_that_is_too_much_work_is_refused_whole(client: Client) -> None:
    batch = client.batch()
    for _ in range(200):
        batch.flush()
    with pytest.raises(TooLarge):
        batch.run()


def test_a_value_that_cannot_be_stored_is_told_when_it_is_put_in_line(client: Client) -> None:
    for queue in queues(client):
        queue.set("a", 1)
        with pytest.raises(BadRequest):
            queue.set("b", float("nan"))
        assert queue.run() == [True]
    assert client.mget(["a", "b"]) == {"a": 1}


def test_there_is_no_result_before_it_was_sent(client: Client) -> None:
    for queue in queues(client):
        answer = queue.set("k", 1)
        with pytest.raises(RuntimeError, match="not sent"):
            _ = answer.result
        assert client.get("k") is None


def test_a_block_sends_at_its_end(client: Client) -> None:
    for queue in queues(client):
        client.flush()
        with queue as same:
            assert same is queue
            answer = queue.set("k", 1)
            assert client.get("k") is None
        assert answer.result is True
        assert client.get("k") == 1


def test_a_block_that_raises_sends_nothing(client: Client) -> None:
    for queue in queues(client):
        with pytest.raises(BadRequest), queue:
            queue.set("k", queue.set("j", 1))
        assert client.count() == 0
        (unsent,) = queue.pending
        with pytest.raises(RuntimeError, match="not sent"):
            _ = unsent.result


def test_an_empty_one_gives_nothing(client: Client) -> None:
    for queue in queues(client):
        assert queue.run() == []
        with queue:
            pass


def test_what_was_run_is_not_sent_again(client: Client) -> None:
    for queue in queues(client):
        client.flush()
        first = queue.incr("n")
        assert queue.run() == [1]
        assert queue.run() == []
        queue.incr("n", 10)
        assert queue.run() == [11]
        assert first.result == 1


def test_what_was_refused_is_not_sent_again(client: Client) -> None:
    batch = client.batch()
    batch.set("k", "x")
    batch.incr("k")
    with pytest.raises(NotANumber):
        batch.run()
    batch.set("k", 1)
    assert batch.run() == [True]


def test_thousands_of_commands_with_large_values_each_get_their_own_answer(client: Client) -> None:
    one, other = "x" * 20_000, "y" * 20_000
    with client.pipeline() as stores:
        for number in range(1500):
            stores.set(f"{number}", [number, one])
    with client.pipeline() as exchanges:
        answers = [exchanges.getset(f"{number}", other) for number in range(1500)]
    assert [answer.result[0] for answer in answers] == list(range(1500))
    assert all(answer.result[1] == one for answer in answers)


def test_thousands_of_commands_in_one_batch(client: Client) -> None:
    batch = client.batch()
    for number in range(5000):
        batch.incr("n", by=number)
    assert batch.run()[-1] == sum(range(5000))


@pytest.mark.parametrize("kind", [threads, tasks])
def test_when_no_server_is_there_every_answer_says_so(kind: Any) -> None:
    with kind(1, attempts=1) as client:
        for queue in queues(client):
            answers = [queue.set("a", 1), queue.get("a")]
            with pytest.raises(Unreachable):
                queue.run()
            for answer in answers:
                with pytest.raises(Unreachable):
                    _ = answer.result


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


def test_a_key_that_cannot_be_sent_is_refused_in_a_batch_and_in_line(server: Server) -> None:
    with threads(server.port) as client:
        for queue in queues(client):
            queue.set("a", 1)
            queue.get("\ud800")
            with pytest.raises(BadRequest):
                queue.run()
            assert client.count() == 0
