"""RESP without a socket: requests in any pieces, input no client should send, JSON beside it."""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import re
import weakref
from random import Random
from typing import Any, List, Optional, Tuple, cast

import pytest
from dependency_injector import providers
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from redis.lock import Lock

from adapters.client.loopback import LoopbackLink
from adapters.protocols.resp.codec import begins_resp
from adapters.protocols.resp.commands import NAMES, TABLE, entry_of, request_of
from adapters.protocols.resp.entries import Entry
from adapters.protocols.resp.parser import MAX_INLINE
from adapters.protocols.resp.replies import TEXT, bulk, bulks_of
from adapters.protocols.resp.session import Queue, Reader
from adapters.protocols.resp.transactions import MAX_WATCHED
from application.byte_values import to_bytes, to_text
from application.commands import Get, MSet
from application.gate import MAX_PASSWORD_BYTES
from application.pause import Pause
from application.ports import Conversation, Wants
from domain.errors import KvError
from domain.store import MAX_TTL
from entrypoints.server.container import ServerContainer
from tests.fuzz.resp import SCRIPTS, compared
from tests.support import Clock, answer, finish, server_container


def request(*arguments: bytes) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def conversation(container: ServerContainer) -> Conversation:
    talk: Conversation = container.plain_conversation(LoopbackLink())
    return talk


def said(*pieces: bytes, **settings: object) -> bytes:
    return answer(conversation(server_container(**settings)), pieces)


PING = request(b"PING")
SAMPLES: List[Tuple[bytes, bytes]] = [
    (PING, b"+PONG\r\n"),
    (b"PING\r\n", b"+PONG\r\n"),
    (b"ping\n", b"+PONG\r\n"),
    (b'ECHO "a \\x41\\n\\"b"\r\n', b'$6\r\na A\n"b\r\n'),
    (b"ECHO 'it\\'s \\n'\r\n", b"$7\r\nit's \\n\r\n"),
    (b'PING\r\nECHO "x\r\n', b"+PONG\r\n-ERR Protocol error: unbalanced quotes in request\r\n"),
    (request(b"SET", b"k", b"a\r\nb") + request(b"GET", b"k"), b"+OK\r\n$4\r\na\r\nb\r\n"),
    (request(b"set", b"k", b"") + request(b"gEt", b"k"), b"+OK\r\n$0\r\n\r\n"),
    (request(b"SET", b"k", b"\xff") + request(b"GET", b"k"), b"+OK\r\n$1\r\n\xff\r\n"),
    (b"*0\r\n*-1\r\n" + PING, b"+PONG\r\n"),
    (
        request(b"SELECT", b"-1") + request(b"SELECT", b"99") + request(b"SELECT", b"x"),
        b"-ERR DB index is out of range\r\n" * 2
        + b"-ERR value is not an integer or out of range\r\n",
    ),
    (
        b"MULTI\r\nOBJECT x\r\nEXEC\r\n",
        b"+OK\r\n-ERR unknown subcommand 'x'. Try OBJECT HELP.\r\n"
        b"-EXECABORT Transaction discarded because of previous errors.\r\n",
    ),
    (
        b"SLOWLOG HELP\r\n",
        b"*5\r\n+SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n"
        b"+GET\r\n+LEN\r\n+RESET\r\n+HELP\r\n",
    ),
    (b"CLIENT REPLY OFF\r\nPING\r\nRESET\r\n" + PING, b"+RESET\r\n+PONG\r\n"),
    (request(b"GET", b"\xff"), b"-ERR a key is UTF-8 here, and this one is not\r\n"),
    (
        request(b"a\r\nb", b"c\r\n+OK"),
        b"-ERR unknown command 'a  b', with args beginning with: 'c  +OK' \r\n",
    ),
    (
        request(b"HELLO", b"3") + request(b"GET", b"none"),
        b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n"
        b"$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
        b"$7\r\nmodules\r\n*0\r\n_\r\n",
    ),
    (
        request(b"GET", b"none") + request(b"HELLO", b"4"),
        b"$-1\r\n-NOPROTO unsupported protocol version\r\n",
    ),
    (
        request(b"SELECT", b"1") + request(b"SET", b"k", b"1") + request(b"KEYS", b"*"),
        b"+OK\r\n+OK\r\n*1\r\n$1\r\nk\r\n",
    ),
    (
        request(b"MULTI") + request(b"SET", b"k", b"1") + request(b"INCR", b"k") + request(b"EXEC"),
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2\r\n",
    ),
    (
        request(b"SET", b"k", b"1") + request(b"OBJECT", b"IDLETIME", b"k"),
        b"+OK\r\n:0\r\n",  # Redis counts seconds
    ),
    (request(b"GET", b"k") * 100, b"$-1\r\n" * 100),
    (request(b"SET", b"k", b"v" * 50_000) + request(b"STRLEN", b"k"), b"+OK\r\n:50000\r\n"),
    (PING + request(b"QUIT") + PING, b"+PONG\r\n+OK\r\n"),
]


@pytest.mark.parametrize(("sent", "expected"), SAMPLES)
def test_a_sample_is_answered_the_same_whole_bytewise_and_with_more_behind(
    sent: bytes, expected: bytes
) -> None:
    assert said(sent) == expected
    assert said(*(sent[at : at + 1] for at in range(len(sent)))) == expected
    if b"QUIT" not in sent and b"Protocol error" not in expected:
        assert said(sent + PING) == expected + b"+PONG\r\n"
        assert said(sent, PING) == expected + b"+PONG\r\n"


@given(
    values=st.lists(st.binary(max_size=40) | st.sampled_from([b"\r\n", b"$3\r\n"]), max_size=8),
    size=st.integers(1, 40),
)
def test_values_of_any_bytes_in_any_pieces_come_back(values: List[bytes], size: int) -> None:
    sent = b"".join(request(b"ECHO", each) for each in values) + PING
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    echoed = b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in values)
    assert said(*pieces) == echoed + b"+PONG\r\n"


@pytest.mark.parametrize("size", [1, 1000, 5000, 1 << 20])
@pytest.mark.parametrize(
    "strange", [b"short", b"a\r\n$1\r\nb", b"x" * 20_000, b"", b"[1, 2]", b"\xff"]
)
def test_many_arguments_in_any_pieces_come_back(strange: bytes, size: int) -> None:
    keys = [b"key:%d" % number for number in range(1500)]
    values = [b"%d" % number for number in range(1500)]
    values[10] = values[1400] = strange
    sent = request(b"MSET", *(each for pair in zip(keys, values) for each in pair))
    sent += request(b"MGET", *keys) + request(b"MGET", b"none", *keys[1398:])
    replies = said(*(sent[at : at + size] for at in range(0, len(sent), size)))
    rest = request(*values[1398:])[len(b"*102\r\n") :]
    assert replies == b"+OK\r\n" + request(*values) + b"*103\r\n$-1\r\n" + rest


