"""The keys of a Redis server, one page after another, to be copied from it.

Rule: nothing is changed there. Keys that are not strings are counted by their type and left out;
one that comes or goes meanwhile may be missing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import Counter
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence
from urllib.parse import unquote, urlsplit

from domain.errors import Unavailable

PAGE = 250
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


class Source(NamedTuple):
    """Where a Redis is: `redis://[user@]host[:port][/database]`, `rediss://` for TLS, with the file
    of the authorities to trust, if they are not the system's."""

    host: str
    port: int = 6379
    database: int = 0
    user: str = ""
    has_tls: bool = False
    tls_ca: Optional[str] = None

    @classmethod
    def parse(cls, address: str) -> Source:
        """The place that an address names; raises `ValueError`, which does not quote it."""
        parts = urlsplit(address)
        database = parts.path.strip("/") or "0"
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or not database.isdigit():
            raise ValueError("a Redis is redis://[user@]host[:port][/database], rediss:// for TLS")
        if parts.password is not None:
            raise ValueError("a password in an address is seen by other users: set REDISCLI_AUTH")
        user = unquote(parts.username or "")
        port = parts.port or 6379
        return cls(parts.hostname, port, int(database), user, parts.scheme == "rediss")


class RedisKeys:
    """The strings of a server, and how many keys of other kinds it has."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.left_out: Counter[str] = Counter()
        """How many keys were left out, by why."""

    def count(self) -> int:
        """How many keys there are."""
        return int(self._one(b"DBSIZE"))

    def pages(self) -> Iterator[List[Item]]:
        """The strings, some at a time; raises `Unavailable`."""
        cursor = b"0"
        while True:
            cursor, keys = self._one(b"SCAN", cursor, b"COUNT", b"%d" % PAGE)
            for at in range(0, len(keys), PAGE):
                yield self._items(keys[at : at + PAGE])
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
    source: Source, password: str, connect_timeout: Optional[float], timeout: Optional[float]
) -> Iterator[RedisKeys]:
    """The keys of a server, of which each piece of a reply arrives within `timeout` seconds. Raises
    `Unavailable` when it cannot be asked."""
    try:
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(
                socket.create_connection((source.host, source.port), connect_timeout)
            )
            if source.has_tls:
                sock = stack.enter_context(_encrypted(sock, source))
            sock.settimeout(timeout)
            wire = _Wire(sock, stack.enter_context(sock.makefile("rb")))
            keys = RedisKeys(wire.ask)
            if password:
                user = [source.user.encode()] if source.user else []
                keys._one(b"AUTH", *user, password.encode())
            if source.database:
                keys._one(b"SELECT", b"%d" % source.database)
            yield keys
    except OSError as error:
        raise Unavailable(f"Redis at {source.host}:{source.port}: {error}") from error


def _encrypted(sock: socket.socket, source: Source) -> ssl.SSLSocket:
    """The socket, once the TLS handshake is done; a Redis without TLS may never answer it."""
    try:
        context = ssl.create_default_context(cafile=source.tls_ca)
        return context.wrap_socket(sock, server_hostname=source.host)
    except ssl.SSLCertVerificationError:
        raise
    except (socket.timeout, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or "timed out"
        why = reason.replace("_", " ").lower()
        raise OSError(
            f"the TLS handshake failed ({why}); without TLS the address is redis://"
        ) from error


class _Wire:
    """Commands as bytes, and bytes as replies, of version 2 of the protocol."""

    def __init__(self, sock: socket.socket, file: BinaryIO) -> None:
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
