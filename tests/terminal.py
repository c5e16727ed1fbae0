"""A terminal that the client program runs on: what is typed goes in, and the screen can be read.

Rule: a real pseudo-terminal and a real terminal emulator, so what is asserted is what a user sees.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from pathlib import Path
from typing import Iterator, List, Sequence

import pexpect
import pyte

from tests.support import ROOT, TIMEOUT, environment

COLUMNS, ROWS = 80, 40
_PROMPT = re.compile(r"(\(no connection\) )?127\.0\.0\.1:")


class Screen(pyte.HistoryScreen):
    """A screen that says where its cursor is when it is asked."""

    def __init__(self, child: pexpect.spawn[str], columns: int) -> None:
        super().__init__(columns, ROWS)
        self._child = child

    def write_process_input(self, data: str) -> None:
        self._child.send(data)


class Terminal:
    """One program on a screen of its own."""

    def __init__(self, child: pexpect.spawn[str], columns: int) -> None:
        self.child = child
        self._screen = Screen(child, columns)
        self._stream = pyte.Stream(self._screen)

    def type(self, text: str) -> None:
        """Send keys as they are; a carriage return is Enter, a tabulator completes."""
        self.child.send(text)

    def enter(self, line: str) -> None:
        """Type a line."""
        self.type(line + "\r")

    @property
    def lines(self) -> List[str]:
        """What the screen shows, without the empty lines below."""
        self._read()
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def wait_for(self, text: str) -> List[str]:
        """The screen, as soon as `text` is on it."""
        end = time.monotonic() + TIMEOUT
        while text not in "\n".join(self.lines):
            assert time.monotonic() < end, f"no {text!r} on the screen:\n" + "\n".join(self.lines)
        return self.lines

    def wait_for_prompt(self, count: int) -> List[str]:
        """The screen, as soon as there are so many prompts on it and the last awaits input."""
        end = time.monotonic() + TIMEOUT
        while sum(bool(_PROMPT.match(line)) for line in self.lines) < count:
            assert time.monotonic() < end, "\n".join(self.lines)
        return self.lines

    def colour_of(self, text: str) -> str:
        """The colour, and weight, of the last place where `text` is on the screen."""
        self._read()
        for row in reversed(range(ROWS)):
            column = self._screen.display[row].rfind(text)
            if column >= 0:
                cell = self._screen.buffer[row][column]
                return f"bold {cell.fg}" if cell.bold else str(cell.fg)
        raise AssertionError(f"no {text!r} on the screen")

    def exit_status(self) -> int:
        """How the program ended, once it has."""
        self.child.expect(pexpect.EOF, timeout=TIMEOUT)
        self.child.wait()
        assert self.child.exitstatus is not None
        return self.child.exitstatus

    def _read(self) -> None:
        with contextlib.suppress(pexpect.TIMEOUT, pexpect.EOF):
            self._stream.feed(self.child.read_nonblocking(100_000, timeout=0.05))


@contextlib.contextmanager
def on_terminal(
    state: Path,
    *arguments: str,
    columns: int = COLUMNS,
    program: Sequence[str] = (sys.executable, "-m", "entrypoints.client"),
    **variables: str,
) -> Iterator[Terminal]:
    """The client program, or another, on a terminal; its history lies in `state`."""
    settings = {
        "XDG_STATE_HOME": str(state),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "PAGER": "cat",
        **variables,
    }
    child = pexpect.spawn(
        program[0],
        [*program[1:], *arguments],
        cwd=str(ROOT),
        env=environment(**settings),
        encoding="utf-8",
        dimensions=(ROWS, columns),
    )
    try:
        yield Terminal(child, columns)
    finally:
        child.kill(signal.SIGKILL)
        child.wait()  # `close` alone gives the system a tenth of a second to end it
        child.close()
