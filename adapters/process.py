"""What the system knows of this process, and is told about it."""

from __future__ import annotations

import ctypes
import os
import resource
import sys


def resident_memory() -> int:
    """How many bytes of this process are in memory now; where the system does not tell, at most."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


def keep_buffers(largest: int = 8 * 1024 * 1024) -> None:
    """Let the C library keep freed buffers of up to `largest` bytes for the next ones.

    By default the system maps and zeroes every buffer of over 128 KiB anew, which costs more than
    filling it. Larger ones still go back at once. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, largest)
        mallopt(_M_TRIM_THRESHOLD, 4 * largest)