def test_many_arguments_are_bounded_by_their_bytes() -> None:
    many = request(b"MSET", *[b"k" * 100, b"v" * 100] * 5000)
    for size in (1000, len(many)):
        pieces = [many[at : at + size] for at in range(0, len(many), size)]
        replies = said(PING, *pieces, max_request_bytes=1_000_000)
        assert b"at most 1000000 bytes (max_request_bytes)" in replies


words = st.sampled_from(sorted(NAMES)) | st.sampled_from(
    [b"k", b"1", b"-1", b"*", b"0", b"NX", b"EX", b"GET", b"MATCH", b"3", b"x" * 70, b"\xff", b""]
)
tokens = st.one_of(
    st.lists(words, min_size=1, max_size=6).map(lambda each: request(*each)),
    st.lists(words, max_size=4).map(lambda each: b" ".join(each) + b"\r\n"),
    st.sampled_from([b"*", b"$", b"\r\n", b"*2\r\n", b"$3\r\n", b"$-1\r\n", b'"', b"'", b"\n"]),
    st.binary(max_size=9),
)


def without_times(replies: bytes) -> bytes:
    return re.sub(rb"[0-9]+", b"0", replies)


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(tokens, max_size=12), size=st.integers(1, 50))
def test_whatever_arrives_no_bug_is_told_and_the_cuts_do_not_matter(
    sent: List[bytes], size: int
) -> None:
    data = PING + b"".join(sent)
    whole = said(data)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert b"a bug in the server" not in whole
    assert without_times(said(*pieces)) == without_times(whole)


ODD = [b"", b"-", b"--5", b"+1", b"01", b"1_0", b"0", b"-1", b"1", b"9" * 25, b"9" * 5000]
ODD += [b"1.5", b"1e308", b"nan", b"\xff", b"\xc2\xb2", b"k", b"EX", b"PX", b"DB", b"ID", b"*"]
COMPARED = [line.split() for line in compared()] + SCRIPTS
COMPARED += [
    [b"EVAL", Lock.LUA_EXTEND_SCRIPT.encode(), b"1", b"k", b"v", b"60000", b"0"],
    [b"EVAL", Lock.LUA_REACQUIRE_SCRIPT.encode(), b"1", b"k", b"v", b"60000"],
]
ENTRIES = [one for each in TABLE for one in (each, *each.subcommands.values())]
WORDS = ODD * 10 + [each for arguments in COMPARED for each in arguments[1:]]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_any_arguments_make_a_request_or_are_refused_and_change_nothing(entry: Entry) -> None:
    shared = server_container().resp()
    session, databases = shared.open(LoopbackLink(), Reader()), dict(vars(shared.databases))
    words, chance = entry.name.encode().upper().split(b"|"), Random(entry.name)
    begun = [each for each in COMPARED if each[: len(words)] == words] or [words]
    for _ in range(300):
        arguments = list(chance.choice(begun)) + chance.choices(
            WORDS, k=chance.choice((0, 0, 1, 3))
        )
        for _ in range(chance.randint(1, 3)):
            at = chance.randint(len(words), len(arguments))
            arguments[at : at + 1] = chance.choices(WORDS, k=chance.choice((0, 1, 1, 1, 2)))
        with contextlib.suppress(KvError, UnicodeDecodeError):
            request_of(session, entry_of(arguments), arguments)
    assert not shared.scripts
    assert vars(shared.databases) == databases


HEADS = [
    b"k",
    b"kk",
    b"",
    b"[1]",
    b"*2\r\n$3\r\nGET\r\n",
    b"a\r\n*2\r\n$3\r\nGET\r\n$1",
    b"\r\n$1\r\nb",
    "\u017f".encode(),
]
heads = st.sampled_from(HEADS)
same_keys = st.sampled_from([b"k", b"["])
same_values = st.sampled_from([b"aaaa", b"$1\r\n", b"\r\n$4", b"[12]", b"\xc3\xa9\xc3\xa9"])


@given(
    run=st.one_of(
        st.lists(heads.map(lambda key: request(b"GET", key)), min_size=1, max_size=5),
        *(
            st.lists(st.builds(request, st.just(name), heads, heads), min_size=1, max_size=5)
            for name in (b"set", b"append")
        ),
        st.lists(
            st.builds(request, st.just(b"SET"), same_keys, same_values), min_size=2, max_size=4
        ),
    ),
    at=st.integers(0, 200),
    wrong=st.sampled_from([b"", b"1", b"\r\n", b"$1\r\n"]),
)
def test_a_run_of_one_command_is_answered_as_bytewise_whatever_is_wrong_in_it(
    run: List[bytes], at: int, wrong: bytes
) -> None:
    data = b"".join(run)
    data = data[:at] + wrong + data[at + len(wrong) :]
    bytewise = [data[at : at + 1] for at in range(len(data))]
    read = request(b"MGET", *HEADS)
    assert said(PING, data, read) == said(PING, *bytewise, read)


HOSTILE = [
    b"*1000000\r\n",
    b"*-0\r\n",
    b"*+1\r\n",
    b"*01\r\n",
    b"*1x\r\n",
    b"*99999999999999999999999\r\n",
    b"*" + b"9" * 40,
    b"*1\r\n$536870912\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$+1\r\n",
    b"*1\r\n$ 1\r\n",
    b"*1\r\n$1\n",
    b"*1\r\n:1\r\n",
    b"*1\r\n$1\r\nab\r\n",
    b"*2\r\n$3\r\nGET\r\n$" + b"1" * 40,
]


@given(
    datas=st.lists(
        st.binary(max_size=3) | st.sampled_from([b"12", b"[1]", b"a,", b'"', b"\n"]), min_size=2
    )
)
def test_values_that_are_sent_together_are_what_each_is_alone(datas: List[bytes]) -> None:
    texts = list(map(to_text, datas))
    assert bulks_of(texts) == b"".join(map(bulk, map(to_bytes, texts)))


