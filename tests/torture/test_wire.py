"""Peers that speak another protocol, and bytes that come in odd portions."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import List

import pytest

from tests.support import Server
from tests.torture.peers import TELLER, client_of, request, strictly

KEEP = request("SET", key="kept", value=1)


def client_hello() -> bytes:
    """The first thing that a TLS client says."""
    said = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return said.read()


POST = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 17\r\n\r\n"
)
OTHERS = {
    "TLS": client_hello(),
    "SMTP": b"EHLO example\r\n" + request("FLUSH"),
    "text": b"[hello\n" + request("GET", key="kept") + request("FLUSH"),
    "zeros": b"\0" * 100,
    "blanks and text": b"\n \r\n \t x" + request("FLUSH"),
    "an array": b"[" + request("FLUSH"),
    "a string": b'"' + request("FLUSH"),
}


@pytest.mark.timing
@pytest.mark.parametrize("said", OTHERS.values(), ids=OTHERS)
def test_another_protocol_gets_one_error_and_is_closed_at_once(
    server: Server, said: bytes, tell: TELLER
) -> None:
    server.ask(KEEP)
    with client_of(server) as peer:
        started = time.monotonic()
        peer.send(said)
        assert peer.code() == "BAD_JSON"
        assert peer.rest() == b""
        took = time.monotonic() - started
    tell(took=f"{took * 1e3:.1f} ms")
    assert took < 1.0
    assert strictly(server.ask(request("GET", key="kept"))) == {"ok": True, "result": 1}


@pytest.mark.parametrize("said", [POST + request("FLUSH"), b"POST /\n" + request("FLUSH") + b"\n"])
def test_lines_behind_a_refused_head_of_http_are_not_run(server: Server, said: bytes) -> None:
    server.ask(KEEP)
    with client_of(server) as peer:
        peer.send(said)
        assert peer.rest().startswith(b"HTTP/1.1 4")
    assert strictly(server.ask(request("COUNT")))["result"] == 1


def test_no_part_of_a_browsers_request_is_run(server: Server) -> None:
    """A browser may send the head and the body apart, and the body in many parts."""
    server.ask(KEEP)
    with client_of(server) as browser:
        with contextlib.suppress(OSError):
            for part in (POST[:2], POST[2:], b"\n", *[request("FLUSH")] * 100):
                browser.send(part)
        assert browser.rest().startswith(b"HTTP/1.1 4")
    assert strictly(server.ask(request("COUNT")))["result"] == 1


def test_a_request_that_comes_byte_by_byte_is_served(server: Server) -> None:
    with client_of(server) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request("SET", key="k", value={"a": ["\u00e9", 1.5]}):
            client.send(bytes([byte]))
            time.sleep(0.001)
        assert client.reply() == {"ok": True, "result": True}
        assert client.ask("GET", key="k")["result"] == {"a": ["é", 1.5]}


def test_a_thousand_pairs_of_set_and_get_in_one_send_get_their_replies(server: Server) -> None:
    with client_of(server) as client:
        client.send(
            b"".join(
                request("SET", key=f"k{n % 7}", value=n) + request("GET", key=f"k{n % 7}", id=n)
                for n in range(1000)
            )
        )
        for number in range(1000):
            assert client.reply() == {"ok": True, "result": True}
            assert client.reply() == {"id": number, "ok": True, "result": number}


def test_a_thousand_gets_and_an_end_of_sending_give_a_thousand_replies_and_an_end(
    server: Server,
) -> None:
    value = "x" * 10_000
    server.ask(request("SET", key="k", value=value))
    with client_of(server) as client:
        client.send(request("GET", key="k") * 1000)
        client.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)  # the replies are more than the system takes at once
        replies: List[bytes] = client.rest().splitlines()
    assert len(replies) == 1000
    assert set(replies) == {b'{"ok":true,"result":"%b"}' % value.encode()}


def test_a_half_sent_request_before_the_end_of_sending_is_not_run(server: Server) -> None:
    assert server.ask(request("PING") + KEEP[:-1]) == b'{"ok":true,"result":"PONG"}\n'
    assert strictly(server.ask(request("COUNT")))["result"] == 0


def test_a_peer_that_resets_the_connection_does_not_disturb_others(server: Server) -> None:
    with client_of(server) as client:
        assert client.ask("SET", key="k", value="x" * 100_000)["ok"]
        for _ in range(50):
            with client_of(server) as rude:
                rude.send(request("GET", key="k") * 20)
                linger = b"\1\0\0\0\0\0\0\0"  # on, for no time: closing sends a reset
                rude.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert client.ask("PING")["ok"]
