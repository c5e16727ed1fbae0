"""The keys of a Redis server, one page after another, to be copied from it.

Rule: nothing is changed there. Keys that are not strings are counted by their type and left out;
one that comes or goes meanwhile may be missing.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from adapters.client.address import Address
from domain.errors import Unavailable

PAGE_KEYS = 250
"""Keys that are asked for at once."""

Command = Sequence[bytes]
Ask = Callable[[Sequence[Command]], List[Any]]
"""Returns the replies to commands; an error is a `Refusal` in its place."""


class Refusal(Exception):
    """An error that the server replied."""


class Item(NamedTuple):
    """A key, its bytes, and the seconds left to it."""

    key: str
    data: bytes
    ttl: Optional[float] = None


Connect = Callable[[Address, Optional[float]], Any]
"""Connects a socket within some seconds; raises `OSError`."""


class Login(NamedTuple):
    """What a connection says of itself first."""

    user: Optional[str] = None
    password: Optional[str] = None
    database: int = 0


class RedisKeys:
    """The strings of a server, and how many keys of other kinds it has."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.left_out: Counter[str] = Counter()
        """How many keys were left out, by why."""

    def log_in(self, login: Login) -> None:
        """Say who asks, and of which database."""
        if login.password:
            self._one(b"AUTH", *(word.encode() for word in (login.user, login.password) if word))
        if login.database:
            self._one(b"SELECT", b"%d" % login.database)

    def count(self) -> int:
        """How many keys there are."""
        return int(self._one(b"DBSIZE"))

    def pages(self) -> Iterator[List[Item]]:
        """The strings, some at a time; raises `Unavailable`."""
        cursor = b"0"
        while True:
            cursor, keys = self._one(b"SCAN", cursor, b"COUNT", b"%d" % PAGE_KEYS)
            for at in range(0, len(keys), PAGE_KEYS):
                yield self._items(keys[at : at + PAGE_KEYS])
            if cursor == b"0":
                return

    def _one(self, *command: bytes) -> Any:
        (reply,) = self._ask([command])
        if isinstance(reply, Refusal):
            raise Unavailable(f"Redis refused {command[0].decode()}: {reply}")
        return reply

    def _items(self, keys: List[bytes]) -> List[Item]:
        replies = self._ask([(name, key) for key in keys for name in (b"GET", b"PTTL")])
        items: List[Item] = []
        for key, data, milliseconds in zip(keys, replies[::2], replies[1::2]):
            if isinstance(data, Refusal):
                kind = self._one(b"TYPE", key)
                self.left_out[f"of type {kind.decode()}"] += 1
            elif data is not None and isinstance(milliseconds, int) and milliseconds != -2:
                ttl = milliseconds / 1000 if milliseconds >= 0 else None
                try:
                    items.append(Item(key.decode(), data, ttl))
                except UnicodeDecodeError:
                    self.left_out["whose name is not UTF-8"] += 1
        return items


@contextlib.contextmanager
def connected(
    connect: Connect,
    address: Address,
    login: Login,
    connect_timeout: Optional[float],
    timeout: Optional[float],
) -> Iterator[RedisKeys]:
    """The keys of a server, of which each piece of a reply arrives within `timeout` seconds. Raises
    `Unavailable` when it cannot be asked."""
    try:
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(connect(address, connect_timeout))
            sock.settimeout(timeout)
            wire = _Wire(sock, stack.enter_context(sock.makefile("rb")))
            keys = RedisKeys(wire.ask)
            keys.log_in(login)
            yield keys
    except OSError as error:
        raise Unavailable(f"Redis at {address}: {error}") from error


class _Wire:
    """Commands as bytes, and bytes as replies, of version 2 of the protocol."""

    def __init__(self, sock: Any, file: BinaryIO) -> None:
        self._sock = sock
        self._file = file

    def ask(self, commands: Sequence[Command]) -> List[Any]:
        self._sock.sendall(b"".join(map(_encoded, commands)))
        return [self._reply() for _ in commands]

    def _reply(self) -> Any:
        line = self._file.readline(64 * 1024)
        if not line.endswith(b"\r\n"):
            raise OSError("the connection was closed")
        try:
            return _READERS[line[:1]](self, line[1:-2])
        except (KeyError, ValueError):
            raise OSError("it does not speak the protocol of Redis") from None

    def _bulk(self, length: bytes) -> Optional[bytes]:
        size = int(length)
        if size < 0:
            return None
        data = self._file.read(size + 2)
        if len(data) < size + 2:
            raise OSError("the connection was closed")
        return data[:-2]

    def _array(self, length: bytes) -> List[Any]:
        return [self._reply() for _ in range(int(length))]


_READERS: Dict[bytes, Callable[[_Wire, bytes], Any]] = {
    b"+": lambda wire, rest: rest,
    b"-": lambda wire, rest: Refusal(rest.decode("utf-8", "replace")),
    b":": lambda wire, rest: int(rest),
    b"$": _Wire._bulk,
    b"*": _Wire._array,
}


def _encoded(command: Command) -> bytes:
    arguments = b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in command)
    return b"*%d\r\n%b" % (len(command), arguments)
