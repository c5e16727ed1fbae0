"""The client's tools: export and import, bench, monitor and completion."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import msgspec
import pytest
from msgspec import Raw

from adapters.client.loopback import Loopback
from application.commands import Command, Count, Get, GetTtl, MGet, Set
from domain.errors import TooLarge
from entrypoints.client.tools.bench import Measured, told
from entrypoints.client.tools.bulk import CHUNK_LINES, Import, exported
from entrypoints.client.tools.monitor import figures_between
from tests.support import ROOT, TIMEOUT, Clock, Server, environment, kv, loopback
from tests.terminal import on_terminal

STRANGE = {"": None, "spaced key": [1, {"x": 1.5}], "ключ": "línea\n", "n": 10**30}


def imported(lines: List[bytes]) -> Tuple[Loopback, Import, List[Tuple[int, str]]]:
    executor = loopback(Clock())
    wrong: List[Tuple[int, str]] = []
    job = Import(executor, lambda number, why: wrong.append((number, why)))
    for _ in job.run(lines):
        pass
    return executor, job, wrong


class TestImport:
    def test_values_and_ttls_are_stored(self) -> None:
        executor, job, wrong = imported(
            [b'{"key":"a","value":{"x":[1]}}\n', b"\n", b'{"key":"b","value":null,"ttl":50}\n']
        )
        assert executor.execute(Get("a")) == b'{"x":[1]}'
        assert executor.execute(GetTtl("b")) == 50
        assert (job.stored, job.refused, job.dealt_with, wrong) == (2, 0, 3, [])

    def test_of_two_lines_with_one_key_the_last_one_counts(self) -> None:
        for first, last in [("", ""), (',"ttl":50', ""), ("", ',"ttl":50')]:
            lines = [f'{{"key":"k","value":1{first}}}', f'{{"key":"k","value":2{last}}}']
            executor, job, _ = imported([line.encode() + b"\n" for line in lines])
            assert executor.execute(Get("k")) == b"2"
            assert executor.execute(GetTtl("k")) == (50 if last else None)
            assert job.stored == 2

    @pytest.mark.parametrize(
        "bad",
        [
            b"not json\n",
            b'{"key":"k"}\n',
            b'{"key":"k","value":1e999}\n',
            b'{"key":"k","value":1,"ttl":-1}\n',
            b'{"key":"k","value":1,"tll":1}\n',
            b'{"key":"k","value":"\xff"}\n',
        ],
    )
    def test_a_bad_line_is_told_by_its_number_and_the_others_are_stored(self, bad: bytes) -> None:
        good = [b'{"key":"%d","value":%d}\n' % (number, number) for number in range(4)]
        executor, job, wrong = imported([*good[:2], bad, *good[2:]])
        assert [number for number, _ in wrong] == [3]
        assert executor.execute(Count()) == job.stored == 4
        assert job.dealt_with == 5

    def test_more_than_a_chunk_is_stored_in_order(self) -> None:
        lines = [b'{"key":"%d","value":%d}\n' % (n % 1500, n) for n in range(3 * CHUNK_LINES)]
        executor, job, _ = imported(lines)
        assert executor.execute(Count()) == 1500
        assert executor.execute(Get("1499")) == b"2999"
        assert job.stored == job.dealt_with == 3 * CHUNK_LINES


class TestExport:
    def test_what_is_exported_is_imported_as_it_was(self) -> None:
        executor = loopback(Clock())
        for key, value in STRANGE.items():
            executor.execute(Set(key, Raw(json.dumps(value).encode()), ttl=7.5))
        lines = [line for page in exported(executor) for line in page]
        back, _, wrong = imported(lines)
        assert wrong == []
        for key, value in STRANGE.items():
            text = back.execute(Get(key))
            assert isinstance(text, bytes)
            assert json.loads(text) == value
            assert back.execute(GetTtl(key)) == 7.5

    def test_only_keys_with_a_prefix(self) -> None:
        executor = loopback(Clock())
        for key in ("a:1", "a:2", "b:1"):
            executor.execute(Set(key, Raw(b"1")))
        lines = [json.loads(line) for page in exported(executor, "a:") for line in page]
        assert sorted(line["key"] for line in lines) == ["a:1", "a:2"]

    def test_keys_whose_escapes_make_them_long(self) -> None:
        keys = [f"{number:02}" + "\x01" * 60_000 for number in range(8)]
        lines = [msgspec.json.encode({"key": key, "value": 1}) + b"\n" for key in keys]
        executor, _, _ = imported(lines)
        assert sorted(line for page in exported(executor) for line in page) == sorted(lines)

    def test_values_that_are_too_large_for_one_reply_come_one_by_one(self) -> None:
        executor = loopback()

        class Small:
            execute = executor.execute
            execute_in_steps = executor.execute_in_steps
            close = executor.close

            def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
                outcomes = executor.execute_all(commands)
                return [
                    TooLarge("the reply is too large") if isinstance(command, MGet) else outcome
                    for command, outcome in zip(commands, outcomes)
                ]

        executor.execute(Set("k", Raw(b"[1]")))
        assert [line for page in exported(Small()) for line in page] == [
            b'{"key":"k","value":[1]}\n'
        ]


class TestFiles:
    @pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
    def test_a_round_trip_through_a_file(self, server: Server, tmp_path: Path, name: str) -> None:
        path = str(tmp_path / name)
        kv(server.port, "mset", "a", "1", "b", '{"x": [null]}')
        done = kv(server.port, "export", path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 keys exported\n")
        kv(server.port, "flush")
        done = kv(server.port, "import", path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "2 keys imported\n")
        assert kv(server.port, "get", "b").stdout == '{"x": [null]}\n'
        if name.endswith(".gz"):
            with gzip.open(path) as file:
                assert len(file.readlines()) == 2

    def test_a_round_trip_through_pipes(self, server: Server) -> None:
        lines = "".join(f'{{"key":"{n}","value":{n}}}\n' for n in range(100))
        assert kv(server.port, "import", "-", stdin=lines).stderr == "100 keys imported\n"
        out = kv(server.port, "export", "-").stdout
        assert sorted(out.splitlines()) == sorted(lines.splitlines())

    def test_a_bad_line_makes_the_exit_code_one(self, server: Server) -> None:
        lines = '{"key":"a","value":1}\nbad\n{"key":"b","value":2}\n'
        done = kv(server.port, "import", "-", stdin=lines)
        assert done.returncode == 1
        assert done.stderr.startswith("line 2: JSON is malformed")
        assert done.stderr.endswith("2 keys imported, 1 lines refused\n")
        done = kv(server.port, "import", "--strict", "-", stdin=lines)
        assert done.returncode == 1
        assert done.stderr.endswith("stopped after line 1: 1 keys imported, 1 lines refused\n")

    def test_an_interrupted_import_says_how_far_it_came(self, server: Server) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "entrypoints.client", "--port", str(server.port), "import", "-"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
        )
        with process:
            assert process.stdin
            assert process.stderr
            process.stdin.write(b"".join(b'{"key":"%d","value":1}\n' % n for n in range(5000)))
            process.stdin.flush()
            end = time.monotonic() + TIMEOUT
            while kv(server.port, "count").stdout == "0\n":
                assert time.monotonic() < end
            process.send_signal(signal.SIGINT)
            said = process.stderr.read().decode()
            assert process.wait(TIMEOUT) == 1
        assert said.startswith("stopped after line ")
        assert " keys imported" in said

    def test_without_a_server_it_is_said_how_far_it_came(self, tmp_path: Path) -> None:
        path = tmp_path / "some.jsonl"
        path.write_text('{"key":"a","value":1}\n')
        done = kv(1, "import", str(path))
        assert done.returncode == 3
        assert done.stderr.startswith("stopped after line 0: 0 keys imported\nUNAVAILABLE")

    def test_what_is_no_gzip_file_is_one_clear_line(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "some.gz"
        path.write_text("plain")
        done = kv(server.port, "import", str(path))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr

    def test_on_a_terminal_there_is_a_bar(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "some.jsonl"
        path.write_text("".join(f'{{"key":"{n}","value":{n}}}\n' for n in range(3000)))
        with on_terminal(tmp_path, "--port", str(server.port), "import", str(path)) as terminal:
            lines = terminal.wait_for("3,000 keys imported")
        assert lines[0].startswith("importing ━━━")
        assert "3,000 keys" in lines[0]


class TestBench:
    def test_rates_percentiles_and_a_histogram(self, server: Server) -> None:
        arguments = ["--requests", "200", "--clients", "3", "--pipeline", "10"]
        for kind in ("get", "set", "incr", "ping"):
            done = kv(server.port, "bench", "--command", kind, *arguments)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(f"{kind.upper()}, 3 clients, 10 at a time")
            assert " requests a second" in done.stdout
        assert kv(server.port, "count").stdout == "0\n"

    def test_what_is_told_of_waits_that_are_known(self) -> None:
        waits = [0.001] * 90 + [0.004] * 9 + [0.5]
        lines = told(Measured(waits, seconds=2.0, requests=1000))
        assert lines[0] == "500 requests a second"
        text = "\n".join(lines)
        assert "50 %      1.000 ms" in text
        assert "90 %      4.000 ms" in text
        assert "100 %    500.000 ms" in text
        counts = [int(line.split()[-1]) for line in lines[-10:] if line.strip()]
        assert sum(counts) == 100
        assert counts[0] == 90


class TestMonitor:
    def test_in_a_pipe_it_prints_a_line_of_json_a_look(self, server: Server) -> None:
        done = kv(server.port, "monitor", "--interval", "0.05", "--count", "2")
        looks = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(looks) == 2
        assert all(look["clients"] >= 1 and look["memory"] > 0 for look in looks)

    def test_rates_and_ratios_are_those_between_two_looks(self) -> None:
        def report(hits: int, misses: int, gets: int) -> Dict[str, Any]:
            keyspace = {"keys": 5, "hits": hits, "misses": misses, "expired": 0, "evicted": 0}
            return {
                "keyspace": keyspace,
                "commands": {"GET": gets},
                "errors": {},
                "server": {"resident_memory": 1024, "connected_clients": 2},
            }

        figures = figures_between(report(10, 0, 100), report(40, 10, 200), seconds=2.0)
        assert (figures.requests, figures.hit_ratio, figures.keys) == (50.0, 0.75, 5)
        idle = figures_between(report(1, 1, 1), report(1, 1, 1), seconds=1.0)
        assert (idle.requests, idle.hit_ratio) == (0.0, None)

    def test_on_a_terminal_it_is_a_table_until_ctrl_c(self, server: Server, tmp_path: Path) -> None:
        arguments = ["--port", str(server.port), "monitor", "--interval", "0.05"]
        with on_terminal(tmp_path, *arguments) as terminal:
            lines = terminal.wait_for("evicted a second")
            assert any("requests a second" in line for line in lines)
            terminal.type("\x03")
            assert terminal.exit_status() == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_reads(shell: str) -> None:
    assert "_KV_COMPLETE" in kv(1, "completion", shell).stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("kv ge", ["get", "getset", "getdel"]),
        ("kv GETS", ["GETSET"]),
        ("kv ex", ["exists", "expire", "export"]),
        ("kv set --k", ["--keep-ttl"]),
    ],
)
def test_a_system_shell_completes_commands_and_options(words: str, offered: List[str]) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "kv")],
        env=environment(
            _KV_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
            PATH=os.environ["PATH"],
        ),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=TIMEOUT,
    )
    found = [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert sorted(found) == sorted(offered)
