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
from hypothesis import HealthCheck, example, given, settings
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


STEPS = (Path(__file__).parent / "resp_commands.txt").read_text().split("\n")


@pytest.mark.parametrize("hello", [b"2", b"3"])
def test_replies_and_errors_are_those_of_redis(peers: Tuple[Peer, Peer], hello: bytes) -> None:
    for peer in peers:
        peer.ask([b"HELLO", hello])
        peer.ask([b"FLUSHALL"])
    different = []
    for step in filter(None, STEPS):
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
@example(hello=b"2", asked=[(b"APPEND", b"a", b""), (b"GET", b"a")])
@example(hello=b"2", asked=[(b"SETRANGE", b"a", b"3", b""), (b"GET", b"a")])
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
