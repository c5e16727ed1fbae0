"""The client's side of the conversation: commands become request lines, reply lines results.

Rule: replies are matched to commands by their order alone. A surplus reply, or one that is not of
this protocol, raises `Unavailable`: after it no reply on that connection can be trusted.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import (
    Any,
    Callable,
    ClassVar,
    Deque,
    Dict,
    Generic,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
)

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from application.commands import COMMANDS, Batch, Command, MaybeText
from domain.errors import (
    BY_CODE,
    BadJson,
    BadRequest,
    KvError,
    TimedOut,
    TooLarge,
    TooManyClients,
    Unauthenticated,
    Unavailable,
)

R = TypeVar("R")

WINDOW = 32 * 1024
"""How many bytes of requests may be unanswered at once. Sockets hold this much however slowly the
other side reads, so a client that sends never waits for a server that waits for it to read."""

SMALL_READ = 4 * 1024
"""Bytes; reads that are smaller are split without looking for a line feed first."""


class ClientSession:
    """One connection's conversation with a server."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._lines = _Lines(max_reply_bytes)
        self._in_flight: Deque[Decode] = deque()
        self.may_close = False
        """Whether the server may close the connection after what it has replied."""
        self._refused_last = False

    @property
    def in_flight(self) -> int:
        """How many replies are still to come to what was sent."""
        return len(self._in_flight)

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """The request lines, in pieces of up to `WINDOW` bytes or one line; before the next piece,
        receive all replies in flight. Raises `BadRequest` when a command cannot be put in JSON."""
        requests = _requests(commands)
        if len(requests) <= WINDOW:
            self._in_flight.extend(map(_decoder_for, commands))
            yield requests
            return
        lines = [line + b"\n" for line in requests.split(b"\n")[:-1]]
        for start, end in _windows(lines):
            self._in_flight.extend(map(_decoder_for, commands[start:end]))
            yield b"".join(lines[start:end])

    def receive_data(self, data: bytes) -> List[object]:
        """What `data` completes, in the order sent: for each command its result or a `KvError`."""
        lines = self._lines.feed(data)
        if len(lines) > len(self._in_flight):
            raise Unavailable("the server sent an unrequested reply")
        next_decoder = self._in_flight.popleft
        try:
            outcomes = [_outcome(next_decoder()(line)) for line in lines]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(f"the reply is not of this protocol: {error}") from error
        if b'"ok":false' in data:
            self.may_close |= any(isinstance(outcome, _CLOSING_ERRORS) for outcome in outcomes)
        if self.may_close and outcomes:
            self._refused_last = isinstance(outcomes[-1], _CLOSING_ERRORS)
        return outcomes

    def receive_eof(self) -> List[object]:
        """The outcomes of the commands in flight at the end of the connection: an `Unavailable`
        each where the last reply was a refusal that a server closes connections for. Otherwise it
        raises `Unavailable` for all of them."""
        if not self._refused_last:
            raise Unavailable("the server closed the connection")
        unanswered = len(self._in_flight)
        self._in_flight.clear()
        why = "no reply: the server closed the connection when it refused a command before this one"
        return [Unavailable(why) for _ in range(unanswered)]


