"""The shell, seen on the screen of a terminal."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Iterator, List

import pytest

from application.commands import NAMES
from entrypoints.client.examples import EXAMPLES
from entrypoints.client.words import is_open, words
from tests.support import Server, kv, running_server
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
        ("GET k", False),
        ("", False),
    ],
)
def test_a_line_that_breaks_off_within_a_value_goes_on(line: str, more: bool) -> None:
    assert is_open(line) is more


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Iterator[Terminal]:
    with on_terminal(tmp_path, "--port", str(server.port)) as terminal:
        terminal.wait_for_prompt(1)
        yield terminal


def test_what_is_typed_is_run_and_shown(shell: Terminal) -> None:
    for typed, shown in [
        ('SET user {"name": "Ada"}', "true"),
        ("get user", '{"name": "Ada"}'),
        ("get nobody", "(nothing there)"),
        ("SET n 1e999", "BAD_REQUEST: `value` cannot be kept: Number out of range"),
        ("GTE n", "No such command 'GTE'; the closest is GET."),
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


def test_tab_completes_commands_options_and_keys(shell: Terminal, server: Server) -> None:
    kv(server.port, "MSET", "user:ada", "1", "other", "2")
    shell.type("exi\t")
    shell.wait_for("exi")
    shell.type("\x15GETD\t")
    shell.wait_for("> GETDEL")
    shell.type("\x15get us\t")
    shell.wait_for("> get user:ada")
    shell.type("\x15set k v --kee\t")
    shell.wait_for("> set k v --keep-ttl")
    shell.type("\x15help pers\t")
    shell.wait_for("> help persist")


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
            shell.enter("GET k")
            with silent.accept()[0]:
                shell.type("\x03")
                shell.wait_for("interrupted")
                shell.enter("exit")
                assert shell.exit_status() == 0


def test_a_lost_connection_is_told_and_made_again(tmp_path: Path) -> None:
    with running_server() as first:
        port = str(first.port)
        with on_terminal(tmp_path, "--port", port) as shell:
            shell.wait_for_prompt(1)
            shell.enter("PING")
            shell.wait_for('"PONG"')
            first.stop()
            shell.enter("SET k 1")
            shell.wait_for("UNAVAILABLE")  # refused, or cut: by how long it was idle
            shell.enter("GET k")
            shell.wait_for("Connection refused")
            with running_server("--port", port):
                shell.enter("GET k")
                shell.wait_for("connected again")
                shell.wait_for("(nothing there)")


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


def test_what_was_typed_is_remembered_but_no_password(shell: Terminal, tmp_path: Path) -> None:
    shell.enter("auth open-sesame")
    shell.wait_for("true")
    shell.enter("PING")
    shell.wait_for('"PONG"')
    history = (tmp_path / "kvjson" / "history").read_text()
    assert "PING" in history
    assert "sesame" not in history
    assert os.listdir(tmp_path) == ["kvjson"]


def test_what_was_stored_cannot_steer_the_terminal(shell: Terminal) -> None:
    shell.enter('SET k "\\u001b[2J"')
    shell.wait_for("true")
    shell.enter("GET k")
    shell.wait_for('"\\u001b[2J"')


def test_for_scripts_a_terminal_shows_the_text_as_it_is(server: Server, tmp_path: Path) -> None:
    kv(server.port, "SET", "k", '{"a":1,"b":2}')
    arguments = ["--port", str(server.port)]
    with on_terminal(tmp_path, *arguments, "--json", "get", "k") as terminal:
        assert terminal.wait_for("b") == ['{"a":1,"b":2}']
    with on_terminal(tmp_path, *arguments, "get", "k") as terminal:
        assert terminal.wait_for("b") == ['{"a": 1, "b": 2}']


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == set(NAMES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_says(server: Server, name: str) -> None:
    kv(server.port, "MSET", "user:1", '{"name":"Ada"}', "n", "5")
    typed, printed = EXAMPLES[name]
    shown = kv(server.port, stdin=typed + "\n").stdout.rstrip("\n")
    if printed.endswith("..."):
        assert shown.startswith(printed[:-3])
    else:
        assert shown == printed
