"""What the system knows of this process, and is told about it."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import socket
import sys

log = logging.getLogger(__name__)


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


def allow_descriptors(wanted: int) -> int:
    """Raise the number of descriptors that may be open to `wanted`, as far as the system lets us;
    gives how many there may be now."""
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
    """Tell the service manager, such as "READY=1", if it asked for it (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)
    except OSError as error:
        log.warning("the service manager cannot be told", extra={"why": str(error)})
