"""This process as the operating system sees it: memory, descriptors, the service manager.

Rule: each function is one request to the system, and does nothing where the system has no such
thing.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import socket
import sys

log = logging.getLogger(__name__)


def resident_memory() -> int:
    """Bytes of this process that are in memory now; where the system does not say, the most there
    ever were."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


def keep_buffers(largest: int = 8 * 1024 * 1024) -> None:
    """Make the C library reuse freed buffers of up to `largest` bytes.

    By default the system maps and zeroes every buffer of over 128 KiB anew, which costs more than
    filling it. Larger ones are still returned at once. Does nothing where the C library is not
    glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, largest)
        mallopt(_M_TRIM_THRESHOLD, 4 * largest)


def allow_descriptors(wanted: int) -> int:
    """Raise the limit on open descriptors to `wanted`, as far as the system permits; returns the
    limit that is now in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):
        return soft
    return allowed


def notify(state: str) -> None:
    """Send a state such as "READY=1" to the service manager, if there is one (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)
    except OSError as error:
        log.warning("cannot notify the service manager", extra={"why": str(error)})


def end_at_once(why: str) -> None:
    """End the process with code 1 and one line, whatever it was doing."""
    with contextlib.suppress(OSError):
        os.write(2, f"Error: {why}\n".encode("utf-8", "backslashreplace"))
    os._exit(1)
