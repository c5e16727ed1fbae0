"""What arrives on many connections at the same moment: each client has the reply of its own."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import time
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import gevent
import gevent.socket
import pytest
from msgspec import UNSET

from adapters.client.loopback import LoopbackLink
from adapters.gevent_tcp.arrivals import FEW, MOST, MOST_BYTES, Arrivals
from adapters.gevent_tcp.connection import FIRST_READ, Connection
from adapters.protocols.json_lines.codec import JsonLinesCodec
from adapters.protocols.portions import WINDOW
from application.commands import Command, Get, Results, Set
from application.durability import DurableConversation, DurableTogether
from application.executor import LocalExecutor
from application.limits import DEFAULTS
from application.ports import Received, Restriction, Wants
from domain.memory import InMemoryStore
from entrypoints.server.container import ServerContainer
from tests.journal_world import World
from tests.support import TIMEOUT, answer, finish, server_container, serving, wanted

VALUE = b'"' + b"v" * 30 + b'"'


class Noting(LocalExecutor):
    """Notes how many commands of which kind it executed at once."""

    def __init__(self) -> None:
        super().__init__(InMemoryStore(time.monotonic))
        self.runs: List[Tuple[str, int]] = []

    def execute_run(self, kind: Any, commands: Sequence[Command[Any]]) -> Optional[Results]:
        self.runs.append((kind.__name__, len(commands)))
        return super().execute_run(kind, commands)


JSON = [
    b'{"type":"GET","key":"there"}\n',
    b'{"type":"GET","key":"none"}\n',
    b'{"type":"GET","key":"there","id":7}\n',
    b'{"type":"GET","key":"large"}\n',
    b'{"type":"GET","key":"dies"}\n',
    b'{"type":"SET","key":"own","value":[1, {"a":null}]}\n',
    b'{"type":"SET","key":"own","value":1,"ttl":100}\n',
    b'{"type":"SET","key":"there","value":1,"if":"absent","id":"x"}\n',
    b'{"type":"SET","key":"own","value":1,"if_equals":2}\n',
    b'{"type":"SET","key":"own","value":{"a":1,"a":2}}\n',
    b'{"type":"SET","key":"own","value":1,"ttl":-1}\n',
    b'{"type":"DELETE","key":"none"}\n',
    b'{"type":"INCR","key":"own"}\n',
    b'{"type":"INCR","key":"there"}\n',
    b'{"type":"EXISTS","key":"there"}\n',
    b'{"type":"TTL","key":"there"}\n',
    b'{"type":"MGET","keys":["there","none"]}\n',
    b'{"type":"PING"}\n',
    b'{"type":"SCAN","prefix":"no"}\n',
    b'{"type":"NONE"}\n',
    b'{"type":"GET"}\n',
    b"[]\n",
    b'{"type":"GET","key":"there"}\n{"type":"GET","key":"none"}\n',
    b'{"type":"GET","key":"there"}\n' * 16,
    b'{"type":"GET","key":"large"}\n' * 3,
    b'{"type":"GET","key":"there"}\n{"type":"GET","key":"there","id":7}\n',
    b'{"type":"SET","key":"own","value":1}\n' * 3,
    b'{"type":"SET","key":"own","value":1}\n' * 2 + b'{"type":"GET","key":"own"}\n',
    b'{"type":"INCR","key":"own"}\n' * 2 + b'{"type":"INCR","key":"there"}\n',
    b'{"type":"MGET","keys":["there","none"]}\n' * 2,
    b'{"type":"GET","key":"there"}\n{"type":"NONE"}\n{"type":"GET","key":"there"}\n',
    b'{"type":"SET","key":"own","value":1}\n\n \n{"type":"SET","key":"own","value":2}\n',
    b'\n{"type":"SET","key":"own","value":1}\n{"type":"SET","ke',
    b'{"type":"GET","key":"%b"}\n' % (b"k" * 5000),
    b'{"type":"SET","key":"own","value":"%b"}\n' % (b"v" * 6000),
]
RESP = [
    b"*2\r\n$3\r\nGET\r\n$5\r\nthere\r\n",
    b"*2\r\n$3\r\nget\r\n$4\r\nnone\r\n",
    b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n",
    b"*3\r\n$3\r\nSET\r\n$3\r\nown\r\n$2\r\n\xff\x00\r\n",
    b"*3\r\n$3\r\nSET\r\n$3\r\nown\r\n$1\r\n5\r\n",
    b"INCR there\r\n",
    b"PING\r\n",
    b"NONE\r\n",
    b"MULTI\r\n",
    b"*2\r\n$3\r\nGET\r\n$5\r\nthere\r\n" * 16,
    b"*2\r\n$3\r\nGET\r\n$5\r\nthere\r\n*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n",
    b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n" * 3,
    b"*3\r\n$3\r\nSET\r\n$3\r\nown\r\n$1\r\n5\r\n" * 3,
    b"*2\r\n$4\r\nINCR\r\n$3\r\nown\r\n*2\r\n$4\r\nINCR\r\n$5\r\nthere\r\n",
    b"*2\r\n$3\r\nGET\r\n$5\r\nthere\r\n*2\r\n$4\r\nINCR\r\n$3\r\nown\r\n",
    b"*2\r\n$3\r\nGET\r\n$5\r\nthere\r\n*2\r\n$3\r\nGET\r\n$4\r\nno",
]
HTTP = [b"GET /v1/keys/there HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]


def filled(container: ServerContainer) -> ServerContainer:
    store = container.store()
    store.set("there", VALUE)
    store.set("large", b'"%b"' % (b"x" * 100_000))
    store.set_many({"dies": b"1"}, ttl=1000.0)
    return container


def opened(container: ServerContainer, request: bytes) -> Any:
    """A conversation whose protocol is known."""
    talk = container.plain_conversation(LoopbackLink())
    if not request.endswith(b"HTTP/1.1\r\n\r\n"):
        answer(talk, [b'{"type":"PING"}\n' if request[:1] in b"{[" else b"PING\r\n"])
    return talk


def told(talk: Any, data: bytes, received: Received) -> bytes:
    """All that a client is sent after what has come of its request."""
    if isinstance(received, bytes):
        return received
    output: bytes = talk.receive(data, received)
    return output + finish(talk)


@pytest.mark.parametrize("seed", range(20))
def test_each_client_has_the_reply_and_the_figures_it_would_have_alone(seed: int) -> None:
    chance = random.Random(seed)
    requests = [chance.choice(chance.choice([JSON, RESP, HTTP])) for _ in range(60)]
    requests = [each.replace(b"own", b"o%02d" % n) for n, each in enumerate(requests)]
    alone, together = (filled(server_container()) for _ in range(2))
    expected = [answer(opened(alone, each), [each]) for each in requests]
    talks = [opened(together, each) for each in requests]
    received = together.together().receive(talks, requests)
    assert len(received) == len(requests)
    assert [told(*each) for each in zip(talks, requests, received)] == expected
    assert together.stats().commands == alone.stats().commands
    assert together.stats().errors == alone.stats().errors
    assert together.store().stats() == alone.store().stats()


RESP_STATES = [
    [],
    [b"HELLO 3\r\n"],
    [b"SELECT 3\r\n"],
    [b"MULTI\r\n"],
    [b"CLIENT REPLY OFF\r\n"],
    [b"SUBSCRIBE c\r\n"],
    [b"*2\r\n$3\r\nGET\r\n"],
    [b"*2\r\n"],
]
JSON_STATES = [[], [b'{"type":"NONE"}\n'], [b'{"type":"GET",']]
"""What clients sent before, in whole or in part."""

ALIKE = [
    [b"*2\r\n$3\r\nGET\r\n$5\r\n%b\r\n" % key for key in (b"there", b"large", b"nones")],
    [
        b"*2\r\n$3\r\nget\r\n$5\r\n%b\r\n" % key
        for key in (b"there", b"\xff\xfeabc", b"k\xc3\xa9yy")
    ],
    [b"*2\r\n$4\r\nINCR\r\n$5\r\n%b\r\n" % key for key in (b"there", b"1-own", b"2-own")],
    [b"*2\r\n$3\r\nDEL\r\n$5\r\n%b\r\n" % key for key in (b"nones", b"1-own", b"2-own")],
    [
        b"*3\r\n$3\r\nSET\r\n$3\r\nown\r\n$4\r\n%b\r\n" % value
        for value in (b"text", b"\xff\x00\r\n", b"1234", b"[1,]", b'"a\\"')
    ],
    [
        b"*3\r\n$3\r\nSET\r\n$3\r\nown\r\n$%d\r\n%b\r\n" % (len(value), value)
        for value in (
            b"",
            b"text",
            b"\r\n",
            b"\r\n*3\r\n$3\r\nSET\r\n$3\r\nown",
            b"*3\r\n$3\r\nSET\r\n$",
        )
    ],
    [b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key) for key in (b"", b"none", b"there")],
    [b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n" * 2],
    [b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*", b"2\r\n$3\r\nGET\r\n$3\r\nb-b\r\n"],
    [
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\n...\r\n*3\r\n",
        b"$3\r\nSET\r\n$1\r\nb\r\n$10\r\n1234567890\r\n",
    ],
    [b"*2\r\n$3\r\nGET\r\n$1\r\n", b"a\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"],
    [b'{"type":"GET","key":"%b"}\n' % key for key in (b"there", b"there", b"none")],
    [b'{"type":"GET","key":"%b"}\n' % key for key in (b"there", b"large")],
    [b'{"type":"SET","key":"own","value":%b}\n' % value for value in (b"1", b'"a"', b"[]")],
    [b'{"type":"INCR","key":"%b"}\n' % key for key in (b"own", b"own", b"there")],
    [b'{"type":"PING"}\n', b"\n", b'{"type":"PING"}\n\n'],
    [b'{"type":"GET","key":"there"}\n', b'{"type":"GET","ke', b'{"type":"SET"}\n'],
]
"""What clients send at the same moment; some of it is whole requests only together."""


@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("seed", range(6 * len(ALIKE)))
def test_what_clients_send_alike_is_read_as_if_each_had_come_alone(seed: int, most: int) -> None:
    chance = random.Random(seed)
    some = ALIKE[seed % len(ALIKE)]
    hello, states = b"PING\r\n", RESP_STATES
    if some[0][:1] == b"{":
        hello, states = b'{"type":"PING"}\n', JSON_STATES
    states = chance.choice([states, [chance.choice(states)]])
    requests = [b"".join(chance.choices(some, k=chance.randint(1, most))) for _ in range(30)]
    requests = [each.replace(b"own", b"o%02d" % n) for n, each in enumerate(requests)]
    before = [chance.choice(states) for _ in requests]
    alone, together = (filled(server_container()) for _ in range(2))
    expected = []
    for state, each in zip(before, requests):
        talk = opened(alone, hello)
        answer(talk, state)
        expected.append(answer(talk, [each]))
    talks = [opened(together, hello) for _ in requests]
    for talk, state in zip(talks, before):
        answer(talk, state)
    received = together.together().receive(talks, requests)
    assert [told(*each) for each in zip(talks, requests, received)] == expected
    assert together.stats().commands == alone.stats().commands
    assert together.stats().errors == alone.stats().errors
    assert together.store().stats() == alone.store().stats()
    lists = [answer(opened(each, b"PING"), [b"CLIENT LIST\r\n"]) for each in (alone, together)]
    assert re.findall(rb"cmd=\S+", lists[0]) == re.findall(rb"cmd=\S+", lists[1])


def test_requests_of_a_kind_are_executed_at_once_and_each_is_told_its_own() -> None:
    executor = Noting()
    container = server_container()
    container.executor.override(executor)
    with serving(container) as address, clients(address, MOST + FEW + 3) as socks:
        for number, sock in enumerate(socks):
            sock.sendall(b'{"type":"SET","key":"k%d","value":%d}\n' % (number, number))
        assert [sock.recv(100) for sock in socks] == [TRUE] * len(socks)
        for number, sock in enumerate(socks):
            sock.sendall(b'{"type":"GET","key":"k%d"}\n' % number)
        replies = [sock.recv(100) for sock in socks]
        for number, sock in enumerate(socks):
            sock.sendall(b'{"type":"GET","key":"k%d"}\n' % number * (1 + number % 2))
        several = [sock.recv(100) for sock in socks]
    assert replies == [b'{"ok":true,"result":%d}\n' % number for number in range(len(socks))]
    assert several == [reply * (1 + number % 2) for number, reply in enumerate(replies)]
    runs = [(kind, n) for kind in ("Set", "Get") for n in (MOST, FEW + 3)]
    assert executor.runs == [*runs, ("Get", MOST * 3 // 2), ("Get", (FEW + 3) * 3 // 2)]


TRUE = b'{"ok":true,"result":true}\n'


@contextlib.contextmanager
def clients(address: Tuple[str, int], count: int) -> Iterator[List[Any]]:
    """Connections that have said something."""
    with contextlib.ExitStack() as opened:
        connect = gevent.socket.create_connection
        socks = [opened.enter_context(connect(address, TIMEOUT)) for _ in range(count)]
        for sock in socks:
            sock.sendall(b'{"type":"PING"}\n')
            assert sock.recv(100)
        yield socks


def test_a_key_that_is_too_long_is_refused_however_many_ask() -> None:
    container = server_container(max_key_bytes=100)
    with serving(container) as address, clients(address, 20) as socks:
        for number, sock in enumerate(socks):
            sock.sendall(b'{"type":"GET","key":"%b"}\n' % (b"k" * (10 if number % 2 else 101)))
        replies = [sock.recv(1000) for sock in socks]
    assert replies[1::2] == [b'{"ok":true}\n'] * 10
    assert all(b"max_key_bytes" in reply for reply in replies[::2])


def test_what_many_send_is_read_in_a_few_large_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: List[int] = []
    received = Connection._received

    def noted(connection: Connection, data: bytes) -> None:
        sizes.append(len(data))
        received(connection, data)

    monkeypatch.setattr(Connection, "_received", noted)
    request = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"v" * 50_000)
    with serving(server_container()) as address, clients(address, 2 * FEW) as socks:
        for _ in range(2):
            for sock in socks:
                sock.sendall(request)
            assert [sock.recv(100) for sock in socks] == [b'{"ok":true,"result":true}\n'] * 2 * FEW
    assert sizes.count(FIRST_READ) == 2 * FEW  # once each, and then all that there is


def test_those_who_leave_at_that_moment_harm_no_others() -> None:
    with serving(server_container()) as address, clients(address, 30) as socks:
        for number, sock in enumerate(socks):
            if number % 3:
                sock.sendall(b'{"type":"GET","key":"k"}\n')
            if number % 3 == 1:
                sock.shutdown(socket.SHUT_WR)
            if number % 6 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
        for number, sock in enumerate(socks):
            if number % 3:
                assert sock.recv(100) == b'{"ok":true}\n'
            if number % 3 == 1:
                assert sock.recv(100) == b""
        socks[2].sendall(b'{"type":"PING"}\n')
        assert socks[2].recv(100) == b'{"ok":true,"result":"PONG"}\n'


def test_a_reply_that_does_not_fit_into_a_socket_is_sent_later() -> None:
    container = server_container()
    text = b'"%b"' % (b"x" * 3_000_000)
    container.store().set("k", text)
    rounds = 3
    size = rounds * len(b'{"ok":true,"result":%b}\n' % text)
    with serving(container) as address, clients(address, FEW + 4) as socks:
        for _ in range(rounds):
            for sock in socks:
                sock.sendall(GET)
            gevent.sleep(0.001)
        assert container.ledger().held >= len(text)
        for sock in socks:
            received = 0
            while received < size:
                received += len(sock.recv(1 << 20))
            assert received == size


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_a_client_that_has_not_taken_its_last_reply_is_not_read(count: int) -> None:
    container, reply = server_container(), b"r" * 8_000_000
    with serving(container) as address, clients(address, count) as socks:
        server = container.server()
        for sock in socks:
            sock.sendall(b'{"type":"PING"}\n')
        for connection in server._connections:  # as if it came with the same look at the sockets
            connection.deliver(reply)
            server._arrivals.note(connection)
        expected = reply + b'{"ok":true,"result":"PONG"}\n'
        for sock in socks:
            received = bytearray()
            while len(received) < len(expected):
                received += sock.recv(1 << 20)
            assert received == expected


GET, SET = b'{"type":"GET","key":"k"}\n', b'{"type":"SET","key":"k","value":1}\n'


class Patchable(JsonLinesCodec):
    """Unlike what it is made of, it takes attributes."""


def test_a_bug_in_one_decoder_or_encoder_harms_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    container = server_container()
    talks = [opened(container, GET) for _ in range(3)]
    for talk in talks:
        talk.codec = talk._codec = Patchable(DEFAULTS)
    monkeypatch.setattr(talks[0]._codec, "decode_each", lambda codecs, inputs: 1 // 0)
    monkeypatch.setattr(talks[1]._codec, "decode_one", lambda data: 1 // 0)
    received = container.together().receive(talks, [GET] * 3)
    assert [told(talks[n], GET, received[n]) for n in (0, 2)] == [b'{"ok":true}\n'] * 2
    with pytest.raises(ZeroDivisionError):
        told(talks[1], GET, received[1])
    monkeypatch.delattr(talks[0]._codec, "decode_each")
    encode, outcomes = talks[2]._codec.encode_one, [1 // 1]

    def fail_once(request: Any, outcome: object) -> Any:
        return encode(request, outcome) if not outcomes else outcomes.pop() // 0

    monkeypatch.setattr(talks[0]._codec, "encode_each", lambda *_: 1 // 0)
    monkeypatch.setattr(talks[2]._codec, "encode_one", fail_once)
    received = container.together().receive([talks[0], talks[2]], [SET] * 2)
    assert received[0] == TRUE
    assert b"INTERNAL" in received[1]  # type: ignore[operator]  # bytes
    assert "a command failed" in caplog.text


def test_where_executing_at_once_fails_each_is_executed_alone() -> None:
    class Failing(LocalExecutor):
        def execute_run(self, kind: Any, commands: Sequence[Command[Any]]) -> Optional[Results]:
            raise RuntimeError("a bug")

    container = server_container()
    container.executor.override(Failing(InMemoryStore(time.monotonic)))
    talks = [opened(container, SET) for _ in range(2)]
    received = container.together().receive(talks, [SET, SET])
    assert [[*map(type, some)] for some in received] == [[Set], [Set]]  # type: ignore[arg-type]
    assert [told(*each) for each in zip(talks, [SET, SET], received)] == [TRUE, TRUE]


def test_nothing_is_executed_at_once_during_a_pause() -> None:
    container = server_container()
    talks = [opened(container, GET) for _ in range(2)]
    container.pause().begin(100, writes_only=False)
    received = container.together().receive(talks, [GET, GET])
    assert [[*map(type, some)] for some in received] == [[Get], [Get]]  # type: ignore[arg-type]
    assert [told(*each) for each in zip(talks, [GET, GET], received)] == [b"", b""]
    assert {wanted(talk) for talk in talks} == {Wants.WAKE}


@pytest.mark.parametrize("bytes_", [2_000, 100_000])
@pytest.mark.parametrize("first", [GET.replace(b'"k"', b'"short"'), SET])
def test_a_reply_over_the_bound_is_refused_by_itself(first: bytes, bytes_: int) -> None:
    container = server_container(max_request_bytes=bytes_, max_reply_bytes=2 * bytes_)
    container.store().set_many({"large": b'"%b"' % (b"x" * 2 * bytes_), "short": b"1"})
    data = first + b'{"type":"GET","key":"large","id":"x"}\n'
    refused = rb'\{"id":"x","ok":false,"error":\{"code":"TOO_LARGE"'
    expected = rb'\{"ok":true,"result":(1|true)\}\n' + refused
    assert re.match(expected, answer(opened(container, GET), [data]))
    talks, inputs = [opened(container, GET) for _ in range(2)], [first * 2, data]
    received = container.together().receive(talks, inputs)
    replies = [told(*each) for each in zip(talks, inputs, received)]
    assert re.match(expected, replies[1])
    assert b"TOO_LARGE" not in replies[0]
    assert container.stats().errors["TOO_LARGE"] == 2


def test_a_client_with_many_short_lines_is_left_to_its_turns() -> None:
    container = server_container()
    talks = [opened(container, GET) for _ in range(3)]
    many = b'{"type":"INCR","key":"a"}\n' * (WINDOW + 1)
    assert len(many) < container.together().max_bytes
    received = container.together().receive(talks, [GET, many, GET])
    assert received == [b'{"ok":true}\n', UNSET, b'{"ok":true}\n']
    talks[1]._link.has_time = lambda: False
    assert talks[1].receive(many) == b""
    assert wanted(talks[1]) is Wants.TURN


def test_a_client_that_is_not_logged_in_is_told_so_beside_others() -> None:
    container = server_container(password="secret")
    auth = b'{"type":"AUTH","password":"secret"}\n'
    talks = [container.plain_conversation(LoopbackLink()) for _ in range(3)]
    assert answer(talks[0], [auth]) == answer(talks[1], [auth]) == TRUE
    received = container.together().receive(talks, [GET] * 3)
    replies = [told(*each) for each in zip(talks, [GET] * 3, received)]
    assert replies[:2] == [b'{"ok":true}\n'] * 2
    assert b"UNAUTHENTICATED" in replies[2]


class Waking(LoopbackLink):
    """Notes that its conversation was woken, and what it delivered."""

    is_woken = False
    delivered = b""

    def wake(self) -> None:
        self.is_woken = True

    def deliver(self, reply: bytes) -> None:
        self.delivered += reply


class Clients:
    """Clients of a world's store, whose requests arrive together."""

    def __init__(self, world: World, count: int) -> None:
        container = server_container()
        container.store.override(world.store)
        self.together = DurableTogether(world.journal, container.service())
        self.links = [Waking() for _ in range(count)]
        self.talks = [
            DurableConversation(world.journal, container.service(), link) for link in self.links
        ]
        for talk in self.talks:
            answer(talk, [b'{"type":"PING"}\n'])

    def send(self, *requests: bytes) -> List[bytes]:
        """What each is sent at once."""
        received = self.together.receive(self.talks, requests)
        return [told(*each) for each in zip(self.talks, requests, received)]

    def later(self) -> List[bytes]:
        """What each is sent later, up to now."""
        return [
            link.delivered + (talk.advance() + finish(talk) if link.is_woken else b"")
            for talk, link in zip(self.talks, self.links)
        ]


