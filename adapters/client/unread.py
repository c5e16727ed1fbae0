"""Whether anything has arrived on a connection, or has ended it, asked before each request.

Rule: the answer is that of `poll`. Where the system counts the bytes that wait on a TCP socket, as
Linux does, `poll` is asked only if there are any, or an error: it hands the interpreter to another
thread, which costs programs of many threads a third of their rate.
"""

from __future__ import annotations

import select
import socket
import sys
from functools import partial
from typing import Any, Callable

NewPoll = Callable[[], Any]
"""Makes what `select.poll` makes."""

_SO_MEMINFO = 55
"""Linux's option whose first four bytes are the memory of what was received and not yet read, the
other side's end of the connection among it; no name of Python's."""

_NOTHING = bytes(4)


def unread(sock: Any, new_poll: NewPoll) -> Callable[[], object]:
    """A function that tells whether a socket at rest has anything to read, its end included."""
    poll = new_poll()
    poll.register(sock.fileno(), select.POLLIN)
    ask: Callable[[], object] = partial(poll.poll, 0)
    if not _counts_unread_bytes(sock):
        return ask
    option = sock.getsockopt

    def ask_if_there_may_be() -> object:
        if option(socket.SOL_SOCKET, _SO_MEMINFO, 4) == _NOTHING and not option(
            socket.SOL_SOCKET, socket.SO_ERROR
        ):
            return False
        return ask()

    return ask_if_there_may_be


def _counts_unread_bytes(sock: Any) -> bool:
    if sys.platform != "linux" or getattr(sock, "family", None) not in _INET:
        return False
    try:
        return len(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4)) == len(_NOTHING)
    except OSError:
        return False


_INET = (socket.AF_INET, socket.AF_INET6)
