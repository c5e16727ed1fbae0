"""The codec, fed in every way that a network may cut its bytes."""

from __future__ import annotations

import gc
import json
import random
import re
from typing import Any, Collection, Iterator, List, Optional

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from adapters.client.json_lines import session as client_side
from adapters.client.json_lines.session import ClientSession
from adapters.protocols.json_lines.lines import Lines
from application.commands import NAMES, Command, Delete, Get, MGet, Ping, Set, closest_name
from application.conversation import Conversation
from application.executor import LocalExecutor
from application.limits import Limits
from application.ports import Executor, Wants
from application.turn import TURN_BYTES
from domain.errors import BY_CODE, BadRequest, KvError, TooLarge, Unavailable
from domain.memory import InMemoryStore
from tests.samples import REFUSED
from tests.support import answer, new_session, session_of

LIMITS = Limits(max_request_bytes=200_000, max_key_bytes=100, max_keys_per_request=50)

CONVERSATION = b"""\
{"type":"PING"}
{"type":"SET","key":"k","value":{"name":"Ada","langs":["en","fr"]}}

{"type":"GET","key":"k","id":1}\r
  {"id":"mark","key":"missing","type":"GET"}\t
{"type":"SET","key":"\\u043a","value":"\xd0\xb9"}
{"type":"MGET","keys":["\xd0\xba","k"]}
not json
{"type":"GTE"}
{"type":"GET"}
{"type":"FLUSH"}
"""

REPLIES = [
    {"ok": True, "result": "PONG"},
    {"ok": True, "result": True},
    {"id": 1, "ok": True, "result": {"name": "Ada", "langs": ["en", "fr"]}},
    {"id": "mark", "ok": True},
    {"ok": True, "result": True},
    {"ok": True, "result": {"к": "й", "k": {"name": "Ada", "langs": ["en", "fr"]}}},
    "BAD_JSON",
    "UNKNOWN_COMMAND",
    "BAD_REQUEST",
    {"ok": True, "result": 2},
]


def _session(limits: Limits = LIMITS) -> Conversation:
    return new_session(limits)


def replies(sent: bytes) -> List[Any]:
    """The replies as a strict reader sees them, a refusal by its code."""
    assert not sent or sent.endswith(b"\n")
    decoded = [json.loads(line, parse_constant=pytest.fail) for line in sent.splitlines()]
    for reply in decoded:
        assert reply["ok"] is True or set(reply) - {"id"} == {"ok", "error"}
        assert reply["ok"] is True or reply["error"]["code"] in BY_CODE
    return [reply if reply["ok"] else reply["error"]["code"] for reply in decoded]


def ask(*lines: bytes, limits: Limits = LIMITS) -> List[Any]:
    """The replies to lines that come after a first good one."""
    return replies(answer(_session(limits), [b'{"type":"PING"}\n', b"\n".join(lines) + b"\n"]))[1:]


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def test_a_conversation_fed_whole() -> None:
    assert replies(answer(_session(), [CONVERSATION])) == REPLIES


def test_a_conversation_fed_byte_by_byte() -> None:
    assert replies(answer(_session(), bytewise(CONVERSATION))) == REPLIES


@pytest.mark.parametrize("seed", range(20))
def test_a_conversation_cut_at_random(seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(CONVERSATION)), chance.randint(1, 30)))
    pieces = [CONVERSATION[a:b] for a, b in zip([0, *cuts], [*cuts, None])]
    assert replies(answer(_session(), pieces)) == REPLIES


