"""A single Valkey or Redis server: one command sent, one reply, over a bounded pool of connections.

Rule: a command that changes something is sent once; a read is repeated once when its connection is
lost. redis-py's errors become ours here: `Unreachable` when nothing was sent, `Unavailable` when no
reply came, or the engine cannot serve now.
"""

from __future__ import annotations

import queue
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional, Tuple, Type, Union

import redis
from redis import exceptions

from domain.errors import BadRequest, KvError, Misconfigured, OutOfMemory, Unavailable, Unreachable

Word = Union[str, bytes, int]

Connect = Callable[[str, int], Any]
"""Connects a socket to a host and port; raises `OSError`."""


class Place(NamedTuple):
    """Where an engine is, and how to log in."""

    host: str
    port: int
    db: int = 0
    username: Optional[str] = None
    password: Optional[str] = None


class Lost(Unavailable):
    """The connection ended before the reply came."""


class Refusal(NamedTuple):
    """What an error of redis-py becomes, and the words before its message."""

    kind: Type[KvError]
    words: str


_REFUSALS: Dict[Type[Exception], Refusal] = {
    exceptions.BusyLoadingError: Refusal(Unavailable, "the engine is LOADING its data"),
    exceptions.AuthenticationError: Refusal(Misconfigured, "the engine refuses the password"),
    exceptions.NoPermissionError: Refusal(Misconfigured, "the engine refuses the user"),
    exceptions.OutOfMemoryError: Refusal(OutOfMemory, "the engine is at its maxmemory"),
    exceptions.ReadOnlyError: Refusal(Unavailable, "the engine is READONLY"),
    exceptions.MovedError: Refusal(
        Misconfigured, "MOVED: the engine is a node of a cluster, use redis-cluster://"
    ),
    exceptions.TimeoutError: Refusal(Unavailable, "no reply from the engine in time"),
    exceptions.ConnectionError: Refusal(Lost, "the connection to the engine was lost"),
    exceptions.RedisError: Refusal(Unavailable, "the engine refuses the command"),
}
"""The first that an error is an instance of; all but the last two are replies."""

_WRONG_TYPE = "a key holds another type of value in the engine than a string"


def refuse(error: exceptions.RedisError) -> NoReturn:
    """Raises the error of ours that stands for one of redis-py's."""
    text = str(error)
    if text.startswith("WRONGTYPE"):
        raise BadRequest(f"WRONGTYPE: {_WRONG_TYPE}") from error
    kind, words = next(to for of, to in _REFUSALS.items() if isinstance(error, of))
    raise kind(f"{words}: {text}") from error


class Connection(redis.Connection):  # type: ignore[misc]  # redis-py is untyped for us
    """A connection of redis-py on a socket that it is given."""

    def __init__(self, connect: Connect, place: Place, timeout: Optional[float]) -> None:
        super().__init__(
            **place._asdict(), socket_timeout=timeout, protocol=2, redis_connect_func=_log_in
        )
        self._new_socket = partial(connect, place.host, place.port)
        self._timeout = timeout

    def _connect(self) -> Any:
        sock = self._new_socket()
        sock.settimeout(self._timeout)
        return sock

    def make_ready(self) -> None:
        """Connects, if it is not connected any more; raises redis-py's errors."""
        if self._sock is not None:
            try:
                if not self.can_read():
                    return
            except exceptions.ConnectionError:
                pass
            self.disconnect()
        self.connect()


def _log_in(connection: Any) -> None:
    """What a new connection sends first, nothing but what is needed."""
    connection._parser.on_connect(connection)
    words = []
    if connection.password:
        words.append(("AUTH", *filter(None, (connection.username, connection.password))))
    if connection.db:
        words.append(("SELECT", connection.db))
    for each in words:
        connection.send_command(*each)
        connection.read_response()


class RedisEngine:
    """Safe for threads, or for greenlets, whichever `new_queue` is for.

    `wait` is how many seconds a command waits for one of the `size` connections, None for as long
    as it takes.
    """

    def __init__(
        self,
        new_connection: Callable[[], Connection],
        new_queue: Callable[[], Any],
        size: int,
        wait: Optional[float],
    ) -> None:
        self._new_connection = new_connection
        self._size = size
        self._wait = wait
        self._idle: List[Connection] = []
        self._permits = new_queue()
        for _ in range(size):
            self._permits.put(None)

    def read(self, *words: Word) -> Any:
        """The reply to a command that changes nothing."""
        try:
            return self.write(*words)
        except Lost:
            return self.write(*words)

    def write(self, *words: Word) -> Any:
        """The reply to a command."""
        try:
            self._permits.get(timeout=self._wait)
        except queue.Empty:
            raise Unreachable(
                f"all {self._size} connections to the engine are in use (store_connections)"
            ) from None
        try:
            connection = self._idle.pop() if self._idle else self._new_connection()
            reply = _exchange(connection, words)
            self._idle.append(connection)
        finally:
            self._permits.put(None)
        if isinstance(reply, exceptions.RedisError):
            refuse(reply)
        return reply

    def close(self) -> None:
        """Closes the idle connections; the next command opens one again."""
        while self._idle:
            self._idle.pop().disconnect()


def _exchange(connection: Connection, words: Tuple[Word, ...]) -> Any:
    """The reply, which may be an error; when it raises, the connection is closed."""
    try:
        try:
            connection.make_ready()
        except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
            _refuse_to_connect(error)
        connection.send_command(*words)
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error
    except exceptions.RedisError as error:
        connection.disconnect()
        refuse(error)
    except BaseException:
        connection.disconnect()
        raise


def _refuse_to_connect(error: exceptions.RedisError) -> NoReturn:
    """The engine's own words when it answered, else that it cannot be reached."""
    try:
        refuse(error)
    except Lost:
        raise Unreachable(f"the engine cannot be reached: {error}") from error
