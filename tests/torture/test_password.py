"""Unauthenticated clients, and guessing ones, of a server with a password."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from tests.support import ROOT, TIMEOUT, Server, environment, kv, running_server
from tests.torture.peers import (
    TELLER,
    Waits,
    calm,
    client_of,
    clients_of,
    growing,
    pinging,
    request,
)

SECRET = "correct horse battery staple"
MAX_INPUT, MAX_OUTPUT = 16 * 1024, 1024
AUTH = request("AUTH", password=SECRET)
WRONG = request("AUTH", password="wrong guess")


@pytest.fixture
def guarded() -> Iterator[Server]:
    with running_server(KV_PASSWORD=SECRET) as server:
        yield server


@contextlib.contextmanager
def insider(server: Server) -> Iterator[Waits]:
    """The waits of a client that came in before all this."""
    with pinging(server, "--first", AUTH.decode().strip()) as waits:
        yield waits


def test_an_unauthenticated_client_is_sent_at_most_1_kib(guarded: Server) -> None:
    for asked in (request("PING"), b'{"id":"%b"}\n' % (b"i" * 400), b"[]\n", request("AUTH")):
        with client_of(guarded) as peer:
            peer.send(request("FLUSH") + asked * 100)
            said = peer.rest()
            assert len(said) <= MAX_OUTPUT
            assert said.count(b"\n") == said.count(b'"ok":false')
            assert b"true" not in said


def test_an_unauthenticated_client_is_closed_after_16_kib(guarded: Server, tell: TELLER) -> None:
    with growing(guarded) as growth, clients_of(guarded, 200) as peers:
        for peer in peers:
            peer.send(b'{"type":"AUTH","password":"' + b"x" * (MAX_INPUT - 100))
        for peer in peers:
            peer.send(b"x" * 200)
        assert {peer.code() for peer in peers} == {"UNAUTHENTICATED"}
        assert [peer.rest() for peer in peers] == [b""] * 200
    tell(memory_grew=growth)
    assert growth.mb < 200 * MAX_INPUT / (1 << 20) * 2 + 4


def test_a_password_within_16_kib_is_accepted(guarded: Server) -> None:
    with client_of(guarded) as client:
        client.send(request("GET", key="x" * 10_000) + AUTH + request("SET", key="k", value=1))
        assert client.code() == "UNAUTHENTICATED"
        assert client.reply() == {"ok": True, "result": True}
        assert client.reply() == {"ok": True, "result": True}


def test_a_password_after_16_kib_is_ignored(guarded: Server) -> None:
    with client_of(guarded) as peer:
        peer.send(b"\n" * (MAX_INPUT + 1000) + AUTH + request("PING"))
        peer.sock.shutdown(socket.SHUT_WR)
        assert b"PONG" not in peer.rest()


@pytest.mark.timing
def test_unauthenticated_clients_do_not_delay_authenticated_ones(
    guarded: Server, long: bool, tell: TELLER
) -> None:
    with insider(guarded) as waits:
        for _ in range(5):
            with client_of(guarded) as peer:
                peer.send(b"\n" * (1 << 16))
                peer.rest()
    tell(others_waited=waits)
    calm(waits, long)


@pytest.mark.timing
def test_guessing_does_not_delay_authenticated_clients(
    guarded: Server, seconds: float, long: bool, tell: TELLER
) -> None:
    guesses = 0
    with insider(guarded) as waits:
        end = time.monotonic() + seconds / 4
        while time.monotonic() < end:
            guesses += 50
            with clients_of(guarded, 50) as peers:
                for peer in peers:
                    peer.send(WRONG)
    tell(others_waited=waits, guesses=guesses)
    calm(waits, long)


def forgive(server: Server) -> None:
    """Forget the guesses of an earlier round."""
    assert server.ask(AUTH) == b'{"ok":true,"result":true}\n'


def seconds_for_eight_guesses_at_once(server: Server) -> float:
    started = time.monotonic()
    with clients_of(server, 8) as peers:
        for peer in peers:
            peer.send(WRONG)
        assert {peer.code() for peer in peers} == {"UNAUTHENTICATED"}
    return time.monotonic() - started


@pytest.mark.timing
def test_guesses_after_the_third_are_delayed_over_many_connections(
    guarded: Server, tell: TELLER
) -> None:
    forgive(guarded)
    with client_of(guarded) as peer:
        started = time.monotonic()
        peer.send(WRONG * 3)
        assert [peer.code() for _ in range(3)] == ["UNAUTHENTICATED"] * 3
        free = time.monotonic() - started
    took = seconds_for_eight_guesses_at_once(guarded)
    tell(three=f"{free:.3f} s", eight_more=f"{took:.2f} s")
    assert took > 0.7 > free


@pytest.mark.timing
def test_guessing_over_many_connections_is_no_faster_than_over_one(
    guarded: Server, tell: TELLER
) -> None:
    forgive(guarded)
    took = seconds_for_eight_guesses_at_once(guarded)
    one_by_one = 0.1 + 0.2 + 0.4 + 0.8 + 1.6
    tell(eight_at_once=f"{took:.2f} s", one_by_one=f"{one_by_one:.2f} s")
    assert took > 0.9 * one_by_one


@pytest.mark.timing
def test_an_attempt_under_many_guesses_is_answered_or_refused_within_seconds(
    guarded: Server, tell: TELLER
) -> None:
    with clients_of(guarded, 30) as peers:
        for peer in peers:
            peer.send(WRONG)
        with client_of(guarded) as client:
            started = time.monotonic()
            client.send(AUTH)
            client.reply()
            took = time.monotonic() - started
    tell(waited=f"{took:.1f} s")
    assert took < 12


def test_the_password_is_in_no_log_and_in_no_command_line(tmp_path: Path) -> None:
    password, log = tmp_path / "password", tmp_path / "log"
    password.write_text(SECRET + "\n")
    settings = ("--password-file", str(password), "--log-level", "debug")
    with log.open("w") as stderr, running_server(*settings, stderr=stderr) as server:
        with client_of(server) as client:
            client.send(WRONG + AUTH[:-2] + b"\n" + AUTH[:-2] + b',"key":1}\n' + AUTH)
            codes = [client.reply()["ok"] for _ in range(4)]
            assert codes == [False, False, False, True]
        inside = kv(server.port, "--password-file", str(password), "PING")
        assert (inside.returncode, inside.stdout) == (0, '"PONG"\n')
        visible = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        assert server.stop() == 0
    text = log.read_text()
    assert "a wrong password" in text
    assert SECRET not in text
    assert "wrong guess" not in text
    assert SECRET.encode() not in visible


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_server_without_a_password_refuses_to_listen_for_other_machines(host: str) -> None:
    """The addresses are those of no machine (RFC 5737, RFC 3849), in case that it tries to."""
    refused = subprocess.run(
        [sys.executable, "-m", "entrypoints.server", "--host", host, "--port", "0"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=TIMEOUT,
    )
    assert refused.returncode == 2
    assert "--insecure" in refused.stderr
    assert "Traceback" not in refused.stderr
