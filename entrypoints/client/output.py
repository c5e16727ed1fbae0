"""What the client prints, and the exit code it ends with (2, for usage, is click's own).

Rule: results go to standard output and everything else to standard error. For scripts a result is
one line of JSON, and an empty line when there is none, which `null` is not; on a terminal it is
laid out and coloured, and nothing that was stored can steer the terminal.
"""

from __future__ import annotations

import os
import shutil
import sys
from itertools import chain, islice
from typing import IO, Any, Dict, Iterable, List, NamedTuple, Optional

import click
import msgspec
from msgspec import UNSET

from application.byte_values import to_bytes
from application.json_text import raw
from domain.errors import KvError, TimedOut, Unauthenticated, Unavailable
from entrypoints.streams import styled, write

NOTHING_THERE = 4
"""The exit code of `--exit-status` when the key, or each of many, is missing, or a condition does
not hold."""

_CONTROLS = {
    code: f"\\u{code:04x}"
    for code in (
        *range(0x7F, 0xA0),  # C1 controls, which some terminals obey
        0x061C,
        0x200E,
        0x200F,
        *range(0x2028, 0x202F),  # line separators, and what turns the direction of writing
        *range(0x2066, 0x206A),
        0xFEFF,
    )
}
"""Characters that JSON leaves as they are, and that change how a terminal shows others."""

_CONTROLS_IN_TEXT = {
    **_CONTROLS,
    **{code: f"\\u{code:04x}" for code in range(0x20) if chr(code) not in "\t\n"},
}


class Style(NamedTuple):
    """How results are printed."""

    as_json: bool = False
    """Compact, on a terminal too."""
    raw: bool = False
    """A string without its quotes, and a `$binary` as its bytes."""
    exit_status: bool = False
    """End with `NOTHING_THERE` when there is nothing, or a condition does not hold."""
    at_prompt: bool = False
    """Say in words that there is nothing, and page what is longer than the screen."""


def style_options() -> List[click.Option]:
    """Options that say how a result is printed, for the program and for each command."""
    return [
        _style_option("as_json", ["--json", "-j"], "Print compact JSON, on a terminal too."),
        _style_option(
            "raw",
            ["--raw", "-r"],
            "Print a string without quotes and escapes, and bytes as they are.",
        ),
        _style_option(
            "exit_status",
            ["--exit-status", "-e"],
            f"End with exit code {NOTHING_THERE} when the key is missing or a condition false.",
        ),
    ]


def _style_option(name: str, flags: List[str], help: str) -> click.Option:
    def note(ctx: click.Context, param: click.Parameter, given: bool) -> None:
        if given:
            ctx.meta.setdefault(_STYLE, {})[name] = True

    return click.Option([*flags, name], is_flag=True, expose_value=False, callback=note, help=help)


_STYLE = "entrypoints.client.output.style"


def chosen_style(ctx: click.Context, otherwise: Style) -> Style:
    """The style that a command line asks for."""
    chosen: Dict[str, bool] = ctx.meta.get(_STYLE, {})
    return otherwise._replace(**chosen)


class Refused(click.ClickException):
    """A command that the server refused."""

    exit_code = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code

    def show(self, file: Optional[IO[Any]] = None) -> None:
        message = self.format_message()
        rest = message[len(self.code) :]
        click.echo(styled(self.code, fg="red", bold=True) + rest, file=file, err=file is None)


class NoConnection(Refused):
    """A command that no server answered."""

    exit_code = 3


class _InBatch(msgspec.Struct):
    """The result of a command in a batch; a member is missing where there is none."""

    ok: bool
    result: Any


def failure(error: KvError, at_prompt: bool = False) -> Refused:
    """What the command line makes of an error."""
    kind = NoConnection if isinstance(error, (Unavailable, TimedOut)) else Refused
    where = "" if error.index is None else f"command {error.index} of the batch: "
    return kind(error.code, f"{where}{error}{_advice(error, at_prompt)}")


