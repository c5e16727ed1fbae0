"""The same commands sent to a real Redis and to us, the bytes of the replies compared."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import TIMEOUT, running_server

REDIS = shutil.which("redis-server") or shutil.which("valkey-server")

Arguments = Sequence[bytes]

pytestmark = pytest.mark.skipif(REDIS is None, reason="no redis-server here to compare with")


class Peer:
    """A connection that sends one command at a time, and takes its reply as bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb")

    def ask(self, arguments: Arguments) -> bytes:
        parts = [b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments]
        self._sock.sendall(b"*%d\r\n%b" % (len(parts), b"".join(parts)))
        return self._reply()

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def _reply(self) -> bytes:
        line = self._file.readline()
        assert line, "the connection was closed"
        mark, digits = line[:1], line[1:-2]
        if mark in b"$=" and digits != b"-1":
            return line + self._file.read(int(digits) + 2)
        if mark in b"*%~>" and digits != b"-1":
            size = int(digits) * (2 if mark == b"%" else 1)
            return line + b"".join(self._reply() for _ in range(size))
        return line


def _connected(address: Tuple[str, int]) -> socket.socket:
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            return socket.create_connection(address, TIMEOUT)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuple[Peer, Peer]]:
    """Redis, and us."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(_running_redis(tmp_path_factory.mktemp("redis")))
        ours = ("127.0.0.1", stack.enter_context(running_server()).port)
        both = [Peer(_connected(redis)), Peer(_connected(ours))]
        for peer in both:
            stack.callback(peer.close)
        yield both[0], both[1]


@contextlib.contextmanager
def _running_redis(folder: Path) -> Iterator[Tuple[str, int]]:
    assert REDIS
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([REDIS, *options], stdout=subprocess.DEVNULL)
    try:
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def command(line: str) -> List[bytes]:
    return [each.encode().decode("unicode_escape").encode("latin-1") for each in line.split()]


SCRIPTS = """
SET k v ; GET k ; GET missing ; STRLEN k ; TYPE k ; TYPE missing ; EXISTS k k missing
SET k v NX ; SET n v NX GET ; SET n w XX GET ; SET n x XX ; SET z v XX ; SET k v EX 0 ; SET k v EX a
SET k v EX ; SET k v PX 100 EX 10 ; SET k v KEEPTTL EX 3 ; SET k v NX XX ; SET k v nonsense
SET k v EX 100 ; TTL k ; SET k w KEEPTTL ; TTL k ; PERSIST k ; TTL k ; PERSIST k ; TTL missing ; PTTL missing
SET k v PXAT 99999999999999 ; EXPIRETIME k ; PEXPIRETIME k ; SET k v EXAT 1 ; GET k ; EXPIRETIME missing
SETNX a 1 ; SETNX a 2 ; GET a ; SETEX b 100 v ; TTL b ; SETEX b 0 v ; PSETEX b 100000 v ; TTL b
GETSET a new ; GETSET fresh v ; GETDEL fresh ; GETDEL fresh ; GETEX a EX 100 ; TTL a ; GETEX a PERSIST
TTL a ; GETEX a EX 0 ; GETEX a NONSENSE ; GETEX missing EX 1 ; GETEX a
MSET x 1 y 2 ; MGET x y missing x ; MSET x ; MSET x 1 y ; MSETNX x 1 q 2 ; MSETNX q1 1 q2 2 ; EXISTS q q1 q2
APPEND s hello ; APPEND s world ; GET s ; GETRANGE s 0 3 ; GETRANGE s -3 -1 ; GETRANGE s 5 2 ; SUBSTR s 0 -1
GETRANGE s -1 -5 ; GETRANGE s -100 2 ; GETRANGE s 0 a ; GETRANGE missing 0 -1 ; SETRANGE s 3 XYZ ; GET s
SETRANGE s2 3 a ; GET s2 ; SETRANGE s2 -1 a ; SETRANGE s3 5 "" ; EXISTS s3 ; SETRANGE s 20 end ; GET s
INCR c ; INCRBY c 10 ; DECR c ; DECRBY c 3 ; GET c ; INCRBY c a ; INCR s ; SET c 9223372036854775807 ; INCR c
SET c -9223372036854775808 ; DECR c ; DECRBY c -9223372036854775808 ; SET c 007 ; INCR c ; SET c 1.5 ; INCR c
SET c 10 ; INCRBYFLOAT c 0.5 ; INCRBYFLOAT c -0.5 ; INCRBYFLOAT c 1e3 ; INCRBYFLOAT c a ; INCRBYFLOAT f 0.1
INCRBYFLOAT f 0.2 ; INCRBYFLOAT c inf ; INCRBYFLOAT s 1 ; INCRBYFLOAT f 3.0e-5
DEL x y missing ; UNLINK q1 ; TOUCH k a ; DEL ; GET ; GET a b ; NONSENSE a b ; nonsense
EXPIRE k 100 ; TTL k ; EXPIRE k 50 GT ; EXPIRE k 200 GT ; EXPIRE k 300 LT ; EXPIRE k 100 NX ; EXPIRE k 100 XX
EXPIRE k 1 NX GT ; EXPIRE k 1 GT LT ; EXPIRE k 1 FOO ; EXPIRE k a ; EXPIRE missing 10 ; EXPIRE k -1 ; EXISTS k
SET k v ; PEXPIRE k 100000 ; EXPIREAT k 99999999999 ; PEXPIREAT k 1 ; EXISTS k ; EXPIRE a 9223372036854775807
RENAME missing b ; SET r 1 EX 100 ; RENAME r r2 ; TTL r2 ; GET r2 ; RENAMENX r2 a ; RENAMENX r2 r3 ; RENAME r3 r3
COPY r3 r4 ; COPY r3 r4 ; COPY r3 r4 REPLACE ; COPY r3 r3 ; COPY missing r4 ; COPY r3 r4 FOO ; COPY r3 r5 DB 3
COPY r3 r4 DB 16 ; SELECT 3 ; GET r5 ; DBSIZE ; SET only here ; SELECT 0 ; GET only ; SELECT 16 ; SELECT a
SELECT 3 ; FLUSHDB ; DBSIZE ; SELECT 0 ; EXISTS r3 ; FLUSHDB FOO
SET lcs1 ohmytext ; SET lcs2 mynewtext ; LCS lcs1 lcs2 ; LCS lcs1 lcs2 LEN ; LCS lcs1 missing
PING ; PING hello ; PING a b ; ECHO hi ; ECHO ; SCAN 0 MATCH nothing-of-this ; SCAN a ; SCAN 0 COUNT 0 ; SCAN 0 FOO
FLUSHDB ; DBSIZE ; RANDOMKEY ; SET one 1 ; RANDOMKEY ; KEYS * ; KEYS o?e ; KEYS [a-p]ne ; KEYS x* ; SCAN 0
MULTI ; SET m 1 ; INCR m ; GET m ; INCRBYFLOAT m x ; EXEC ; EXEC ; DISCARD ; MULTI ; MULTI ; SET m 5 ; DISCARD ; GET m
MULTI ; NONSENSE ; SET m 9 ; EXEC ; GET m ; MULTI ; GET ; EXEC ; WATCH m ; SET m 3 ; MULTI ; GET m ; EXEC
WATCH m ; MULTI ; GET m ; EXEC ; WATCH m ; UNWATCH ; SET m 4 ; MULTI ; PING ; EXEC ; WATCH m ; FLUSHDB ; MULTI ; EXEC
WATCH ; MULTI ; WATCH m ; EXEC ; SET t str ; MULTI ; SET t 1 ; INCR t ; SET t x ; INCR t ; SET u 1 ; EXEC ; GET u
CLIENT SETNAME me ; CLIENT GETNAME ; CLIENT SETNAME "a\\x20b" ; CLIENT NONSENSE ; AUTH x ; AUTH ; CONFIG NONSENSE
SET b \\xff\\x00\\r\\n ; GET b ; STRLEN b ; APPEND b \\xfe ; GETRANGE b 0 0 ; SET j {"a":1} ; STRLEN j ; APPEND j x ; GET j
"""
STEPS = [step.strip() for line in SCRIPTS.strip().splitlines() for step in line.split(" ; ")]


@pytest.mark.parametrize("hello", [b"2", b"3"])
def test_replies_and_errors_are_those_of_redis(peers: Tuple[Peer, Peer], hello: bytes) -> None:
    for peer in peers:
        peer.ask([b"HELLO", hello])
        peer.ask([b"FLUSHALL"])
    different = []
    for step in STEPS:
        theirs, ours = (peer.ask(command(step)) for peer in peers)
        if ours != theirs:
            different.append((step, theirs, ours))
    assert not different, "\n".join(map(str, different))


keys = st.sampled_from([b"a", b"b", b"c"])
datas = st.sampled_from([b"1", b"10", b"-5", b"1.5", b"", b"x", b'{"a":1}', b"\xff\r\n", b"null"])
small = st.integers(-6, 6).map(lambda number: b"%d" % number)
commands = st.one_of(
    st.tuples(
        st.sampled_from([b"GET", b"STRLEN", b"INCR", b"DECR", b"TTL", b"GETDEL", b"DEL"]), keys
    ),
    st.tuples(st.sampled_from([b"SET", b"APPEND", b"GETSET", b"SETNX"]), keys, datas),
    st.tuples(st.just(b"SET"), keys, datas, st.sampled_from([b"NX", b"XX", b"GET", b"KEEPTTL"])),
    st.tuples(st.just(b"SET"), keys, datas, st.just(b"EX"), st.just(b"1000")),
    st.tuples(st.just(b"GETRANGE"), keys, small, small),
    st.tuples(st.just(b"SETRANGE"), keys, small, datas),
    st.tuples(st.sampled_from([b"INCRBY", b"DECRBY", b"INCRBYFLOAT"]), keys, datas),
    st.tuples(st.sampled_from([b"MGET", b"EXISTS", b"RENAME", b"RENAMENX", b"COPY"]), keys, keys),
    st.tuples(st.sampled_from([b"MSET", b"MSETNX"]), keys, datas, keys, datas),
    st.tuples(st.sampled_from([b"MULTI", b"EXEC", b"DISCARD", b"UNWATCH", b"DBSIZE"])),
    st.tuples(st.just(b"WATCH"), keys),
    st.tuples(st.just(b"SELECT"), st.sampled_from([b"0", b"0", b"2"])),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(hello=st.sampled_from([b"2", b"3"]), asked=st.lists(commands, max_size=25))
def test_random_commands_are_answered_as_redis_does(
    peers: Tuple[Peer, Peer], hello: bytes, asked: List[Arguments]
) -> None:
    for peer in peers:
        peer.ask([b"RESET"])
        peer.ask([b"HELLO", hello])
        peer.ask([b"FLUSHALL"])
    is_open = False
    for arguments in asked:
        if arguments[0] == b"SELECT" and is_open:
            continue
        is_open = arguments[0] == b"MULTI" or (
            is_open and arguments[0] not in (b"EXEC", b"DISCARD")
        )
        theirs, ours = (peer.ask(arguments) for peer in peers)
        assert ours == theirs, (arguments, theirs, ours)
