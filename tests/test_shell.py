"""The shell, seen on the screen of a terminal."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import tempfile
import tracemalloc
import unittest.mock
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence, Tuple

import click
import pytest
from msgspec import Raw

from application.commands import NAMES, Command, Keys, Scan, Set
from application.ports import Executor
from domain.errors import Unavailable
from entrypoints.client import palette
from entrypoints.client import words as words_module
from entrypoints.client.examples import EXAMPLES
from entrypoints.client.history import SessionHistory, history, holds_password
from entrypoints.client.keys import some_keys
from entrypoints.client.reconnecting import Reconnecting
from entrypoints.client.target import Target
from entrypoints.client.words import commands_in, is_open, numbered_commands, words
from entrypoints.version import version
from tests.support import TIMEOUT, Clock, Server, kv, running_server
from tests.terminal import Terminal, on_terminal


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("  GET   k ", ["GET", "k"]),
        ('SET "a b" {"x": [1, "} y"]} tail', ["SET", "a b", '{"x": [1, "} y"]}', "tail"]),
        ("SET 'single quoted' ''", ["SET", "single quoted", ""]),
        ('SET k "not ended', ["SET", "k", '"not', "ended"]),
        ("SET k {broken json", ["SET", "k", "{broken", "json"]),
        ("SET k it's", ["SET", "k", "it's"]),
        ('SET k "\\u00e9"', ["SET", "k", "é"]),
        ("SET k [1,\n2]\n--ttl 5", ["SET", "k", "[1,\n2]", "--ttl", "5"]),
        ("SET k {}x", ["SET", "k", "{}x"]),
        ("SET a\u00a0b \u2028c\u3000\t d", ["SET", "a\u00a0b", "\u2028c\u3000", "d"]),
        ("SET k 'it's fine", ["SET", "k", "'it's", "fine"]),
        ('SET k "two\nlines"', ["SET", "k", "two\nlines"]),
    ],
)
def test_a_line_is_cut_into_words(line: str, expected: List[str]) -> None:
    assert words(line) == expected


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("SET k [1,", True),
        ('SET k {"a": {"b": 1}', True),
        ('SET k "half', True),
        ("SET k 'half", True),
        ('SET k {"a"', True),
        ("SET k [1, 2]", False),
        ("SET k {broken json}", False),
        ("SET k it's", False),
        ('SET k {"a": "half', True),
        ("SET k {'a'", False),
        ('SET k "half\nGET b\nSET c "x"', False),
        ("GET k", False),
        ("", False),
    ],
)
def test_a_line_that_breaks_off_within_a_value_goes_on(line: str, more: bool) -> None:
    assert is_open(line) is more


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("", []),
        ("  \n ", []),
        ("GET a", ["GET a"]),
        ("GET a\nGET b\n", ["GET a", "GET b"]),
        ("SET a [1,\n2] --ttl 5\r\n\nGET a", ["SET a [1,\n2] --ttl 5", "GET a"]),
        ("SET a 'x\ny'\nGET a", ["SET a 'x\ny'", "GET a"]),
        ("# it's {\nGET a\n  # b\n\nSET a #b\n#", ["GET a", "SET a #b"]),
        ("SET a [1,\n2]\n#", ["SET a [1,\n2]"]),
        ("#", []),
    ],
)
def test_a_text_is_cut_into_commands_at_line_ends_outside_values(
    text: str, commands: List[str]
) -> None:
    assert commands_in(text) == commands


@pytest.mark.parametrize(
    ("lines", "commands"),
    [
        (["GET a", "", "GET b"], [(1, "GET a"), (3, "GET b")]),
        (["SET a [1,", "2]", "GET b"], [(1, "SET a [1,\n2]"), (3, "GET b")]),
        (["SET a {", "GET b", "GET c"], [(1, "SET a {"), (2, "GET b"), (3, "GET c")]),
        (["SET a [1,", "2,", "GET c"], [(1, "SET a [1,"), (2, "2,"), (3, "GET c")]),
        (["SET a 'x", "GET b"], [(1, "SET a 'x"), (2, "GET b")]),
        (["# [1,", "GET b"], [(1, "# [1,"), (2, "GET b")]),
    ],
)
def test_a_piped_value_takes_lines_only_as_long_as_they_continue_it(
    lines: List[str], commands: List[Tuple[int, str]]
) -> None:
    assert list(numbered_commands([line + "\n" for line in lines])) == commands


def test_a_command_of_a_pipe_is_run_as_soon_as_it_is_complete() -> None:
    seen: List[int] = []

    def lines() -> Iterator[str]:
        for number, line in enumerate(["SET a [1,", "2,", "3,", "4", "]", "GET a"]):
            seen.append(number)
            yield line + "\n"

    assert next(numbered_commands(lines()))[1] == "SET a [1,\n2,\n3,\n4\n]"
    assert seen[-1] == 4


def test_a_long_piped_value_is_looked_at_in_linear_work() -> None:
    lines = ["SET a [\n", *['{"x": ["y", 1]},\n'] * 20_000, "1]\n"]
    with unittest.mock.patch.object(words_module, "state_of", wraps=words_module.state_of) as looks:
        ((number, text),) = numbered_commands(lines)
    assert (number, len(text.splitlines())) == (1, 20_002)
    assert looks.call_count < 25


def test_many_broken_values_on_a_line_do_not_each_keep_the_rest_of_it() -> None:
    line = "SET k " + "{x " * 3_000
    tracemalloc.start()
    try:
        assert len(words_module.words(line)) == 3_002
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * len(line)


def test_colours_are_those_of_the_terminal_that_both_themes_can_show() -> None:
    for style in palette.STYLES.values():
        assert set(style.split()) <= {
            *("bold", "dim", "underline", "none", "default"),
            *("green", "magenta", "cyan", "red"),
        }


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Iterator[Terminal]:
    with on_terminal(tmp_path, "--port", str(server.port)) as terminal:
        terminal.wait_for_prompt(1)
        yield terminal


def test_a_typed_command_is_run_and_its_result_shown(shell: Terminal) -> None:
    for typed, shown in [
        ('SET user {"name": "Ada"}', "true"),
        ("get user", '{"name": "Ada"}'),
        ("get nobody", "(nothing there)"),
        ("SET n 1e999", "BAD_REQUEST: `value` holds a number beyond 1.8e308"),
        ("GTE n", "No such command 'GTE'; the closest is GET."),
        ("publish c hi", "publish/subscribe is there"),
        ("select 1", "kv sees database 0; Redis clients"),
        ("monitor", "run kv monitor outside this shell"),
        ('SET n {"a":1,}', "looks like JSON"),
        ("set n hello world", "put quotes round a value with spaces"),
        ('batch [{"type":"INCR","key":"user"}]', "command 0 of the batch"),
    ]:
        shell.enter(typed)
        shell.wait_for(shown)
    shell.enter("exit")
    assert shell.exit_status() == 0


def test_a_small_value_is_one_line_and_a_large_one_is_laid_out(shell: Terminal) -> None:
    shell.enter('SET k {"name": "Ada", "langs": ["en", "fr"], "x": "%s"}' % ("x" * 50))
    shell.wait_for("true")
    shell.enter("GET k")
    lines = shell.wait_for('    "fr"')
    assert '  "name": "Ada",' in lines


def test_a_command_may_have_several_lines(shell: Terminal) -> None:
    shell.enter("SET k [1,")
    shell.enter("2,")
    shell.enter("3]")
    shell.wait_for("true")
    shell.enter("GET k")
    assert "[1, 2, 3]" in shell.wait_for("[1, 2, 3]")


def test_lines_that_are_pasted_are_run_one_by_one(shell: Terminal) -> None:
    shell.type("\x1b[200~set p1 [1,\r\n2]\r\nset p2 hello\r\nget p1\r\nget p2\x1b[201~")
    shell.enter("")
    lines = shell.wait_for('"hello"')
    assert "[1, 2]" in lines


def test_input_has_the_colours_of_output(shell: Terminal) -> None:
    shell.type('set key {"name": "Ada", "n": [4242, null]} --ttl 60')
    shell.wait_for("--ttl 60")
    typed = {text: shell.colour_of(text) for text in ("set", "key", "--ttl", "60")}
    assert typed == {"set": "bold default", "key": "default", "--ttl": "cyan", "60": "default"}
    of_json = {text: shell.colour_of(text) for text in ('"name"', '"Ada"', "4242", "null", "{")}
    assert of_json == {
        '"name"': "bold default",
        '"Ada"': "green",
        "4242": "magenta",
        "null": "magenta",
        "{": "default",
    }
    shell.enter("")
    shell.wait_for("true")
    shell.enter("get key")
    shell.wait_for("get key")
    shell.wait_for_prompt(3)
    assert {text: shell.colour_of(text) for text in of_json} == of_json


@pytest.mark.parametrize(("columns", "lines"), [(40, 3), (80, 2), (200, 1)])
def test_a_hint_says_how_the_command_is_typed(
    server: Server, tmp_path: Path, columns: int, lines: int
) -> None:
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, columns=columns, PROMPT_TOOLKIT_NO_CPR="") as shell:
        shell.wait_for("Tab completes, help lists the commands")
        shell.type("set ")
        shell.wait_for("SET KEY VALUE [--ttl DURATION]")
        hint = " ".join(shell.lines[-lines:])
        assert hint.startswith("SET KEY VALUE [--ttl DURATION] [--keep-")
        assert hint.endswith(("...", "(Store a value at a key)"))


def test_history_is_suggested(shell: Terminal) -> None:
    shell.enter("set suggestion 1")
    shell.wait_for("true")
    shell.type("set sug")
    while sum(line.endswith("> set suggestion 1") for line in shell.lines) < 2:
        shell.wait_for("true")
    assert shell.colour_of("gestion 1") == "default"  # and faint
    shell.enter("\x05 --if absent")
    shell.wait_for("false")


def test_a_result_longer_than_the_screen_goes_to_the_pager(server: Server, tmp_path: Path) -> None:
    kv(server.port, "set", "k", json.dumps(["x"] * 100))
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nwc -l\n")
    pager.chmod(0o755)
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, PAGER=str(pager)) as shell:
        shell.wait_for_prompt(1)
        shell.enter("get k")
        assert "102" in shell.wait_for("102")


def test_help_longer_than_the_screen_goes_to_the_pager(server: Server, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nsed -n 's/.*Leave the shell/paged/p'\n")
    pager.chmod(0o755)
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, PAGER=str(pager)) as shell:
        shell.wait_for_prompt(1)
        shell.enter("help")
        shell.wait_for("paged")


def test_a_refusal_is_wrapped_between_words(server: Server, tmp_path: Path) -> None:
    with on_terminal(tmp_path, "--port", str(server.port), columns=40) as shell:
        shell.enter("set user:1 {}")
        shell.wait_for("true")
        shell.enter("incr user:1")
        shell.wait_for("an object, not a number")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_fits_the_screen(server: Server, tmp_path: Path, columns: int) -> None:
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, columns=columns) as shell:
        shell.wait_for_prompt(1)
        shell.enter("help set")
        shell.wait_for("exactly as it is")
        shell.enter("help")
        lines = shell.wait_for("Leave the shell")
        assert "how long the server took" in " ".join(" ".join(lines).split())


def test_tab_completes_files_where_a_value_comes(shell: Terminal) -> None:
    with tempfile.TemporaryDirectory() as folder:  # whose path is short enough for a line
        for name in ("value.json", ".hidden", "other.json"):
            Path(folder, name).write_text("[1, 2]")
        Path(folder, "inner").mkdir()
        shell.type(f"set k @{folder}/v\t")
        shell.wait_for("value.json")
        shell.enter("")
        shell.wait_for("true")
        shell.type(f"set k 3 --if-equals @{folder}/i\t")
        shell.wait_for("/inner/")
        shell.type("\x15" + f"set k @{folder}/\t")
        shown = "\n".join(shell.wait_for(" other.json"))
    assert " inner/" in shown
    assert ".hidden" not in shown


def test_ctrl_z_suspends_the_shell_and_fg_brings_back_what_was_typed(
    server: Server, tmp_path: Path
) -> None:
    with on_terminal(tmp_path, "--norc", "-i", program=["bash"]) as terminal:
        terminal.enter(f"{sys.executable} -m entrypoints.client --port {server.port}")
        terminal.wait_for_prompt(1)
        terminal.type("set k [1")
        terminal.wait_for("> set k [1")
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        terminal.enter("stty -a")
        terminal.wait_for(" icanon")
        terminal.enter("fg")
        terminal.wait_for("> set k [1")
        terminal.enter(", 2]")
        terminal.wait_for("true")


def test_tab_completes_commands_options_and_keys(shell: Terminal, server: Server) -> None:
    kv(server.port, "MSET", "user:ada", "1", "other", "2", "spaced key", "3")
    shell.type("exi\t")
    shell.wait_for("exi")
    shell.type("\x15GETD\t")
    shell.wait_for("> GETDEL")
    shell.type("\x15get us\t")
    shell.wait_for("> get user:ada")
    shell.type("\x15set k v --kee\t")
    shell.wait_for("> set k v --keep-ttl")
    shell.type("\x15set k v --if p\t")
    shell.wait_for("> set k v --if present")
    shell.type("\x15set k v --if \t")
    shell.wait_for("absent\n")
    shell.type("\x15help pers\t")
    shell.wait_for("> help persist")
    shell.type("\x15get spa\t")
    shell.wait_for('> get "spaced key"')
    shell.type("\x15get\t")
    shell.wait_for("Remove a key and return the value")


@pytest.mark.parametrize(
    ("typed", "chosen", "result"),
    [
        ("GET x", "GET xa", "11"),
        ('GET "x', 'GET "xa"', "11"),
        ("GETDEL y", 'GETDEL "y a"', "33"),
    ],
)
def test_enter_accepts_what_is_chosen_and_runs_it_then(
    shell: Terminal, server: Server, typed: str, chosen: str, result: str
) -> None:
    kv(server.port, "MSET", "xa", "11", "xb", "22", "y a", "33", "y b", "44")
    shell.type(f"{typed}\t")
    shell.wait_for("y b" if "y" in typed else "xb")
    shell.type("\t")
    shell.wait_for(f"> {chosen}")
    shell.type("\r\r")
    lines = shell.wait_for(result)
    assert not any(line.startswith("...") for line in lines)


def test_keys_are_found_behind_many_others(server: Server) -> None:
    many = "".join(f'{{"key":"item:{n}","value":{n}}}\n' for n in range(9000))
    kv(server.port, "import", "-", stdin=many)
    kv(server.port, "set", "user:1", "1")
    assert kv(server.port, "keys", "user").stdout == "user:1\n"
    assert len(kv(server.port, "keys").stdout.splitlines()) == 9001


class TestKeys:
    def test_completion_follows_the_cursor_over_empty_pages(self) -> None:
        pages = [Keys([], "1"), Keys([], "2"), Keys(["user:2", "user:1"], None)]
        assert some_keys(Pages(pages), "user", Clock()) == ["user:1", "user:2"]

    def test_completion_stops_when_its_time_is_up(self) -> None:
        clock = Clock()
        pages = Pages([Keys(["a"], "1"), Keys(["b"], "2"), Keys(["c"], None)])
        pages.then = lambda: setattr(clock, "now", clock.now + 0.1)
        assert some_keys(pages, "", clock) == ["", "a", "b"]

    def test_completion_says_where_there_are_more_keys_than_it_offers(self) -> None:
        many = [f"user:{number:03}" for number in range(60)]
        assert some_keys(Pages([Keys(many, None)]), "user:", Clock()) == ["user:", *many[:50]]

    def test_completion_has_no_keys_of_a_server_that_fails(self) -> None:
        assert some_keys(Pages([]), "") == []


class Pages(Executor):
    """Answers scans with pages, and then not at all."""

    def __init__(self, pages: List[Keys]) -> None:
        self._pages = iter(pages)
        self.then: Callable[[], None] = lambda: None

    def execute(self, command: Command[Any]) -> Any:
        self.then()
        try:
            return next(self._pages)
        except StopIteration:
            raise Unavailable("gone") from None


def test_ctrl_c_drops_the_line_and_ctrl_d_leaves(shell: Terminal) -> None:
    shell.type("SET half\x03")
    shell.enter("PING")
    shell.wait_for('"PONG"')
    shell.type("\x04")
    assert shell.exit_status() == 0


def test_ctrl_c_ends_a_command_that_waits_and_not_the_shell(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        with on_terminal(tmp_path, "--port", port) as shell:
            shell.wait_for_prompt(1)
            silent.accept()[0].close()  # the greeting's
            shell.enter("GET k")
            with silent.accept()[0] as connection:
                connection.recv(1)
                shell.type("\x03")
                shell.wait_for("interrupted")
                shell.enter("exit")
                assert shell.exit_status() == 0


@pytest.mark.parametrize(
    ("command", "sent"), [(Scan(), 2), (Set("k", Raw(b"1")), 1)], ids=["reading", "writing"]
)
def test_only_reads_are_sent_again_when_the_connection_is_lost(
    command: Command[Any], sent: int
) -> None:
    class Losing(Executor):
        sent = 0

        def execute(self, command: Command[Any]) -> Any:
            self.sent += 1
            if self.sent == 1:
                raise Unavailable("reset")
            return "done"

        def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
            return list(map(self.execute, commands))

        def settle(self) -> None:
            pass

        def close(self) -> None:
            pass

    server = Losing()
    notices: List[str] = []
    reconnecting = Reconnecting(server, notices.append)
    if sent == 1:
        with pytest.raises(Unavailable, match="whether the command took effect is not known"):
            reconnecting.execute(command)
        assert reconnecting.is_lost
    else:
        assert reconnecting.execute(command) == "done"
        assert notices == ["connection lost: reset", "connected again"]
    assert server.sent == sent


def test_a_lost_connection_is_told_and_made_again(tmp_path: Path) -> None:
    with running_server() as first:
        port = str(first.port)
        with on_terminal(tmp_path, "--port", port) as shell:
            shell.wait_for_prompt(1)
            shell.enter("PING")
            shell.wait_for('"PONG"')
            first.stop()
            shell.enter("SET k 1")
            shell.wait_for("UNAVAILABLE")
            shell.enter("GET k")
            shell.wait_for("Connection refused")
            shell.wait_for(f"(no connection) 127.0.0.1:{port}>")
            with running_server("--port", port):
                shell.enter("GET k")
                shell.wait_for("connected again")
                shell.wait_for("(nothing there)")
                assert shell.lines[-2 if "Tab" in shell.lines[-1] else -1].startswith("127.")


def test_the_start_says_where_one_is(server: Server, tmp_path: Path) -> None:
    kv(server.port, "set", "k", "1")
    with on_terminal(tmp_path, "--port", str(server.port)) as shell:
        assert f"kv {version()}, 1 key; help, exit" in shell.wait_for_prompt(1)
    with on_terminal(tmp_path, "--port", "1") as shell:
        lines = shell.wait_for_prompt(1)
        assert "Connection refused" in lines[0]
        assert "(no connection) 127.0.0.1:1>" in lines


def test_a_password_is_asked_for_unseen_and_kept_for_the_next_connection(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open-sesame\n")
    arguments = ["--password-file", str(secret)]
    with running_server(*arguments) as first:
        port = str(first.port)
        with on_terminal(tmp_path, "--port", port) as shell:
            assert "type auth" in shell.wait_for_prompt(1)[0]
            shell.enter("PING")
            shell.wait_for("UNAUTHENTICATED")
            shell.enter("auth")
            shell.wait_for("password:")
            shell.enter("open-sesame")
            shell.wait_for("true")
            shell.enter("auth wrong")
            shell.wait_for("invalid password")
            first.stop()
            with running_server(*arguments, "--port", port):
                shell.enter("GET k")
                lines = shell.wait_for("(nothing there)")
                assert not any("sesame" in line for line in lines)
                shell.enter("exit")
                assert shell.exit_status() == 0
    assert "sesame" not in (tmp_path / "kvjson" / "history").read_text()


def test_the_password_is_asked_for_on_request(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open-sesame\n")
    with running_server("--password-file", str(secret)) as server:
        arguments = ["--port", str(server.port), "--askpass", "get", "k", "-e"]
        with on_terminal(tmp_path, *arguments) as terminal:
            terminal.wait_for("password:")
            terminal.enter("open-sesame")
            assert terminal.exit_status() == 4


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("auth x", True),
        ("  AUTH x", True),
        ("'AUTH' x", True),
        ('"auth" x', True),
        ('"a\\u0075th" x', True),
        ('"auth x', True),
        ("PING\nauth x", True),
        ('BATCH [{"type": "AUTH", "password": "x"}]', True),
        ("GET author", False),
        ("SET k auth", False),
    ],
)
def test_no_text_with_a_password_goes_to_the_history(text: str, holds: bool) -> None:
    assert holds_password(text) is holds
    kept = SessionHistory()
    kept.append_string(text)
    assert (kept.get_strings() == []) is holds


def test_the_history_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "kvjson"
    folder.mkdir(mode=0o755)
    (folder / "history").touch(0o644)
    before = os.umask(0)
    try:
        history().append_string("PING")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "history").stat().st_mode) == 0o600
    assert "PING" in (folder / "history").read_text()


@pytest.mark.parametrize("state", ["/dev/null", "/proc/1/nothing"])
def test_a_history_that_cannot_be_written_ends_with_the_program(
    server: Server, tmp_path: Path, state: str
) -> None:
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, XDG_STATE_HOME=state) as shell:
        shell.wait_for_prompt(1)
        shell.enter("PING")
        shell.wait_for('"PONG"')
        shell.enter("exit")
        assert shell.exit_status() == 0


def test_a_history_that_fails_later_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept = history()
    (tmp_path / "kvjson" / "history").unlink()
    (tmp_path / "kvjson" / "history").mkdir()
    kept.append_string("PING")
    assert list(kept.load_history_strings()) == []
    assert kept.get_strings() == ["PING"]


def test_the_shell_runs_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert isinstance(history(), SessionHistory)


def test_a_prompt_whose_terminal_lacks_a_character_shows_an_escape(
    server: Server, tmp_path: Path
) -> None:
    kv(server.port, "set", "k", "日😀")
    arguments = ["--port", str(server.port)]
    for encoding in ("ascii", "latin-1"):
        with on_terminal(tmp_path, *arguments, PYTHONIOENCODING=encoding) as shell:
            shell.wait_for_prompt(1)
            shell.enter("get k")
            shell.wait_for('"\\u65e5\\ud83d\\ude00"')
            shell.enter("exit")
            assert shell.exit_status() == 0


def test_timing_is_that_of_the_request_alone(tmp_path: Path) -> None:
    class Instant(Pages):
        def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
            return []

        def settle(self) -> None:
            pass

        def close(self) -> None:
            pass

    pages = Instant([Keys(["k"] * 3, None)])
    target = Target("here", pages, lambda: pages, lambda _: None)
    with click.Context(click.Command("SCAN")) as context:
        target.run(Scan(), context)
    assert 0 < target.seconds < TIMEOUT


def test_timing_tells_how_long_a_command_takes(shell: Terminal) -> None:
    shell.enter("timing")
    shell.wait_for("timing is on")
    shell.enter("PING")
    shell.wait_for(" ms")


def test_help_explains_commands_with_an_example(shell: Terminal) -> None:
    shell.enter("help")
    shell.wait_for("Remove every key")
    shell.enter("help SET")
    shell.wait_for('> SET user:1 {"name": "Ada"} --ttl 60')


def test_the_history_holds_commands_but_no_password(shell: Terminal, tmp_path: Path) -> None:
    shell.enter("auth open-sesame")
    shell.wait_for("true")
    shell.enter("PING")
    shell.wait_for('"PONG"')
    history = (tmp_path / "kvjson" / "history").read_text()
    assert "PING" in history
    assert "sesame" not in history
    assert os.listdir(tmp_path) == ["kvjson"]


def test_a_stored_value_cannot_send_control_codes_to_the_terminal(shell: Terminal) -> None:
    for stored, shown in [("\\u001b[2J", "\\u001b[2J"), ("abc\u202etxt", "abc\\u202etxt")]:
        shell.enter(f'SET k "{stored}"')
        shell.wait_for("true")
        shell.enter("GET k")
        shell.wait_for(f'"{shown}"')
        shell.enter("GET k --raw")
        shell.wait_for(shown)
    shell.enter('SET k {"$binary":{"base64":"QRtbMkr/","subType":"00"}}')
    shell.wait_for("true")
    shell.enter("GET k --raw")
    shell.wait_for("A\\u001b[2J\\xff")


def test_raw_output_on_a_terminal_is_the_stored_text(server: Server, tmp_path: Path) -> None:
    kv(server.port, "SET", "k", '{"a":1,"b":2}')
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, "--json", "get", "k") as terminal:
        assert terminal.wait_for("b") == ['{"a":1,"b":2}']
    with on_terminal(tmp_path, *arguments, "get", "k") as terminal:
        assert terminal.wait_for("b") == ['{"a": 1, "b": 2}']


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == set(NAMES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_the_documented_output(server: Server, name: str) -> None:
    kv(server.port, "MSET", "user:1", '{"name":"Ada"}', "n", "5")
    typed, printed = EXAMPLES[name]
    shown = kv(server.port, stdin=typed + "\n").stdout.rstrip("\n")
    if printed.endswith("..."):
        assert shown.startswith(printed[:-3])
    else:
        assert shown == printed
