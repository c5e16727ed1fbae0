"""How long the longest step of a request takes, which is how long all others wait for it.

Rule: in process, so that what is measured is the server's own work: the time on the processor of
each call of a conversation. A task that is always the same is timed beside what takes long: where
that takes longer than on a quiet machine, a step may as well.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Callable, Dict, Mapping, Optional, Sequence, Tuple

import msgspec

from application.limits import Limits
from application.ports import Conversation, Wants

MIB = 1 << 20
LARGE = Limits().max_request_bytes - MIB // 2
KEYS = Limits().max_keys_per_request
VALUE = b'"abcdefghijklmnopqrst"'
QUIET_MS = 40.0
"""What `slowness` times, on a quiet machine."""


def longest_step(talk: Conversation, data: bytes) -> Tuple[float, bytes]:
    """Milliseconds of the longest step that requests take, and their replies."""
    longest, replies = 0, b""
    for start in range(0, len(data), MIB):
        step: Optional[Callable[[], bytes]] = partial(talk.receive, data[start : start + MIB])
        while step:
            started = time.process_time_ns()
            reply = step()
            longest = max(longest, time.process_time_ns() - started)
            replies += reply
            step = talk.advance if talk.wants is Wants.TURN else None
    assert talk.wants is Wants.INPUT
    return longest / 1e6, replies


def least(most: float, measure: Callable[[], float]) -> Tuple[float, float]:
    """The least of up to three measurements, and how slow the machine was if it is near `most`."""
    times, slow = [], 1.0
    for _ in range(3):  # a busy machine makes one slower than it is
        times.append(measure())
        if times[-1] < most / 2:
            break
        slow = max(slow, slowness())
    return min(times), slow


def slowness() -> float:
    """How many times as long as on a quiet machine everything takes now; 1 at least."""
    keys = [f"key:{number:012}" for number in range(100_000)]
    text = json.dumps(dict.fromkeys(keys, "value"))
    started = time.process_time_ns()
    found = msgspec.json.decode(text)
    assert len({key: found[key] for key in keys}) == len(keys)
    return max(1.0, (time.process_time_ns() - started) / 1e6 / QUIET_MS)


def print_table(rows: Mapping[str, Mapping[str, float]], columns: Sequence[str]) -> None:
    """Prints the table that docs/security.md has: milliseconds, by request and column."""
    print("\n\n| longest step, in ms | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, found in rows.items():
        cells = [f"{found[each]:.0f}" if each in found else "" for each in columns]
        print(f"| {name} | {' | '.join(cells)} |")


def filled(unit: bytes, size: int, last: bytes = b"1") -> bytes:
    """An array of about so many bytes, of the same unit over and over."""
    return b"[%b%b]" % ((unit + b",") * (size // (len(unit) + 1)), last)


def distinct(value: bytes, size: int) -> bytes:
    """An object of distinct names."""
    members = (b'"n%d":%b' % (number, value) for number in range(size // (len(value) + 13)))
    return b"{%b}" % b",".join(members)


DOCUMENTS: Dict[str, Callable[[int], bytes]] = {
    "empty arrays": lambda size: filled(b"[]", size),
    "empty arrays and an exponent": lambda size: filled(b"[]", size, b"1e100"),
    "deep arrays": lambda size: filled(b"[" * 120 + b"]" * 120, size),
    "objects": lambda size: filled(b'{"a":{}}', size),
    "distinct names": lambda size: distinct(b"1", size),
    "distinct names with exponents": lambda size: distinct(b"1e300", size),
    "booleans": lambda size: filled(b"true", size),
    "integers": lambda size: filled(b"1", size),
    "long integers": lambda size: filled(b"1" * 4000, size),
    "fractions": lambda size: filled(b"1.5", size),
    "numbers with exponents": lambda size: filled(b"1e300", size),
    "strings": lambda size: filled(b'"a"', size),
    "strings like numbers": lambda size: filled(b'"5e123"', size, b"1e100"),
    "strings with escapes": lambda size: filled(b'"\\\\\\""', size, b"1e100"),
    "a long string": lambda size: b'"%b"' % (b"x" * size),
    "line breaks": lambda size: filled(b"1,\r1", size),
}
