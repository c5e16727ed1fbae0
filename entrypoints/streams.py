"""The standard streams, and how a program ends when they, or the user, end it.

Rule: a stream that is closed, full, or without a character never costs a traceback; what cannot be
written to standard output is a failure, and what cannot be to standard error is not. A descriptor
below 3 is never free, so that no socket or file takes the place of a standard stream.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import shutil
import signal
import sys
from typing import IO, Any, Iterator, NoReturn, Optional, Tuple, Union

import click

from entrypoints.starting import INTERRUPTED

TERMINATED, PIPE_CLOSED = 128 + signal.SIGTERM, 128 + signal.SIGPIPE
"""Exit codes, as those of a program that the signal ended."""

_STREAMS = (
    ("stdin", "r", os.O_WRONLY),
    ("stdout", "w", os.O_RDONLY),
    ("stderr", "w", os.O_WRONLY),
)


def prepare() -> None:
    """Open what is closed on /dev/null, standard input for writing alone and standard output for
    reading, so that to use them fails as of what is closed; and let what cannot be encoded be
    written in escapes."""
    for name, mode, access in _STREAMS:
        stream = getattr(sys, name)
        if stream is None:
            descriptor = os.open(os.devnull, access)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPES)


def write(text: str, color: Optional[bool] = None) -> None:
    """Print a line of text in the encoding of the terminal; click would take UTF-8 for ASCII."""
    click.echo(text, file=sys.stdout, color=color)


def styled(text: str, **style: Any) -> str:
    """A text in a style of click's, where the terminal can and NO_COLOR is not set."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return text if is_plain else click.style(text, **style)


class PipeClosed(Exception):
    """The reader of the output has ended. `BrokenPipeError` would not get past click."""


class Program(click.Command):
    """A command that owns the standard streams of its process."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; it ends with its exit code, and a line at most for a stream's error."""
        prepare()
        kwargs.setdefault("terminal_width", help_width())
        if not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        with _ending_quietly():
            try:
                code = super().main(*args, **{**kwargs, "standalone_mode": False})
            except click.ClickException as error:
                error.show()
                _leave(error.exit_code)
            except click.exceptions.Exit as error:
                code = error.exit_code
            sys.stdout.flush()
            sys.exit(code if isinstance(code, int) else 0)


@contextlib.contextmanager
def _ending_quietly() -> Iterator[None]:
    """Ends the program with its exit code, and a line at most, when a stream or the user does."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        with contextlib.suppress(OSError):
            click.echo("interrupted", err=True)
        _leave(INTERRUPTED)
    except (PipeClosed, BrokenPipeError):
        _leave(PIPE_CLOSED)
    except OSError as error:
        with contextlib.suppress(OSError):
            is_closed = error.errno == errno.EBADF
            why = "a standard stream is closed" if is_closed else error.strerror or error
            click.echo(f"Error: {why}", err=True)
        _leave(1)


@contextlib.contextmanager
def terminated_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as an exception does, so that nothing is left behind."""

    def leave(*_: Any) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(code: int) -> None:
    """Exit without a second try to write what could not be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def can_show(text: str, stream: IO[Any]) -> bool:
    """Whether the encoding of a stream has all characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def help_width() -> int:
    """The columns of a help page: those of the terminal, as far as text is easy to read."""
    return min(shutil.get_terminal_size().columns - 1, 100)


ESCAPES = "kvjson.escapes"


def _escape(error: UnicodeError) -> Tuple[Union[str, bytes], int]:
    """Escapes as JSON has them, for what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    units = wrong.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), (
        error.end
    )


codecs.register_error(ESCAPES, _escape)
