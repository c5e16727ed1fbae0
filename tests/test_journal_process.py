"""The server with a data directory, as its users start it."""

from __future__ import annotations

import contextlib
import json
import select
import shutil
import socket
import ssl
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

import pytest

from tests.certificates import Files
from tests.support import SERVER, TIMEOUT, Server, kv, running_server
from tests.test_server_process import start


def changed_server(change: str) -> List[str]:
    """The server's program, after a change to one of its parts that no setting makes."""
    run = "from entrypoints.server.__main__ import main; main(prog_name='kv-server')"
    return [sys.executable, "-c", f"{change}\n{run}"]


REWRITING = changed_server("""
from adapters.storage.journal import background, upkeep
background.TICK_SECONDS, upkeep.MIN_REWRITE = 0.01, 3000
""")
IN_GREENLETS = changed_server("""
from dependency_injector import providers
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from entrypoints.server.container import ServerContainer
ServerContainer.connection.override(providers.Object(GreenletConnection))
""")
STUCK_DISK = """
import os, time
from adapters.storage.journal import disk
sync = disk._sync_data
def sync_later(descriptor):
    while os.path.exists({gate!r}):
        time.sleep(0.001)
    sync(descriptor)
disk._sync_data, disk._THROUGH = sync_later, 0
"""


class Writers:
    """Clients that count, each in a key of its own, until the server is gone."""

    def __init__(self, server: Server, count: int = 8, first: int = 1) -> None:
        ask_loaded(server, b'{"type":"PING"}\n')
        self.acknowledged: Dict[str, int] = {}
        self._first = first
        self._threads = [
            threading.Thread(target=self._write, args=(server.connect(), f"k{index}"))
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, sock: socket.socket, name: str) -> None:
        with sock, contextlib.suppress(OSError):
            lines = sock.makefile("rb")
            for count in range(self._first, self._first + 1_000_000):
                sock.sendall(b'{"type":"SET","key":"%s","value":%d}\n' % (name.encode(), count))
                if lines.readline() != b'{"ok":true,"result":true}\n':
                    return
                self.acknowledged[name] = count

    def wait_for(self, count: int) -> None:
        """Until so many writes are acknowledged."""
        while sum(last - self._first + 1 for last in list(self.acknowledged.values())) < count:
            assert any(thread.is_alive() for thread in self._threads)
            time.sleep(0.001)

    def join(self) -> Dict[str, int]:
        """The last write of each that was acknowledged."""
        for thread in self._threads:
            thread.join()
        return self.acknowledged