def test_a_request_that_is_not_ended_is_not_answered() -> None:
    session = _session()
    assert replies(answer(session, [CONVERSATION + b'{"type":"PING"}'])) == REPLIES
    assert replies(answer(session, [b"\n"])) == [{"ok": True, "result": "PONG"}]


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (b"not json", "BAD_JSON", ""),
        (b'{"type":"PING"', "BAD_JSON", ""),
        (b'{"type":"PING"}{"type":"PING"}', "BAD_JSON", "trailing"),
        (b"[]", "BAD_JSON", "object"),
        (b'"PING"', "BAD_JSON", "object"),
        (b"\xff", "BAD_JSON", ""),
        (b"[" * 100_000, "BAD_JSON", ""),
        (b'{"type":"GET","key":"\xff"}', "BAD_JSON", ""),
        (b'{"type":"GET","key":"\\ud800"}', "BAD_JSON", ""),
        (b"{}", "BAD_REQUEST", "type"),
        (b'{"type":1}', "BAD_REQUEST", "type"),
        (b'{"type":"GET"}', "BAD_REQUEST", "key"),
        (b'{"type":"GET","key":1}', "BAD_REQUEST", "key"),
        (b'{"type":"GET","key":null}', "BAD_REQUEST", "key"),
        (b'{"type":"GET","key":"k","kye":1}', "BAD_REQUEST", "kye"),
        (b'{"type":"SET","key":"k"}', "BAD_REQUEST", "value"),
        (b'{"type":"MGET","keys":"k"}', "BAD_REQUEST", "keys"),
        (b'{"type":"MGET","keys":["k",1]}', "BAD_REQUEST", "keys"),
        (b'{"type":"MSET","items":[]}', "BAD_REQUEST", "items"),
        (b'{"type":"PING","id":1.5}', "BAD_REQUEST", "id"),
        (b'{"type":"PING","id":null}', "BAD_REQUEST", "id"),
        (b'{"type":"GTE","key":"k"}', "UNKNOWN_COMMAND", "`GET`"),
        (b'{"type":"mget","keys":[]}', "UNKNOWN_COMMAND", "`MGET`"),
        (b'{"type":"SET","key":"k","value":1,"if":"maybe"}', "BAD_REQUEST", "if"),
        (b'{"type":"SET","key":"k","value":1,"ttl":true}', "BAD_REQUEST", "ttl"),
        (b'{"type":"SET","key":"k","value":1,"ttl":1e999}', "BAD_REQUEST", "ttl"),
        (b'{"type":"INCR","key":"k","by":"1"}', "BAD_REQUEST", "by"),
        (b'{"type":"INCR","key":"k","by":1e999}', "BAD_REQUEST", "by"),
        (b'{"type":"SET","key":"k","value":1,"if_equals":1e999}', "BAD_REQUEST", "if_equals"),
        (b'{"type":"BATCH","commands":{}}', "BAD_REQUEST", "commands"),
        (b'{"type":"' + b"X" * 10_000 + b'"}', "UNKNOWN_COMMAND", "closest"),
        (b'{"type":"PING","' + b"x" * 10_000 + b'":1}', "BAD_REQUEST", "x"),
    ],
)
def test_a_refusal_names_what_is_wrong(line: bytes, code: str, says: str) -> None:
    sent = answer(_session(), [b'{"type":"PING"}\n', line + b"\n"]).splitlines()[1]
    error = json.loads(sent)["error"]
    assert error["code"] == code
    assert says in error["message"]
    assert len(error["message"]) < 500


@pytest.mark.parametrize(("what", "text", "code"), REFUSED)
def test_a_value_that_could_not_be_read_back_is_refused(what: str, text: bytes, code: str) -> None:
    assert ask(b'{"type":"SET","key":"k","value":%b}' % text, b'{"type":"GET","key":"k"}') == [
        code,
        {"ok": True},
    ]


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (b'{"type":"GTE"}', "UNKNOWN_COMMAND"),
        (b'{"type":"GET"}', "BAD_REQUEST"),
        (b'{"type":"BATCH","commands":[]}', "BAD_REQUEST"),
        (b"5", "BAD_REQUEST"),
        (b'{"type":"SET","key":"k","value":1e999}', "BAD_REQUEST"),
    ],
)
def test_a_batch_is_refused_for_its_first_bad_command(second: bytes, code: str) -> None:
    set_it = b'{"type":"SET","key":"k","value":1}'
    line = b'{"id":9,"type":"BATCH","commands":[%b,%b,%b]}\n' % (set_it, second, second)
    session = _session()
    reply = json.loads(answer(session, [line]))
    assert (reply["id"], reply["error"]["code"], reply["error"]["index"]) == (9, code, 1)
    assert answer(session, [b'{"type":"COUNT"}\n']) == b'{"ok":true,"result":0}\n'