@given(
    outcomes=st.lists(
        st.sampled_from(
            [UNSET, b"12", b'""', b'"a"', b'"\\n"', b'{"a":"b"}', b'"%b"' % (b"x" * 2000)]
        ),
        min_size=1,
    )
)
def test_values_for_many_clients_are_spelled_as_for_each(outcomes: List[object]) -> None:
    talk = conversation(server_container())
    answer(talk, [PING])
    codec = talk.codec
    assert codec
    requests = [Get("key", id=TEXT) for _ in outcomes]
    each = list(map(codec.encode_one, requests, outcomes))
    assert list(codec.encode_each(requests, outcomes, [1] * len(outcomes))) == each
    counts = [1] * (len(outcomes) // 2) + [len(outcomes) - len(outcomes) // 2]
    replies = codec.encode_each(requests, outcomes, counts)
    assert list(map(len, replies[:-1])) == list(map(len, each[: len(replies) - 1]))
    assert b"".join(replies) == b"".join(each)


VARYING = {b"CLIENT", b"INFO", b"LATENCY", b"MEMORY", b"QUIT", b"RANDOMKEY", b"SLOWLOG", b"TIME"}


@settings(max_examples=300)
@given(
    command=st.sampled_from([b"GET", b"SET", b"get", b"GEt"])
    | st.sampled_from(sorted(NAMES - VARYING)),
    arguments=st.lists(
        st.sampled_from(
            [b"", b"key", b"a\r\nb", b"\xc3\xa9", b"*3", b"$3", b"1", b"EX", b"NX", b"x" * 600]
        ),
        max_size=4,
    ),
    at=st.integers(0, 60),
    wrong=st.none() | st.sampled_from([b"\r", b"\n", b"$", b"9", b"x"]),
)
def test_a_short_request_is_answered_as_bytewise_whatever_is_wrong_in_it(
    command: bytes, arguments: List[bytes], at: int, wrong: Optional[bytes]
) -> None:
    data = request(command, *arguments)
    if wrong is not None:
        data = data[:at] + wrong + data[at + 1 :]
    known = request(b"SET", b"key", b"value")
    bytewise = [data[index : index + 1] for index in range(len(data))]
    assert said(known, data, PING) == said(known, *bytewise, PING)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_length_ends_the_conversation_and_keeps_nothing(hostile: bytes) -> None:
    container = server_container(max_keys_per_request=1000)
    for pieces in ([PING + hostile + PING * 20], [PING, hostile, PING * 20]):
        talk = conversation(container)
        replies = answer(talk, pieces)
        assert replies.startswith(b"+PONG\r\n-ERR Protocol error: "), replies
        assert replies.count(b"\r\n") == 2
        assert talk.wants is Wants.END


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\n", b"Host: localhost\r\n"])
def test_what_a_browser_is_made_to_send_closes_the_connection(line: bytes) -> None:
    replies = said(PING + line + request(b"SET", b"k", b"v"))
    assert replies == b"+PONG\r\n-ERR Protocol error: this is no HTTP server\r\n"


def test_an_endless_inline_command_is_cut() -> None:
    replies = said(b"PING\r\n" + b"x" * MAX_INLINE, b"x" * 10)
    assert replies.startswith(b"+PONG\r\n-ERR Protocol error: too big inline request")


def test_a_request_over_the_bound_is_refused_by_what_it_announces() -> None:
    replies = said(
        PING + b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n", max_request_bytes=1_000_000
    )
    assert b"at most 1000000 bytes (max_request_bytes)" in replies


def test_a_long_argument_is_counted_and_not_copied_for_each_read() -> None:
    talk = conversation(server_container())
    piece = b"x" * 1000
    begin = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n"
    assert answer(talk, [begin, *[piece] * 1000, b"\r\n"]) == b"+OK\r\n"
    assert answer(talk, [request(b"STRLEN", b"k")]) == b":1000000\r\n"


def test_before_the_password_nothing_else_is_carried_out() -> None:
    hello = request(b"HELLO", b"3", b"AUTH", b"default", b"secret")
    get = request(b"GET", b"k")
    assert said(get, password="secret") == b"-NOAUTH Authentication required.\r\n"
    wrong = said(request(b"AUTH", b"wrong"), password="secret")
    assert wrong == b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    other = said(request(b"AUTH", b"somebody", b"secret"), password="secret")
    assert other == wrong
    assert said(request(b"AUTH", b"secret") + get, password="secret") == b"+OK\r\n$-1\r\n"
    assert said(request(b"AUTH", b"default", b"secret"), password="secret") == b"+OK\r\n"
    assert said(hello + get, password="secret").endswith(b"_\r\n")
    assert said(request(b"SELECT", b"1") + get, password="secret").count(b"NOAUTH") == 2


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"SET a 1 EX x", b"-NOAUTH Authentication required.\r\n"),
        (b"SELECT 99", b"-NOAUTH Authentication required.\r\n"),
        (b"CLIENT REPLY x", b"-NOAUTH Authentication required.\r\n"),
        (b"MSET a", b"-ERR wrong number of arguments for 'mset' command\r\n"),
        (b"MSET a 1 b", b"-NOAUTH Authentication required.\r\n"),
        (b"GET \xff", b"-NOAUTH Authentication required.\r\n"),
        (b"WHAT a", b"-ERR unknown command 'WHAT', with args beginning with: 'a' \r\n"),
        (b"CLIENT WHAT", b"-ERR unknown subcommand 'WHAT'. Try CLIENT HELP.\r\n"),
        (b"HELLO 4", b"-NOPROTO unsupported protocol version\r\n"),
        (b"AUTH a b c", b"-ERR syntax error\r\n"),
    ],
)
def test_before_the_password_arguments_of_no_other_command_are_judged(
    sent: bytes, expected: bytes
) -> None:
    assert said(request(*sent.split()), password="secret") == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*2\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
    ],
)
def test_before_the_password_a_request_is_refused_by_what_it_announces(
    sent: bytes, expected: bytes
) -> None:
    assert said(sent, password="secret") == expected
    wrong = request(b"AUTH", b"wrong")
    assert said(wrong + sent, password="secret").endswith(expected)


def test_behind_the_password_requests_are_as_long_as_any() -> None:
    many = request(b"EXISTS", *[b"k"] * 20)
    assert said(request(b"AUTH", b"secret") + many, password="secret") == b"+OK\r\n:0\r\n"


def test_what_redis_clients_store_json_clients_read_and_the_other_way_round() -> None:
    container = server_container()
    redis, other = conversation(container), conversation(container)

    def ask(**members: object) -> object:
        reply = json.loads(answer(other, [json.dumps(members).encode() + b"\n"]))
        return reply.get("result")

    answer(redis, [request(b"SET", b"doc", b'{"a":[1,2]}') + request(b"SET", b"n", b"10")])
    assert ask(type="GET", key="doc") == {"a": [1, 2]}
    assert ask(type="INCR", key="n") == 11
    assert answer(redis, [request(b"INCR", b"n")]) == b":12\r\n"
    assert ask(type="SET", key="s", value="10") is True
    assert answer(redis, [request(b"INCR", b"s")]) == b":11\r\n"
    assert ask(type="GET", key="s") == 11
    assert ask(type="SET", key="d", value={"x": None}) is True
    assert answer(redis, [request(b"GET", b"d")]) == b'$11\r\n{"x": null}\r\n'
    answer(redis, [request(b"SELECT", b"2") + request(b"SET", b"hidden", b"1")])
    assert "hidden" not in str(ask(type="SCAN"))


def test_an_expired_key_aborts_a_transaction_that_watches_it() -> None:
    now = [1000.0]
    container = server_container()
    container.clock.override(providers.Object(lambda: now[0]))
    talk = conversation(container)
    answer(talk, [request(b"SET", b"k", b"v", b"EX", b"10") + request(b"WATCH", b"k")])
    now[0] += 11
    replies = answer(talk, [request(b"MULTI") + request(b"PING") + request(b"EXEC")])
    assert replies == b"+OK\r\n+QUEUED\r\n*-1\r\n"


LATEST = b"%d" % MAX_TTL
BEYOND = b"%d" % (MAX_TTL + 1)


