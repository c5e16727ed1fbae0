"""The bounds for every client: on input, output, work, and the number of clients."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any, Callable, Iterator, List, Tuple

import pytest

from adapters.client.loopback import LoopbackLink
from adapters.protocols.json_lines.lines import Lines
from adapters.protocols.portions import BLOCK_BYTES, WINDOW
from application.conversation import Conversation
from application.executor import LocalExecutor
from application.ledger import Ledger
from application.limits import Limits
from application.ports import Wants
from application.turn import TURN_BYTES
from domain.memory import InMemoryStore
from tests.support import (
    Clock,
    answer,
    finish,
    new_session,
    service_of,
    session_of,
    stats_of,
    wanted,
)
from tests.test_json_lines import replies

PING = b'{"type":"PING"}\n'
OK, PONG = {"ok": True, "result": True}, {"ok": True, "result": "PONG"}


def feed(lines: Lines, data: bytes) -> List[bytes]:
    """All whole lines that there are when `data` was fed."""
    cut = lines.cut(data)
    lines.settle()
    while lines.has_more:
        cut += lines.cut(b"")
        lines.settle()
    return cut


class TestPartialRequestId:
    """The number of the request that has arrived in part."""

    def test_the_id_is_0_where_no_line_is_partial(self) -> None:
        session = new_session()
        for data in (PING, b"\n", PING + PING, b"\n" * 200):
            answer(session, [data])
            assert session.partial_request_id == 0

    def test_the_id_stays_while_a_line_trickles_in(self) -> None:
        session = new_session()
        answer(session, [PING, b"{"])
        number = session.partial_request_id
        assert number
        for _ in range(50):
            answer(session, [b" "])
            assert session.partial_request_id == number
        answer(session, [b"}\n"])
        assert session.partial_request_id == 0

    @pytest.mark.parametrize("begun", [b"*2\r\n", b"*2\r\n$3\r\n", b"*2\r\n$3\r\nGET\r\n"])
    def test_a_request_of_resp_has_one_wherever_it_is_cut(self, begun: bytes) -> None:
        session = new_session()
        answer(session, [b"PING\r\n", begun])
        assert session.partial_request_id

    def test_no_two_partial_lines_have_the_same_id(self) -> None:
        session = new_session()
        answer(session, [PING, b"{"])
        seen = []
        for _ in range(50):
            seen.append(session.partial_request_id)
            answer(session, [b"}\n" + PING + b"{"])
        assert len(set(seen)) == 50
        assert 0 not in seen

    def test_the_id_is_0_while_whole_requests_wait_for_their_turn(self) -> None:
        session = session_of(LocalExecutor(InMemoryStore(Clock())), clock=Ticking())
        answer(session, [PING])
        session.receive(b'{"type":"COUNT"}\n' * 1000 + b"{")
        assert session.wants is Wants.TURN
        assert session.partial_request_id == 0
        finish(session)
        assert session.partial_request_id != 0

    @pytest.mark.parametrize("first", [b"", b"{", b" \r\n", b"{}"])
    def test_the_id_is_set_from_the_first_byte_of_the_first_line(self, first: bytes) -> None:
        session = new_session()
        answer(session, [first] if first else [])
        assert (session.partial_request_id != 0) == (b"{" in first)


class TestFirstLine:
    """Protocol detection from the first line."""

    @pytest.mark.parametrize("first", [b"G", b"\x16", b" \t[", b"\r\n\r\nx"])
    def test_the_first_character_of_another_protocol_ends_the_conversation(
        self, first: bytes
    ) -> None:
        session = new_session()
        assert replies(answer(session, [first, PING])) == ["BAD_JSON"]
        assert session.wants is Wants.END

    @pytest.mark.parametrize(
        "blanks", [[b" "], [b"\t\r "], [b"\n"] * 9, [b" " * 3000], [b" " * 900] * 9]
    )
    def test_blanks_before_the_first_line_are_not_buffered(self, blanks: List[bytes]) -> None:
        ledger = Ledger(1 << 20)
        session = talking(ledger, Limits(max_request_bytes=1000))
        assert answer(session, blanks) == b""
        assert ledger.held == 0
        assert replies(answer(session, [PING])) == [PONG]

    def test_a_bad_line_after_a_good_one_is_refused_when_complete(self) -> None:
        session = new_session()
        assert replies(answer(session, [PING, b"x"])) == [PONG]
        assert replies(answer(session, [b"\n", PING])) == ["BAD_JSON", PONG]


def talking(ledger: Ledger, limits: Limits = Limits()) -> Conversation:  # noqa: B008 - immutable
    """A conversation whose bytes a ledger counts."""
    link = LoopbackLink()
    link.account = ledger.open(pytest.fail)
    service = service_of(LocalExecutor(InMemoryStore(Clock()), limits), limits, Ticking())
    return Conversation(service, link)


def pieces(size: int, of: int) -> Iterator[bytes]:
    return (b"x" * min(size, of - at) for at in range(0, of, size))


class TestMemory:
    """Buffered input takes little more memory than its bytes."""

    LENGTH = 100_000

    @pytest.mark.parametrize(
        "size", [1, 2, 100, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 50_000]
    )
    def test_a_long_line_in_pieces_takes_its_bytes(self, size: int) -> None:
        lines = Lines(1 << 20)
        tracemalloc.start()
        try:
            for piece in pieces(size, of=self.LENGTH):
                feed(lines, piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert lines.buffered == self.LENGTH
        assert peak < 1.3 * self.LENGTH + size + BLOCK_BYTES

    def test_small_and_large_pieces_in_turn_take_their_bytes(self) -> None:
        lines = Lines(1 << 20)
        tracemalloc.start()
        try:
            for _ in range(20):
                feed(lines, b"x")
                feed(lines, b"x" * BLOCK_BYTES)
            now, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert now < 1.3 * 20 * (BLOCK_BYTES + 1)

    def test_a_complete_line_leaves_nothing_buffered(self) -> None:
        lines = Lines(1 << 20)
        tracemalloc.start()
        try:
            for piece in pieces(1000, of=self.LENGTH):
                feed(lines, piece)
            assert feed(lines, b"\n") == [b"x" * self.LENGTH]
            now, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert now < 10_000
        assert lines.buffered == 0

    @pytest.mark.parametrize(
        "fed", [[b"x" * 50, b"x" * 31], [b"x" * 81], [b"x" * 50, b"x" * 40 + b"\n"]]
    )
    def test_nothing_is_buffered_or_cut_after_a_line_that_is_too_long(
        self, fed: List[bytes]
    ) -> None:
        lines = Lines(80)
        for data in [*fed, b"more", b"x" * 70 + b"\n", b"of it\n"]:
            assert feed(lines, data) == []
        assert lines.is_over
        assert lines.buffered == 0

    @pytest.mark.parametrize("line", [b"11\n", b"{}\n", b"\n", PING])
    def test_many_tiny_lines_stay_one_buffer_until_their_turn(self, line: bytes) -> None:
        """A million of them as objects of their own would take over 40 MB."""
        lines = Lines(1 << 20)
        data = line * (1_000_000 // len(line))
        tracemalloc.start()
        try:
            cut = lines.cut(data)
            lines.settle()
            now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(cut) == WINDOW
        assert lines.has_more
        assert lines.buffered == len(data)
        assert max(now, peak) < 50_000  # the read itself is the caller's

    def test_a_read_of_tiny_lines_that_wait_for_their_turns_is_counted_as_its_bytes(self) -> None:
        ledger = Ledger(1 << 30)
        session = talking(ledger)
        answer(session, [PING])
        data = b"11\n" * 30_000
        tracemalloc.start()
        try:
            sent = session.receive(data)
            now, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert session.wants is Wants.TURN
        assert ledger.held == len(data)
        assert now < 100_000
        assert (sent + finish(session)).count(b"\n") == 30_000
        assert ledger.held == 0


def store(key: str, size: int) -> bytes:
    return b'{"type":"SET","key":"%b","value":"%b"}\n' % (key.encode(), b"x" * size)


def get(*keys: str) -> bytes:
    return json.dumps({"type": "MGET", "keys": keys}).encode()


def batch(*commands: bytes) -> bytes:
    return b'{"type":"BATCH","commands":[%b]}\n' % b",".join(line.strip() for line in commands)


class TestReplies:
    """The bound on the size of a reply."""

    LIMITS = Limits(max_request_bytes=1000, max_reply_bytes=2000)

    def ask(self, *lines: bytes) -> List[Any]:
        """The replies to lines that come after three values of 700 bytes were stored."""
        session = new_session(self.LIMITS)
        answer(session, [store("a", 700), store("b", 700), store("c", 700)])
        return replies(answer(session, [line.strip() + b"\n" for line in lines]))

    def test_a_reply_with_many_values_over_the_bound_is_refused(self) -> None:
        assert self.ask(get("a", "b", "c"), get("a"), PING) == [
            "TOO_LARGE",
            {"ok": True, "result": {"a": "x" * 700}},
            PONG,
        ]

    def test_the_same_value_asked_for_often_counts_once(self) -> None:
        assert self.ask(get("a", "a", "a")) == [{"ok": True, "result": {"a": "x" * 700}}]

    @pytest.mark.parametrize("kind", ["GET", "GETDEL"])
    def test_a_reply_with_one_value_and_its_id_always_fits(self, kind: str) -> None:
        room = self.LIMITS.max_request_bytes - len('{"type":"GETDEL","key":"a","id":""}')
        request = {"type": kind, "key": "a", "id": "m" * room}
        session = new_session(self.LIMITS)
        line = store("a", 0)[:-1]
        answer(session, [store("a", self.LIMITS.max_request_bytes - len(line))])
        (reply,) = replies(
            answer(session, [json.dumps(request, separators=(",", ":")).encode(), b"\n"])
        )
        assert reply["id"] == "m" * room
        assert len(reply["result"]) == self.LIMITS.max_request_bytes - len(line)

    def test_the_refusal_of_a_long_reply_has_the_id(self) -> None:
        session = new_session(self.LIMITS)
        answer(session, [store(key, 700) for key in "abc"])
        request = json.dumps({"type": "MGET", "keys": ["a", "b", "c"], "id": "m" * 500}).encode()
        reply = json.loads(answer(session, [request + b"\n"]))
        assert (reply["id"], reply["error"]["code"]) == ("m" * 500, "TOO_LARGE")

    @pytest.mark.parametrize("again", [b'{"type":"GET","key":"c"}', get("c"), get("nothing", "c")])
    def test_a_batch_whose_results_exceed_the_bound_is_undone(self, again: bytes) -> None:
        session = new_session(self.LIMITS)
        answer(session, [store(key, 700) for key in "abc"])
        first, second = b'{"type":"GETDEL","key":"a"}', b'{"type":"GET","key":"b"}'
        line = batch(store("new", 1), first, second, again, b'{"type":"FLUSH"}')
        error = json.loads(answer(session, [line]))["error"]
        assert (error["code"], error["index"]) == ("TOO_LARGE", 3)
        assert replies(answer(session, [get("new", "a"), b"\n", b'{"type":"COUNT"}\n'])) == [
            {"ok": True, "result": {"a": "x" * 700}},
            {"ok": True, "result": 3},
        ]

    def test_a_batch_within_the_bound_returns_all_results(self) -> None:
        line = batch(get("a"), store("d", 1), PING)
        assert self.ask(line)[0]["result"][0]["result"] == {"a": "x" * 700}

    def test_a_batch_whose_results_fit_but_not_its_reply_is_undone(self) -> None:
        line = batch(store("new", 1), get("a"), get("b"), *[PING] * 20)
        assert self.ask(line, b'{"type":"EXISTS","key":"new"}') == [
            "TOO_LARGE",
            {"ok": True, "result": False},
        ]

    @pytest.mark.parametrize("key", ["k" * 200, "\x01" * 40, "\u00e9" * 50, '"' * 100])
    def test_pages_of_a_scan_end_within_the_bound(self, key: str) -> None:
        keys = {f"{number}{key}" for number in range(20)}
        memory = InMemoryStore(Clock())
        memory.set_many(dict.fromkeys(keys, b"0"))
        session = new_session(self.LIMITS, memory)
        found: List[str] = []
        cursor = None
        while True:
            request = {"type": "SCAN", "limit": 1000, "id": "m" * 600, "cursor": cursor}
            reply = answer(session, [json.dumps(request).encode() + b"\n"])
            assert len(reply) <= self.LIMITS.max_reply_bytes
            page = json.loads(reply)["result"]
            found += page["keys"]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert sorted(found) == sorted(keys)


class TestWork:
    """What one request may make the server look at."""

    SCAN, FLUSH = b'{"type":"SCAN"}', b'{"type":"FLUSH"}'

    @pytest.mark.parametrize(
        ("commands", "outcome"),
        [
            ([SCAN] * 4, True),
            ([SCAN] * 5, "TOO_LARGE"),
            ([FLUSH] * 4, True),
            ([FLUSH] * 5, "TOO_LARGE"),
            ([PING] * 5_000, True),
            ([PING] * 5_001, "TOO_LARGE"),
            ([SCAN] * 4 + [PING] * 996, True),
            ([SCAN] * 4 + [PING] * 997, "TOO_LARGE"),
        ],
        ids=[f"{number}" for number in range(8)],
    )
    def test_a_batch_that_costs_too_much_is_refused(
        self, commands: List[bytes], outcome: object
    ) -> None:
        (reply,) = replies(answer(new_session(), [batch(*commands)]))
        assert (reply if reply == "TOO_LARGE" else reply["ok"]) == outcome

    def test_long_values_cost_a_batch_more(self) -> None:
        limits = Limits(max_batch_cost=10)
        session = new_session(limits)
        assert replies(answer(session, [batch(store("k", 512 * 9 - 2))]))[0]["ok"]
        mset = json.dumps({"type": "MSET", "items": {"a": "x" * 2560, "b": "x" * 2560}}).encode()
        for line in (store("k", 512 * 10), mset):
            assert replies(answer(session, [batch(line)])) == ["TOO_LARGE"]

    def test_a_refusal_says_what_the_batch_costs_and_which_limit_decides(self) -> None:
        line = batch(*[get("a", "b", "c")] * 4)
        reply = answer(new_session(Limits(max_batch_cost=10)), [line])
        assert b"the batch costs 12; at most 10 (max_batch_cost)" in reply

    def test_a_batch_that_costs_too_much_changes_nothing(self) -> None:
        session = new_session()
        line = batch(store("k", 1), *[self.SCAN] * 10)
        assert replies(answer(session, [line, b'{"type":"COUNT"}\n'])) == [
            "TOO_LARGE",
            {"ok": True, "result": 0},
        ]

    def test_the_keys_of_all_commands_of_a_batch_are_summed(self) -> None:
        limits = Limits(max_keys_per_request=50)
        keys = [str(number) for number in range(17)]
        session = new_session(limits)
        assert answer(session, [batch(get(*keys), get(*keys))]).startswith(b'{"ok":true')
        assert replies(answer(session, [batch(get(*keys), get(*keys), get(*keys))])) == [
            "TOO_LARGE"
        ]

    def test_a_batch_with_a_key_that_is_too_long_is_refused(self) -> None:
        limits = Limits(max_key_bytes=10)
        line = batch(store("k", 1), store("k" * 11, 1))
        asked = [line, b'{"type":"COUNT"}\n']
        assert replies(answer(new_session(limits), asked)) == [
            "BAD_REQUEST",
            {"ok": True, "result": 0},
        ]


class Ticking(Clock):
    """Time that passes by a millisecond with every look."""

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class TestTurns:
    """A turn ends after a bounded amount of work, whatever the size of its output."""

    def turns(self, data: bytes) -> List[bytes]:
        executor = LocalExecutor(InMemoryStore(Clock()))
        session = session_of(executor, clock=Ticking())
        answer(session, [PING])
        said = [session.receive(data)]
        while session.wants is Wants.TURN:
            said.append(session.advance())
        return said

    @pytest.mark.parametrize(
        "line",
        [
            b"\n",
            b'{"type":"NO"}\n',
            b"bad\n",
            b'{"type":"SCAN","prefix":"nothing"}\n',
            b'{"type":"COUNT"}\n',
            b'{"type":"INCR","key":"n"}\n',
        ],
    )
    def test_a_turn_ends_when_its_time_is_up(self, line: bytes) -> None:
        count = 100 if line.strip() else 100 * WINDOW
        said = self.turns(line * count)
        assert len(said) > 10
        assert b"".join(said).count(b"\n") == (count if line.strip() else 0)

    def test_commands_that_are_known_to_be_quick_are_timed_together(self) -> None:
        stored = b'{"type":"SET","key":"k","value":1}\n'
        said = self.turns(stored + b'{"type":"GET","key":"k"}\n' * 1000)
        assert [turn.count(b"\n") % WINDOW for turn in said[:-1]] == [0] * (len(said) - 1)
        assert b"".join(said).count(b"\n") == 1001

    def test_a_long_request_has_turns_of_its_own(self) -> None:
        keys = [f"key:{number}" for number in range(20_000)]
        line = json.dumps({"type": "MGET", "keys": keys}).encode() + b"\n"
        said = self.turns(PING + line + PING)
        assert said.count(b"") > 20
        assert [part.count(b"\n") for part in said if part] == [1, 1, 1]
        assert replies(b"".join(said)) == [PONG, {"ok": True, "result": {}}, PONG]

    @pytest.mark.parametrize(
        ("line", "result"),
        [
            (b'{"type":"COUNT"}\n', 1),
            (b'{"type":"FLUSH"}\n', 1),
            (
                b'{"type":"BATCH","commands":[{"type":"PING"},{"type":"COUNT"}]}\n',
                [PONG, {"ok": True, "result": 1}],
            ),
        ],
    )
    def test_keys_whose_time_is_up_are_removed_in_turns_before_all_are_counted(
        self, line: bytes, result: Any
    ) -> None:
        clock = Clock()
        store = InMemoryStore(clock)
        store.set_many({f"key:{number}": b"0" for number in range(20_000)}, 1.0)
        store.set("stays", b"0")
        clock.now += 1.0
        session = new_session(store=store)
        said = [session.receive(PING + line + PING)]
        while session.wants is Wants.TURN:
            said.append(session.advance())
        assert len(said) > 20
        assert replies(b"".join(said)) == [PONG, {"ok": True, "result": result}, PONG]

    def test_the_times_of_turns_are_counted_but_for_what_is_answered_at_once(self) -> None:
        service = service_of(LocalExecutor(InMemoryStore(Clock())), clock=Ticking())
        session = Conversation(service, LoopbackLink())
        one = b'{"type":"GET","key":"n"}\n'
        answer(session, [PING])
        before = service.stats.turns.histogram()
        items = b",".join(b'"%d":"%b"' % (number, b"x" * 100) for number in range(100))
        many = b'{"type":"MSET","items":{%b}}\n' % items, b'{"type":"MGET","keys":["n","0"]}\n'
        long = b'{"type":"SET","key":"long","value":"%b"}\n' % (b"x" * 100_000)
        answer(session, [PING, one, one * 2, PING, one * 10, *many, long])
        assert service.stats.turns.histogram() == before
        answer(session, [PING + PING + one])  # by this clock, the last has a turn of its own
        after = service.stats.turns.histogram()
        assert sum(after.counts.values()) - sum(before.counts.values()) == 2
        assert after.sum - before.sum == pytest.approx(0.006)
        assert after.counts["0.0001"] == 0

    def test_a_long_reply_comes_in_pieces_which_make_up_the_whole(self) -> None:
        stored = {f"key:{number}": "x" * (number % 50) for number in range(10_000)}
        mset = json.dumps({"type": "MSET", "items": stored}).encode() + b"\n"
        mget = json.dumps({"type": "MGET", "keys": list(stored), "id": "a"}).encode() + b"\n"
        pieces = list(filter(None, self.turns(mset + mget)))
        assert max(map(len, pieces)) < 2 * TURN_BYTES
        assert b"".join(pieces).count(b"\n") == 2
        assert json.loads(b"".join(pieces[1:])) == {"id": "a", "ok": True, "result": stored}

    def test_a_long_reply_over_the_bound_is_refused_before_any_of_it_is_sent(self) -> None:
        store = InMemoryStore(Clock())
        store.set_many({f"key:{number}": b"[%b]" % (b" " * 90) for number in range(5_000)})
        mget = b'{"type":"MGET","keys":[%b"no"]}\n' % b"".join(
            b'"key:%d",' % number for number in range(5_000)
        )
        limits = Limits(max_request_bytes=len(mget), max_reply_bytes=2 * len(mget))
        sent = answer(new_session(limits, store), [mget + PING])
        assert replies(sent) == ["TOO_LARGE", PONG]


class House:
    """Conversations beside one another: one store, one ledger, and one count of clients."""

    def __init__(self, limits: Limits) -> None:
        self.ledger = Ledger(limits.max_input_bytes)
        self.stats = stats_of(limits)
        executor = LocalExecutor(InMemoryStore(Clock()), limits, self.stats.report)
        self._service = service_of(executor, limits, Clock(), stats=self.stats)

    def session(self) -> Conversation:
        link = LoopbackLink()
        link.account = self.ledger.open(pytest.fail)
        return Conversation(self._service, link)

    def counts(self) -> Tuple[int, int, int, int]:
        """Clients connected now, and ever accepted, refused and cut, as INFO has them."""
        session = self.session()
        server = json.loads(answer(session, [b'{"type":"INFO"}\n']))["result"]["server"]
        session.close()
        names = ("connected", "accepted", "refused", "cut")
        connected, accepted, refused, was_cut = (server[f"{name}_clients"] for name in names)
        self.stats.clients.accepted -= 1
        return connected - 1, accepted - 1, refused, was_cut


class TestClients:
    def test_clients_are_counted_from_connecting_to_closing(self) -> None:
        house = House(Limits())
        sessions = [house.session() for _ in range(3)]
        assert house.counts() == (3, 3, 0, 0)
        sessions[0].close()
        sessions[0].close()
        assert house.counts() == (2, 3, 0, 0)

    def test_a_client_over_the_maximum_is_refused_until_another_has_gone(self) -> None:
        house = House(Limits(max_clients=2))
        first, _ = house.session(), house.session()
        third = house.session()
        assert wanted(third) is Wants.INPUT
        assert third.partial_request_id, "its first bytes are waited for, within a time-out"
        assert replies(answer(third, [PING])) == ["TOO_MANY_CLIENTS"]
        assert wanted(third) is Wants.END
        third.close()
        assert (house.stats.clients.connected, house.stats.clients.refused) == (2, 1)
        first.close()
        assert replies(answer(house.session(), [PING])) == [PONG]
        assert (house.stats.clients.connected, house.stats.clients.accepted) == (2, 3)

    def test_a_client_over_the_maximum_that_says_nothing_is_refused_after_a_time(self) -> None:
        house = House(Limits(max_clients=0))
        session = house.session()
        assert session.receive(b" \r\n") == b""
        assert wanted(session) is Wants.INPUT
        assert replies(session.advance()) == ["TOO_MANY_CLIENTS"]
        assert wanted(session) is Wants.END

    @pytest.mark.parametrize(
        "end",
        [
            lambda session: answer(session, [b"no JSON\n"]),
            lambda session: answer(session, [b"x" * 1001]),
            lambda session: session.time_out() or finish(session),
        ],
    )
    def test_a_conversation_that_is_over_makes_room_at_once_and_only_once(
        self, end: Callable[[Conversation], object]
    ) -> None:
        house = House(Limits(max_request_bytes=1000, max_clients=2))
        _, session = house.session(), house.session()
        end(session)
        assert house.stats.clients.connected == 1
        session.close()
        assert house.stats.clients.connected == 1

    def test_a_request_that_timed_out_is_refused_and_its_bytes_are_freed(self) -> None:
        house = House(Limits(max_request_bytes=1000, max_reply_bytes=2000, max_input_bytes=1000))
        session = house.session()
        answer(session, [PING + b'{"type":"' + b"x" * 900])
        session.time_out()
        assert wanted(session) is Wants.TURN
        assert replies(session.advance()) == ["TIMEOUT"]
        assert wanted(session) is Wants.END
        assert house.ledger.held == 0
        assert answer(house.session(), [b'{"type":"' + b"x" * 900]) == b""

    def test_a_client_that_is_cut_is_counted_and_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        house = House(Limits())
        session = house.session()
        session.abort("it took nothing")
        session.close()
        assert house.counts() == (0, 1, 0, 1)
        assert "it took nothing" in repr(vars(caplog.records[0]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize(
    "name", ["request_timeout", "send_timeout", "idle_timeout", "tcp_keepalive"]
)
def test_a_bad_time_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("name", [name for name in Limits.__struct_fields__ if "max" in name])
def test_a_bound_that_lets_nothing_through_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is at least [01], not -1"):
        Limits(**{name: -1})
    if name != "max_clients":
        with pytest.raises(ValueError, match=f"{name} is at least 1, not 0"):
            Limits(**{name: 0})


@pytest.mark.parametrize("value", [0.5, 32_768, 1e9])
def test_a_keepalive_that_no_system_takes_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"tcp_keepalive is 0 or 1 to 32,767"):
        Limits(tcp_keepalive=value)
    assert Limits(tcp_keepalive=0).tcp_keepalive == 0


@pytest.mark.parametrize(("bound", "least"), [("max_reply_bytes", 2000), ("max_input_bytes", 1000)])
def test_bounds_leave_room_for_one_request_and_its_reply(bound: str, least: int) -> None:
    with pytest.raises(ValueError, match=bound):
        Limits(max_request_bytes=1000, **{bound: least - 1})
    assert getattr(Limits(max_request_bytes=1000, **{bound: least}), bound) == least
