"""What a server process keeps for clients: no more than it counts."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
from typing import List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.gevent_tcp.unsent import kept_by, rest_of
from tests.certificates import Files
from tests.support import TIMEOUT, Server, running_server
from tests.torture.peers import resident

MIB = 1 << 20
VALUE = 4_000_000
CLIENTS = 25
GET = b'{"type":"GET","key":"long"}\n'


def connect(server: Server, files: Optional[Files]) -> socket.socket:
    sock = server.connect()
    if files is None:
        return sock
    context = ssl.create_default_context(cafile=files.authority)
    return context.wrap_socket(sock, server_hostname="127.0.0.1")


def ask(sock: socket.socket, request: bytes) -> bytes:
    with sock.makefile("rwb") as stream:
        stream.write(request)
        stream.flush()
        return stream.readline()


@given(data=st.binary(max_size=1000), takes=st.lists(st.integers(0, 200)))
def test_what_is_unsent_keeps_at_most_twice_its_bytes(data: bytes, takes: List[int]) -> None:
    unsent, sent = memoryview(data), 0
    for taken in takes:
        unsent, sent = rest_of(unsent, taken), min(sent + taken, len(data))
        assert bytes(unsent) == data[sent:]
        assert kept_by(unsent) <= 2 * len(unsent)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("takes_its_reply", [True, False])
@pytest.mark.parametrize("is_encrypted", [True, False])
def test_a_client_keeps_little_memory_once_a_long_reply_was_sent_for_the_most_part(
    files: Files, is_encrypted: bool, takes_its_reply: bool
) -> None:
    options = ("--tls-cert", files.server[0], "--tls-key", files.server[1]) * is_encrypted
    used = files if is_encrypted else None
    with running_server(*options) as server, contextlib.ExitStack() as clients:
        first = clients.enter_context(connect(server, used))
        ask(first, b'{"type":"SET","key":"long","value":"%b"}\n' % (b"x" * VALUE))
        assert len(ask(first, GET)) > VALUE
        before = resident(server)
        for _ in range(CLIENTS):
            sock = clients.enter_context(connect(server, used))
            sock.settimeout(TIMEOUT)
            if takes_its_reply:
                assert len(ask(sock, GET)) > VALUE
            else:
                sock.sendall(GET)
        counted = json.loads(ask(first, b'{"type":"INFO"}\n'))["result"]["server"]["client_buffers"]
        grown = (resident(server) - before) * MIB
        assert grown < 2 * counted + CLIENTS * VALUE // 4