class _Lines:
    """Cuts a stream of bytes into lines, at a cost linear in what is fed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: List[Union[bytes, bytearray]] = []
        self._size = 0

    def feed(self, data: bytes) -> List[bytes]:
        """The lines that `data` completes, without their line feeds; raises `Unavailable` when one
        is over the bound."""
        lines = data.split(b"\n") if len(data) < SMALL_READ else _split_lines(data)
        rest = lines.pop()
        if self._parts and lines:
            lines[0] = b"".join([*self._parts, lines[0]])
            self._parts, self._size = [], 0
            self._check(len(lines[0]))
        if rest:
            self._buffer(rest)
        if len(data) > self._max_bytes:
            self._check(max(map(len, lines), default=0))
        return lines

    def _buffer(self, rest: bytes) -> None:
        """Small parts are put together: each would cost as an object more than its bytes."""
        if len(rest) >= SMALL_READ:
            self._parts.append(rest)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += rest
        else:
            self._parts.append(bytearray(rest))
        self._size += len(rest)
        self._check(self._size)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise Unavailable(
                f"the server sent a reply of over {self._max_bytes} bytes (max_reply_bytes)"
            )


def _split_lines(data: bytes) -> List[bytes]:
    """The same as `data.split`, which looks at each byte: `find` is far faster when there is
    one line, or a part of one."""
    end = data.find(b"\n")
    if end < 0:
        return [data]
    if end == len(data) - 1:
        return [data[:end], b""]
    return data.split(b"\n")


def _requests(commands: Sequence[Command[Any]]) -> bytes:
    try:
        requests = _encode_lines(list(commands))
        if requests.count(b"\n") > len(commands):  # a value typed in by hand may have line breaks
            compact = (msgspec.json.format(_encode(command), indent=-1) for command in commands)
            requests = b"".join([line + b"\n" for line in compact])
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise BadRequest(f"not JSON: {error}") from error
    return requests


def _windows(lines: Sequence[bytes]) -> Iterator[Tuple[int, int]]:
    """Where to cut `lines` so that each part is of up to `WINDOW` bytes, or one line."""
    start, size = 0, 0
    for end, line in enumerate(lines):
        size += len(line)
        if size > WINDOW and end > start:
            yield start, end
            start, size = end, len(line)
    yield start, len(lines)


class _Error(Struct):
    code: str = ""
    message: str = ""
    index: Optional[int] = None


class _Reply(Struct, Generic[R]):
    """A reply to a command that may have no result."""

    has_result: ClassVar[bool] = False
    ok: bool
    result: Union[R, UnsetType] = UNSET
    error: Union[_Error, UnsetType] = UNSET


class _FullReply(_Reply[R]):
    """A reply to a command that always has a result."""

    has_result = True


Decode = Callable[[bytes], _Reply[Any]]


def _outcome(reply: _Reply[Any]) -> object:
    return _result(reply) if reply.ok else _raised_again(reply.error)


def _result(reply: _Reply[Any]) -> object:
    if reply.result is UNSET and (reply.has_result or not reply.ok):
        raise msgspec.ValidationError("Object missing required field `result`")
    return _opened(reply.result)


def _opened(result: object) -> object:
    if type(result) is Raw:
        return bytes(result)
    if type(result) is dict:
        return dict(zip(result, map(bytes, result.values())))
    return result


def _raised_again(error: Union[_Error, UnsetType]) -> KvError:
    if isinstance(error, UnsetType):
        return KvError("refused without a reason")
    kind = BY_CODE.get(error.code)
    raised = kind(error.message) if kind else KvError(f"{error.code}: {error.message}")
    raised.index = error.index
    return raised


def _unopened(kind: Type[Command[Any]]) -> Any:
    (result,) = get_args(kind.__orig_bases__[0])  # type: ignore[attr-defined]
    return _UNOPENED.get(result, result)


def _decoder(kind: Type[Command[Any]]) -> Decode:
    result = _unopened(kind)
    reply: Any = _Reply if UnsetType in get_args(result) else _FullReply
    return msgspec.json.Decoder(reply[result]).decode


def _decoder_for(command: Command[Any]) -> Decode:
    kind = type(command)
    return partial(_decode_batch, command) if kind is Batch else _DECODERS[kind]  # type: ignore[arg-type]


def _decode_batch(batch: Batch, line: bytes) -> _Reply[Any]:
    """The reply to a batch with the result of each command as that command returns it by itself."""
    reply: _Reply[Any] = _decode_replies(line)
    if reply.ok:
        if isinstance(reply.result, UnsetType) or len(reply.result) != len(batch.commands):
            raise msgspec.ValidationError("Expected one reply for each command of the batch")
        decoders = [_DECODERS[type(command)] for command in batch.commands]
        reply.result = [_result(decode(each)) for decode, each in zip(decoders, reply.result)]
    return reply


_UNOPENED: Dict[Any, Any] = {
    MaybeText: Union[Raw, UnsetType],
    Dict[str, bytes]: Dict[str, Raw],
}
"""How results that are made of JSON texts are decoded, so that the texts are not."""

_DECODERS: Dict[Type[Command[Any]], Decode] = {kind: _decoder(kind) for kind in COMMANDS}
_decode_replies: Decode = msgspec.json.Decoder(_FullReply[List[Raw]]).decode
_CLOSING_ERRORS = (BadJson, TimedOut, TooLarge, TooManyClients, Unauthenticated)
"""Refusals after some of which a server closes the connection."""

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
"""Takes a list: msgspec, up to 0.22 at least, never frees what it makes of any other sequence."""
