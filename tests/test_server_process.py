"""The server as its users start it: a process with settings, signals and many clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any, Dict, Iterator, List, Tuple

import pycountry
import pytest

from tests.certificates import Files
from tests.support import ROOT, TIMEOUT, Server, environment, running_server

SESSION: List[Any] = [
    ({"type": "MSET", "items": {"user:1": {"name": "Ada", "langs": ["en", "fr"]}, "n": 1,
      "nothing": None}}, {"ok": True, "result": True}),
    ({"type": "MGET", "keys": ["user:1", "nothing", "missing"]},
     {"ok": True, "result": {"user:1": {"name": "Ada", "langs": ["en", "fr"]}, "nothing": None}}),
    ({"type": "GET", "key": "missing"}, {"ok": True}),
    ({"type": "GET", "key": "nothing", "id": 7}, {"id": 7, "ok": True, "result": None}),
    ({"type": "DELETE", "key": "n"}, {"ok": True, "result": True}),
    ({"type": "FLUSH"}, {"ok": True, "result": 2}),
]  # fmt: skip


def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "entrypoints.server", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**variables),
        timeout=TIMEOUT,
    )


SWAPPED = """
import time
from dependency_injector import providers
from domain.memory import InMemoryStore
from entrypoints.server.__main__ import main
from entrypoints.server.container import ServerContainer
from tests.model import ModelStore
ServerContainer.store.override(providers.Object({kind}(time.monotonic)))
main()
"""


@pytest.mark.parametrize(
    ("kind", "typed", "why"),
    [
        ("InMemoryStore", ["--max-memory", "1mb"], "InMemoryStore has no bound on its memory"),
        ("ModelStore", ["--data-dir", "data"], "Observable and Restorable: ModelStore"),
        ("ModelStore", ["--store", "redis://127.0.0.1:1"], "in the place of an engine"),
    ],
)
def test_a_store_that_cannot_do_what_is_asked_for_is_refused(
    tmp_path: Path, kind: str, typed: List[str], why: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SWAPPED.format(kind=kind), "--port", "0", *typed],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        timeout=TIMEOUT,
    )
    assert ended.returncode == 2
    assert why in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("typed", [["--port", "5"], ["--insecure"], ["--repair", "."]])
def test_what_has_no_effect_beside_a_check_is_refused(tmp_path: Path, typed: List[str]) -> None:
    ended = start("--check", str(tmp_path), *typed)
    assert ended.returncode == 2
    assert f"'{typed[0]}' has no effect with --check" in ended.stderr


@pytest.mark.parametrize("option", ["--version", "--help", "--check", "--repair"])
def test_a_full_standard_output_costs_one_line(tmp_path: Path, option: str) -> None:
    words = [option]
    if option in ("--check", "--repair"):
        words.append(str(tmp_path))
        with running_server("--data-dir", str(tmp_path)) as server:
            while b'"ok":true' not in server.ask(b'{"type":"SET","key":"k","value":1}\n'):
                time.sleep(0.01)  # it loads
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "entrypoints.server", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=ROOT,
            env=environment(),
            timeout=TIMEOUT,
        )
    assert (ended.returncode, ended.stderr) == (1, "Error: No space left on device\n")


def test_a_session_typed_line_by_line(server: Server) -> None:
    with server.connect() as sock, sock.makefile("rwb") as stream:
        for request, reply in SESSION:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            assert json.loads(stream.readline()) == reply
        for line, code in (
            (b"not json", "BAD_JSON"),
            (b'{"type":"GTE","key":"n"}', "UNKNOWN_COMMAND"),
            (b'{"type":"GET"}', "BAD_REQUEST"),
        ):
            stream.write(line + b"\n")
            stream.flush()
            assert json.loads(stream.readline())["error"]["code"] == code


def test_a_client_that_opens_a_connection_for_each_command(server: Server) -> None:
    def send(command: Dict[str, Any]) -> Any:
        with server.connect() as sock:
            sock.sendall(json.dumps(command).encode() + b"\n")
            return json.loads(sock.makefile("rb").readline())

    assert send({"type": "SET", "key": "foo", "value": "bar"}) == {"ok": True, "result": True}
    assert send({"type": "GET", "key": "foo"}) == {"ok": True, "result": "bar"}


def test_ten_thousand_requests_in_one_send(server: Server) -> None:
    asked = b"".join(
        b'{"type":"SET","key":"k","value":%d}\n{"type":"GET","key":"k","id":%d}\n' % (n, n)
        for n in range(5000)
    )
    replies = [json.loads(line) for line in server.ask(asked).splitlines()]
    assert [reply["ok"] for reply in replies] == [True] * 10_000
    assert [(r["id"], r["result"]) for r in replies[1::2]] == [(n, n) for n in range(5000)]


def test_a_server_serves_two_hundred_clients_at_once(server: Server) -> None:
    clients = [server.connect() for _ in range(200)]
    try:
        for turn in range(3):
            for number, sock in enumerate(clients):
                request = {"type": "SET", "key": str(number), "value": [number, turn]}
                sock.sendall(json.dumps(request).encode() + b"\n")
            for sock in clients:
                assert sock.recv(1000) == b'{"ok":true,"result":true}\n'
        for number, sock in enumerate(clients):
            sock.sendall(b'{"type":"GET","key":"%d"}\n' % number)
            assert json.loads(sock.recv(1000))["result"] == [number, 2]
    finally:
        for sock in clients:
            sock.close()


def test_every_language_of_the_world_goes_through_unharmed(server: Server) -> None:
    languages = {
        language.alpha_3: {name: value for name, value in language if name != "flag"}
        for language in pycountry.languages
    }
    assert len(languages) > 7000
    codes = list(languages)
    with server.connect() as sock, sock.makefile("rwb") as stream:
        stream.write(json.dumps({"type": "MSET", "items": languages}).encode() + b"\n")
        stream.flush()
        assert json.loads(stream.readline()) == {"ok": True, "result": True}
        for at in range(0, len(codes), 1000):
            page = codes[at : at + 1000]
            stream.write(json.dumps({"type": "MGET", "keys": page}).encode() + b"\n")
            stream.flush()
            found = json.loads(stream.readline())["result"]
            assert found == {code: languages[code] for code in page}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_exit_code_0(number: int) -> None:
    with running_server() as server, server.connect() as idle:
        assert server.ask(b'{"type":"PING"}\n') == b'{"ok":true,"result":"PONG"}\n'
        assert server.stop(number) == 0
        assert idle.recv(1) == b""


class TestHangup:
    """SIGHUP reloads the TLS files, and is never the end of the data."""

    def hang_up(self, server: Server, log: IO[str], event: str) -> None:
        """Send SIGHUP and wait until the log has the event."""
        server.process.send_signal(signal.SIGHUP)
        for line in log:
            if event in line:
                return
        raise AssertionError(f"the log ended without {event!r}")

    def test_sighup_without_tls_reloads_nothing(self) -> None:
        with logging_server() as (server, log):
            server.ask(b'{"type":"SET","key":"k","value":1}\n')
            for _ in range(3):
                self.hang_up(server, log, "nothing to reload")
            assert server.ask(b'{"type":"GET","key":"k"}\n') == b'{"ok":true,"result":1}\n'
            assert server.stop() == 0

    def test_sighup_with_tls_reloads_the_certificate(self, files: Files) -> None:
        tls = ["--tls-cert", files.server.certificate, "--tls-key", files.server.key]
        with logging_server(*tls) as (server, log):
            self.hang_up(server, log, "reloaded the certificate")
            assert server.stop() == 0

    def test_sighup_with_a_bad_file_names_it_and_keeps_the_old_certificate(
        self, files: Files, tmp_path: Path
    ) -> None:
        key = tmp_path / "key.pem"
        shutil.copy(files.server.key, key)
        tls = ["--tls-cert", files.server.certificate, "--tls-key", str(key)]
        with logging_server(*tls) as (server, log):
            key.write_text("nothing")
            self.hang_up(server, log, f'file="{files.server.certificate} and {key}" why=')
            key.unlink()
            self.hang_up(server, log, f"file={key} why=")
            assert server.stop() == 0

    @pytest.mark.parametrize("tls", [False, True])
    def test_sighup_during_the_shutdown_grace_ends_nothing(self, files: Files, tls: bool) -> None:
        typed = ["--tls-cert", files.server.certificate, "--tls-key", files.server.key]
        with logging_server(*typed if tls else []) as (server, log):
            sock = server.connect()
            if tls:
                context = ssl.create_default_context(cafile=files.authority)
                sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
            with sock:
                sock.sendall(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 1_000_000))
                assert sock.recv(100) == b'{"ok":true,"result":true}\n'
                sock.sendall(b'{"type":"GET","key":"k"}\n' * 30)
                assert sock.recv(1)  # and no more, so that the grace does not end
                server.process.send_signal(signal.SIGTERM)
                for line in log:
                    if "stopping" in line:
                        break
                self.hang_up(server, log, "reload")
            assert server.process.wait(TIMEOUT) == 0


@contextlib.contextmanager
def logging_server(*arguments: str) -> Iterator[Tuple[Server, IO[str]]]:
    """A server process, and its log to read."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as log:
        try:
            started = running_server(*arguments, stderr=writing)
            server = started.__enter__()
        finally:
            os.close(writing)
        try:
            yield server, log
        finally:
            started.__exit__(None, None, None)


