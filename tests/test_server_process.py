"""The server as its users start it: a process with settings, signals and many clients."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List

import pycountry
import pytest

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


def test_two_hundred_clients_at_once(server: Server) -> None:
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
def test_a_signal_ends_it_with_success(number: int) -> None:
    with running_server() as server, server.connect() as idle:
        assert server.ask(b'{"type":"PING"}\n') == b'{"ok":true,"result":"PONG"}\n'
        assert server.stop(number) == 0
        assert idle.recv(1) == b""


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
def test_the_line_that_says_it_listens_has_the_address(host: str) -> None:
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

    def test_by_default_a_large_request_is_taken(self) -> None:
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
        for ended in (start("--port", "70000"), start(KV_PORT="x")):
            assert ended.returncode == 2
            assert "--port" in ended.stderr

    def test_what_could_be_stored_and_not_read_is_named(self) -> None:
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
