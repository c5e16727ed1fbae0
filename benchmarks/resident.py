"""What a server's process holds: memory and sockets, as the system counts them.

The rule it keeps: memory is read when the server has come to rest. That it does not fall just now
proves nothing: an allocator returns memory when the last piece of a block is free, which may be
at the very end of a long work of removal.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

MIB = 1024 * 1024
RESTING_SHARE = 0.3
"""How much of a core a server at rest uses at most; being pinged takes a tenth of one."""

RESTING_BYTES = MIB // 4
LONGEST_WAIT_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Look:
    """What was seen of a process at one time."""

    resident: int
    cpu_seconds: float


def resident_bytes(pid: int, look_seconds: float = 0.5) -> int:
    """The memory of a server, once it has been at rest for so long."""
    process = psutil.Process(pid)
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    before = _look(process)
    while time.monotonic() < deadline:
        time.sleep(look_seconds)
        now = _look(process)
        if _resting(before, now, look_seconds):
            return now.resident
        before = now
    raise OSError("the server does not come to rest")


def _look(process: psutil.Process) -> Look:
    times = process.cpu_times()
    return Look(process.memory_info().rss, times.user + times.system)


def _resting(before: Look, now: Look, seconds: float) -> bool:
    busy = now.cpu_seconds - before.cpu_seconds > RESTING_SHARE * seconds
    return not busy and before.resident - now.resident < RESTING_BYTES


def descriptors(pid: int) -> int:
    """How many files and sockets a server has open."""
    return psutil.Process(pid).num_fds()


def wait_for_descriptors(pid: int, count: int) -> None:
    """Wait until a server has closed what its clients left, and has no more than so many open."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while descriptors(pid) > count:
        if time.monotonic() > deadline:
            raise OSError(f"the server still has {descriptors(pid)} descriptors open")
        time.sleep(POLL_SECONDS)