def test_batches_in_batches_to_any_depth_are_refused() -> None:
    depth = 400
    line = b'{"type":"BATCH","commands":[' * depth + b"]}" * depth
    assert ask(line) == ["BAD_REQUEST"]


class Away(InMemoryStore):
    """A store that cannot be reached, and counts how often it is asked."""

    asked = 0

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        self.asked += 1
        raise Unavailable("away")

    def delete(self, keys: Collection[str]) -> int:
        self.asked += 1
        if self.asked == 2:
            raise Unavailable("away")
        return super().delete(keys)


@pytest.mark.parametrize(
    ("line", "outcomes", "asked"),
    [
        (b'{"type":"GET","key":"k"}\n', ["UNAVAILABLE"] * 3, 1),
        (b'{"type":"DELETE","key":"k"}\n', [{"ok": True, "result": False}] * 3, 3),
    ],
)
def test_a_run_that_is_refused_is_not_executed_again(
    line: bytes, outcomes: List[Any], asked: int
) -> None:
    store = Away(lambda: 0.0)
    session = new_session(store=store)
    outcomes = ["UNAVAILABLE" if n == 1 else outcome for n, outcome in enumerate(outcomes)]
    assert replies(answer(session, [line * 3])) == outcomes
    assert store.asked == asked
    report = json.loads(answer(session, [b'{"type":"INFO"}\n']))["result"]
    refused = outcomes.count("UNAVAILABLE")
    assert report["errors"] == {"UNAVAILABLE": refused}
    assert sum(report["commands"].values()) == 3 - refused


def test_info_counts_executed_and_refused_commands() -> None:
    session = _session()
    get, nope = b'{"type":"GET","key":"k"}\n', b'{"type":"NOPE"}\n'
    asked = get * 3 + nope + get + b'\n{"type":"INCR","key":"k"}\n' * 2 + nope * 2 + get
    answer(session, [asked, b'{"type":"SET","key":"w","value":"x"}\n{"type":"INCR","key":"w"}\n'])
    report = json.loads(answer(session, [b'{"type":"INFO"}\n']))["result"]
    assert report["commands"] == {"GET": 5, "INCR": 2, "SET": 1}
    assert report["protocols"] == {"json": report["commands"]}
    assert report["errors"] == {"UNKNOWN_COMMAND": 3, "NOT_A_NUMBER": 1}
    assert report["keyspace"]["keys"] == 2
    assert (report["keyspace"]["hits"], report["keyspace"]["misses"]) == (1, 4)
    assert report["server"]["connected_clients"] == 1
    session.close()
    again = json.loads(answer(_session(), [b'{"type":"INFO"}\n']))["result"]
    assert again["commands"] == {}


def test_info_in_a_batch_returns_what_it_returns_by_itself() -> None:
    alone = json.loads(answer(_session(), [b'{"type":"INFO"}\n']))["result"]
    batch = b'{"type":"BATCH","commands":[{"type":"SET","key":"k","value":1},{"type":"INFO"}]}\n'
    _, reply = json.loads(answer(_session(), [batch]))["result"]
    within = reply["result"]
    assert within.keys() == alone.keys()
    assert within["keyspace"]["keys"] == within["server"]["connected_clients"] == 1


