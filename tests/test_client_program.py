"""The client as its users run it: one command, commands through a pipe, and at a prompt."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import List, Optional

import click
import pytest
from click.testing import CliRunner

from application.commands import COMMANDS, name_of
from entrypoints.client.__main__ import main as program
from entrypoints.client.durations import Duration
from tests.certificates import Files
from tests.support import ROOT, TIMEOUT, Server, environment, kv, running_server, said_until_ended


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

    def test_an_optional_member_is_an_option(self, server: Server) -> None:
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
            ("- bread with honey", "- bread with honey"),
            ("-hello", "-hello"),
            ("--bread", "--bread"),
            ('"Hello," she said', '"Hello," she said'),
            ("007", "007"),
            ("@", "@"),
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
        ("number", "says"),
        [
            ("1e400", "`value` holds a number beyond 1.8e308 (double precision)"),
            ("-1e400", "`value` holds a number beyond 1.8e308 (double precision)"),
            ("1" * 4001, "`value` holds an integer of more than 4000 digits"),
        ],
        ids=["large", "small", "long"],
    )
    def test_a_number_beyond_its_bounds_is_refused_with_the_bound_and_stored_as_text(
        self, server: Server, number: str, says: str
    ) -> None:
        said = kv(server.port, "SET", "k", number).stderr
        advice = "store it as a string; --string stores a VALUE as text"
        assert said == f"BAD_REQUEST: {says}; {advice}\n"
        assert kv(server.port, "SET", "k", number, "--string").stdout == "true\n"
        assert kv(server.port, "GET", "k", "--raw").stdout == f"{number}\n"

    @pytest.mark.parametrize(
        "typed",
        [
            ["GET"],
            ["GET", "a", "b"],
            ["MSET", "a"],
            ["MGET"],
            ["GTE", "a"],
            ["--nope"],
            ["SET", "k", "hello", "world"],
            ["SET", "k", "1", "--ttl"],
        ],
    )
    def test_a_usage_error_is_exit_code_2(self, server: Server, typed: List[str]) -> None:
        ended = kv(server.port, *typed)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Error: " in ended.stderr

    @pytest.mark.parametrize(
        ("typed", "says"),
        [
            (["GTE", "a"], "the closest is GET."),
            (["xyzzy"], "`kv --help` lists them all."),
            (["help", "xyzzy"], "`kv --help` lists them all."),
            (["quit"], "the shell ends with exit"),
            (["hgetall", "k"], "there are no lists, sets or hashes"),
            (["save"], "kv export FILE"),
            (["setex", "k", "1"], "SETEX is typed SETEX KEY SECONDS VALUE."),
            (["GET", "a", "b"], "MGET takes many keys"),
            (["SET", "k", "hello", "world"], "put quotes round a value with spaces"),
            (["SET", "k", "1", "ex", "5"], "for ex 5 say --ttl 5"),
            (["SET", "k", "1", "NX", "PX", "500"], "say --if absent and --ttl 500ms"),
            (["SET", "k", "1", "xx", "keepttl"], "say --if present and --keep-ttl"),
            (["SET", "k", "1", "ifeq", "0", "ex"], "say --if-equals 0 and --ttl N"),
            (["SET", "k", "1", "GET"], "for GET say GETSET"),
            (["SET", "k", "hello", "world", "ex", "5"], "put quotes round a value with spaces"),
            (["SCAN", "0", "MATCH", "a*", "COUNT", "9"], "how the keys begin and --limit 9"),
            (["GETEX", "k", "EX", "5"], "GET the value and EXPIRE the key"),
            (["SET", "k", "1", "--tll", "3"], "Did you mean '--ttl'?"),
        ],
    )
    def test_an_unknown_command_or_option_suggests_the_closest(
        self, typed: List[str], says: str
    ) -> None:
        said = " ".join(kv(1, *typed).stderr.split())
        assert says in said.replace("Did you mean --ttl?", "Did you mean '--ttl'?")

    def test_names_of_other_stores_that_mean_the_same_are_understood(self, server: Server) -> None:
        assert kv(server.port, "setex", "a", "60", "-x y").stdout == "true\n"
        typed = {
            "get a": '"-x y"',
            "setnx a 2": "false",
            "decr n": "-1",
            "incrby n -5": "-6",
            "dbsize": "2",
            "del a": "true",
            "del n a": "1",
            "flushall": "0",
        }
        printed = kv(server.port, stdin="\n".join(typed)).stdout
        assert dict(zip(typed, printed.splitlines())) == typed

    def test_no_server_is_exit_code_3(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        ended = kv(port, "PING")
        assert (ended.returncode, ended.stdout) == (3, "")
        assert ended.stderr == f"UNAVAILABLE: 127.0.0.1:{port}: Connection refused\n"

    def test_help_is_a_command_too(self) -> None:
        assert kv(1, "help").stdout == kv(1, "--help").stdout
        assert kv(1, "help", "get").stdout == kv(1, "GET", "--help").stdout
        assert kv(1, "help", "get").stdout.startswith("Usage: kv GET")

    def test_help_has_every_commands_docstring_and_the_rule_for_values(self) -> None:
        shown = kv(1, "--help").stdout
        assert "A VALUE that is JSON is stored as it is" in " ".join(shown.split())
        for kind in COMMANDS:
            assert f"  {name_of(kind)} " in shown
            told = CliRunner().invoke(program, [name_of(kind), "--help"]).output
            assert " ".join(str(kind.__doc__).split()) in " ".join(told.split())
        for group in ("One key:", "Many keys:", "Time to live:", "Server:", "Programs:"):
            assert group in shown
        assert "INTEGER RANGE" not in shown
        options = CliRunner().invoke(program, ["SET", "--help"]).output
        assert "--ttl DURATION" in options
        assert "Only when the key has this value." in options
        assert '$ kv SET user:1 \'{"name": "Ada"}\' --ttl 60' in options


class TestHowAResultIsPrinted:
    def test_raw_prints_a_string_without_quotes_and_other_values_unchanged(
        self, server: Server
    ) -> None:
        kv(server.port, "mset", "text", '"a\\n\\"b\\""', "document", '{"a":"b"}')
        assert kv(server.port, "--raw", "get", "text").stdout == 'a\n"b"\n'
        assert kv(server.port, "get", "text", "-r").stdout == 'a\n"b"\n'
        assert kv(server.port, "-r", "get", "document").stdout == '{"a":"b"}\n'

    @pytest.mark.parametrize("data", [b"", b"\xff\xfe\r\n", bytes(range(256))], ids=repr)
    def test_raw_writes_bytes_as_they_are(
        self, server: Server, tmp_path: Path, data: bytes
    ) -> None:
        path = tmp_path / "bytes.json"
        payload = base64.b64encode(data).decode()
        path.write_text(json.dumps({"$binary": {"base64": payload, "subType": "00"}}))
        kv(server.port, "set", "bytes", f"@{path}")
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "entrypoints.client", "--port", str(server.port)),
                *("--raw", "get", "bytes"),
            ],
            capture_output=True,
            cwd=ROOT,
            env=environment(),
            timeout=TIMEOUT,
        )
        assert (ended.stdout, ended.stderr) == (data, b"")
        assert kv(server.port, "get", "bytes").stdout.startswith('{"$binary"')

    @pytest.mark.parametrize("typed", ["-re get no", "get no -re", "get -er no", "get -rej no"])
    def test_flags_of_one_letter_are_typed_together(self, server: Server, typed: str) -> None:
        ended = kv(server.port, *typed.split())
        assert (ended.stdout, ended.stderr, ended.returncode) == ("\n", "", 4)

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ("-e get no", ""),
            ("ttl no --exit-status", ""),
            ("exists no -e", "false"),
            ("delete no -e", "false"),
            ("expire no 5 -e", "false"),
            ("set null 1 --if absent -e", "false"),
            ("mget no none -e", "{}"),
        ],
    )
    def test_a_missing_key_is_exit_code_4_with_exit_status(
        self, server: Server, typed: str, said: str
    ) -> None:
        kv(server.port, "mset", "null", "null", "false", "false", "empty", "{}", "zero", "0")
        ended = kv(server.port, *typed.split())
        assert (ended.returncode, ended.stdout) == (4, f"{said}\n")

    @pytest.mark.parametrize("key", ["null", "false", "empty", "zero"])
    def test_what_is_stored_is_there_with_exit_status(self, server: Server, key: str) -> None:
        kv(server.port, "mset", "null", "null", "false", "false", "empty", "{}", "zero", "0")
        assert kv(server.port, "get", key, "-e").returncode == 0

    @pytest.mark.parametrize(
        ("lines", "code"),
        [
            (["get no"], 4),
            (["get no", "ping"], 4),
            (["get null", "ping"], 0),
            (["get no", "incr null"], 1),
            (["incr null", "get no", "nothing"], 2),
        ],
    )
    def test_the_exit_code_of_a_pipe_is_that_of_its_worst_command(
        self, server: Server, lines: List[str], code: int
    ) -> None:
        kv(server.port, "set", "null", "null")
        assert kv(server.port, "-e", stdin="\n".join(lines)).returncode == code
        each = "\n".join(f"{line} -e" for line in lines)
        assert kv(server.port, stdin=each).returncode == code

    def test_a_line_of_a_pipe_that_begins_with_a_number_sign_is_a_comment(
        self, server: Server
    ) -> None:
        ended = kv(server.port, stdin="# it's {\n  # b\nset '#' 5\nget '#'\nget #\n#")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "true\n5\n5\n", "")

    def test_a_missing_key_in_a_pipe_is_exit_code_0_without_exit_status(
        self, server: Server
    ) -> None:
        assert kv(server.port, stdin="get no\n").returncode == 0

    def test_a_missing_password_is_reported_with_how_to_pass_one(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("open sesame\n")
        with running_server("--password-file", str(secret)) as server:
            assert "--password-file or --askpass" in kv(server.port, "ping").stderr
            asked = ["setsid", sys.executable, "-m", "entrypoints.client", "-W", "ping"]
            done = subprocess.run(
                asked, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT
            )
            assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)

    @pytest.mark.parametrize(
        ("reply", "says"),
        [
            (b"", "if it speaks TLS, the address is kvs://"),
            (b"\x15\x03\x01\x00\x02\x02F", "it speaks TLS: the address is kvs://"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "'HTTP/1.1 400 Bad Request'; is kv-server"),
            (b"-ERR unknown command\r\n", "'-ERR unknown command'; is kv-server"),
        ],
    )
    def test_another_kind_of_server_is_exit_code_3_with_advice(
        self, reply: bytes, says: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:

            def refuse() -> None:
                with other.accept()[0] as connection:
                    connection.recv(1000)
                    connection.sendall(reply)

            thread = threading.Thread(target=refuse)
            thread.start()
            done = kv(other.getsockname()[1], "set", "k", "1")
            thread.join()
        assert (done.returncode, says in done.stderr) == (3, True), done.stderr

    def test_tls_spoken_to_a_plain_server_has_advice(self) -> None:
        assert "without it the address is kv://" in _tls_spoken_to_a_plain_server()

    def test_a_certificate_for_another_name_has_advice_of_its_own(self, files: Files) -> None:
        certificate, key = files.server
        with running_server("--tls-cert", certificate, "--tls-key", key) as server:
            options = ["--tls", "--tls-ca", files.authority, "--tls-server-name", "a.example"]
            said = kv(server.port, *options, "PING").stderr
        assert "--tls-server-name" in said
        assert "--tls-ca" not in said


def _tls_spoken_to_a_plain_server() -> str:
    with running_server() as server:
        return kv(0, "--url", f"kvs://127.0.0.1:{server.port}", "ping").stderr


class TestValues:
    """A value is stored as it was typed."""

    @pytest.mark.parametrize("typed", ['{"a":1', "{'a':1}", "[draft] title", " {x", "[" * 5000])
    def test_malformed_json_is_refused_and_stored_with_string(
        self, server: Server, typed: str
    ) -> None:
        refused = kv(server.port, "SET", "k", typed)
        assert refused.returncode == 2
        assert "looks like JSON" in " ".join(refused.stderr.split())
        assert kv(server.port, "exists", "k").stdout == "false\n"
        assert kv(server.port, "SET", "--string", "k", typed).returncode == 0
        assert json.loads(kv(server.port, "GET", "k").stdout) == typed

    @pytest.mark.parametrize(
        "typed",
        ["GET {}", "MGET a {}", "MSET {} 1", "SET k {}", "SCAN --prefix {}", "keys {}", "AUTH {}",
         "BATCH {}"],
    )  # fmt: skip
    def test_a_word_that_is_not_utf_8_is_refused_before_anything_is_sent(self, typed: str) -> None:
        ended = kv(1, *typed.format("\udcff").split())  # the byte ff
        assert ended.returncode == 2
        assert "the text is not UTF-8" in ended.stderr

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            (["INCR", "n", "--by", "x"], "'x' is not a number such as 5, -2 or 0.5"),
            (["BATCH", '[{"type":"GTE"}]'], "unknown command `GTE` in `[0]`; the closest is `GET`"),
        ],
    )
    def test_a_word_of_json_that_is_wrong_is_answered_with_what_is_right(
        self, typed: List[str], said: str
    ) -> None:
        ended = kv(1, *typed)
        assert (ended.returncode, said in " ".join(ended.stderr.split())) == (2, True)

    @pytest.mark.parametrize("typed", ["-", "@/etc/passwd", "5", "null", '"5"', "-h", "--ttl"])
    def test_string_stores_any_text_as_it_is_typed(self, server: Server, typed: str) -> None:
        assert kv(server.port, "SET", "--string", "--", "k", typed).returncode == 0
        assert json.loads(kv(server.port, "GET", "k").stdout) == typed

    def test_keys_and_values_may_begin_with_a_dash_everywhere(self, server: Server) -> None:
        kv(server.port, "SET", "--", "-hash", "1")
        assert kv(server.port, "GET", "-hash").stdout == "1\n"
        kv(server.port, "MSET", "a", "1", "b", "-height", "-c", "3")
        assert json.loads(kv(server.port, "MGET", "a", "b", "-c").stdout) == {
            "a": 1,
            "b": "-height",
            "-c": 3,
        }
        kv(server.port, "SET", "-her", "-hare")
        assert kv(server.port, "GET", "-her").stdout == '"-hare"\n'
        kv(server.port, "GETSET", "a", "-x")
        assert kv(server.port, "SET", "a", "2", "--if-equals", "-x").stdout == "true\n"

    @pytest.mark.parametrize(
        ("content", "stored"),
        [
            (b'{"a":\r\n[1]}\r\n', {"a": [1]}),
            (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
            (b"\xef\xbb\xbfhello\n", "hello"),
            (b"two\nlines\n\n", "two\nlines\n"),
            (b"", ""),
        ],
    )
    def test_a_value_comes_from_a_file_or_standard_input(
        self, server: Server, tmp_path: Path, content: bytes, stored: object
    ) -> None:
        path = tmp_path / "value"
        path.write_bytes(content)
        assert kv(server.port, "SET", "k", f"@{path}").stderr == ""
        assert json.loads(kv(server.port, "GET", "k").stdout) == stored
        assert kv(server.port, "SET", "j", "-", stdin=content.decode()).stderr == ""
        assert json.loads(kv(server.port, "GET", "j").stdout) == stored
        kv(server.port, stdin=f"SET i @{path}\n")
        assert json.loads(kv(server.port, "GET", "i").stdout) == stored

    def test_a_large_value_comes_from_a_file(self, server: Server, tmp_path: Path) -> None:
        path = tmp_path / "large.json"
        path.write_text(json.dumps(["x" * 100] * 5000))
        assert kv(server.port, "SET", "k", f"@{path}").stdout == "true\n"
        assert json.loads(kv(server.port, "GET", "k").stdout) == ["x" * 100] * 5000

    def test_a_batch_comes_from_a_file_or_standard_input(
        self, server: Server, tmp_path: Path
    ) -> None:
        path = tmp_path / "batch.json"
        path.write_text('[{"type": "SET", "key": "k", "value": 1},\n{"type": "COUNT"}]\n')
        for word in (f"@{path}", "-"):
            done = kv(server.port, "BATCH", word, stdin=path.read_text())
            assert done.stdout == '[{"ok":true,"result":true},{"ok":true,"result":1}]\n'

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"\xff\xfe1\0", "UTF-16"),
            (b"\xfe\xff\x001", "UTF-16"),
            (b"\xff\xfe\0\x001\0\0\0", "UTF-32"),
            (b"abc\xff", 'not UTF-8; bytes are stored as {"$binary":{"base64":'),
            (b'{"a":1', "looks like JSON"),
            (None, "No such file"),
        ],
    )
    def test_a_file_that_cannot_be_a_value_is_named(
        self, server: Server, tmp_path: Path, content: Optional[bytes], says: str
    ) -> None:
        path = tmp_path / "value"
        if content is not None:
            path.write_bytes(content)
        refused = kv(server.port, "SET", "k", f"@{path}")
        assert refused.returncode == 2
        assert says in " ".join(refused.stderr.split())
        assert kv(server.port, "exists", "k").stdout == "false\n"

    def test_standard_input_is_read_for_one_value_only(self) -> None:
        refused = kv(1, "MSET", "a", "-", "b", "-", stdin="x")
        assert (refused.returncode, "read once" in refused.stderr) == (2, True)

    @pytest.mark.parametrize(
        ("typed", "seconds"),
        [
            ("90", 90),
            ("1.5", 1.5),
            ("30s", 30),
            ("5m", 300),
            ("1h30m", 5400),
            ("2d", 172_800),
            ("1 W", 604_800),
            ("250ms", 0.25),
            ("1e3", 1000),
        ],
    )
    def test_a_duration_has_units(self, typed: str, seconds: float) -> None:
        assert Duration().convert(typed, None, None) == seconds

    @pytest.mark.parametrize(
        "typed", ["", "soon", "1x", "h", "1h 5", "nan", "1h30", "1_0", "٣", "1e999"]
    )
    def test_a_malformed_duration_is_refused(self, typed: str) -> None:
        with pytest.raises(click.BadParameter, match="not a duration such as"):
            Duration().convert(typed, None, None)

    def test_a_ttl_is_typed_as_a_duration(self, server: Server) -> None:
        kv(server.port, "SET", "k", "1", "--ttl", "2h")
        assert 7100 < float(kv(server.port, "TTL", "k").stdout) <= 7200
        kv(server.port, "EXPIRE", "k", "1d")
        assert 86_300 < float(kv(server.port, "TTL", "k").stdout) <= 86_400
        refused = kv(server.port, "EXPIRE", "k", "-1")
        assert (refused.returncode, refused.stderr[:11]) == (1, "BAD_REQUEST")


class TestStreams:
    """A stream that is closed, full or narrow costs no traceback."""

    def shell(
        self, server: Server, words: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        program = f'"{sys.executable}" -m entrypoints.client --port {server.port}'
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", words.replace("kv", program)],
            capture_output=True,
            encoding="utf-8",
            cwd=ROOT,
            env=environment(**variables),
            timeout=TIMEOUT,
        )

    @pytest.mark.parametrize(
        ("words", "code"),
        [
            ("kv <&-", 1),
            ("kv SET b - <&-", 1),
            ("kv import - <&-", 1),
            ("kv SET b 2 >&-", 1),
            ("kv GET large >&-", 1),
            ("kv keys >&-", 1),
            ("echo GET large | kv >&-", 1),
            ("kv --help >&-", 1),
            ("kv GET b 2>&-", 0),
            ("kv GTE b 2>&-", 2),
            ("kv export {file} 2>&-", 0),
            ("kv PING <&- >&- 2>&-", 1),
            ("kv bench -n 10 >&- 2>&-", 1),
            ("kv keys | head -n 1", 141),
            ("kv export - | head -n 1", 141),
            ("for n in {{1..20000}}; do echo GET large; done | kv | head -n 1", 141),
            ("kv export - >&-", 1),
            ("kv GET large > /dev/full", 1),
            ("kv export - > /dev/full", 1),
            ("echo GET large | kv > /dev/full", 1),
        ],
    )
    def test_a_closed_or_full_stream_ends_the_program_without_a_traceback(
        self, server: Server, tmp_path: Path, words: str, code: int
    ) -> None:
        many = "".join(f'{{"key":"{n:0100}","value":1}}\n' for n in range(3000))
        if any(word in words for word in ("large", "head", "export", "keys")):
            kv(
                server.port,
                "import",
                "-",
                stdin=many + '{"key":"large","value":"%s"}' % ("x" * 9999),
            )
        ended = self.shell(server, words.format(file=tmp_path / "all.jsonl"))
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        assert "Exception" not in ended.stderr
        if "export {file}" in words:
            assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 3001

    def test_a_key_that_would_not_be_a_line_is_printed_as_a_json_string(
        self, server: Server
    ) -> None:
        kv(server.port, "mset", "two\nlines", "1", '"quoted"', "1", "plain é", "1", "\t", "1")
        as_json = ['"\\"quoted\\""', '"\\t"', '"plain é"', '"two\\nlines"']
        printed = [line if line != '"plain é"' else "plain é" for line in as_json]
        assert sorted(kv(server.port, "keys").stdout.splitlines()) == sorted(printed)
        assert sorted(kv(server.port, "keys", "--json").stdout.splitlines()) == as_json
        raw = ["\t", '"quoted"', "plain é", "two\nlines"]
        assert sorted(kv(server.port, "keys", "--raw").stdout) == sorted("".join(raw) + "\n" * 4)
        lines = "".join(f"get {line}\n" for line in as_json)
        assert kv(server.port, stdin=lines).stdout == "1\n" * 4

    def test_a_closed_standard_stream_is_not_reused_for_a_socket(self, server: Server) -> None:
        program = (
            "import os, sys\n"
            "from entrypoints import streams\n"
            "streams.prepare()\n"
            "file = os.open('/dev/null', os.O_RDONLY)\n"
            "sys.exit(0 if file > 2 else 9)\n"
        )
        ended = subprocess.run(
            ["bash", "-c", f'"{sys.executable}" -c "$0" <&- >&- 2>&-', program],
            cwd=ROOT,
            timeout=TIMEOUT,
        )
        assert ended.returncode == 0

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_characters_that_the_encoding_lacks_are_escaped(
        self, server: Server, encoding: str
    ) -> None:
        kv(server.port, "set", "k", "é日😀")
        ended = self.shell(server, "kv get k", PYTHONIOENCODING=encoding)
        assert (ended.returncode, ended.stdout) == (0, '"é日😀"\n')  # a pipe has bytes
        ended = self.shell(server, "kv bench -n 20 -c 2", PYTHONIOENCODING=encoding)
        assert ended.returncode == 0
        assert "#" in ended.stdout

    @pytest.mark.parametrize(
        "words",
        [
            ["get", "k"],
            ["keys"],
            ["monitor"],
            ["bench", "-n", "1000000"],
            ["export", "{file}"],
            ["import", "{input}"],
            [],
        ],
    )
    def test_ctrl_c_ends_every_program_though_the_server_is_silent(
        self, tmp_path: Path, words: List[str]
    ) -> None:
        (tmp_path / "input").write_text('{"key":"k","value":1}\n')
        named = [word.format(file=tmp_path / "old", input=tmp_path / "input") for word in words]
        with socket.create_server(("127.0.0.1", 0)) as silent:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "entrypoints.client"),
                    *("--port", str(silent.getsockname()[1]), "--timeout", str(TIMEOUT), *named),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
                env=environment(),
            )
            with process:
                assert process.stdin
                if not words:
                    process.stdin.write(b"GET k\n")
                    process.stdin.flush()
                with silent.accept()[0] as connection:
                    connection.recv(1)
                    said = said_until_ended(process)
        assert process.returncode == (0 if words == ["monitor"] else 130)
        assert b"Traceback" not in said


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

    def test_a_value_has_several_lines(self, server: Server) -> None:
        lines = "SET a [1,\n  {\"x\":\n2}]  --ttl 1h\n\nSET b 'two\nlines'\nGET a\nGET b\n"
        for text in (lines, lines.replace("\n", "\r\n"), "\ufeff" + lines):
            ended = kv(server.port, stdin=text)
            assert (ended.returncode, ended.stderr) == (0, "")
            shown = ended.stdout.splitlines()
            assert shown[:2] == ["true", "true"]
            assert json.loads(shown[2]) == [1, {"x": 2}]
            assert json.loads(shown[3]).split() == ["two", "lines"]

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('SET k {"a":1', "looks like JSON"),
            ('SET k {"a":', "looks like JSON"),
            ("SET k {'a':1}", "looks like JSON"),
            ('SET k {"a" 1} --ttl 5', "expected ':' (byte 5)"),
            ("SET k [1, 2]x", "trailing characters"),
            ('SET k "half', "the quote before 'half' is not closed"),
            ("SET k 'half", "the quote before 'half' is not closed"),
            ("SET k -", "the commands come from"),
            ("monitor", "run kv monitor outside this shell"),
        ],
    )
    def test_a_broken_line_is_refused_alone(self, server: Server, line: str, says: str) -> None:
        ended = kv(server.port, stdin=f"PING\n{line}\nSET n 5\nGET n\nGET k\n")
        assert ended.stdout == '"PONG"\ntrue\n5\n\n'
        assert ended.stderr.startswith("line 2: ")
        assert says in ended.stderr
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)

    @pytest.mark.parametrize(
        "line",
        [
            *("%s", "get k %s", "get k --%s", "expire k %s", "scan --limit %s", "incr k --by %s"),
            *("mset %s", "set k 1 --ttl %s", "set k 1 --if %s", "set k {%s", "get '%s"),
            *("help %s", "timing %s"),
        ],
    )
    def test_of_what_is_long_an_error_quotes_the_beginning(self, server: Server, line: str) -> None:
        done = kv(server.port, stdin=line % ("x" * 80_000))
        assert (done.returncode, len(done.stderr) < 300) == (2, True), done.stderr[:300]

    def test_quoted_words_keep_their_type_in_a_list_of_values(self, server: Server) -> None:
        kv(server.port, stdin='MSET "a" "5" b 5 c \'"5"\'\n')
        assert json.loads(kv(server.port, "MGET", "a", "b", "c").stdout) == {
            "a": "5",
            "b": 5,
            "c": "5",
        }

    @pytest.mark.parametrize(
        ("data", "printed", "says"),
        [
            (b"PING\nGET \xff\nPING\n", 2, "line 2: the line is not UTF-8"),
            ("PING\n".encode("utf-16"), 0, "the input is UTF-16"),
        ],
    )
    def test_input_that_is_not_utf8_is_named(
        self, server: Server, data: bytes, printed: int, says: str
    ) -> None:
        ended = subprocess.run(
            [sys.executable, "-m", "entrypoints.client", "--port", str(server.port)],
            input=data,
            capture_output=True,
            cwd=ROOT,
            env=environment(),
            timeout=TIMEOUT,
        )
        assert ended.returncode == 2
        assert ended.stdout.count(b"PONG") == printed
        assert says in ended.stderr.decode()

    def test_timing_tells_on_standard_error_how_long_each_command_of_a_pipe_takes(
        self, server: Server
    ) -> None:
        ended = kv(server.port, stdin="PING\ntiming\nPING\nSET k 1e999\nBAD\ntiming off\nPING\n")
        assert (ended.stdout, ended.returncode) == ('"PONG"\n' * 3, 2)
        assert [re.sub(r"[0-9.]+ ms|: .*", "...", line) for line in ended.stderr.splitlines()] == [
            *("timing is on", "..."),
            *("line 4...", "..."),
            *("line 5...", "timing is off"),
        ]

    def test_exit_ends_the_pipe(self, server: Server) -> None:
        ended = kv(server.port, stdin="PING\nexit\nPING\n")
        assert (ended.returncode, ended.stdout) == (0, '"PONG"\n')

    def test_a_pipe_stops_when_there_is_no_server(self) -> None:
        ended = kv(1, stdin="PING\nPING\n")
        assert ended.returncode == 3
        assert ended.stderr.count("UNAVAILABLE") == 1


class TestWhere:
    """The server's address, as options, in one, or in the environment."""

    def test_one_url_names_the_server(self, server: Server) -> None:
        url = f"kv://127.0.0.1:{server.port}"
        assert kv(0, "--url", url, "ping").stdout == '"PONG"\n'
        assert kv(0, "ping", KV_URL=url).stdout == '"PONG"\n'

    def test_the_command_line_wins_over_the_environment(self, server: Server) -> None:
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
