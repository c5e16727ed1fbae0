"""When a command that failed is sent once more, and after how long.

Rule: a command that may have taken effect is never repeated, unless it changes nothing.
"""

from __future__ import annotations

import random
from typing import Any, Optional, Sequence

from application.commands import Command
from domain.errors import TimedOut, Unavailable, Unreachable

FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds to wait before the second attempt at the most; doubled for each further one."""


def pause_before_repeat(
    commands: Sequence[Command[Any]],
    error: Unavailable,
    attempts: int,
    more: int,
    left: Optional[float],
) -> float:
    """Seconds to wait before commands that failed together are sent again, of the `left` ones.
    Raises the error when that is not safe or `more` attempts are none, `TimedOut` when it is late.

    A random part of twice as long after each attempt, so that clients which failed together do not
    come back together.
    """
    is_safe = isinstance(error, Unreachable) or all(command.readonly for command in commands)
    if not (is_safe and more > 0):
        raise error
    pause = random.uniform(0, min(MAX_PAUSE, FIRST_PAUSE * 2 ** (attempts - 1)))
    if left is not None and pause >= left:
        raise TimedOut("no reply arrived in time") from error
    return pause
