"""A Valkey or Redis server: commands sent, replies read, over connections that it is lent.

Rule: what changes something is sent once; reads are repeated once when their connection is lost.
redis-py's errors become ours here: `Unreachable` when nothing was sent, `Unavailable` when no reply
came, or the server cannot serve now.
"""

from __future__ import annotations

from functools import partial
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    NoReturn,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    Union,
)

import redis
from redis import exceptions

from adapters.storage.redis.reply_socket import UNBOUNDED, ReplySocket
from domain.errors import BadRequest, KvError, Misconfigured, OutOfMemory, Unavailable, Unreachable

Words = Tuple[Union[str, bytes, int], ...]
"""A command of the engine."""

Keyed = Tuple[bytes, Words]
"""The name of a key, which decides where a command goes, and the command."""

Reply = Any

ASKING: Words = ("ASKING",)
"""Has a server of a cluster carry out the next command on a slot that is moving to it."""

Connect = Callable[[str, int], ReplySocket]
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

    def send(self, commands: Sequence[Words], is_bounded: bool) -> None:
        """Sends commands, whose replies may be as long as they have a right to be."""
        self._sock.begin(sum(map(len, commands)) if is_bounded else UNBOUNDED)
        if len(commands) == 1:
            self.send_command(*commands[0])
        else:
            self.send_packed_command(self.pack_commands(commands))

    def close(self) -> None:
        """Hang up; `make_ready` connects again."""
        self.disconnect()

    def abandon(self) -> None:
        """Free what this process holds of it: redis-py ends none that another process opened."""
        self.disconnect()


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


class Wait(NamedTuple):
    """How many replicas have to have a write, and how many milliseconds to wait for them."""

    replicas: int
    milliseconds: int


class Lender(Protocol):
    """Lends connections to one server, each to one caller at a time."""

    def lend(self, use: Callable[[Connection], List[Reply]]) -> List[Reply]: ...

    def close_idle(self) -> None: ...


class Node:
    """One server. Safe for threads, or for greenlets, whichever the lender is for."""

    def __init__(self, lender: Lender, replication: Optional[Wait] = None) -> None:
        self._lender = lender
        self._replication = replication

    def exchange(
        self, commands: Sequence[Words], repeat: bool, is_bounded: bool = True
    ) -> List[Reply]:
        """The replies, an error of redis-py's in place of one. `repeat` says that the commands
        change nothing. Raises `TooLarge` for replies over their bound."""
        if not repeat:
            return self._written(commands)
        try:
            return self._exchange(commands, is_bounded)
        except Lost:
            return self._exchange(commands, is_bounded)

    def _written(self, commands: Sequence[Words]) -> List[Reply]:
        if self._replication is None:
            return self._exchange(commands)
        *replies, count = self._exchange([*commands, ("WAIT", *self._replication)])
        if any(map(_is_done, commands, replies)):
            checked([count])
            wanted = self._replication.replicas
            if count < wanted:
                why = f"written, but to {count} of {wanted} replicas (store_wait_replicas)"
                raise Unavailable(why)
        return replies

    def _exchange(self, commands: Sequence[Words], is_bounded: bool = True) -> List[Reply]:
        return self._lender.lend(lambda connection: _replies(connection, commands, is_bounded))

    def close(self) -> None:
        """Closes the idle connections; the next command opens one again."""
        self._lender.close_idle()


def _is_done(words: Words, reply: Reply) -> bool:
    return words != ASKING and not isinstance(reply, exceptions.RedisError)


def _replies(connection: Connection, commands: Sequence[Words], is_bounded: bool) -> List[Reply]:
    """The replies, of which each may be an error; when it raises, the connection is closed."""
    try:
        try:
            connection.make_ready()
        except exceptions.RedisError as error:
            _refuse_to_connect(error)
        connection.send(commands, is_bounded)
        return [_reply(connection) for _ in commands]
    except exceptions.RedisError as error:
        connection.disconnect()
        refuse(error)
    except BaseException:
        connection.disconnect()
        raise


def _reply(connection: Connection) -> Reply:
    try:
        return connection.read_response()
    except (exceptions.ResponseError, exceptions.BusyLoadingError) as error:
        return error
    except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
        return error


def _refuse_to_connect(error: exceptions.RedisError) -> NoReturn:
    """The engine's own words when it answered, else that it cannot be reached."""
    try:
        refuse(error)
    except Lost:
        raise Unreachable(f"the engine cannot be reached: {error}") from error


class SingleEngine:
    """An engine of one server, where all keys are in one slot."""

    is_cluster = False

    def __init__(self, node: Node) -> None:
        self._node = node
        self.close = node.close

    def slot(self, name: bytes) -> int:
        return 0

    def run(self, commands: Sequence[Keyed], repeat: bool = False) -> List[Reply]:
        return checked(self._node.exchange([words for _, words in commands], repeat))

    def run_everywhere(self, words: Words, is_bounded: bool = True) -> List[Reply]:
        return checked(self._node.exchange([words], True, is_bounded))

    def layout(self, anew: bool) -> str:
        return ""

    def read_at(self, index: int, words: Words) -> Reply:
        return checked(self._node.exchange([words], repeat=True))[0]


def checked(replies: List[Reply]) -> List[Reply]:
    """The replies; raises the first error among them."""
    for reply in replies:
        if isinstance(reply, exceptions.RedisError):
            refuse(reply)
    return replies
