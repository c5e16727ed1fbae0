"""What a connection to a server is, whether its calls block or are awaited.

Rule: one that may still owe a reply, whatever ended the call, is never used again, nor is one on
which anything arrived between two calls: the next command opens a new one.
"""

from __future__ import annotations

import socket
from typing import Any, Callable, Generic, Iterator, List, Optional, Protocol, Sequence, TypeVar

from adapters.client.address import Address
from adapters.client.unread import NewPoll
from application.commands import Command
from domain.errors import KvError, TimedOut, Unavailable, Unreachable

SEND_SIZE = 64 * 1024
"""Bytes offered to the system at once; that it takes some of them is progress."""


class Session(Protocol):
    """The conversation with a server, in bytes; not bound to any socket."""

    @property
    def in_flight(self) -> int:
        """How many replies are still to come to what was sent."""
        ...

    @property
    def may_close(self) -> bool:
        """Whether the server may close the connection after what it has replied."""
        ...

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """What to send, in pieces; before the next piece, receive all replies in flight."""
        ...

    def receive_data(self, data: bytes) -> List[object]:
        """The results and `KvError`s that `data` completes, in the order sent."""
        ...

    def receive_eof(self) -> List[object]:
        """The outcomes of the commands in flight at the end of the connection, in their order."""
        ...


class Link(Protocol):
    """An open connection."""

    def close(self) -> None:
        """Hang up."""
        ...

    def abandon(self) -> None:
        """Free what this process holds of it, and tell no other."""
        ...


L = TypeVar("L", bound=Link)


class Connection(Generic[L]):
    """A connection to one server, opened when first needed.

    Times are in seconds, and 0 is for as long as it takes: `connect_timeout` bounds connecting,
    `timeout` each wait for progress, which is the wait until the system takes some of what is sent,
    or has received something. Where there is a password, it is sent first.
    """

    def __init__(
        self,
        address: Address,
        connect_timeout: float,
        timeout: float,
        new_session: Callable[[], Session],
        password: str,
        new_poll: NewPoll,
    ) -> None:
        self._address = address
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._new_session = new_session
        self._password = password
        self._new_poll = new_poll
        self._link: Optional[L] = None

    def close(self) -> None:
        """Hang up; the next command connects again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def abandon(self) -> None:
        """Close the descriptor alone."""
        link, self._link = self._link, None
        if link is not None:
            link.abandon()

    def _lost(self, error: Exception) -> KvError:
        """The connection is of no use after an error; returns the one to raise."""
        self.close()
        if isinstance(error, socket.timeout):
            return TimedOut(f"no answer from {self._address} in time")
        return Unavailable(f"{self._address}: {getattr(error, 'strerror', None) or error}")

    def _not_opened(self, error: Exception, now: float, end: Optional[float]) -> KvError:
        """There is no connection, and no command was sent; returns the error to raise."""
        why = self._lost(error)
        if end is not None and now >= end:
            return TimedOut(f"no connection to {self._address} in time")
        return Unreachable(str(why))


NOT_OPENED = (OSError, UnicodeError, Unavailable, TimedOut)
"""The errors of connecting and logging in that are none of the server's refusals."""


def within(timeout: float, end: Optional[float], now: Callable[[], float]) -> Optional[float]:
    """The most seconds to wait; None for no limit."""
    if end is None:
        return timeout or None
    left = end - now()
    if left <= 0:
        raise socket.timeout("timed out")
    return min(timeout or left, left)