@pytest.mark.parametrize("size", [1, 300_000])
def test_the_commands_in_a_batch_are_counted_beside_it_unless_it_is_refused(size: int) -> None:
    session = new_session()
    get, incr = b'{"type":"GET","key":"k"}', b'{"type":"INCR","key":"k"}'
    answer(session, [b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * size)])
    for commands in (b"%b,%b" % (get, get), b"%b,%b" % (get, incr)):
        answer(session, [b'{"type":"BATCH","commands":[%b]}\n' % commands])
    report = json.loads(answer(session, [b'{"type":"INFO"}\n']))["result"]
    assert report["commands"] == {"SET": 1, "BATCH": 1, "GET": 2}


def test_the_id_comes_back_first_whatever_becomes_of_the_request() -> None:
    for line in (b'{"type":"PING","id":7}', b'{"id":7,"type":"NO"}', b'{"id":7,"type":"GET"}'):
        assert answer(_session(), [line + b"\n"]).startswith(b'{"id":7,"ok":')


def test_the_last_of_two_members_with_one_name_counts() -> None:
    assert ask(
        b'{"type":"SET","key":"a","value":1,"key":"b","value":2}',
        b'{"type":"MGET","keys":["a","b"]}',
    ) == [{"ok": True, "result": True}, {"ok": True, "result": {"b": 2}}]


def test_a_command_with_two_types_is_refused() -> None:
    assert ask(b'{"type":"PING","type":"FLUSH"}') == ["BAD_REQUEST"]


@pytest.mark.parametrize(
    "first", [b"hello", b"GET / HTTP/1.1\r", b"[]", b"\x16\x03\x01\x02", b"*1\r", b'{"type":']
)
def test_a_peer_of_another_protocol_gets_one_error_and_nothing_is_run(first: bytes) -> None:
    session = _session()
    asked = [b"\r\n" + first + b'\n{"type":"SET","key":"k","value":1}\n', b'{"type":"PING"}\n']
    assert replies(answer(session, asked)) == ["BAD_JSON"]
    assert session.wants is Wants.END


def test_a_first_line_that_is_an_object_shows_a_peer_of_ours() -> None:
    assert replies(answer(_session(), [b'{}\nbad\n{"type":"PING"}\n'])) == [
        "BAD_REQUEST",
        "BAD_JSON",
        {"ok": True, "result": "PONG"},
    ]


@pytest.mark.parametrize("ended", [b"", b"\n"])
def test_a_line_over_the_bound_ends_the_conversation_after_those_before_it(ended: bytes) -> None:
    session = _session()
    asked = b'{"type":"PING"}\n' + b"x" * (LIMITS.max_request_bytes + 1) + ended
    assert replies(answer(session, [asked, b'{"type":"PING"}\n'])) == [
        {"ok": True, "result": "PONG"},
        "TOO_LARGE",
    ]
    assert session.wants is Wants.END


def test_a_line_of_just_the_bound_is_accepted_in_any_pieces() -> None:
    line = b'{"type":"SET","key":"k","value":"%b"}'
    line %= b"x" * (LIMITS.max_request_bytes - len(line) + 2)
    assert len(line) == LIMITS.max_request_bytes
    halves = [line[:100_000], line[100_000:], b"\n", b'{"type":"PING"}\n']
    assert len(replies(answer(_session(), halves))) == 2
    assert replies(answer(_session(), [line + b"\n"])) == [{"ok": True, "result": True}]
    over = line.replace(b"xx", b"xxx", 1) + b"\n"
    assert replies(answer(_session(), [over])) == ["TOO_LARGE"]


def test_what_stands_before_a_line_over_the_bound_is_answered_however_it_arrives() -> None:
    ping = b'{"type":"PING"}\n'
    lines = [
        ping,
        b'{"type":"NO"}\n',
        ping,
        b"\n",
        b'{"type":"GET"}\n',
        ping,
        b"x" * 1001 + b"\n",
        ping,
    ]
    limits = Limits(max_request_bytes=1000, max_reply_bytes=2000)
    apart = replies(answer(new_session(limits), lines))
    assert len(apart) == 6
    assert apart[-1] == "TOO_LARGE"
    for cut in range(1, len(b"".join(lines))):
        together = b"".join(lines)
        assert replies(answer(new_session(limits), [together[:cut], together[cut:]])) == apart


