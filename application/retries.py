"""When a command that failed is sent once more, and after how long.

Rule: a command that may have taken effect is never repeated, unless it changes nothing.
"""

from __future__ import annotations

import random
from typing import Any, Iterator, Sequence

from application.commands import Command
from domain.errors import KvError, Unavailable, Unreachable

FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds to wait before the second attempt at the most; doubled for each further one."""


def may_repeat(commands: Sequence[Command[Any]], error: KvError) -> bool:
    """Whether commands that were sent together and failed so may be sent again."""
    if isinstance(error, Unreachable):
        return True
    return isinstance(error, Unavailable) and all(command.readonly for command in commands)


def pauses(attempts: int) -> Iterator[float]:
    """Seconds to wait after each attempt but the last: a random part of twice as long each time, so
    that clients which failed together do not come back together."""
    for number in range(attempts - 1):
        yield random.uniform(0, min(MAX_PAUSE, FIRST_PAUSE * 2**number))
