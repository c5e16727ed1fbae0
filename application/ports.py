"""The ports of the application, driving and driven.

Rule: what a port says is all there is. A wrapper and a replacement see every command as itself.
"""

from __future__ import annotations

import enum
from abc import abstractmethod
from typing import (
    AbstractSet,
    Any,
    Callable,
    Collection,
    Generator,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    cast,
)

from msgspec import UNSET, UnsetType

from application.commands import Command, Id, Results
from application.commands.columns import in_parts
from application.ledger import Account
from application.steps import at_once
from domain.errors import KvError

R = TypeVar("R")

Steps = Generator[None, None, R]
"""Work that pauses between two steps, for others to have their turns, and returns a result."""


class Executor(Protocol):
    """Executes commands."""

    @abstractmethod
    def execute(self, command: Command[R]) -> R:
        """The command's result; raises `KvError` when it is refused."""
        ...

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """Executes incrementally, in steps that each take little time; the result and the effect
        are those of one moment all the same. The fall-back is a single step."""
        return at_once(self.execute(command))

    def execute_run(
        self, kind: Type[Command[Any]], commands: Sequence[Command[Any]]
    ) -> Optional[Results]:
        """Executes commands of a kind at once, with the effect that they have one after another.
        None when they are to be executed one by one; so when it raises, which leaves no effect.
        The fall-back is None."""
        return None


def attempt_run(
    executor: Executor, kind: Type[Command[Any]], commands: Sequence[Command[Any]]
) -> Optional[Results]:
    """`execute_run`; None when it raises, too: each command is refused by itself then."""
    try:
        return executor.execute_run(kind, commands)
    except Exception:  # noqa: BLE001 - a refusal or a bug, which the reply to one of them tells
        return None


class Pipelined(Executor, Protocol):
    """An executor that also takes many commands at once."""

    def execute(self, command: Command[R]) -> R:
        outcome = self.execute_all((command,))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    @abstractmethod
    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        ...

    def settle(self) -> None:
        """Waits until what was sent by calls that something broke off has been executed, or never
        will be. The fall-back does nothing: such a call has ended with the exception."""
        return

    @abstractmethod
    def close(self) -> None:
        """Closes what is open; the next command opens it again."""
        ...


class AsyncExecutor(Protocol):
    """What `Pipelined` is, awaited while other tasks run."""

    async def execute(self, command: Command[R]) -> R:
        outcome = (await self.execute_all((command,)))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    @abstractmethod
    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """See `Pipelined`."""
        ...

    @abstractmethod
    def close(self) -> None:
        """See `Pipelined`."""
        ...


class Wants(enum.Enum):
    """The event that a conversation waits for."""

    INPUT = "what the client sends next"
    TURN = "its next turn, after others had theirs"
    WAKE = "being woken, by what it is parked for"
    END = "the end of the connection, once its output is sent"


class Settled(NamedTuple):
    """A request whose outcome is known: what arrived is no command, or it was executed already.
    After a fatal one nothing can be read any more."""

    id: Id
    outcome: object
    is_fatal: bool = False


class Closing(KvError):
    """No error: the client asked for the end, as the outcome of a fatal `Settled` request."""


Request = Union[Command[Any], Settled]


Received = Union[bytes, Sequence[Request], UnsetType]
"""What has come of what was read: the replies to it; or the requests, one at least, still to be
executed or answered; `UNSET` if it is still to be decoded."""


class Conversation(Protocol):
    """The server's side of one connection, in bytes; not bound to any socket."""

    @property
    def codec(self) -> Optional[Codec]:
        """What reads a request that is to be executed with those of others; None when each is to be
        received. The fall-back is None."""
        return None

    @property
    def wants(self) -> Wants: ...

    @property
    def partial_request_id(self) -> int:
        """A number for the request that has arrived in part, which no other has; 0 for none."""
        ...

    @property
    def is_listening(self) -> bool:
        """Whether the client waits for what others publish, so that it may be silent for ever."""
        ...

    @property
    def may_take_long(self) -> bool:
        """Whether its next turn may, so that the turns of others go first."""
        ...

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        """Takes what was read, and what its `codec` made of it, when it wants `INPUT`; returns what
        to send."""
        ...

    def reply(
        self, commands: Sequence[Command[Any]], outcomes: Sequence[object]
    ) -> Union[bytes, Sequence[Settled]]:
        """What to send for commands of a kind that `codec` read, after the result of each or what
        it raised; or all settled, still to be received, where the replies have to wait for a turn.
        The fall-back is the latter."""
        return [Settled(command.id, outcome) for command, outcome in zip(commands, outcomes)]

    def advance(self) -> bytes:
        """Goes on, when it wants a `TURN` or was woken; returns what to send."""
        ...

    def time_out(self) -> None:
        """The request that has arrived in part took too long: the next turn says so, and ends."""
        ...

    def abort(self, reason: str) -> None:
        """The connection will be closed without a final reply."""
        ...

    def close(self) -> None:
        """The connection is gone."""
        ...


class Link(Protocol):
    """The connection as its conversation sees it."""

    name: str
    """What logs call the client, such as `127.0.0.1:50000`."""

    account: Account
    """Where the bytes are counted that are held for the client."""

    def wake(self) -> None:
        """Has the conversation `advance` soon, once for all calls until then; for the event loop's
        thread."""
        ...

    def deliver(self, reply: bytes) -> None:
        """Sends a reply that its conversation kept back, and now wants what it wants after it; not
        from within a turn. It does not raise."""
        ...

    def has_time(self) -> bool:
        """Whether what may take long can be done at once; others wait already if not."""
        ...

    def wake_after(self, seconds: float) -> None:
        """Does what `wake` does, after some time."""
        ...