@pytest.mark.parametrize(
    "command",
    [
        "SET k v EX {}",
        "SET k v PX {}000",
        "SET k v EXAT {}",
        "SET k v PXAT {}000",
        "SETEX k {} v",
        "PSETEX k {}000 v",
        "GETEX k EX {}",
        "EXPIRE k {}",
        "PEXPIRE k {}000",
        "EXPIREAT k {}",
        "PEXPIREAT k {}000",
    ],
)
def test_a_key_lives_for_at_most_the_longest_ttl(command: str) -> None:
    replies = said(
        request(b"SET", b"k", b"v"),
        *(request(*command.format(n.decode()).encode().split()) for n in (LATEST, BEYOND)),
        request(b"PTTL", b"k"),
        request(b"PEXPIRETIME", b"k"),
    )
    done, refused, left, due = replies.split(b"\r\n")[-5:-1]
    assert done in (b"+OK", b":1", b"v")
    name = command.split()[0].lower().encode()
    assert refused == b"-ERR invalid expire time in '%b' command" % name
    assert 0 < int(left[1:]) < int(due[1:]) < 2**53


def test_a_float_is_counted_on_unless_it_would_be_out_of_range() -> None:
    most, least = b"9e308", b"0.00000000000000001"
    replies = said(*(request(b"INCRBYFLOAT", b"f", by) for by in (most, least, most, b"-9e308")))
    _, first, _, second, refused, _, last = replies.splitlines()
    assert first == b"9" + b"0" * 308
    assert second == first + least[1:]
    assert refused == b"-ERR increment would produce NaN or Infinity"
    assert last == least


def test_a_lock_is_extended_to_at_most_the_longest_ttl() -> None:
    lock = (Lock.LUA_EXTEND_SCRIPT.encode(), b"1", b"k", b"token")
    replies = said(
        request(b"SET", b"k", b"token", b"EX", LATEST),
        request(b"EVAL", *lock, b"60000", b"0"),
        request(b"EVAL", *lock, BEYOND + b"000", b"1"),
        request(b"EVAL", *lock, b"60000", b"1"),
    )
    done, added, replaced, *rest = replies.splitlines()
    assert added.startswith(b"-ERR `ttl` must be")
    assert replaced == b"-ERR invalid expire time in 'pexpire' command"
    assert (done, rest) == (b"+OK", [b":1"])


@pytest.mark.parametrize(
    ("before", "meanwhile", "is_aborted"),
    [
        ("", "FLUSHALL", False),
        ("", "FLUSHDB", False),
        ("", "DEL k", False),
        ("SET k 1", "FLUSHALL", True),
        ("SET k 1", "DEL k", True),
        ("", "SET k 1", True),
        ("", "SET k 1|DEL k", True),
        ("", "SET k 1|FLUSHALL", True),
        ("", "MULTI|SET k 1|FLUSHALL|EXEC", True),
        ("SET k 1 PX 1|+1", "FLUSHALL", False),
        ("SET k 1 PX 1", "+1", True),
        ("SET k 1", "SET k 1 XX GET", True),
        ("SET k 1", "SET k 2 NX", False),
        ("SET k 1", "FLUSHALL|SET k 1", True),
        ("SET k 1", "SETRANGE k 0 1", False),
        ("SET k 1", "GETEX k PERSIST", False),
        ("SET k 1 EX 1", "GETEX k PERSIST", True),
        ("SET k 1", "GETEX k EX 1", True),
    ],
)
def test_a_transaction_is_aborted_when_a_watched_key_was_changed(
    before: str, meanwhile: str, is_aborted: bool
) -> None:
    container, clock = server_container(), Clock()
    container.clock.override(clock)
    watching, other = conversation(container), conversation(container)

    def do(steps: str) -> None:
        for step in filter(None, steps.split("|")):
            if step.startswith("+"):
                clock.now += int(step)
            else:
                answer(other, [request(*step.encode().split())])

    do(before)
    for _ in range(2):  # what was watched first, and what again
        answer(watching, [request(b"WATCH", b"k", b"l")])
    do(meanwhile)
    told = answer(watching, [request(b"MULTI") + request(b"EXEC")])
    assert told == b"+OK\r\n" + (b"*-1\r\n" if is_aborted else b"*0\r\n")


def test_flush_aborts_those_who_watch_a_key_that_was_there() -> None:
    container = server_container()
    watching, idle, other = (conversation(container) for _ in range(3))
    answer(other, [b"SET there 1\r\n"])
    answer(watching, [b"WATCH missing there\r\n"])
    answer(idle, [b"WATCH missing\r\nWATCH other\r\n"])
    answer(other, [b"DEL there\r\nFLUSHALL\r\n"])
    transaction = b"MULTI\r\nPING\r\nEXEC\r\n"
    assert answer(watching, [transaction]).endswith(b"*-1\r\n")
    assert answer(idle, [transaction]).endswith(b"*1\r\n+PONG\r\n")
    answer(watching, [b"SET there 1\r\nWATCH there\r\nUNWATCH\r\nWATCH missing\r\n"])
    answer(other, [b"FLUSHALL\r\n"])
    assert answer(watching, [transaction]).endswith(b"*1\r\n+PONG\r\n")
    for _ in range(2):
        answer(other, [b"SET there 1\r\n"])
        answer(watching, [b"WATCH missing\r\nWATCH there\r\n"])
        answer(other, [b"FLUSHALL\r\n"])
        assert answer(watching, [transaction]).endswith(b"*-1\r\n")


def test_a_watch_ends_with_its_connection() -> None:
    container = server_container()
    talk = conversation(container)
    answer(talk, [request(b"WATCH", b"k")])
    talk.close()
    watches = container.resp().watches
    assert not watches._watchers
    assert watches._unsubscribe is None
    assert not container.resp().sessions


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"*", None),
        (b"*1", True),
        (b"*x", False),
        (b"PI", None),
        (b"PING\r\n", True),
        (b"ping\r\n", True),
        (b"GET", None),
        (b"GET key", True),
        (b"EHLO me\r\n", False),
        (b"SSH-2.0", False),
        (b"\x16\x03\x01", False),
        (b"\x0b", False),
        (b"\x0c\x0c", False),
        (b"{", False),
    ],
)
def test_the_first_bytes_tell(first: bytes, expected: object) -> None:
    assert begins_resp(first) is expected


def test_a_client_is_killed_by_its_id_and_answers_its_own_killer() -> None:
    aborted: List[str] = []

    class Link(LoopbackLink):
        def _ignore(self, reason: str) -> None:
            aborted.append(reason)

    container = server_container()
    one, other = (container.plain_conversation(Link()) for _ in range(2))
    answer(one, [PING])
    assert answer(other, [request(b"CLIENT", b"KILL", b"ID", b"1")]) == b":1\r\n"
    assert answer(other, [request(b"CLIENT", b"KILL", b"TYPE", b"normal")]) == b":1\r\n"
    every = request(b"CLIENT", b"KILL", b"TYPE", b"normal", b"SKIPME", b"no")
    assert answer(other, [every]) == b":2\r\n"
    assert len(aborted) == 4
    assert "CLIENT KILL" in aborted[0]