def test_a_long_line_alone_is_told_as_it_is_among_others() -> None:
    ping = b'{"type":"PING"}\n'
    for line in (b" " * 100_000, b'{"type":"PING"} %b}' % (b" " * 100_000), b"\xff" * 100_000):
        session, other = _session(), _session()
        answer(session, [ping]), answer(other, [ping])
        alone, among = answer(session, [line + b"\n"]), answer(other, [line + b"\n" + ping])
        assert alone + b'{"ok":true,"result":"PONG"}\n' == among


def test_bounds_on_keys_and_replies() -> None:
    long = b"k" * (LIMITS.max_key_bytes + 1)
    assert ask(b'{"type":"GET","key":"%b"}' % long) == ["BAD_REQUEST"]
    assert ask(b'{"type":"GET","key":"%b"}' % long[1:]) == [{"ok": True}]
    assert ask(b'{"type":"GET","key":"%b"}' % ("ж" * 51).encode()) == ["BAD_REQUEST"]
    many = [b'"%d"' % number for number in range(LIMITS.max_keys_per_request + 1)]
    assert ask(b'{"type":"MGET","keys":[%b]}' % b",".join(many)) == ["TOO_LARGE"]
    assert ask(b'{"type":"MGET","keys":[%b]}' % b",".join([b'""'] * 51)) == ["TOO_LARGE"]
    assert ask(b'{"type":"MGET","keys":[%b]}' % b",".join(many[1:])) == [{"ok": True, "result": {}}]
    limits = Limits(max_request_bytes=1000, max_reply_bytes=2000)
    store = [b'{"type":"SET","key":"%d","value":"%b"}' % (n, b"x" * 900) for n in range(3)]
    get = [b'{"type":"GET","key":"1"}', b'{"type":"MGET","keys":["0","1","2"]}', b'{"type":"PING"}']
    assert ask(*store, *get, limits=limits)[3:] == [
        {"ok": True, "result": "x" * 900},
        "TOO_LARGE",
        {"ok": True, "result": "PONG"},
    ]
    with pytest.raises(ValueError, match="max_reply_bytes"):
        Limits(max_request_bytes=1000, max_reply_bytes=1999)


def test_a_turn_ends_by_the_size_of_its_replies() -> None:
    session = session_of(LocalExecutor(InMemoryStore(lambda: 0.0)), clock=lambda: 0.0)
    session.receive(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 1000))
    first = session.receive(b'{"type":"GET","key":"k"}\n' * 1000)
    assert session.wants is Wants.TURN
    assert TURN_BYTES <= len(first) <= TURN_BYTES + 64 * 30 + 2000
    count = first.count(b"\n")
    while session.wants is Wants.TURN:
        count += session.advance().count(b"\n")
    assert count == 1000


def test_a_bug_in_a_command_is_told_without_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Executor):
        def execute(self, command: Command[Any]) -> Any:
            raise RuntimeError("secret")

    session = session_of(Broken())
    sent = answer(session, [b'{"type":"PING","id":1}\n{"type":"PING"}\n{"type":"COUNT"}\n'])
    assert replies(sent) == ["INTERNAL", "INTERNAL", "INTERNAL"]
    assert b"secret" not in sent
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize(
    "line",
    [b'{"type":"PING"}\n', b'{"type":"MGET","keys":["k"]}\n', b'{"type":"NO"}\n'],
)
def test_a_request_leaves_nothing_behind(line: bytes) -> None:
    server, client = new_session(), ClientSession(1 << 20)

    def ask() -> None:
        server.receive(line)
        client.receive_data(server.receive(b"".join(client.send((Ping(),)))))

    def objects_left_by(times: int) -> int:
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(times):
            ask()
        gc.collect()
        return len(gc.get_objects()) - before

    objects_left_by(10)
    assert objects_left_by(500) < 100


