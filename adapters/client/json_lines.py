"""The client's side of the conversation: commands become request lines, reply lines results.

Rule: replies are matched to commands by their order alone. A reply that nobody asked for, or that
is not of this protocol, raises `Unavailable`: after it no reply on that connection can be trusted.
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

from adapters.protocols.json_lines.lines import Lines
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


class ClientSession:
    """One connection's conversation with a server."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._lines = Lines(max_reply_bytes)
        self._owed: Deque[Decode] = deque()
        self.may_be_over = False
        """Whether the server may hang up after what it has replied."""

    @property
    def owed(self) -> int:
        """How many replies are still to come to what was asked."""
        return len(self._owed)

    def ask(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """The request lines, in pieces of up to `WINDOW` bytes or one line; before the next piece,
        receive all that is owed. Raises `BadRequest` when a command cannot be put in JSON."""
        requests = _requests(commands)
        if len(requests) <= WINDOW:
            self._owed.extend(map(_decoder_for, commands))
            yield requests
            return
        lines = [line + b"\n" for line in requests.split(b"\n")[:-1]]
        for start, end in _windows(lines):
            self._owed.extend(map(_decoder_for, commands[start:end]))
            yield b"".join(lines[start:end])

    def receive(self, data: bytes) -> List[object]:
        """What `data` completes, in the order asked: for each command its result or a `KvError`."""
        lines = self._lines.feed(data)
        if self._lines.overflow:
            raise Unavailable("the server sent a reply that is over the client's bound")
        if len(lines) > len(self._owed):
            raise Unavailable("the server sent a reply that was not asked for")
        next_decoder = self._owed.popleft
        try:
            outcomes = [_outcome(next_decoder()(line)) for line in lines]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(f"the reply is not of this protocol: {error}") from error
        if b'"ok":false' in data:
            self.may_be_over |= any(isinstance(outcome, _LAST_WORDS) for outcome in outcomes)
        return outcomes


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
    """A reply to a command that may have nothing to give."""

    has_result: ClassVar[bool] = False
    ok: bool
    result: Union[R, UnsetType] = UNSET
    error: Union[_Error, UnsetType] = UNSET


class _FullReply(_Reply[R]):
    """A reply to a command that always gives something."""

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
_LAST_WORDS = (BadJson, TimedOut, TooLarge, TooManyClients, Unauthenticated)
"""Refusals after some of which a server hangs up."""

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
"""Takes a list: msgspec, up to 0.22 at least, never frees what it makes of any other sequence."""