def test_replies_are_left_out_as_the_client_wants() -> None:
    off, on, skip = (request(b"CLIENT", b"REPLY", mode) for mode in (b"OFF", b"ON", b"SKIP"))
    assert said(off + PING + request(b"WHAT") + request(b"GET", b"k") * 2 + on + PING) == (
        b"+OK\r\n+PONG\r\n"
    )
    assert said(skip + PING + request(b"ECHO", b"x")) == b"$1\r\nx\r\n"
    multi, execute = request(b"MULTI"), request(b"EXEC")
    assert said(multi + skip + PING + PING + execute) == (
        b"+OK\r\n+QUEUED\r\n*2\r\n+PONG\r\n+PONG\r\n"
    )


def test_info_has_the_sections_that_are_asked_for() -> None:
    everything = said(request(b"INFO"))
    for section in (b"Server", b"Clients", b"Memory", b"Stats", b"Replication", b"Cluster"):
        assert b"# %b\r\n" % section in everything
    some = said(request(b"SET", b"k", b"v") + request(b"INFO", b"keyspace", b"clients"))
    assert some.count(b"# ") == 2
    assert b"db0:keys=1,expires=0,avg_ttl=0\r\n" in some
    assert b"connected_clients:1\r\n" in some


def test_info_in_a_transaction_tells_of_the_server() -> None:
    told = said(request(b"MULTI"), request(b"INFO", b"clients"), request(b"EXEC"))
    assert b"connected_clients:1\r\n" in told


@pytest.mark.parametrize(
    "sent",
    [
        *(b"SET k 1", b"SET k 1 XX", b"SETEX k 9 1", b"PSETEX k 9 1", b"SETNX k 1", b"GETEX k"),
        *(b"GETEX k EX 9", b"MSETNX a 1", b"MGET a", b"INCR k", b"DECR k", b"INCRBY k 1"),
        *(b"DECRBY k 1", b"DEL k", b"UNLINK k", b"EXISTS k", b"TOUCH k", b"TYPE k", b"TTL k"),
        *(b"PTTL k", b"EXPIRE k 9", b"PEXPIRE k 9", b"EXPIREAT k 9", b"PEXPIREAT k 9", b"DBSIZE"),
        *(b"FLUSHDB", b"FLUSHALL", b"SCAN 0", b"SCAN 0 TYPE list", b"SUBSTR k 0 1", b"ECHO x"),
        *(b"PING", b"PING x", b"TIME", b"CLIENT ID", b"HELLO", b"INFO server", b"CONFIG GET save"),
    ],
)
def test_a_command_is_counted_by_the_name_that_was_sent(sent: bytes) -> None:
    words = sent.lower().split()
    name = b"|".join(words[: 2 if words[0] in (b"client", b"config") else 1])
    info = request(b"INFO", b"commandstats")
    for count in (1, 16):
        answered = said(*[request(*sent.split()) * count, info])
        assert b"cmdstat_%b:calls=%d\r\n" % (name, count) in answered
        assert answered.count(b"cmdstat_") == 1


def test_the_commands_of_a_transaction_are_counted_beside_it_unless_they_are_refused() -> None:
    queued = [b"SET k x", b"GET k", b"INCR k", b"PING", b"GET k"]
    words = [b"MULTI", *queued, b"EXEC", b"MULTI", b"PING", b"NOPE", b"EXEC", b"INFO commandstats"]
    told = said(*[request(*each.split()) for each in words])
    counted = dict(re.findall(rb"cmdstat_(\w+):calls=(\d+)", told))
    assert counted == {b"multi": b"2", b"exec": b"1", b"set": b"1", b"get": b"2", b"ping": b"1"}


def test_commands_and_settings_are_told_from_the_one_table() -> None:
    told = said(request(b"COMMAND", b"INFO", b"get", b"missing"))
    assert told.startswith(b"*2\r\n*10\r\n$3\r\nget\r\n:2\r\n")
    assert told.endswith(b"$-1\r\n")
    assert b"client|kill" in said(request(b"COMMAND", b"DOCS", b"client"))
    assert said(request(b"COMMAND", b"COUNT")) == b":%d\r\n" % len(NAMES)
    settings = said(request(b"CONFIG", b"GET", b"max-push-*", b"maxclients"))
    assert b"max-push-bytes" in settings
    assert b"$5\r\n10000\r\n" in settings


def test_an_mget_that_names_a_key_many_times_is_refused_before_its_reply_is_made() -> None:
    many = request(b"MGET", *[b"k"] * 10_000)
    replies = said(request(b"SET", b"k", b"x" * 100_000) + many + PING)
    assert replies.startswith(b"+OK\r\n-ERR the values have 1000020000 bytes; a reply has at most ")
    assert replies.endswith(b"+PONG\r\n")
    inside = request(b"MULTI") + request(b"MGET", *[b"k"] * 1500) * 3 + request(b"EXEC")
    assert said(request(b"SET", b"k", b"x" * 100_000) + inside).count(b"-ERR the values") == 3


def test_an_mget_returns_a_value_for_each_key_that_is_named() -> None:
    replies = said(request(b"SET", b"k", b"v") + request(b"MGET", b"k", b"none", b"k"))
    assert replies == b"+OK\r\n*3\r\n$1\r\nv\r\n$-1\r\n$1\r\nv\r\n"


@pytest.mark.parametrize(
    ("value", "command", "setting"),
    [
        (b'"' * 50_000, request(b"STRLEN", b"k"), b"max_request_bytes"),
        (b"x", request(b"KEYS", b"*"), b"max_batch_cost"),
        (b"x" * 100, request(b"LCS", b"k", b"k"), b"max_batch_cost"),
        (b"x" * 200, request(b"LCS", b"k", b"k"), b"max_opened_bytes"),
    ],
)
def test_a_transaction_is_bounded_as_a_batch_is(
    value: bytes, command: bytes, setting: bytes
) -> None:
    many = command * (3 if setting == b"max_opened_bytes" else 30)
    transaction = request(b"MULTI") + many + request(b"EXEC")
    replies = said(
        request(b"SET", b"k", value) + transaction,
        max_request_bytes=100_000,
        max_opened_bytes=100_000,
    )
    aborted = replies.rpartition(b"+QUEUED\r\n")[2]
    assert aborted.startswith(b"-EXECABORT Transaction discarded because of: the ")
    assert aborted.endswith(b"(%b)\r\n" % setting)


SERVER_COMMANDS = [
    *(b"COMMAND", b"COMMAND DOCS", b"COMMAND INFO", b"COMMAND LIST", b"CONFIG GET *", b"INFO"),
    *(
        b"CLIENT LIST",
        b"CLIENT KILL ID 0",
        b"CLIENT KILL ADDR 0",
        b"PUBSUB CHANNELS",
        b"PUBLISH z 1",
    ),
]


