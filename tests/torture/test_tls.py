"""TLS with certificates that are renewed, broken or missing, and peers that do not speak it."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import time
import warnings
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from tests.support import Server, kv, running_server
from tests.torture.certificates import HOST, Files, a_certificate
from tests.torture.peers import (
    MB,
    TELLER,
    Client,
    calm,
    client_of,
    clients_of,
    eventually,
    growing,
    pinging,
    request,
)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def stable_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("stable"))


@pytest.fixture(scope="module")
def stable(stable_files: Files) -> Iterator[Server]:
    """A server whose certificate stays."""
    with serving_tls(stable_files) as server:
        yield server


@contextlib.contextmanager
def serving_tls(files: Files, *settings: str) -> Iterator[Server]:
    with files.log.open("w") as log, running_server(
        *files.settings, *settings, stderr=log
    ) as server:
        yield server


def secure(server: Server, context: ssl.SSLContext) -> Client:
    return Client(context.wrap_socket(server.connect(), server_hostname=HOST))


def shown(server: Server, context: ssl.SSLContext) -> object:
    """The certificate that a newcomer sees."""
    with secure(server, context) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        return client.sock.getpeercert(binary_form=True)


def is_served(server: Server, context: ssl.SSLContext) -> bool:
    """Whether a client gets in, with whatever it shows; it is turned away in many ways."""
    try:
        with secure(server, context) as client:
            return bool(client.ask("PING") == {"ok": True, "result": "PONG"})
    except (OSError, AssertionError):
        return False


def test_a_client_that_trusts_the_authority_is_served_large_values_too(
    stable: Server, stable_files: Files
) -> None:
    large = "0123456789" * (MB // 3)
    with secure(stable, stable_files.trust) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() in ("TLSv1.2", "TLSv1.3")
        assert client.ask("SET", key="large", value=large) == {"ok": True, "result": True}
        assert client.ask("GET", key="large") == {"ok": True, "result": large}
        client.send(request("GET", key="large") * 10 + request("PING"))
        assert all(client.reply()["result"] == large for _ in range(10))
        assert client.reply()["result"] == "PONG"


def test_all_replies_arrive_after_the_client_has_ended_its_side(
    stable: Server, stable_files: Files
) -> None:
    with secure(stable, stable_files.trust) as client:
        client.send(request("PING") * 1000)
        socket.socket.shutdown(client.sock, socket.SHUT_WR)  # an SSLSocket's own ends TLS, too
        assert client.rest().count(b"PONG") == 1000


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_refused_by_the_server(
    stable: Server, stable_files: Files, version: str
) -> None:
    context = stable_files.trust
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or the client refuses them itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        secure(stable, context)
    assert is_served(stable, stable_files.trust)


def test_a_client_needs_a_certificate_of_the_right_authority(files: Files, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    known, untrusted, anonymous = files.trust, files.trust, files.trust
    known.load_cert_chain(files.identity(tmp_path))
    untrusted.load_cert_chain(Files(elsewhere).identity(elsewhere))
    with serving_tls(files, "--tls-client-ca", files.ca) as server:
        for context in (untrusted, anonymous):
            assert not is_served(server, context)
            with contextlib.suppress(OSError), secure(server, context) as client:
                client.send(request("SET", key="k", value=1))  # before it is told to go
                client.rest()
        assert is_served(server, known)
        with secure(server, known) as client:
            assert client.ask("COUNT")["result"] == 0


@pytest.mark.timing
def test_silent_clients_and_garbage_do_not_delay_others(
    files: Files, seconds: float, long: bool, tell: TELLER
) -> None:
    garbage = [b"\x16\x03\x01\xff\xff" + b"\0" * 5000, b"[hello\n", b"{" * 5000, b"\x80" * 100]
    with serving_tls(files, "--request-timeout", "0.5") as server:
        with pinging(server, "--authority", files.ca) as waits, clients_of(server, 50) as silent:
            end = time.monotonic() + seconds / 4
            while time.monotonic() < end:
                for data in [*garbage, half_a_handshake()]:
                    with client_of(server) as client:
                        client.send(data)
                        client.sock.shutdown(socket.SHUT_WR)
                        assert b"PONG" not in client.rest()
            assert [client.rest() for client in silent] == [b""] * len(silent)
        cut = cut_clients(server, files)
        tell(others_waited=waits, cut=cut)
        assert cut == 50
        calm(waits, long)


def cut_clients(server: Server, files: Files) -> int:
    with secure(server, files.trust) as client:
        return int(client.ask("INFO")["result"]["server"]["cut_clients"])


def half_a_handshake() -> bytes:
    """The first bytes of what a TLS client says."""
    said = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), said, server_hostname=HOST).do_handshake()
    return said.read()[:100]


def test_a_renewed_certificate_serves_new_clients_and_drops_none(files: Files) -> None:
    with serving_tls(files) as server, secure(server, files.trust) as early:
        assert early.ask("SET", key="k", value=1)["ok"]
        old = shown(server, files.trust)
        files.renew()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: shown(server, files.trust) != old)
        assert early.ask("GET", key="k")["result"] == 1
        eventually(lambda: "reloaded the certificate" in files.log.read_text())


def test_a_broken_certificate_leaves_the_old_one_in_place(files: Files) -> None:
    with serving_tls(files) as server, secure(server, files.trust) as early:
        old = shown(server, files.trust)
        for number, content in enumerate((b"no certificate", b"", a_certificate()), start=1):
            files.certificate.write_bytes(content)
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: kept_the_old_one(files) == number)  # noqa: B023 - called at once
            assert shown(server, files.trust) == old
            assert early.ask("PING")["ok"]
        files.renew()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: shown(server, files.trust) != old)


def kept_the_old_one(files: Files) -> int:
    """How often the server has said so."""
    return files.log.read_text().count("kept the old certificate")


@pytest.mark.timing
def test_a_client_that_never_reads_costs_no_more_in_tls(
    files: Files, long: bool, tell: TELLER
) -> None:
    with serving_tls(files, "--send-timeout", "0.5") as server, secure(
        server, files.trust
    ) as client:
        client.ask("SET", key="k", value="x" * 1000)
        client.sock.settimeout(0.2)
        with growing(server) as growth, pinging(server, "--authority", files.ca) as waits:
            with contextlib.suppress(OSError):
                while True:
                    client.send(request("GET", key="k") * 100)
            eventually(lambda: cut_clients(server, files) == 1)
        tell(others_waited=waits, memory_grew=growth)
        assert growth.mb < 64
        calm(waits, long)


def test_the_client_program_trusts_only_the_given_authority(
    stable: Server, stable_files: Files, tmp_path: Path
) -> None:
    served = kv(stable.port, "--tls", "--tls-ca", stable_files.ca, "SET", "k", "[1, 2]")
    assert (served.returncode, served.stdout, served.stderr) == (0, "true\n", "")
    others: List[Tuple[str, ...]] = [("--tls", "--tls-ca", Files(tmp_path).ca), ("--tls",), ()]
    for options in others:
        failed = kv(stable.port, *options, "GET", "k")
        assert (failed.returncode, failed.stdout) == (3, "")
        assert failed.stderr.count("\n") == 1
        assert str(stable.port) in failed.stderr