class TestStandardStreams:
    @pytest.mark.parametrize("closed", [[2], [1], [1, 2], [0, 1, 2]])
    def test_no_socket_takes_the_descriptor_of_a_closed_stream(
        self, closed: List[int], tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        command = [sys.executable, "-m", "entrypoints.server", "--port", str(port)]
        redirections = " ".join(f"{number}>&-" for number in closed)
        with subprocess.Popen(
            ["sh", "-c", f'exec "$@" {redirections}', "sh", *command],
            cwd=ROOT,
            env=environment(NOTIFY_SOCKET=""),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                clients = [connect_when_it_listens(port) for _ in range(3)]
                for sock in clients:
                    sock.sendall(b'{"type":"PING"}\n')
                    assert sock.recv(1000) == b'{"ok":true,"result":"PONG"}\n'
                with connect_when_it_listens(port) as sock:
                    sock.sendall(b"garbage\n")  # the log tells of it
                    sock.recv(1000)
                for number in closed:
                    opened = os.readlink(f"/proc/{process.pid}/fd/{number}")
                    assert opened == os.devnull
                for sock in clients:
                    sock.sendall(b'{"type":"PING"}\n')
                    assert sock.recv(1000) == b'{"ok":true,"result":"PONG"}\n'
                    sock.close()
                process.terminate()
                assert process.wait(TIMEOUT) == 0
            finally:
                process.kill()

    def test_a_server_whose_output_is_not_read_serves(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        reading, writing = os.pipe()
        os.close(reading)
        with subprocess.Popen(
            [sys.executable, "-m", "entrypoints.server", "--port", str(port)],
            cwd=ROOT,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
        ) as process:
            os.close(writing)
            try:
                with connect_when_it_listens(port) as sock:
                    sock.sendall(b'{"type":"PING"}\n')
                    assert sock.recv(1000) == b'{"ok":true,"result":"PONG"}\n'
                process.terminate()
                assert process.stderr
                assert b"Error" not in process.stderr.read()
                assert process.wait(TIMEOUT) == 0
            finally:
                process.kill()


def connect_when_it_listens(port: int) -> socket.socket:
    """A connection to a server that is starting."""
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port), TIMEOUT)
        time.sleep(0.05)


def test_listen_addresses_and_warnings_are_logged(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    secret.chmod(0o644)
    with logging_server("--password-file", str(secret), "--log-format", "json") as (server, log):
        assert server.stop() == 0
        records = [json.loads(line) for line in log]
    assert f"kv://127.0.0.1:{server.port}" in [record.get("url") for record in records]
    (warning,) = (record["event"] for record in records if record["level"] == "warning")
    assert str(secret) in warning
    assert "sesame" not in str(records)


def test_requests_that_arrived_before_the_signal_are_answered() -> None:
    with running_server() as server, server.connect() as sock:
        sock.sendall(b'{"type":"PING"}\n' * 20_000)
        server.process.send_signal(signal.SIGTERM)
        received = b"".join(iter(lambda: sock.recv(1 << 20), b""))
        assert received == b'{"ok":true,"result":"PONG"}\n' * (len(received) // 28)
        assert server.process.wait(TIMEOUT) == 0


def test_clients_under_load_see_whole_replies_up_to_the_end() -> None:
    ends: List[bytes] = []

    def load(server: Server) -> None:
        with server.connect() as sock:
            line = b""
            try:
                while True:
                    sock.sendall(b'{"type":"PING"}\n' * 10)
                    line = sock.recv(28 * 10)
                    if not line:
                        break
                    ends.append(line[-1:])
            except OSError:
                return

    with running_server() as server:
        threads = [threading.Thread(target=load, args=(server,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        while len(ends) < 50:
            pass
        assert server.stop() == 0
        for thread in threads:
            thread.join()
    assert set(ends) <= {b"\n", b"}"}


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start("--port", str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_ready_line_has_the_address(host: str) -> None:
    if host == "::1" and not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    process = subprocess.Popen(
        [sys.executable, "-m", "entrypoints.server", "--host", host, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    with process:
        assert process.stdout
        line = process.stdout.readline()
        process.terminate()
        assert process.stdout.read() == ""
    shown = f"[{host}]" if ":" in host else host
    assert f" listens on kv://{shown}:" in line


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_listens_on_several_addresses_and_a_unix_socket_without_tls(
    tmp_path: Path, files: Files, tls: bool
) -> None:
    path = str(tmp_path / "kv.sock")
    typed = ["--tls-cert", files.server.certificate, "--tls-key", files.server.key] if tls else []
    with subprocess.Popen(
        [sys.executable, "-m", "entrypoints.server", *typed],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(KV_LISTEN=f"127.0.0.1:0 unix:{path}"),
    ) as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(2)]
            assert f" listens on {'kvs' if tls else 'kv'}://127.0.0.1:" in lines[0]
            assert lines[1].endswith(f" listens on kv+unix://{path}\n")
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                sock.sendall(b'{"type":"SET","key":"k","value":1}\n')
                assert sock.recv(100) == b'{"ok":true,"result":true}\n'
            port = int(lines[0].rsplit(":", 1)[1])
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as plain:
                context = ssl.create_default_context(cafile=files.authority)
                name = "127.0.0.1"
                sock = context.wrap_socket(plain, server_hostname=name) if tls else plain
                sock.sendall(b'{"type":"GET","key":"k"}\n')
                assert sock.recv(100) == b'{"ok":true,"result":1}\n'
                sock.close()
            process.terminate()
            assert process.wait(TIMEOUT) == 0
            assert not os.path.exists(path)
        finally:
            process.kill()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class TestSettings:
    """The command line wins over the environment, that over the file, that over the default."""

    LARGE = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 200)

    def config(self, folder: Path, text: str) -> str:
        path = folder / "kv.toml"
        path.write_text(text)
        return str(path)

    def refuses(self, server: Server) -> bool:
        return b"TOO_LARGE" in server.ask(b'{"type":"PING"}\n' + self.LARGE)

    def test_a_large_request_is_accepted_by_default(self) -> None:
        with running_server() as server:
            assert not self.refuses(server)

    def test_the_file_wins_over_the_default(self, tmp_path: Path) -> None:
        with running_server("--config", self.config(tmp_path, "max_request_bytes = 100")) as server:
            assert self.refuses(server)

    def test_the_environment_wins_over_the_file(self, tmp_path: Path) -> None:
        config = self.config(tmp_path, "max_request_bytes = 100")
        with running_server(KV_CONFIG=config, KV_MAX_REQUEST_BYTES="1000") as server:
            assert not self.refuses(server)

    def test_the_command_line_wins_over_the_environment(self) -> None:
        with running_server("--max-request-bytes", "100", KV_MAX_REQUEST_BYTES="1000") as server:
            assert self.refuses(server)

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("max_request_bytes = 0", "--max-request-bytes"),
            ('port = "high"', "--port"),
            ('log_level = "loud"', "--log-level"),
            ("prot = 1", "'prot'"),
            ("port =\nx", "line 1"),
        ],
    )
    def test_a_bad_setting_in_the_file_is_named(self, tmp_path: Path, text: str, says: str) -> None:
        ended = start("--config", self.config(tmp_path, text))
        assert ended.returncode == 2
        assert says in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_bad_setting_elsewhere_is_named(self) -> None:
        for ended, named in ((start("--port", "70000"), "--port"), (start(KV_PORT="x"), "KV_PORT")):
            assert ended.returncode == 2
            assert named in ended.stderr

    def test_limits_that_allow_unreadable_values_are_named(self) -> None:
        ended = start("--max-reply-bytes", "1000")
        assert ended.returncode == 2
        assert "max_reply_bytes" in ended.stderr

    def test_a_bound_on_memory_refuses_or_evicts(self) -> None:
        fill = b"".join(self.LARGE.replace(b'"k"', b'"%d"' % number) for number in range(100))
        with running_server("--max-memory", "10kb") as server:
            assert server.ask(fill).count(b"OUT_OF_MEMORY") > 50
        with running_server("--max-memory", "10kb", "--memory-policy", "evict") as server:
            assert server.ask(fill) == b'{"ok":true,"result":true}\n' * 100
            report = json.loads(server.ask(b'{"type":"INFO"}\n'))["result"]["keyspace"]
            assert report["evicted"] == 100 - report["keys"] > 50
            assert report["memory"] <= report["max_memory"] == 10 * 1024

    @pytest.mark.parametrize("size", ["lots", "1tb", "-1", "1.5mb"])
    def test_a_size_that_is_none_is_named(self, size: str) -> None:
        ended = start("--max-memory", size)
        assert ended.returncode == 2
        assert "'--max-memory'" in ended.stderr

    def test_help_and_version(self) -> None:
        assert "--max-request-bytes" in start("--help").stdout
        assert start("--version").stdout.startswith("kv-server, version ")