@pytest.mark.parametrize("command", SERVER_COMMANDS)
def test_commands_about_the_server_cost_what_they_take_in_a_transaction(command: bytes) -> None:
    container = server_container()
    others = [conversation(container) for _ in range(20)]
    for number, other in enumerate(others):
        answer(
            other, [b"PSUBSCRIBE %b\r\n" % b" ".join(b"a%d.%d" % (number, at) for at in range(9))]
        )
        answer(
            other, [b"SUBSCRIBE %b\r\n" % b" ".join(b"b%d.%d" % (number, at) for at in range(50))]
        )
    once = request(b"MULTI") + request(*command.split()) + request(b"EXEC")
    talk = conversation(container)
    assert b"QUEUED\r\n*1\r\n" in answer(talk, [once])
    often = once.replace(request(*command.split()), request(*command.split()) * 4900)
    assert answer(talk, [often]).rpartition(b"+QUEUED\r\n")[2].startswith(b"-EXECABORT ")


@pytest.mark.parametrize(
    ("command", "few", "many"), [(b"RANDOMKEY", 1, 40), (b"DBSIZE", 1, 4), (b"FLUSHDB", 1, 4)]
)
def test_commands_on_all_keys_cost_what_they_look_at_in_a_transaction(
    command: bytes, few: int, many: int
) -> None:
    talk = conversation(server_container())
    for start in range(0, 100_000, 20_000):
        keys = [b"%d" % number for number in range(start, start + 20_000)]
        answer(talk, [request(b"MSET", *[each for key in keys for each in (key, b"1")])])
    for count, told in ((few, b"*"), (many, b"-EXECABORT ")):
        asked = request(b"SELECT", b"1") + request(b"MULTI") + request(command) * count
        replies = answer(talk, [asked + request(b"EXEC")])
        assert replies.rpartition(b"+QUEUED\r\n")[2].startswith(told)


@pytest.mark.parametrize(
    ("command", "told"), [(b"DBSIZE", b"*1\r\n:2\r\n"), (b"FLUSHDB", b"*1\r\n+OK\r\n")]
)
def test_a_queued_command_on_all_keys_is_about_those_of_its_database(
    command: bytes, told: bytes
) -> None:
    container = server_container()
    one, other = conversation(container), conversation(container)
    answer(one, [b"MSET a 1 b 2\r\nMULTI\r\n%b\r\n" % command])
    answer(other, [b"SELECT 1\r\nSET mine v\r\n"])
    assert answer(one, [b"EXEC\r\n"]) == told
    assert answer(other, [b"GET mine\r\n"]) == b"$1\r\nv\r\n"


@pytest.mark.parametrize("command", [b"SELECT 1", b"HELLO 3", b"SUBSCRIBE c", b"PUNSUBSCRIBE"])
def test_a_command_that_is_refused_in_a_transaction_aborts_it(command: bytes) -> None:
    talk = conversation(server_container())
    answer(talk, [b"SET k 1\r\n"])
    told = answer(talk, [b"MULTI\r\n%b\r\nFLUSHDB\r\nEXEC\r\nGET k\r\n" % command])
    name = command.split()[0]
    assert told.startswith(b"+OK\r\n-ERR %b is not allowed in a transaction here\r\n" % name)
    assert told.endswith(
        b"-EXECABORT Transaction discarded because of previous errors.\r\n$1\r\n1\r\n"
    )


@pytest.mark.parametrize(
    "command", [b"SELECT 16", b"SELECT", b"HELLO 4", b"HELLO 3 FOO", b"CLIENT REPLY FOO", b"FOO"]
)
def test_what_cannot_be_read_in_a_transaction_aborts_it(command: bytes) -> None:
    talk = conversation(server_container())
    told = answer(talk, [b"MULTI\r\n%b\r\nSET k 1\r\nEXEC\r\nGET k\r\n" % command])
    assert b"EXECABORT" in told
    assert told.endswith(b"$-1\r\n")


def test_an_exec_with_arguments_ends_the_transaction() -> None:
    talk = conversation(server_container())
    told = answer(talk, [b"MULTI\r\nSET k 1\r\nEXEC x\r\nGET k\r\nEXEC x\r\n"])
    aborted = (
        b"-EXECABORT Transaction discarded because of: "
        b"wrong number of arguments for 'exec' command\r\n"
    )
    assert told == b"+OK\r\n+QUEUED\r\n%b$-1\r\n%b" % (aborted, aborted)


def test_a_client_watches_a_bounded_number_of_keys_which_count_as_its_memory() -> None:
    talk = conversation(server_container())
    held = cast(Any, talk)._link.account
    keys = [b"%d" % number for number in range(MAX_WATCHED)]
    answer(talk, [request(b"WATCH", *keys[:-1]) * 3])
    assert answer(talk, [request(b"WATCH", *keys[-3:])]) == b"+OK\r\n"
    before = held.held
    assert before >= MAX_WATCHED * 300
    refused = answer(talk, [request(b"WATCH", b"0", b"one more")])
    assert refused == b"-ERR a client watches at most 1,000 keys\r\n"
    answer(talk, [b"UNWATCH\r\n", b"PING\r\n"])
    assert held.held < before - MAX_WATCHED * 300


@pytest.mark.parametrize(
    "sent",
    [request(b"EXISTS", b"k"), request(b"GET", b"k"), request(b"SET", b"k", b"1") * 3],
)
def test_watched_keys_count_as_memory_whatever_the_client_sends_next(sent: bytes) -> None:
    talk = conversation(server_container())
    held = cast(Any, talk)._link.account
    answer(talk, [request(b"WATCH", *[b"%d" % number for number in range(500)])])
    for _ in range(2):
        answer(talk, [sent])
        assert held.held >= 500 * 300


def test_exec_ends_a_transaction_that_is_refused_before_it_is_carried_out() -> None:
    talk = conversation(server_container(max_keys_per_request=30))
    touch = request(b"TOUCH", *[b"%d" % number for number in range(10)])
    transaction = request(b"MULTI") + touch * 4 + request(b"EXEC")
    aborted = answer(talk, [b"WATCH k\r\n", transaction]).rpartition(b"+QUEUED\r\n")[2]
    assert aborted.startswith(b"-EXECABORT Transaction discarded because of: ")
    assert aborted.endswith(b"(max_keys_per_request)\r\n")
    assert answer(talk, [b"PING\r\nEXEC\r\n"]) == b"+PONG\r\n-ERR EXEC without MULTI\r\n"


def test_nothing_is_left_of_a_transaction_with_refused_commands() -> None:
    talk = conversation(server_container())
    answer(talk, [b"MULTI\r\n", request(b"INCRBY", b"k", b"x") * 3, b"PING\r\n"])
    gc.collect()
    queues = [weakref.ref(each) for each in gc.get_objects() if isinstance(each, Queue)]
    assert queues
    assert answer(talk, [b"EXEC\r\n"]).count(b"-ERR value is not an integer") == 3
    assert not any(queue() for queue in queues)