class TestProcess:
    """The server as its users start it."""

    @pytest.mark.parametrize("number", [9, 15])
    @pytest.mark.parametrize("program", [SERVER, REWRITING])
    def test_a_signal_under_load_loses_nothing_acknowledged(
        self, tmp_path: Path, number: int, program: Sequence[str]
    ) -> None:
        where = tmp_path / "d"
        with running_server("--data-dir", str(where), program=program) as server:
            writers = Writers(server)
            writers.wait_for(200)
            while program is REWRITING and not (where / "journal-0000000004").exists():
                time.sleep(0.001)
            server.stop(number)
            acknowledged = writers.join()
        with loaded_server(str(where)) as ask:
            for name, count in acknowledged.items():
                assert ask(b'{"type":"GET","key":"%s"}\n' % name.encode()) >= count

    def test_a_reader_of_other_keys_is_answered_while_the_disk_is_stuck(
        self, tmp_path: Path
    ) -> None:
        gate = tmp_path / "gate"
        stuck = changed_server(STUCK_DISK.format(gate=str(gate)))
        with running_server("--data-dir", str(tmp_path / "d"), program=stuck) as server:
            server.ask(b'{"type":"SET","key":"other","value":1}\n')
            gate.touch()
            with server.connect() as writer, server.connect() as reader:
                writer.sendall(b'{"type":"SET","key":"k","value":2}\n')
                for _ in range(100):
                    assert server.ask(b'{"type":"GET","key":"other"}\n').endswith(b"1}\n")
                reader.sendall(b'{"type":"GET","key":"k"}\n')
                assert b'"PONG"' in server.ask(b'{"type":"PING"}\n')
                assert select.select([writer, reader], [], [], 0)[0] == []
                gate.unlink()
                assert writer.makefile("rb").readline() == b'{"ok":true,"result":true}\n'
                assert reader.makefile("rb").readline() == b'{"ok":true,"result":2}\n'

    def test_a_copy_made_under_load_is_a_backup_or_says_that_it_is_none(
        self, tmp_path: Path
    ) -> None:
        where, copy = tmp_path / "d", tmp_path / "copy"
        with running_server("--data-dir", str(where), program=REWRITING) as server:
            writers = Writers(server)
            writers.wait_for(200)
            for _ in range(50):
                acknowledged = dict(writers.acknowledged)
                shutil.rmtree(str(copy), ignore_errors=True)
                with contextlib.suppress(shutil.Error):
                    shutil.copytree(str(where), str(copy))
                if start("--check", str(copy)).returncode == 0:
                    break
            server.stop(9)
            writers.join()
        with loaded_server(str(copy)) as ask:
            for name, count in acknowledged.items():
                assert ask(b'{"type":"GET","key":"%s"}\n' % name.encode()) >= count

    def test_a_second_server_and_a_check_are_refused_while_one_runs(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        with running_server("--data-dir", where) as server:
            for arguments in (("--port", "0", "--data-dir", where), ("--check", where)):
                ended = start(*arguments)
                assert ended.returncode == 1
                assert "in use by another process" in ended.stderr
            assert server.stop() == 0
        assert "0 keys in " in start("--check", where).stdout

    @pytest.mark.parametrize(("policy", "is_over"), [("refuse", True), ("evict", False)])
    def test_what_is_loaded_over_the_bound_on_memory_is_said_to_be(
        self, tmp_path: Path, policy: str, is_over: bool
    ) -> None:
        bound = ("--max-memory", "10kb", "--memory-policy", policy, "--data-dir", str(tmp_path))
        with running_server("--data-dir", str(tmp_path)) as server:
            server.ask(b'{"type":"MSET","items":{"a":"%b","b":1}}\n' % (b"x" * 20_000))
            assert server.stop() == 0
        with (tmp_path / "log").open("w+") as log, running_server(*bound, stderr=log) as server:
            assert server.stop() == 0
            log.seek(0)
            assert ("the keys are over max_memory" in log.read()) is is_over

    def test_a_data_directory_is_exported_without_a_server(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        with running_server("--data-dir", where) as server:
            server.ask(b'{"type":"SET","key":"k","value":[1]}\n')
            assert server.stop() == 0
        done = kv(0, "export", "--data-dir", where, "-")
        assert done.stdout == '{"key":"k","value":[1]}\n'

    def test_an_export_without_a_server_says_what_it_left_out(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        with running_server("--data-dir", where) as server:
            server.ask(b'{"type":"SET","key":"zero","value":0}\n')
            server.ask(b"SELECT 3\r\nSET three 3\r\n")
            assert server.stop() == 0
        done = kv(0, "export", "--data-dir", where, "-")
        assert (done.returncode, done.stdout) == (1, '{"key":"zero","value":0}\n')
        assert "left out: 1 key of databases other than 0" in done.stderr

    @pytest.mark.parametrize("names", [[], ["notes.txt"]])
    def test_a_directory_without_a_journal_is_refused_and_stays_as_it_is(
        self, tmp_path: Path, names: List[str]
    ) -> None:
        for name in names:
            (tmp_path / name).write_text("mine")
        where = str(tmp_path)
        for ended in (
            start("--check", where),
            start("--repair", where),
            kv(0, "export", "--data-dir", where, "-"),
        ):
            assert ended.returncode == 1
            assert f"{where} is no data directory" in ended.stderr
        assert [path.name for path in tmp_path.iterdir()] == names

    def test_a_file_that_is_a_directory_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "journal-0000000001").mkdir()
        ended = start("--check", str(tmp_path))
        assert ended.returncode == 1
        assert f"cannot use {tmp_path}/journal-0000000001: Is a directory" in ended.stderr

    def test_a_repair_that_can_read_nothing_does_not_advise_a_repair(self, tmp_path: Path) -> None:
        (tmp_path / "journal-0000000002").write_bytes(b"")
        ended = start("--repair", str(tmp_path))
        assert ended.returncode == 1
        assert "snapshot-0000000002" in ended.stderr
        assert "nothing of it can be read: restore the backup" in ended.stderr
        assert "--repair" not in ended.stderr

    def test_a_repair_of_a_torn_end_says_one_thing(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        with running_server("--data-dir", where) as server:
            server.ask(b'{"type":"SET","key":"k","value":1}\n')
            assert server.stop() == 0
        with next(Path(where).glob("journal-*")).open("ab") as journal:
            journal.write(b"torn")
        cut = start("--repair", where)
        said = "cut the last 4 bytes, which a crash left incomplete; 1 key there\n"
        assert (cut.stdout, cut.stderr) == (said, "")
        assert start("--repair", where).stdout == "nothing is damaged; 1 key there\n"

    @pytest.mark.parametrize("tls", [False, True])
    @pytest.mark.parametrize("program", [SERVER, IN_GREENLETS])
    def test_a_client_that_pipelines_gets_all_replies_in_order(
        self, tmp_path: Path, files: Files, tls: bool, program: Sequence[str]
    ) -> None:
        typed = ["--tls-cert", files.server.certificate, "--tls-key", files.server.key]
        settings = ["--data-dir", str(tmp_path / "d"), *(typed if tls else [])]
        with running_server(*settings, program=program) as server:
            sock = server.connect()
            if tls:
                context = ssl.create_default_context(cafile=files.authority)
                sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
            with sock:
                for _ in range(2000):
                    sock.sendall(b'{"type":"INCR","key":"n"}\n{"type":"GET","key":"n"}\n')
                lines = sock.makefile("rb")
                for number in range(1, 2001):
                    for _ in range(2):
                        assert json.loads(lines.readline())["result"] == number

    def test_a_copy_of_a_directory_in_use_is_a_backup(self, tmp_path: Path) -> None:
        where, copy = tmp_path / "d", tmp_path / "copy"
        with running_server("--data-dir", str(where)) as server:
            for number in range(50):
                server.ask(b'{"type":"SET","key":"%d","value":1}\n' % number)
            shutil.copytree(str(where), str(copy))
            server.ask(b'{"type":"FLUSH"}\n')
        assert start("--check", str(copy)).stdout.startswith("50 keys in ")

    def test_where_files_may_not_grow_it_ends_and_says_why(self, tmp_path: Path) -> None:
        where = str(tmp_path / "d")
        # Python would keep what is cut of the modules that it compiles.
        limit = 'ulimit -f 8; PYTHONDONTWRITEBYTECODE=1 exec "$@"'
        limited = ["sh", "-c", limit, "sh", *SERVER]
        with running_server("--data-dir", where, program=limited) as server:
            reply = server.ask(b'{"type":"SET","key":"small","value":1}\n')
            assert reply == b'{"ok":true,"result":true}\n'
            large = b'{"type":"SET","key":"large","value":"%s"}\n' % (b"x" * 50_000)
            with contextlib.suppress(OSError):
                assert server.ask(large) == b""
            assert server.process.wait(TIMEOUT) == 1
        with loaded_server(where) as ask:
            assert ask(b'{"type":"COUNT"}\n') == 1

    def test_damage_ends_the_start_and_says_what_to_do(self, tmp_path: Path) -> None:
        where = tmp_path / "d"
        with running_server("--data-dir", str(where)) as server:
            for _ in range(3):
                server.ask(b'{"type":"SET","key":"k","value":1}\n')
            server.stop()
        (journal,) = where.glob("journal-*")
        data = bytearray(journal.read_bytes())
        data[len(data) // 2] ^= 1
        journal.write_bytes(data)
        for arguments in (("--port", "0", "--data-dir", str(where)), ("--check", str(where))):
            ended = start(*arguments)
            assert ended.returncode == 1
            assert "is damaged at offset" in ended.stderr
            assert "listen" not in ended.stdout + ended.stderr
            assert "--repair" in ended.stderr
        assert "left out " in start("--repair", str(where)).stdout
        assert start("--check", str(where)).returncode == 0


@contextlib.contextmanager
def loaded_server(where: str) -> Iterator[Callable[[bytes], Any]]:
    """Asks a server that has loaded a directory."""
    with running_server("--data-dir", where) as server:
        yield partial(ask_loaded, server)
        assert server.stop() == 0


def ask_loaded(server: Server, line: bytes) -> Any:
    """The result of a request once the server has loaded its data."""
    while True:
        reply = json.loads(server.ask(line))
        if reply["ok"]:
            return reply["result"]
        assert "loading" in reply["error"]["message"]
