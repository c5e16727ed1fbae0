"""The client's side of the conversation: commands become request lines, reply lines results.

Rule: replies are matched to commands by their order alone. A reply that nobody asked for, or that
is not of this protocol, raises `Unavailable`: after it no reply on that connection can be trusted.
"""

from __future__ import annotations

from collections import deque
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Generic,
    Iterator,
    List,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_args,
)

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from adapters.json_lines.lines import Lines
from application.commands import COMMANDS, Command
from domain.errors import BY_CODE, BadRequest, KvError, Unavailable

R = TypeVar("R")

WINDOW = 32 * 1024
"""How many bytes of requests may be unanswered at once. Sockets hold this much however slowly the
other side reads, so a client that sends never waits for a server that waits for it to read."""


class ClientSession:
    """One connection's conversation with a server."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._lines = Lines(max_reply_bytes)
        self._asked: Deque[Command[Any]] = deque()

    @property
    def owed(self) -> int:
        """How many replies are still to come to what was asked."""
        return len(self._asked)

    def ask(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """The request lines, in pieces of up to `WINDOW` bytes or one line; before the next piece,
        receive all that is owed. Raises `BadRequest` when a command cannot be put in JSON."""
        requests = list(map(_request, commands))
        window: List[bytes] = []
        size = 0
        for command, request in zip(commands, requests):
            if window and size + len(request) > WINDOW:
                yield b"".join(window)
                window, size = [], 0
            self._asked.append(command)
            window.append(request)
            size += len(request)
        yield b"".join(window)

    def receive(self, data: bytes) -> List[object]:
        """What `data` completes, in the order asked: for each command its result or a `KvError`."""
        outcomes = [self._outcome(line) for line in self._lines.feed(data)]
        if self._lines.overflowed:
            raise Unavailable("the server sent a reply that is over the client's bound")
        return outcomes

    def _outcome(self, line: bytes) -> object:
        if not self._asked:
            raise Unavailable("the server sent a reply that was not asked for")
        try:
            decode, result_of = _READERS[type(self._asked.popleft())]
            reply = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unavailable(f"the reply is not of this protocol: {error}") from error
        return result_of(reply.result) if reply.ok else _raised_again(reply.error)


class _Error(Struct):
    code: str = ""
    message: str = ""


class _Reply(Struct, Generic[R]):
    ok: bool
    result: Union[R, UnsetType] = UNSET
    error: Union[_Error, UnsetType] = UNSET


def _raised_again(error: Union[_Error, UnsetType]) -> KvError:
    if isinstance(error, UnsetType):
        return KvError("refused without a reason")
    kind = BY_CODE.get(error.code)
    return kind(error.message) if kind else KvError(f"{error.code}: {error.message}")


def _request(command: Command[Any]) -> bytes:
    try:
        line = _encode(command)
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise BadRequest(f"not JSON: {error}") from error
    if b"\n" in line:
        line = msgspec.json.format(line, indent=-1)
    return line + b"\n"


_encode = msgspec.json.Encoder().encode
Reader = Tuple[Callable[[bytes], _Reply[Any]], Callable[[Any], Any]]
"""Decodes a reply line, and makes the result of what was decoded."""


def _reader(kind: Type[Command[Any]]) -> Reader:
    (result,) = get_args(kind.__orig_bases__[0])  # type: ignore[attr-defined]
    decoded, result_of = _TEXTS.get(result, (result, lambda result: result))
    return msgspec.json.Decoder(_Reply[decoded]).decode, result_of  # type: ignore[valid-type]


def _text_or_nothing(result: Union[Raw, UnsetType]) -> Union[bytes, UnsetType]:
    return bytes(result) if type(result) is Raw else UNSET


def _texts(result: Dict[str, Raw]) -> Dict[str, bytes]:
    return dict(zip(result, map(bytes, result.values())))


_TEXTS: Dict[Any, Tuple[Any, Callable[[Any], Any]]] = {
    Union[bytes, UnsetType]: (Union[Raw, UnsetType], _text_or_nothing),
    Dict[str, bytes]: (Dict[str, Raw], _texts),
}
"""How results made of JSON texts are decoded without opening them, and what becomes of them."""

_READERS: Dict[Type[Command[Any]], Reader] = {kind: _reader(kind) for kind in COMMANDS}