@pytest.mark.parametrize(
    ("one", "other", "reply"),
    [
        (b"ab" * 1_000_000, b"", b"$0\r\n\r\n"),
        (b"", b"ab" * 1_000_000, b"$0\r\n\r\n"),
        (b"ab" * 10_000, b"b", b"-ERR the request takes as long as "),
        (b"b", b"ab" * 10_000, bulk(b"b")),
    ],
)
def test_a_long_value_has_no_long_comparison(one: bytes, other: bytes, reply: bytes) -> None:
    told = said(request(b"MSET", b"k", one, b"l", other), request(b"LCS", b"k", b"l"))
    assert told.startswith(b"+OK\r\n" + reply)


def test_a_client_list_with_very_many_filters_is_refused() -> None:
    container = server_container()
    others = [conversation(container) for _ in range(100)]
    for other in others:
        assert answer(other, [PING]) == b"+PONG\r\n"
    filters = b"USER default " * 15_000
    assert b"(max_opened_bytes)" in answer(
        others[0], [request(*b"CLIENT LIST".split(), *filters.split())]
    )


def test_the_encoding_of_a_long_value_is_told_without_opening_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: List[int] = []

    def counted(text: bytes) -> bytes:
        opened.append(len(text))
        return to_bytes(text)

    monkeypatch.setattr("adapters.protocols.resp.key_commands.to_bytes", counted)
    sets = [request(b"SET", b"%d" % size, b"\1" * size) for size in (44, 45, 1000)]
    asked = b"".join(request(b"OBJECT", b"ENCODING", b"%d" % size) for size in (44, 45, 1000))
    assert said(*sets, asked) == b"+OK\r\n" * 3 + bulk(b"embstr") + bulk(b"raw") * 2
    assert max(opened) < 300


