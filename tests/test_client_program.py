"""The client as its users run it: one command, commands through a pipe, and at a prompt."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import List

import pytest
from click.testing import CliRunner

from application.commands import COMMANDS, name_of
from entrypoints.client.__main__ import main as program
from tests.support import Server, kv, running_server


class TestOneCommand:
    def test_results_are_json(self, server: Server) -> None:
        assert kv(server.port, "SET", "greeting", '"hello"').stdout == "true\n"
        assert kv(server.port, "GET", "greeting").stdout == '"hello"\n'
        assert kv(server.port, "mset", "a", "1", "b", '{"x":[null]}').stdout == "true\n"
        assert json.loads(kv(server.port, "mget", "b", "a", "no").stdout) == {
            "a": 1,
            "b": {"x": [None]},
        }
        assert kv(server.port, "DELETE", "a").stdout == "true\n"
        assert kv(server.port, "flush").stdout == "2\n"
        assert kv(server.port, "ping").stdout == '"PONG"\n'

    def test_what_can_be_left_out_is_an_option(self, server: Server) -> None:
        for typed, printed in [
            (["set", "n", "5", "--ttl", "60", "--if", "absent"], "true\n"),
            (["set", "n", "6", "--if", "absent"], "false\n"),
            (["set", "n", "7", "--if-equals", "5.0", "--keep-ttl"], "true\n"),
            (["incr", "n", "--by", "-0.5"], "6.5\n"),
            (["persist", "n"], "true\n"),
            (["ttl", "n"], "null\n"),
            (["scan", "--prefix", "n", "--limit", "5"], '{"keys":["n"],"cursor":null}\n'),
            (["batch", '[{"type":"GET","key":"n"}]'], '[{"ok":true,"result":6.5}]\n'),
            (["expire", "n", "0.001"], "true\n"),
        ]:
            ended = kv(server.port, *typed)
            assert (ended.stdout, ended.stderr) == (printed, "")

    @pytest.mark.parametrize(
        ("typed", "says"),
        [
            (["set", "n", "1", "--ttl", "soon"], "--ttl"),
            (["set", "n", "1", "--if", "maybe"], "--if"),
            (["incr", "n", "--by", "x"], "--by"),
            (["expire", "n", "x"], "TTL"),
            (["batch", '[{"type":"NOPE"}]'], "COMMANDS"),
        ],
    )
    def test_an_option_that_makes_no_sense_is_named(self, typed: List[str], says: str) -> None:
        ended = kv(1, *typed)
        assert ended.returncode == 2
        assert f"'{says}'" in ended.stderr

    def test_a_missing_key_is_told_apart_from_null(self, server: Server) -> None:
        kv(server.port, "SET", "null", "null")
        null, missing = kv(server.port, "GET", "null"), kv(server.port, "GET", "no")
        assert (null.returncode, null.stdout) == (0, "null\n")
        assert (missing.returncode, missing.stdout) == (0, "\n")

    @pytest.mark.parametrize(
        ("typed", "stored"),
        [
            ("hello world", "hello world"),
            ('"5"', "5"),
            ("5", 5),
            ("-5", -5),
            ("NaN", "NaN"),
            ("{broken", "{broken"),
            ('{"a":\n[1]}', {"a": [1]}),
            ("Ünïcödé", "Ünïcödé"),
            ("", ""),
        ],
    )
    def test_a_value_that_is_not_json_is_a_string(
        self, server: Server, typed: str, stored: object
    ) -> None:
        assert kv(server.port, "SET", "k", typed).returncode == 0
        assert json.loads(kv(server.port, "GET", "k").stdout) == stored

    def test_a_refusal_is_exit_code_1_with_its_code(self, server: Server) -> None:
        ended = kv(server.port, "SET", "k", "1e999")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("BAD_REQUEST: ")

    @pytest.mark.parametrize(
        "typed", [["GET"], ["GET", "a", "b"], ["MSET", "a"], ["MGET"], ["GTE", "a"], ["--nope"]]
    )
    def test_what_is_not_understood_is_exit_code_2(self, server: Server, typed: List[str]) -> None:
        ended = kv(server.port, *typed)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Error: " in ended.stderr

    def test_a_command_that_is_not_there_is_answered_with_the_closest(self) -> None:
        assert "the closest is GET" in kv(1, "GTE", "a").stderr

    def test_no_server_is_exit_code_3(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        ended = kv(port, "PING")
        assert (ended.returncode, ended.stdout) == (3, "")
        assert ended.stderr == f"UNAVAILABLE: 127.0.0.1:{port}: Connection refused\n"

    def test_help_has_every_commands_docstring_and_the_rule_for_values(self) -> None:
        shown = kv(1, "--help").stdout
        assert "A VALUE that is JSON is stored as it is" in " ".join(shown.split())
        for kind in COMMANDS:
            assert f"  {name_of(kind)} " in shown
            told = CliRunner().invoke(program, [name_of(kind), "--help"]).output
            assert " ".join(str(kind.__doc__).split()) in " ".join(told.split())


class TestPipe:
    def test_runs_a_command_a_line(self, server: Server) -> None:
        ended = kv(
            server.port,
            stdin='SET "my key" {"a": "b c"}\n\nGET "my key"\nget missing\nset s \'"5"\'\nGET s\n',
        )
        assert ended.stdout == 'true\n{"a": "b c"}\n\ntrue\n"5"\n'
        assert (ended.returncode, ended.stderr) == (0, "")

    def test_tells_which_line_failed_and_goes_on(self, server: Server) -> None:
        ended = kv(server.port, stdin="BAD\nSET k 1e999\nSET k\nPING\n")
        assert ended.stdout == '"PONG"\n'
        assert [line.split(":")[0] for line in ended.stderr.splitlines()] == [
            "line 1",
            "line 2",
            "line 3",
        ]
        assert ended.returncode == 2

    def test_stops_when_there_is_no_server(self) -> None:
        ended = kv(1, stdin="PING\nPING\n")
        assert ended.returncode == 3
        assert ended.stderr.count("UNAVAILABLE") == 1


class TestWhere:
    """The server's address, as options, in one, or in the environment."""

    def test_an_address_in_one(self, server: Server) -> None:
        url = f"kv://127.0.0.1:{server.port}"
        assert kv(0, "--url", url, "ping").stdout == '"PONG"\n'
        assert kv(0, "ping", KV_URL=url).stdout == '"PONG"\n'

    def test_what_is_typed_wins_over_the_environment(self, server: Server) -> None:
        assert kv(server.port, "ping", KV_URL="kv://127.0.0.1:1").stdout == '"PONG"\n'
        typed = ["--url", f"kv://127.0.0.1:{server.port}"]
        assert kv(0, *typed, "ping", KV_PORT="1").stdout == '"PONG"\n'

    @pytest.mark.parametrize("url", ["127.0.0.1", "http://h", "kv://h/path", "kv://h:99999"])
    def test_an_address_that_is_none_is_named(self, url: str) -> None:
        ended = kv(0, "--url", url, "ping")
        assert ended.returncode == 2
        assert "--url" in ended.stderr

    def test_a_password_from_a_file_an_address_or_the_environment(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("open sesame\n")
        with running_server("--password-file", str(secret)) as server:
            assert kv(server.port, "ping").stderr.startswith("UNAUTHENTICATED")
            assert kv(server.port, "--password-file", str(secret), "ping").returncode == 0
            assert kv(server.port, "ping", KV_PASSWORD="open sesame").returncode == 0
            url = f"kv://:open%20sesame@127.0.0.1:{server.port}"
            assert kv(0, "--url", url, "ping").returncode == 0
            wrong = kv(server.port, "ping", KV_PASSWORD="wrong")
            assert wrong.returncode == 1
            assert "wrong" not in wrong.stdout + wrong.stderr.replace("wrong password", "")