def get(key: bytes) -> bytes:
    return b'{"type":"GET","key":"%b"}\n' % key


def test_replies_wait_for_the_disk_only_where_they_tell_of_what_is_not_on_it(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "d").load()
    world.store.set("old", b"0")
    world.background.work()
    clients = Clients(world, 5)
    nothing, zero, one = (
        b'{"ok":true%b}\n' % each for each in (b"", b',"result":0', b',"result":1')
    )
    assert clients.send(SET, SET, get(b"old"), get(b"none"), get(b"old")) == [
        *[b"", b""],
        *[zero, nothing, zero],
    ]
    assert [wanted(talk) for talk in clients.talks] == [Wants.WAKE] * 2 + [Wants.INPUT] * 3
    assert clients.later() == [b""] * 5
    others = Clients(world, 3)
    assert others.send(get(b"k"), get(b"old"), get(b"k")) == [b"", zero, b""]
    world.background.work()
    assert clients.later() == [TRUE, TRUE, b"", b"", b""]
    assert others.later() == [one, b"", one]


def test_one_who_leaves_or_is_woken_while_its_reply_waits(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    clients = Clients(world, 3)
    assert clients.send(SET, SET, SET) == [b""] * 3
    clients.talks[0].close()
    assert clients.talks[1].advance() == b""  # woken by something else, meanwhile
    world.background.work()
    assert clients.later() == [b"", TRUE, TRUE]
    assert [link.is_woken for link in clients.links] == [False, True, False]


def test_no_reply_leaves_for_which_there_is_no_room(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    clients = Clients(world, 2)
    assert clients.send(SET, SET) == [b""] * 2
    restrictions: Any = world.journal.restrictions
    restrictions.add(Restriction.STUCK)
    world.background.work()
    assert clients.later() == [b""] * 2
    assert {wanted(talk) for talk in clients.talks} == {Wants.END}


def test_a_large_reply_waits_for_the_disk_when_its_turn_comes(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    clients = Clients(world, 2)
    world.store.set("k", b'"%b"' % (b"x" * 100_000))
    for link in clients.links:
        link.has_time = lambda: False  # type: ignore[method-assign]
    assert clients.send(GET, GET) == [b"", b""]
    world.background.work()
    assert [len(each) for each in clients.later()] == [
        100_000 + len(b'{"ok":true,"result":""}\n')
    ] * 2


def test_while_there_are_restrictions_each_request_is_looked_at_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path / "d").load()
    clients = Clients(world, 2)
    restrictions: Any = world.journal.restrictions
    restrictions.add(Restriction.FULL)
    refused = clients.send(SET, SET)
    assert all(b"the disk is full" in each for each in refused)


class Fake:
    """A connection that notes how it is served; the step that `arrives` names is a bug."""

    def __init__(self, calls: List[str], arrives: bytes = b"x") -> None:
        self.conversation: Any = None
        self.calls, self.arrives = calls, arrives

    def serve(self) -> None:
        self._note("serve")

    def read(self, max_bytes: int) -> bytes:
        self._note("read")
        return self.arrives

    def receive(self, data: bytes, decoded: Received) -> bytes:
        self._note("receive")
        return b"z"

    def send(self, data: bytes) -> None:
        self._note("send")

    def fail(self, error: Exception) -> None:
        self.calls.append(f"fail: {error}")

    def _note(self, step: str) -> None:
        self.calls.append(step)
        if step.encode() == self.arrives:
            raise RuntimeError(step)


class Echo:
    """Replies to some, and leaves the others to themselves."""

    max_bytes = 100

    def receive(self, conversations: Sequence[Any], inputs: Sequence[bytes]) -> List[Received]:
        if b"bug" in inputs:
            raise RuntimeError("a bug")
        return [b"y" if data[:1] == b"x" else UNSET for data in inputs]


def served(*arrives: bytes) -> List[str]:
    calls: List[str] = []
    loop = gevent.get_hub().loop
    here = Arrivals(loop, Echo())  # type: ignore[arg-type]  # in its place
    for each in arrives:
        here.note(Fake(calls, each))
    for _ in range(2):  # the timer of the first comes before what is served
        gevent.sleep(0.001)
    here.stop()
    return calls


def test_few_are_served_one_by_one_and_many_together() -> None:
    assert served(*[b"x"] * FEW) == ["serve"] * FEW
    some = [b"", b"z", *[b"x"] * FEW]
    assert served(*some) == [*["read"] * len(some), "receive", *["send"] * (FEW + 1)]
    assert served(*[b"x"] * (MOST + 2)) == [*["read"] * MOST, *["send"] * MOST, "serve", "serve"]


def test_those_for_whom_much_has_arrived_are_served_in_smaller_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: List[int] = []
    receive = Echo.receive

    def noted(echo: Echo, conversations: Sequence[Any], inputs: Sequence[bytes]) -> List[Received]:
        sizes.append(sum(map(len, inputs)))
        return receive(echo, conversations, inputs)

    monkeypatch.setattr(Echo, "receive", noted)
    part = b"x" * (MOST_BYTES // 10)
    assert served(*[part] * 40) == [*["read"] * 40, *["send"] * 40]
    assert sizes == [10 * len(part)] * 4


def test_a_bug_in_a_step_for_one_connection_closes_that_one() -> None:
    others = [b"x"] * FEW
    reads, sends = ["read"] * FEW, ["send"] * FEW
    assert served(b"serve", b"x") == ["serve", "fail: serve", "serve"]
    assert served(b"read", *others) == ["read", "fail: read", *reads, *sends]
    assert served(b"receive", *others) == ["read", *reads, "receive", "fail: receive", *sends]
    assert served(b"send", *others) == ["read", *reads, "receive", "send", "fail: send", *sends]


def test_a_bug_in_what_is_done_together_closes_those_connections() -> None:
    assert served(b"bug", *[b"x"] * FEW) == [*["read"] * (FEW + 1), *["fail: a bug"] * (FEW + 1)]


def test_a_server_that_has_stopped_looks_no_more() -> None:
    container = server_container()
    with serving(container) as address, clients(address, 1):
        server = container.server()
        assert server._arrivals._looked.active
    assert not server._arrivals._looked.active