class ParkedLink(LoopbackLink):
    """Notes how it is woken."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: List[float] = []
        self.n_wakes = 0

    def wake(self) -> None:
        self.n_wakes += 1

    def wake_after(self, seconds: float) -> None:
        self.delays.append(seconds)


@pytest.mark.parametrize(
    ("mode", "held", "others"),
    [
        ([b"WRITE"], b'{"type":"SET","key":"k","value":1}\n', b'{"type":"GET","key":"k"}\n'),
        ([b"WRITE"], request(b"INCR", b"k"), request(b"GET", b"k")),
        ([b"WRITE"], request(b"SET", b"k", b"2") * 3, request(b"GET", b"k") * 3),
        ([b"ALL"], request(b"GET", b"k"), None),
        ([], b'{"type":"PING"}\n' * 2, None),
    ],
)
def test_a_pause_holds_the_commands_of_all_clients_until_it_is_over(
    mode: List[bytes], held: bytes, others: Optional[bytes]
) -> None:
    container, clock = server_container(), Clock()
    container.clock.override(providers.Object(clock))
    admin, other = conversation(container), conversation(container)
    link = ParkedLink()
    talk: Conversation = container.plain_conversation(link)
    expected = answer(conversation(container), [held])
    answer(conversation(container), [request(b"DEL", b"k")])

    assert admin.receive(request(b"CLIENT", b"PAUSE", b"2000", *mode)) == b"+OK\r\n"
    assert answer(talk, [held]) == b""
    assert talk.wants is Wants.WAKE
    assert link.delays == [2.0]
    if others:
        assert answer(other, [others])
        assert answer(admin, [request(b"CLIENT", b"UNPAUSE")]) == b"+OK\r\n"
        assert link.n_wakes == 1
    else:
        assert answer(admin, [request(b"CLIENT", b"UNPAUSE")]) == b""
        clock.now += 2.0
    talk_said = talk.advance() + finish(talk)
    assert talk_said == expected
    assert answer(talk, [held])


def test_a_client_that_leaves_during_a_pause_is_not_woken_at_its_end() -> None:
    container, link = server_container(), ParkedLink()
    admin, talk = conversation(container), container.plain_conversation(link)
    admin.receive(request(b"CLIENT", b"PAUSE", b"2000", b"WRITE"))
    answer(talk, [request(b"SET", b"k", b"1")])
    talk.close()
    assert answer(admin, [request(b"CLIENT", b"UNPAUSE")]) == b"+OK\r\n"
    assert link.n_wakes == 0


def test_a_pause_is_not_made_less_by_another() -> None:
    clock = Clock()
    pause = Pause(clock)
    pause.begin(5.0, writes_only=True)
    pause.begin(1.0, writes_only=True)
    get, put = Get("k"), MSet({})
    assert [pause.delay(get, print), pause.delay(put, print)] == [0.0, 5.0]
    pause.begin(1.0, writes_only=False)
    pause.begin(1.0, writes_only=True)
    assert pause.delay(get, print) == 5.0
    clock.now += 5.0
    assert pause.delay(put, print) == 0.0
    assert pause.plain


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([b"x"], b"-ERR timeout is not an integer or out of range\r\n"),
        ([b"-1"], b"-ERR timeout is negative\r\n"),
        ([b"--5"], b"-ERR timeout is not an integer or out of range\r\n"),
        ([b"01"], b"-ERR timeout is not an integer or out of range\r\n"),
        ([b"1", b"READ"], b"-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"),
    ],
)
def test_a_pause_of_no_time_is_refused(arguments: List[bytes], error: bytes) -> None:
    assert said(request(b"CLIENT", b"PAUSE", *arguments)) == error


LONG = b"*" + b"[ab]" * 200 + b"b*"
COSTLY_PATTERNS = {
    "many patterns": b"PSUBSCRIBE"
    + b"".join(b" *?%d[a-z][a-z]*" % number for number in range(900)),
    "a long channel": b"HELLO 3\r\nPSUBSCRIBE 1%b 2%b 3%b\r\nPUBLISH %b 1"
    % (LONG, LONG, LONG, b"a" * 60_000),
    "channels in a transaction": b"MULTI\r\n%bEXEC"
    % b"".join(b"PUBSUB CHANNELS *%d%b\r\n" % (number, LONG) for number in range(60)),
    "names of settings": b"CONFIG GET" + b"".join(b" *?%d*" % number for number in range(2000)),
    "long keys": b"MSET %b 1 b%b 1 c%b 1\r\nKEYS %b" % (*[b"a" * 60_000] * 3, LONG),
    "long keys on a page": b"MSET %b 1 b%b 1 c%b 1\r\nSCAN 0 MATCH %b"
    % (*[b"a" * 60_000] * 3, LONG),
}


@pytest.mark.parametrize("name", COSTLY_PATTERNS)
def test_patterns_that_would_keep_others_waiting_are_refused(name: str) -> None:
    lines = COSTLY_PATTERNS[name].split(b"\r\n")
    requests = [request(*line.split()) for line in lines]
    assert b"(max_opened_bytes)" in said(*requests)


@pytest.mark.parametrize(("version", "null"), [(b"2", b"$-1\r\n"), (b"3", b"_\r\n")])
def test_a_long_reply_to_mget_comes_in_pieces(version: bytes, null: bytes) -> None:
    texts = [b"x" * 200_000, b"[1]", b"\xff" * 200_000]
    sets = [request(b"SET", b"k%d" % at, text) for at, text in enumerate(texts)]
    talk = conversation(server_container())
    answer(talk, [request(b"HELLO", version), *sets])
    pieces = [talk.receive(request(b"MGET", b"k0", b"none", b"k1", b"k2", b"k0"))]
    while talk.wants is Wants.TURN:
        pieces.append(talk.advance())
    bulks = list(map(bulk, texts))
    parts = [bulks[0], null, bulks[1], bulks[2], bulks[0]]
    assert b"".join(pieces) == b"*5\r\n" + b"".join(parts)
    assert max(map(len, pieces)) < 500_000


@pytest.mark.parametrize("letter", ["k", "\xe9"])
def test_a_long_reply_to_keys_comes_in_pieces(letter: str) -> None:
    keys = {f"{at:02}".ljust(30_000, letter).encode() for at in range(40)}
    container = server_container()
    container.store().set_many({key.decode(): b"1" for key in keys})
    talk = conversation(container)
    pieces = [talk.receive(request(b"KEYS", b"*"))]
    while talk.wants is Wants.TURN:
        pieces.append(talk.advance())
    head, *lines = b"".join(pieces).split(b"\r\n")
    assert (head, set(lines[1::2])) == (b"*40", keys)
    assert max(map(len, pieces)) < 500_000


def test_a_reply_to_keys_is_counted_in_bytes() -> None:
    container = server_container(max_request_bytes=100_000, max_reply_bytes=200_000)
    container.store().set_many({f"{at:03}".ljust(1000, "\xe9"): b"1" for at in range(150)})
    talk = conversation(container)
    assert b"(max_reply_bytes)" in answer(talk, [request(b"KEYS", b"*")])


def test_a_transaction_that_reads_too_much_is_undone() -> None:
    sets = [request(b"SET", b"k", b"x" * 3_000_000), b"MULTI\r\n", request(b"SET", b"l", b"1")]
    told = said(*sets, *[request(b"GET", b"k")] * 6, b"EXEC\r\n", b"EXISTS l\r\n")
    assert told.endswith(
        b"QUEUED\r\n-EXECABORT Transaction discarded because of: "
        b"a transaction reads at most 16777216 bytes (max_reply_bytes)\r\n:0\r\n"
    )
    fewer = said(*sets, *[request(b"GET", b"k")] * 5, b"EXEC\r\n", b"EXISTS l\r\n")
    assert fewer.endswith(b"x\r\n:1\r\n")


def test_copies_in_a_transaction_are_charged_for_what_they_copy() -> None:
    copies = b"".join(request(b"COPY", b"k", b"k%d" % number) for number in range(9))
    told = said(
        request(b"SET", b"k", b"x" * 3_000_000), b"MULTI\r\n", copies, b"EXEC\r\nDBSIZE\r\n"
    )
    assert told.endswith(b"at most 4,194,304 (max_request_bytes)\r\n:1\r\n")


def test_a_random_key_of_a_database_among_many_keys_of_others_takes_turns() -> None:
    talk = conversation(server_container())
    for start in range(0, 40_000, 10_000):
        items = [word for at in range(start, start + 10_000) for word in (b"%d" % at, b"v")]
        answer(talk, [request(b"MSET", *items)])
    assert answer(talk, [b"SELECT 1\r\n"]) == b"+OK\r\n"
    turns, told = 0, talk.receive(b"RANDOMKEY\r\n")
    while talk.wants is Wants.TURN:
        turns, told = turns + 1, told + talk.advance()
    assert told == b"$-1\r\n"
    assert turns > 5
    assert answer(talk, [b"SET k v\r\nRANDOMKEY\r\n"]) == b"+OK\r\n$1\r\nk\r\n"


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b" \r\n", b"*0\r\n", b"*-1\r\n"])
def test_empty_requests_are_passed_over_in_turns(empty: bytes) -> None:
    talk = conversation(server_container())
    answer(talk, [PING])
    turns, told = 0, talk.receive(PING + empty * 50_000 + PING)
    while talk.wants is Wants.TURN:
        turns, told = turns + 1, told + talk.advance()
    assert told == b"+PONG\r\n" * 2
    assert turns > 2


@pytest.mark.parametrize(
    "words",
    [[b"CLIENT", b"SETNAME"], [b"CLIENT", b"SETINFO", b"LIB-NAME"], [b"HELLO", b"3", b"SETNAME"]],
)
def test_a_long_name_is_refused(words: List[bytes]) -> None:
    assert said(request(*words, b"x" * 1025)) == b"-ERR a name has at most 1024 bytes, not 1025\r\n"
    assert b"ERR" not in said(request(*words, b"x" * 1024))


def test_the_longest_password_can_be_sent_in_every_protocol() -> None:
    secret = "\x01" * MAX_PASSWORD_BYTES
    container = server_container(password=secret)
    in_json = json.dumps({"type": "AUTH", "password": secret}).encode() + b'\n{"type":"PING"}\n'
    assert answer(conversation(container), [in_json]).endswith(b'"PONG"}\n')
    in_resp = request(b"AUTH", secret.encode()) + PING
    assert answer(conversation(container), [in_resp]) == b"+OK\r\n+PONG\r\n"
    header = b"Authorization: Basic " + base64.b64encode(b":" + secret.encode())
    over_http = b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n" % header
    assert answer(conversation(container), [over_http]).startswith(b"HTTP/1.1 200 ")


def test_an_unknown_command_is_counted_as_such() -> None:
    container = server_container()
    talk = conversation(container)
    assert answer(talk, [PING]) == b"+PONG\r\n"
    assert answer(talk, [b"NONE a\r\n"]).startswith(b"-ERR unknown command 'NONE', with args")
    assert answer(talk, [b"CLIENT NONE\r\n"]).startswith(b"-ERR unknown subcommand")
    errors = container.stats().errors
    assert (errors["UNKNOWN_COMMAND"], errors["BAD_REQUEST"]) == (1, 1)


class Ticking(Clock):
    """Time passes between any two looks at it."""

    def __call__(self) -> float:
        self.now += 0.0001
        return self.now


def test_the_deadline_that_a_key_has_is_neither_later_nor_sooner() -> None:
    container, clock = server_container(), Ticking()
    container.clock.override(clock)
    container.resp().wall = clock
    talk = conversation(container)
    same = [b"PEXPIREAT k 2000000 %b\r\n" % each for each in (b"GT", b"LT")]
    assert (
        answer(talk, [PING, b"SET k v PXAT 2000000\r\n", *same]) == b"+PONG\r\n+OK\r\n:0\r\n:0\r\n"
    )
    others = [b"PEXPIREAT k 2000001 GT\r\n", b"PEXPIREAT k 2000000 LT\r\n"]
    assert answer(talk, others) == b":1\r\n:1\r\n"
