"""What a client sees of a connection at rest."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys
import time
from typing import Any, Callable, Iterator, Tuple

import pytest

from adapters.client.unread import unread
from tests.support import TIMEOUT

Pair = Tuple[socket.socket, socket.socket]


@contextlib.contextmanager
def tcp() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), TIMEOUT)
        with ours, listener.accept()[0] as theirs:
            yield ours, theirs


@contextlib.contextmanager
def unix() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


PAIRS = pytest.mark.parametrize("pair", [tcp, unix])


def wait_until(ask: Callable[[], object]) -> None:
    end = time.monotonic() + TIMEOUT
    while not ask():
        assert time.monotonic() < end


@PAIRS
def test_bytes_that_were_not_read_are_seen_until_all_are(pair: Any) -> None:
    with pair() as (ours, theirs):
        ask = unread(ours, select.poll)
        assert not ask()
        theirs.sendall(b"ab")
        wait_until(ask)
        ours.recv(1)
        assert ask()
        ours.recv(1)
        assert not ask()


@PAIRS
def test_the_end_of_a_connection_is_seen(pair: Any) -> None:
    with pair() as (ours, theirs):
        ask = unread(ours, select.poll)
        theirs.close()
        wait_until(ask)


def test_a_reset_is_seen() -> None:
    with tcp() as (ours, theirs):
        ask = unread(ours, select.poll)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        wait_until(ask)


@pytest.mark.skipif(sys.platform != "linux", reason="the count of unread bytes is Linux's")
def test_a_tcp_connection_at_rest_is_not_polled() -> None:
    polled = []

    class Poll:
        def register(self, descriptor: int, events: int) -> None: ...

        def poll(self, timeout: int) -> Any:
            polled.append(timeout)
            return []

    with tcp() as (ours, theirs):
        ask = unread(ours, Poll)
        assert not ask()
        assert polled == []
        theirs.sendall(b"a")
        select.select([ours], [], [], TIMEOUT)
        ask()
        assert polled == [0]