json_like = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\n", b"\r\n", b" ", b"\\u", b"d800", b"1e999"]
    + [b'"%b"' % name.encode() for name in (*NAMES, "type", "key", "keys", "value", "items", "id")]
    + [b'{"type":"GET","key":"k"}\n', b'{"type":"SET","key":"k","value":', b"}\n", b"\xff", b"0"]
)
anything = st.one_of(
    st.binary(max_size=300), st.lists(json_like, max_size=40).map(lambda parts: b"".join(parts))
)


@given(data=anything, cuts=st.lists(st.integers(0, 300), max_size=5), spoken=st.booleans())
@example(data=b'{"type":"SET","key":"k","value":[1,\n2]}\n', cuts=[], spoken=True)
@example(data=b'{"type":"PING"}{"type":"PING"}\n\n', cuts=[], spoken=False)
@example(data=b"\0\n", cuts=[1], spoken=False)
def test_whatever_bytes_arrive_each_line_gets_one_reply_in_order(
    data: bytes, cuts: List[int], spoken: bool
) -> None:
    data = (b'{"type":"PING"}\n' if spoken else b"") + data
    whole, cut = _session(), _session()
    sent = answer(whole, [data])
    ends = sorted(cuts)
    pieces = [data[a:b] for a, b in zip([0, *ends], [*ends, None])]
    # What is wrong with a first line that is not whole yet is told in other words.
    assert replies(answer(cut, pieces)) == replies(sent)
    lines = [line for line in data.split(b"\n")[:-1] if line.strip(b" \t\r")]
    if whole.wants is Wants.INPUT:
        assert len(replies(sent)) == len(lines)
    else:
        assert replies(sent) == ["BAD_JSON"]
        assert not spoken


def _all_lines(lines: Lines, data: bytes) -> Iterator[bytes]:
    while data or lines.has_more:
        yield from lines.cut(data)
        lines.settle()
        data = b""


@given(data=st.binary(max_size=500), bound=st.integers(1, 100), size=st.integers(1, 100))
@example(data=b"xx\n", bound=1, size=1)
def test_lines_are_those_of_a_plain_split_up_to_the_first_too_long(
    data: bytes, bound: int, size: int
) -> None:
    lines = Lines(bound)
    cut: List[bytes] = []
    for at in range(0, len(data), size):
        cut += _all_lines(lines, data[at : at + size])
    *whole, rest = data.split(b"\n")
    fitting = [len(line) <= bound for line in whole]
    expected = whole[: fitting.index(False)] if False in fitting else whole
    assert cut == expected
    assert lines.is_over == (False in fitting or len(rest) > bound)


@pytest.mark.parametrize("id", ["", ',"id":7', ',"id":100', ',"id":"7"', ',"id":-1'])
@pytest.mark.parametrize(
    "request_",
    [
        *('"GET","key":"k"', '"GET","key":"none"', '"SET","key":"k","value":1'),
        *('"DELETE","key":"none"', '"PING"'),
    ],
)
@pytest.mark.parametrize("number", [1, 2, 16, 100])
def test_an_id_in_the_last_request_changes_nothing_but_its_reply(
    id: str, request_: str, number: int
) -> None:
    begin = b'{"type":"SET","key":"k","value":1}\n'
    line = '{"type":%s%s}\n'
    plain = (line % (request_, "")).encode()
    marked = (line % (request_, id)).encode()
    alone = answer(_session(), [begin + plain]).splitlines(keepends=True)[1]
    expected = alone.replace(b"{", b"{" + id[1:].encode() + b",", 1) if id else alone
    sent = answer(_session(), [begin, plain * (number - 1) + marked]).splitlines(keepends=True)
    assert sent[1:] == [alone] * (number - 1) + [expected]