class Codec(Protocol):
    """One connection's protocol, the server's side: bytes to commands, results to bytes.

    It does no IO, executes nothing and counts nothing. The bounds that it keeps are on how long a
    request and a reply may be; who may do what, and when, the conversation decides.
    """

    __slots__ = ()

    protocol: str
    """The name that statistics count its commands under."""

    @property
    def partial_request_id(self) -> int:
        """See `Conversation`."""
        ...

    has_more: bool
    """Whether `decode` may find more whole requests in what it was given already."""

    buffered: int
    """How many bytes it holds of requests that it has not returned yet."""

    longest: int
    """The bytes of the longest of the requests that `decode`, `decode_one` or `decode_each` read
    last, at the most."""

    is_listening: bool = False
    """See `Conversation`."""

    has_pushed: bool = False
    """Whether `take_pushed` has something. What is pushed wakes the link."""

    def open(self, link: Link) -> None:
        """Tells the link, once, before anything else. The fall-back does nothing."""
        return

    def take_pushed(self, max_bytes: int) -> Union[bytes, Generator[bytes, None, None]]:
        """What the client is sent that is no reply, about `max_bytes` of it; or one that is longer,
        in pieces, with nothing else between them. The fall-back is nothing."""
        return b""

    def decode(self, data: bytes) -> Sequence[Request]:
        """The next whole requests, a few dozen at the most, in what was left and in `data`. One of
        many kilobytes comes alone."""
        ...

    def decode_one(self, data: bytes) -> Optional[Command[Any]]:
        """The command, when `data` is exactly one and nothing is buffered; else None, and `data` is
        still to be decoded."""
        ...

    def decode_each(
        self, codecs: Sequence[Codec], inputs: Sequence[bytes]
    ) -> Tuple[Sequence[Command[Any]], Sequence[int]]:
        """The commands that several connections of the protocol sent, and how many each: none when
        its input is not whole commands alone, or nothing is gained, and it is still to be decoded.
        One of their codecs is asked."""
        each = [codec.decode_one(data) for codec, data in zip(codecs, inputs)]
        return [*filter(None, each)], [int(command is not None) for command in each]

    def encode_one(self, request: Request, outcome: object) -> bytes:
        """The reply to what `decode_one` returned last; see `encode`."""
        ...

    def encode_each(
        self, commands: Sequence[Command[Any]], outcomes: Sequence[object], counts: Sequence[int]
    ) -> Sequence[bytes]:
        """The replies to commands that `decode_each` returned, for each of the connections."""
        parts = zip(in_parts(commands, counts), in_parts(outcomes, counts))
        return [self.encode(*part) for part in parts]

    def encode(self, requests: Sequence[Request], outcomes: Sequence[object]) -> bytes:
        """The replies to requests that were decoded, before more are: to each its result, or the
        `KvError` that it was refused with; none to those beyond the outcomes. Raises `TooLarge`
        when a result is over the bound."""
        ...

    def encode_in_steps(self, request: Request, result: object) -> Steps[Iterator[bytes]]:
        """The reply with one long result, in pieces that are made as they are asked for."""
        ...

    def encode_final(self, error: KvError) -> bytes:
        """The final reply, when the conversation ends and `error` is no reply to a request."""
        ...

    def close(self) -> None:
        """Frees all buffers."""
        ...


class Protocols(Protocol):
    """The protocols that are served, told apart by the first bytes of a connection."""

    def codec_for(self, first: bytes) -> Optional[Codec]:
        """A codec for a client whose first bytes, without blanks, are these; None when more are
        needed. Raises the `KvError` to end with when it is none of the protocols."""
        ...

    def default(self) -> Codec:
        """A codec for replies to a client whose protocol is not known."""
        ...


class Restriction(enum.Enum):
    """Why not everything can be executed, or replied to, at once."""

    __hash__ = object.__hash__  # written in C, unlike that of other enumerations

    LOADING = "what was stored is still being loaded"
    FULL = "there is no room to store more"
    BEHIND = "too much is not on the disk yet"
    STUCK = "there is no room for what was changed"


class Durability(Protocol):
    """Knows what a power cut could still take back, by the numbers of what has to be on the disk;
    0 stands for nothing."""

    @property
    def restrictions(self) -> AbstractSet[Restriction]:
        """Usually none. Always the same set, which changes."""
        ...

    tracks_keys: bool
    """Whether replies wait for the changes of the keys that they tell something of."""

    def admit(self, command: Command[Any]) -> None:
        """Raises `Unavailable` when a command cannot be carried out now; to be asked while there
        are restrictions."""
        ...

    def needed(self, keys: Optional[Collection[str]]) -> int:
        """What has to be on the disk before a reply tells something of `keys`, or of all keys for
        None."""
        ...

    def backlog(self) -> int:
        """What has to be on the disk before any reply, since too much is not."""
        ...

    def when_durable(self, number: int, *wakes: Callable[[], None]) -> bool:
        """Calls `wakes` once what has a number is on the disk, or there is no room for it, as the
        restrictions tell then; false when it is on the disk already."""
        ...
