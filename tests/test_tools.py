"""The client's tools: export and import, bench, monitor and completion."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple, Type, Union

import click
import msgspec
import pytest
from click.shell_completion import ShellComplete
from msgspec import Raw
from rich.console import ConsoleDimensions

from adapters.client.loopback import Loopback
from application.commands import Command, Count, Get, GetTtl, MGet, Set
from application.limits import DEFAULTS
from application.ports import Pipelined
from domain.errors import BadRequest, TimedOut, TooLarge, Unavailable, Unreachable
from domain.memory import InMemoryStore
from entrypoints.client.__main__ import main as program
from entrypoints.client.palette import console
from entrypoints.client.target import Target
from entrypoints.client.tools.bench import Measured, lines_of
from entrypoints.client.tools.bulk import CHUNK_LINES, Import, exported
from entrypoints.client.tools.completion import replacement
from entrypoints.client.tools.monitor_view import lasting, sparkline, view
from entrypoints.client.tools.sample import Lost, Sample, looks, sample
from entrypoints.client.tools.transfer import executor_on, written
from tests.support import (
    ROOT,
    TIMEOUT,
    Clock,
    Server,
    environment,
    kv,
    loopback,
    running_server,
    said_until_ended,
)
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
    def test_an_import_stores_values_and_ttls(self) -> None:
        executor, job, wrong = imported(
            [b'{"key":"a","value":{"x":[1]}}\n', b"\n", b'{"key":"b","value":null,"ttl":50}\n']
        )
        assert executor.execute(Get("a")) == b'{"x":[1]}'
        assert executor.execute(GetTtl("b")) == 50
        assert (job.stored, job.refused, job.dealt_with, wrong) == (2, 0, 3, [])

    def test_the_last_of_two_imported_lines_with_one_key_counts(self) -> None:
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
    def test_a_bad_line_is_reported_by_its_number_and_the_others_are_stored(
        self, bad: bytes
    ) -> None:
        good = [b'{"key":"%d","value":%d}\n' % (number, number) for number in range(4)]
        executor, job, wrong = imported([*good[:2], bad, *good[2:]])
        assert [number for number, _ in wrong] == [3]
        assert executor.execute(Count()) == job.stored == 4
        assert job.dealt_with == 5

    def test_an_import_of_several_chunks_is_stored_in_order(self) -> None:
        lines = [b'{"key":"%d","value":%d}\n' % (n % 1500, n) for n in range(3 * CHUNK_LINES)]
        executor, job, _ = imported(lines)
        assert executor.execute(Count()) == 1500
        assert executor.execute(Get("1499")) == b"2999"
        assert job.stored == job.dealt_with == 3 * CHUNK_LINES

    @pytest.mark.parametrize("member", ["", ',"ttl":50'])
    @pytest.mark.parametrize(
        ("failure", "unconfirmed"),
        [
            (KeyboardInterrupt(), 1000),
            (Unavailable("the connection was lost"), 1000),
            (TimedOut("no reply"), 1000),
            (Unreachable("no connection"), 0),
        ],
    )
    def test_a_stopped_import_tells_what_is_confirmed_from_what_was_sent(
        self, member: str, failure: BaseException, unconfirmed: int
    ) -> None:
        executor = loopback(Clock())

        class Failing(Pipelined):
            calls = 0

            def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
                self.calls += bool(commands)
                if self.calls > 2:
                    raise failure
                return executor.execute_all(commands)

            def close(self) -> None: ...

        job = Import(Failing(), lambda number, why: None)
        lines = [f'{{"key":"{n}","value":1{member}}}\n'.encode() for n in range(5 * CHUNK_LINES)]
        with pytest.raises(type(failure)):
            for _ in job.run(lines):
                pass
        assert (job.dealt_with, job.stored, job.unconfirmed) == (2000, 2000, unconfirmed)
        more = "; up to 1,000 more may be stored" if unconfirmed else ""
        assert job.tally_when_stopped() == "2,000 keys imported" + more

    def test_what_a_strict_import_stored_beside_a_refused_line_is_counted(self) -> None:
        def stop(number: int, why: str) -> None:
            raise click.Abort

        executor = loopback(Clock())
        job = Import(executor, stop)
        lines = [f'{{"key":"{ttl}","value":1,"ttl":{ttl}}}\n'.encode() for ttl in (1, -1, 2, 3)]
        with pytest.raises(click.Abort):
            list(job.run(lines))
        assert job.tally_when_stopped() == "3 keys imported, 1 line refused"
        assert executor.execute(Count()) == 3


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

    def test_an_export_of_a_prefix_holds_its_keys_only(self) -> None:
        executor = loopback(Clock())
        for key in ("a:1", "a:2", "b:1"):
            executor.execute(Set(key, Raw(b"1")))
        lines = [json.loads(line) for page in exported(executor, "a:") for line in page]
        assert sorted(line["key"] for line in lines) == ["a:1", "a:2"]

    def test_an_export_holds_keys_with_long_escapes(self) -> None:
        keys = [f"{number:02}" + "\x01" * 60_000 for number in range(8)]
        lines = [msgspec.json.encode({"key": key, "value": 1}) + b"\n" for key in keys]
        executor, _, _ = imported(lines)
        assert sorted(line for page in exported(executor) for line in page) == sorted(lines)

    def test_values_too_large_for_one_reply_are_exported_one_by_one(self) -> None:
        executor = loopback()

        class Small:
            execute = executor.execute
            execute_in_steps = executor.execute_in_steps
            execute_run = executor.execute_run
            settle = executor.settle
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

    @pytest.mark.parametrize("kinds", [(MGet, GetTtl), (GetTtl,)])
    def test_a_refused_read_ends_an_export_with_its_error(
        self, kinds: Tuple[Type[Command[Any]], ...]
    ) -> None:
        executor = loopback()

        class Refusing(Pipelined):
            def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
                outcomes = executor.execute_all(commands)
                return [
                    BadRequest("a key is over 10 bytes") if isinstance(command, kinds) else outcome
                    for command, outcome in zip(commands, outcomes)
                ]

            def close(self) -> None: ...

        executor.execute(Set("k", Raw(b"1")))
        with pytest.raises(BadRequest):
            list(exported(Refusing()))

    def test_keys_and_values_beyond_the_default_bounds_are_exported_without_a_server(self) -> None:
        store = InMemoryStore(Clock())
        key, value = b"k" * 70_000, b'"%b"' % (b"v" * DEFAULTS.max_reply_bytes)
        store.set(key.decode(), value)
        ((line,),) = exported(executor_on(store))
        assert line == b'{"key":"%b","value":%b}\n' % (key, value), f"{len(line)} bytes"


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
        assert done.stderr.endswith("2 keys imported, 1 line refused\n")
        done = kv(server.port, "import", "--strict", "-", stdin=lines)
        assert done.returncode == 1
        assert done.stderr.endswith("stopped after line 1: 1 key imported, 1 line refused\n")

    @pytest.mark.parametrize(
        "line", ['{"key":"a","value":1,"%s":1}', '{"%s":1}', '{"key":"a","value":1,"ttl":"%s"}']
    )
    def test_an_import_quotes_the_beginning_of_what_is_long(
        self, server: Server, line: str
    ) -> None:
        done = kv(server.port, "import", "-", stdin=line % ("x" * 80_000))
        assert (done.returncode, len(done.stderr) < 200) == (1, True)

    def test_a_line_with_a_ttl_that_no_key_has_is_refused(self, server: Server) -> None:
        lines = '{"key":"a","value":1,"ttl":1e17}\n{"key":"b","value":2,"ttl":1000}\n'
        done = kv(server.port, "import", "-", stdin=lines)
        assert done.returncode == 1
        assert done.stderr.startswith("line 1: `ttl` must be a number of seconds above 0, at most ")
        assert done.stderr.endswith("1 key imported, 1 line refused\n")

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
            assert process.wait(TIMEOUT) == 130
        found = re.fullmatch(
            r"stopped after line ([\d,]+): ([\d,]+) keys imported(?:; up to 1,000 more .*)?\n", said
        )
        assert found, said
        assert found[1] == found[2]
        imported = int(found[2].replace(",", ""))
        unconfirmed = 1000 if "may be stored" in said else 0
        assert 0 <= int(kv(server.port, "count").stdout) - imported <= unconfirmed

    def test_an_import_without_a_server_says_how_far_it_came(self, tmp_path: Path) -> None:
        path = tmp_path / "some.jsonl"
        path.write_text('{"key":"a","value":1}\n')
        done = kv(1, "import", str(path))
        assert done.returncode == 3
        assert done.stderr.startswith("stopped after line 0: 0 keys imported\nUNAVAILABLE")

    def test_a_byte_order_mark_and_line_ends_of_windows_are_skipped(self, server: Server) -> None:
        lines = '\ufeff{"key":"a","value":1}\r\n\r\n{"key":"b","value":2}\r\n'
        done = kv(server.port, "import", "-", stdin=lines)
        assert (done.returncode, done.stderr) == (0, "2 keys imported\n")

    def test_a_file_in_another_encoding_is_named(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "some.jsonl"
        path.write_bytes('{"key":"a","value":1}\n'.encode("utf-16"))
        done = kv(server.port, "import", str(path))
        assert (done.returncode, "is UTF-16" in done.stderr) == (1, True)

    @pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz"])
    @pytest.mark.parametrize("arguments", [[], ["--prefix", "a"]])
    def test_an_export_without_a_server_leaves_the_old_file(
        self, tmp_path: Path, name: str, arguments: List[str]
    ) -> None:
        path = tmp_path / name
        path.write_text("old")
        done = kv(1, "export", *arguments, str(path))
        assert done.returncode == 3
        assert f"stopped after 0 keys; {path} is as it was" in done.stderr
        assert (path.read_text(), os.listdir(tmp_path)) == ("old", [name])

    @pytest.mark.parametrize(
        "failure", [KeyboardInterrupt(), OSError(28, "No space left on device"), SystemExit(143)]
    )
    def test_an_export_that_fails_half_way_leaves_the_old_file(
        self, tmp_path: Path, failure: BaseException
    ) -> None:
        path = tmp_path / "all.jsonl.gz"
        path.write_text("old")
        with contextlib.suppress(type(failure)), written(str(path)) as out:
            out.write(b"new" * 100_000)
            raise failure
        assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["all.jsonl.gz"])

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
    )
    def test_a_signal_during_an_export_leaves_the_old_file(
        self, tmp_path: Path, number: int, code: int
    ) -> None:
        path = tmp_path / "all.jsonl"
        path.write_text("old")
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = str(silent.getsockname()[1])
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "entrypoints.client", "--port", port),
                    *("export", "--prefix", "a", str(path)),
                ],
                stderr=subprocess.PIPE,
                cwd=ROOT,
                env=environment(),
            )
            with process, silent.accept()[0] as connection:
                connection.recv(1)
                assert len(os.listdir(tmp_path)) == 2
                said = said_until_ended(process, number)
        assert (process.returncode, b"Traceback" in said) == (code, False)
        assert (path.read_text(), os.listdir(tmp_path)) == ("old", ["all.jsonl"])

    def test_an_export_is_for_its_owner_alone_and_follows_a_link(
        self, server: Server, tmp_path: Path
    ) -> None:
        kv(server.port, "set", "a", "1")
        (tmp_path / "there").write_text("old")
        (tmp_path / "there").chmod(0o644)
        (tmp_path / "link").symlink_to("there")
        assert kv(server.port, "export", str(tmp_path / "link")).stderr == "1 key exported\n"
        assert (tmp_path / "link").is_symlink()
        assert "old" not in (tmp_path / "there").read_text()
        assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o600

    def test_a_device_is_written_to_and_a_missing_folder_is_named(self, server: Server) -> None:
        assert kv(server.port, "export", "/dev/null").returncode == 0
        assert not os.path.isfile("/dev/null")
        done = kv(server.port, "export", "/nowhere/all.jsonl")
        assert (done.returncode, "No such file" in done.stderr) == (1, True)

    def test_an_export_without_keys_says_so(self, server: Server, tmp_path: Path) -> None:
        said = kv(server.port, "export", str(tmp_path / "none")).stderr
        assert said == "the server has no keys\n0 keys exported\n"

    def test_an_export_says_how_many_keys_of_other_databases_it_left_out(
        self, server: Server
    ) -> None:
        assert server.ask(b"SELECT 3\r\nSET three 3\r\n") == b"+OK\r\n+OK\r\n"
        done = kv(server.port, "export", "-")
        said = "left out: 1 key of databases other than 0\n0 keys exported\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
        kv(server.port, "set", "zero", "0")
        done = kv(server.port, "export", "--prefix", "z", "-")
        assert (done.returncode, done.stderr) == (0, "1 key exported\n")

    def test_a_file_that_is_no_gzip_file_is_reported_in_one_line(
        self, server: Server, tmp_path: Path
    ) -> None:
        path = tmp_path / "some.gz"
        path.write_text("plain")
        done = kv(server.port, "import", str(path))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr

    def test_a_terminal_shows_a_progress_bar(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "some.jsonl"
        path.write_text("".join(f'{{"key":"{n}","value":{n}}}\n' for n in range(3000)))
        with on_terminal(tmp_path, "--port", str(server.port), "import", str(path)) as terminal:
            lines = terminal.wait_for("3,000 keys imported")
        assert lines[0].startswith("importing ━━━")
        assert "3,000 keys" in lines[0]


def pings(server: Server) -> int:
    reply = json.loads(server.ask(b'{"type":"INFO"}\n'))
    return int(reply["result"]["commands"].get("PING", 0))


class TestBench:
    def test_rates_percentiles_and_a_histogram(self, server: Server) -> None:
        arguments = ["--requests", "200", "--clients", "3", "--pipeline", "10"]
        for kind in ("get", "set", "incr", "ping"):
            done = kv(server.port, "bench", "--command", kind, *arguments)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(f"{kind.upper()}, 200 requests, 3 clients, 10 at a time")
            assert " requests a second" in done.stdout
        assert kv(server.port, "count").stdout == "0\n"

    def test_a_bench_whose_values_do_not_fit_measures_nothing(self) -> None:
        with running_server("--max-memory", "100kb") as server:
            done = kv(server.port, "bench", "-n", "20", "--size", "1000")
        assert (done.returncode, done.stdout) == (1, "")
        assert "max_memory" in done.stderr

    def test_a_bench_in_a_pipe_prints_json(self, server: Server) -> None:
        done = kv(server.port, "--json", "bench", "-n", "20", "-c", "2")
        assert json.loads(done.stdout)["requests"] == 20
        assert json.loads(kv(server.port, "bench", "-n", "20", "-j").stdout)["waits"]["50"] > 0

    @pytest.mark.parametrize(
        ("arguments", "requests", "said"),
        [
            (["-n", "10", "-c", "3", "-P", "4"], 10, "10 requests, 3 clients, 4 at a time"),
            (["-n", "1", "-c", "5"], 1, "1 request, 1 client, 1 at a time, values of 20 bytes"),
            (
                ["-n", "7", "-P", "1000", "--size", "1"],
                7,
                "1 client, 7 at a time, values of 1 byte",
            ),
        ],
    )
    def test_a_bench_sends_as_many_requests_as_it_was_told(
        self, server: Server, arguments: List[str], requests: int, said: str
    ) -> None:
        assert said in kv(server.port, "bench", "--command", "ping", *arguments).stdout
        before = pings(server)
        told = json.loads(kv(server.port, "-j", "bench", "--command", "ping", *arguments).stdout)
        assert told["requests"] == pings(server) - before == requests

    def test_a_bench_says_when_the_client_is_the_limit(self) -> None:
        busy = "\n".join(lines_of(Measured([0.001], 1.0, 1000, busy=0.98)))
        assert "busy 98% of the time and is itself the limit" in busy
        assert "--pipeline 50" in busy
        assert "limit" not in "\n".join(lines_of(Measured([0.001], 1.0, 1000, busy=0.3)))

    def test_an_interruption_removes_its_keys(self, server: Server) -> None:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "entrypoints.client", "--port", str(server.port)),
                *("bench", "-n", "100000000"),
            ],
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
        )
        with process:
            end = time.monotonic() + TIMEOUT
            while kv(server.port, "count").stdout == "0\n":
                assert time.monotonic() < end
            said = said_until_ended(process)
        assert (process.returncode, b"Traceback" in said) == (130, False)
        assert kv(server.port, "count").stdout == "0\n"

    def test_a_bench_prints_known_waits(self) -> None:
        waits = [0.001] * 90 + [0.004] * 9 + [0.5]
        lines = lines_of(Measured(waits, seconds=2.0, requests=1000))
        assert lines[0] == "500 requests a second"
        text = "\n".join(lines)
        assert "50 %      1.000 ms" in text
        assert "90 %      1.000 ms" in text
        assert "99 %      4.000 ms" in text
        assert "100 %    500.000 ms" in text
        counts = [int(line.split()[-1]) for line in lines if " ms  " in line]
        assert sum(counts) == 100
        assert counts[0] == 90


class TestMonitor:
    @pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "3601"])
    def test_an_interval_that_makes_no_sense_is_refused(self, value: str) -> None:
        done = kv(1, "monitor", "--interval", value)
        assert done.returncode == 2
        assert value in done.stderr

    def test_a_monitor_in_a_pipe_prints_a_json_line_per_sample(self, server: Server) -> None:
        done = kv(server.port, "monitor", "--interval", "0.05", "--count", "2")
        seen = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(seen) == 2
        assert all(look["memory"] > 0 and look["uptime"] > 0 for look in seen)

    def test_rates_and_ratios_are_between_two_samples_without_the_monitors_own_requests(
        self,
    ) -> None:
        now = sample(report(10, 0, 100, 7), report(40, 10, 200, 8), seconds=2.0)
        assert (now.requests, now.hit_ratio, now.keys, now.clients) == (50.0, 0.75, 5, 1)
        assert now.commands == {"GET": 50.0}
        idle = sample(report(1, 1, 1), report(1, 1, 1), seconds=1.0)
        assert (idle.requests, idle.hit_ratio, idle.commands) == (0.0, None, {})

    def test_a_server_that_goes_away_is_waited_for(self) -> None:
        reports = [Unavailable("gone"), Unavailable("gone"), report(0, 0, 5), report(0, 0, 9)]
        seen = list(self.looks(reports, 4))
        assert [type(look) for look in seen] == [Lost, Lost, Sample]
        assert isinstance(seen[2], Sample)
        assert seen[2].requests == 2.0

    def test_a_restarted_server_is_measured_from_its_start(self) -> None:
        seen = list(self.looks([report(0, 0, 1, uptime=3.0), report(0, 0, 5, uptime=5.0)], 2))
        assert [type(look) for look in seen] == [Sample]
        assert isinstance(seen[0], Sample)
        assert seen[0].requests == 2.0

    def looks(self, reports: List[Any], count: int) -> Iterator[Union[Sample, Lost]]:
        clock = Clock()
        answers = iter(reports)

        class Answering(Pipelined):
            def execute(self, command: Command[Any]) -> Any:
                answer = next(answers)
                if isinstance(answer, Exception):
                    raise answer
                return answer

            def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
                return list(map(self.execute, commands))

            def close(self) -> None:
                pass

        def wait(seconds: float) -> bool:
            clock.now += seconds
            return False

        server = Answering()
        target = Target("here", server, lambda: server, lambda _: None)
        return looks(target, report(0, 0, 0, uptime=9.0), 2.0, count, wait, clock)

    @pytest.mark.parametrize("width", [40, 80, 200])
    @pytest.mark.parametrize("lost", ["", "127.0.0.1:7379: gone"])
    def test_the_view_fits_the_screen(self, width: int, lost: str) -> None:
        commands = {f"COMMAND{number}": 1e6 / number for number in range(1, 20)}
        look = sample(report(1, 1, 1), report(2, 1, 3), 1.0)._replace(
            commands=commands, stored=60 << 20, max_memory=64 << 20, keys=10**9, requests=1e6
        )
        screen = console(file=io.StringIO())
        screen.size = ConsoleDimensions(width, 24)
        with screen.capture() as captured:
            screen.print(view(look, [1.0] * 300, "127.0.0.1:7379", width, lost), soft_wrap=False)
        lines = captured.get().splitlines()
        assert len(lines) <= 24 + (8 if width < 70 else 0)
        assert max(map(len, lines)) <= width
        text = "\n".join(lines)
        for shown in ("1,000,000,000", "60.0 MiB of 64.0 MiB", "94%", "COMMAND1 / s", "others / s"):
            assert shown in text
        assert ("no connection, waiting: gone" in text) is bool(lost)

    def test_the_past_is_drawn_to_the_scale_of_its_highest(self) -> None:
        assert sparkline([0, 1, 4, 8], 3) == "▂▅█"
        assert sparkline([0, 0], 10) == "▁▁"
        assert sparkline([], 10) == ""

    @pytest.mark.parametrize(
        ("seconds", "said"), [(0.5, "0s"), (59, "59s"), (3600, "1h 0m"), (90_061, "1d 1h")]
    )
    def test_an_uptime_has_two_units(self, seconds: float, said: str) -> None:
        assert lasting(seconds) == said

    @pytest.mark.parametrize("key", ["\x03", "q"])
    def test_a_monitor_on_a_terminal_shows_a_view_until_ctrl_c_or_q(
        self, server: Server, tmp_path: Path, key: str
    ) -> None:
        arguments = ["--port", str(server.port), "monitor", "--interval", "0.05"]
        with on_terminal(tmp_path, *arguments) as terminal:
            lines = terminal.wait_for("evicted / s")
            assert any("requests a second" in line for line in lines)
            terminal.type(key)
            assert terminal.exit_status() == 0

    def test_a_monitor_on_a_narrow_terminal_says_the_whole_reason_of_a_lost_connection(
        self, tmp_path: Path
    ) -> None:
        with running_server() as server:
            arguments = ["--port", str(server.port), "monitor", "--interval", "0.05"]
            with on_terminal(tmp_path, *arguments, columns=40) as terminal:
                terminal.wait_for("evicted / s")
                server.stop()
                terminal.wait_for("no connection, waiting: Connection\nrefused\n")

    @pytest.mark.parametrize("term", ["dumb", "unknown"])
    def test_a_monitor_on_a_terminal_without_cursor_control_prints_lines(
        self, server: Server, tmp_path: Path, term: str
    ) -> None:
        arguments = ["--port", str(server.port), "monitor", "--interval", "0.05", "--count", "1"]
        with on_terminal(tmp_path, *arguments, TERM=term) as terminal:
            assert terminal.wait_for('{"requests":')[0].startswith('{"requests":')
            assert terminal.exit_status() == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_monitor_that_a_signal_ends_restores_the_terminal(
        self, server: Server, tmp_path: Path, number: int
    ) -> None:
        arguments = ["--port", str(server.port), "monitor", "--interval", "0.05"]
        with on_terminal(tmp_path, *arguments) as terminal:
            terminal.wait_for("evicted / s")
            terminal.child.kill(number)
            assert terminal.exit_status() == 143
            assert "\x1b[?1049l" in str(terminal.child.before)


def report(
    hits: int, misses: int, gets: int, infos: int = 1, uptime: float = 10.0
) -> Dict[str, Any]:
    return {
        "keyspace": {"keys": 5, "hits": hits, "misses": misses, "expired": 0, "evicted": 0},
        "commands": {"GET": gets, "INFO": infos},
        "errors": {},
        "server": {
            "resident_memory": 1024,
            "connected_clients": 2,
            "uptime": uptime,
            "version": "1.2.3",
        },
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_shell_script(shell: str) -> None:
    assert "_KV_COMPLETE" in kv(1, "completion", shell).stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("kv ge", ["get", "getset", "getdel"]),
        ("kv GETS", ["GETSET"]),
        ("kv ex", ["exists", "expire", "export"]),
        ("kv set --k", ["--keep-ttl"]),
        ("kv gte x", []),
        ("kv get user:", ["user:1", r"user:\ with\ a\ space"]),
        ("kv mget n us", ["user:1", r"user:\ with\ a\ space"]),
        ("kv --port 1 get us", []),
    ],
)
def test_a_system_shell_completes_commands_options_and_keys(
    server: Server, words: str, offered: List[str]
) -> None:
    kv(server.port, "mset", "user:1", "1", "n", "2", "user: with a space", "3")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "kv")],
        env=environment(
            _KV_COMPLETE="bash_complete",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
            PATH=os.environ["PATH"],
            KV_PORT=str(server.port),
        ),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=TIMEOUT,
    )
    assert done.stderr == ""
    found = [line.partition(",")[2] for line in done.stdout.splitlines() if line]
    assert sorted(found) == sorted(offered)


def test_a_system_shell_is_told_the_whole_first_sentence_of_a_commands_help() -> None:
    (offered,) = program.shell_complete(click.Context(program), "mdel")
    assert (offered.value, offered.help) == ("mdelete", "Remove many keys")
    (offered,) = program.shell_complete(click.Context(program), "BAT")
    assert offered.help == "Run commands all or nothing: if one is refused, none has had an effect"


def test_a_system_shell_completes_files_where_a_value_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.json", "a.json", ".hidden"):
        (tmp_path / name).touch()
    complete = ShellComplete(program, {}, "kv", "_KV_COMPLETE")
    for typed in (["set", "k"], ["set", "k", "1", "--if-equals"]):
        found = complete.get_completions(typed, "@")
        assert [item.value for item in found] == ["@a.json", "@b.json"]


def test_bash_completes_words_with_a_colon(server: Server) -> None:
    kv(server.port, "mset", "user:ada:1", "1", "user:bob:2", "2")
    assert completed(server, ["kv get us", "kv get user:", "kv get user:ada:"]) == [
        ["user:ada:1", "user:bob:2"],
        ["ada:1", "bob:2"],
        ["1"],
    ]


ODD_KEYS = [
    "my key",
    "a$HOME",
    "it's",
    'say "hi"',
    "back\\slash",
    "a*b?",
    "~root",
    "#1",
    "é ü",
    "a;b&c",
]


@pytest.mark.parametrize("key", [*ODD_KEYS, "a:b c", "x=1 2", "wow!"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_bash_reads_a_completed_key_back_as_that_key(key: str, quote: str) -> None:
    for typed in range(len(key)):
        begun = _written(key[:typed], quote)
        text = replacement(key, begun, ":=")
        if text is None:
            assert (quote, "!" in key) == ('"', True)
            continue
        kept = quote or begun[: max(map(begun.rfind, ":=")) + 1]
        line = f"printf %s {kept}{text}{quote}"
        assert subprocess.check_output(["bash", "-c", line], text=True) == key


def _written(word: str, quote: str) -> str:
    """The beginning of a word as it is typed."""
    if quote == "'":
        return "'" + word.partition("'")[0]
    special = '$`"\\' if quote else " $`\"\\'*?~#;&!"
    return quote + "".join(f"\\{letter}" if letter in special else letter for letter in word)


def test_bash_is_offered_keys_that_need_quotes(server: Server) -> None:
    kv(server.port, "mset", "my key:1", "1", "my key:2", "2", "my $", "3")
    assert completed(server, ["kv get my", r"kv get my\ k", 'kv get "my ', "kv get 'my k"]) == [
        [r"my\ \$", r"my\ key:1", r"my\ key:2"],
        [r"my\ key:1", r"my\ key:2"],
        [r"my \$", "my key:1", "my key:2"],
        ["my key:1", "my key:2"],
    ]
    assert completed(server, [r"kv get my\ key:", "kv get 'x'y"]) == [["1", "2"], [""]]


def completed(server: Server, lines: List[str]) -> List[List[str]]:
    """What bash is given in the place of the last word of each line."""
    script = r"""
        eval "$(kv completion bash)"
        COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
        for COMP_LINE; do
            COMP_POINT=${#COMP_LINE} COMPREPLY=()
            _kv_completion kv
            (IFS=$'\t'; echo "${COMPREPLY[*]}")
        done
    """
    scripts = str(Path(sys.executable).parent)
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script, "bash", *lines],
        env=environment(KV_PORT=str(server.port), PATH=path),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=TIMEOUT,
    )
    assert done.stderr == ""
    return [line.split("\t") for line in done.stdout.splitlines()]