FOREIGN = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"<!DOCTYPE HTML>\r\n<html>\r\n</html>\r\n",
    b'-ERR unknown command \'{"cmd":"GET"\', with args beginning with: ' + b"x" * 90 + b"\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"220 mail.example ESMTP\r\n",
    b"\x15\x03\x01\x00\x02\x02F",
    b"J\x00\x00\x00\xff8.0.36",
]
"""What servers of other protocols send: HTTP, Redis, SSH, SMTP, TLS, and a database."""


class TestClientSide:
    def session(self, *asked: Command[Any]) -> ClientSession:
        session = ClientSession(max_reply_bytes=10_000)
        assert list(session.send(asked)) != []
        return session

    def test_the_client_decodes_what_the_server_answers(self) -> None:
        asked: List[Command[Any]] = [Ping(), Set("k", Raw(b"1")), Get("k"), Get("no"), MGet(["k"])]
        session = ClientSession(max_reply_bytes=10_000)
        (sent,) = session.send(asked)
        outcomes = session.receive_data(answer(_session(), [sent]))
        assert outcomes[:2] == ["PONG", True]
        assert session.in_flight == 0

    def test_replies_byte_by_byte(self) -> None:
        session = self.session(Delete("a"), Delete("b"))
        data = b'{"ok":true,"result":true}\n{"id":0,"ok":true,"result":false}\n'
        outcomes = [outcome for byte in bytewise(data) for outcome in session.receive_data(byte)]
        assert outcomes == [True, False]

    def test_a_refusal_is_the_error_that_the_server_meant(self) -> None:
        session = self.session(Ping(), Ping(), Ping())
        refusal = b'{"id":1,"ok":false,"error":{"code":"%b","message":"why","more":1}}\n'
        large, unknown, none = session.receive_data(
            refusal % b"TOO_LARGE" + refusal % b"LATER" + b'{"ok":false,"id":0}\n'
        )
        assert type(large) is TooLarge
        assert str(large) == "why"
        assert type(unknown) is KvError
        assert str(unknown) == "LATER: why"
        assert type(none) is KvError

    @pytest.mark.parametrize("line", [b"garbage", b"{}", b'{"ok":true,"result":"no"}', b"\xff"])
    def test_a_reply_of_another_protocol_is_not_believed(self, line: bytes) -> None:
        with pytest.raises(Unavailable, match="not of this protocol"):
            self.session(Delete("a")).receive_data(line + b"\n")

    @pytest.mark.parametrize("sent", FOREIGN)
    @pytest.mark.parametrize("asked", [1, 3])
    def test_the_beginning_of_what_another_kind_of_server_sent_is_quoted(
        self, sent: bytes, asked: int
    ) -> None:
        session = self.session(*[Get("k")] * asked)
        quoted = repr(sent.split(b"\r\n")[0].decode(errors="backslashreplace")[:64])
        message = f"the reply is not of this protocol: it begins with {quoted}"
        with pytest.raises(Unavailable, match=f"^{re.escape(message)}$"):
            session.receive_data(sent)

    def test_a_foreign_line_after_replies_is_quoted(self) -> None:
        session = self.session(Ping(), Ping())
        with pytest.raises(Unavailable, match="begins with 'ERROR'"):
            session.receive_data(b'{"ok":true,"result":"PONG"}\nERROR\r\n')

    def test_a_reply_that_comes_in_parts_may_begin_with_a_blank(self) -> None:
        session = self.session(Ping())
        assert session.receive_data(b" ") == []
        assert session.receive_data(b'{"id":0,"ok":true,"result":"PONG"}\n') == ["PONG"]

    def test_a_surplus_reply_is_not_believed(self) -> None:
        session = self.session(Ping())
        with pytest.raises(Unavailable, match="unrequested"):
            session.receive_data(b'{"id":0,"ok":true,"result":"PONG"}\n' * 2)

    @pytest.mark.parametrize(
        "surplus",
        [
            b'{"ok":true,"result":"PONG"}\n',
            b'{"id":99,"ok":true,"result":"PONG"}\n',
            b'{"id":"0","ok":true,"result":"PONG"}\n',
            b'{"id":null,"ok":true,"result":"PONG"}\n',
            b'{"id":99,"ok":false,"error":{"code":"TOO_LARGE","message":"why"}}\n',
            b'{"ok":false,"error":{"code":"NOT_A_NUMBER","message":"why"}}\n',
        ],
    )
    @pytest.mark.parametrize("before", [0, 1, 2])
    def test_replies_that_a_surplus_one_has_shifted_are_not_believed(
        self, surplus: bytes, before: int
    ) -> None:
        session = self.session(Ping(), Ping(), Ping())
        right = b'{"ok":true,"result":"PONG"}\n'
        with pytest.raises(Unavailable, match=r"unrequested|not of this protocol"):
            session.receive_data(right * before + surplus + right * (2 - before))

    def test_members_of_a_reply_may_come_in_any_order(self) -> None:
        session = self.session(Ping())
        assert session.receive_data(b'{ "result": "PONG", "ok": true, "id": 0 }\n') == ["PONG"]

    def test_a_refusal_that_closes_the_connection_may_lack_the_id(self) -> None:
        session = self.session(Ping(), Ping())
        refusal = b'{"ok":false,"error":{"code":"TOO_LARGE","message":"why"}}\n'
        pong, refused = session.receive_data(b'{"ok":true,"result":"PONG"}\n' + refusal)
        assert (pong, type(refused)) == ("PONG", TooLarge)

    def test_the_ids_of_a_hundred_requests_in_a_row_differ(self) -> None:
        session = ClientSession(max_reply_bytes=10_000)
        sent = {b"".join(session.send((Ping(),))) for _ in range(100)}
        assert len(sent) == 100

    def test_a_request_with_an_id_of_its_own_is_answered_all_the_same(self) -> None:
        session = ClientSession(max_reply_bytes=10_000)
        (sent,) = session.send([Ping(id="mine")])
        assert session.receive_data(answer(_session(), [sent])) == ["PONG"]

    def test_an_endless_reply_is_refused(self) -> None:
        with pytest.raises(Unavailable, match="over 10000 bytes"):
            self.session(Ping()).receive_data(b"x" * 10_001)

    def test_a_value_that_is_not_json_is_not_sent(self) -> None:
        session = ClientSession(max_reply_bytes=10_000)
        with pytest.raises(BadRequest):
            list(session.send([Ping(), Get("\ud800")]))
        assert session.in_flight == 0

    def test_a_long_pipeline_is_asked_in_windows(self) -> None:
        session = ClientSession(max_reply_bytes=10_000)
        commands = [Get("k" * 100) for _ in range(1000)]
        in_flight = []
        for piece in session.send(commands):
            assert len(piece) <= client_side.WINDOW
            in_flight.append(session.in_flight)
            others = session.in_flight - 1
            assert len(session.receive_data(b'{"ok":true}\n' * others)) == others
            last = b'{"id":%d,"ok":true}\n' % (len(in_flight) - 1)
            assert session.receive_data(last) == [UNSET]
        assert len(in_flight) > 1
        assert sum(in_flight) == 1000


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("GTE", "GET"),
        ("sett", "SET"),
        ("delet", "DELETE"),
        ("INCRBY", "INCR"),
        ("mgett", "MGET"),
        ("TTLS", "TTL"),
        ("pnig", "PING"),
        ("EXPIER", "EXPIRE"),
        ("FLUSHALL", "FLUSH"),
        ("SCANN", "SCAN"),
        ("getst", "GETSET"),
    ],
)
def test_the_closest_command_is_the_one_that_was_meant(typed: str, meant: str) -> None:
    assert closest_name(typed) == meant
