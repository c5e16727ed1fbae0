"""Breaks calls off at each step, as a signal's handler that raises may up to Python 3.9.

Later versions run handlers at calls and at the ends of loops alone.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Callable, Iterator, Optional, Tuple

import pytest

by_steps = pytest.mark.skipif(
    sys.version_info < (3, 9), reason="3.8 confuses its stack where a trace function raises"
)


class BrokenOff(Exception):
    """What the handler of a signal raises."""


def broken_off_at_each_step(
    prepared: Callable[[], Callable[[], object]], files: Tuple[str, ...]
) -> Iterator[int]:
    """Calls what `prepared` returns again and again, each time broken off one instruction later in
    files of these names; yields after each, with the number of the instruction."""
    step = 1
    while _is_broken_off(prepared(), step, files):
        yield step
        step += 1


def _is_broken_off(call: Callable[[], object], step: int, files: Tuple[str, ...]) -> bool:
    left = step

    def trace(frame: FrameType, event: str, _: object) -> Optional[Any]:
        nonlocal left
        if not frame.f_code.co_filename.endswith(files):
            return None
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if not left:
            sys.settrace(None)
            raise BrokenOff
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except BrokenOff:
        return True
    finally:
        sys.settrace(before)
    return False