def _advice(error: KvError, at_prompt: bool) -> str:
    """What to do about an error that is due to how the program was started."""
    if isinstance(error, Unauthenticated):
        return "; auth asks for the password" if at_prompt else _PASSWORD
    return next((advice for part, advice in _ADVICE.items() if part in str(error)), "")


_PASSWORD = "; give --password-file or --askpass, or set KV_PASSWORD"
_ADVICE = {
    "WRONG_VERSION_NUMBER": "; does the server speak TLS? without it the address is kv://",
    "RECORD_LAYER_FAILURE": "; does the server speak TLS? without it the address is kv://",
    "certificate is not valid for": "; --tls-server-name is the name that it must have",
    "CERTIFICATE_VERIFY_FAILED": "; --tls-ca names the authority to trust (--from-tls-ca that of a "
    "Redis, a server's --store-tls-ca that of its engine)",
    "the server closed the connection": "; if it speaks TLS, the address is kvs://",
    "it begins with '\\x15\\x03": "; it speaks TLS: the address is kvs://",
    "; store it as a string": "; --string stores a VALUE as text",
    "the reply is not of this protocol": "; is kv-server what listens there?",
}
"""By a part of what the network or the server says; the first that is in it counts."""


def show(result: object, style: Style) -> None:
    """Print a command's result; end the program where the style says so."""
    _show(result, style)
    if style.exit_status and (result is UNSET or result is False or result == {}):
        raise click.exceptions.Exit(NOTHING_THERE)


def _show(result: object, style: Style) -> None:
    if result is UNSET:
        click.echo("(nothing there)" if style.at_prompt else "")
        return
    if type(result) is list:
        result = [_InBatch(True, raw(each)) for each in result]
    text = msgspec.json.encode(raw(result))
    data = to_bytes(text) if style.raw else text
    if data is not text:
        _show_raw(data, ends_line=text.startswith(b'"'))
    elif style.as_json or not sys.stdout.isatty():
        click.echo(text)
    else:
        _lay_out(text, style.at_prompt)


def show_lines(lines: Iterable[str], at_prompt: bool = False) -> None:
    """Print lines of text that was stored, as they are for scripts."""
    if not sys.stdout.isatty():
        for line in lines:
            click.echo(line.encode())
        return
    escaped = (line.translate(_CONTROLS_IN_TEXT) for line in lines)
    if at_prompt:
        page(escaped)
    else:
        for line in escaped:
            write(line)


def page(lines: Iterable[str]) -> None:
    """Print lines, by a pager ($PAGER, or less) when they are more than the screen has."""
    source = iter(lines)
    rows = shutil.get_terminal_size().lines - 2
    first = list(islice(source, rows + 1))
    if len(first) <= rows or os.environ.get("PAGER") in ("", "cat"):
        for line in chain(first, source):
            write(line, color=True)
        return
    os.environ.setdefault("LESS", "-FRX")
    rest = ("\n" + line for line in chain(first[1:], source))  # click ends the last line
    click.echo_via_pager(chain(first[:1], rest), color=True)


def _show_raw(data: bytes, ends_line: bool) -> None:
    """Print the bytes of a string, whose line ends, or of a `$binary`, which is a file's."""
    if sys.stdout.isatty():
        write(data.decode("utf-8", "backslashreplace").translate(_CONTROLS_IN_TEXT))
    else:
        click.echo(data, nl=ends_line)


def _lay_out(text: bytes, at_prompt: bool) -> None:
    from entrypoints.client.palette import console, json_text  # rich is slow to import

    screen = console()
    line = msgspec.json.format(text, indent=0)
    if len(line) > screen.width:
        line = msgspec.json.format(text, indent=2)
    shown = json_text(line.decode().translate(_CONTROLS))
    with screen.capture() as captured:
        screen.print(shown)
    lines = captured.get().splitlines()
    if at_prompt:
        page(lines)
    else:
        write("\n".join(lines), color=True)
