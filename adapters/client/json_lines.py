"""The client's side of the conversation: commands become request lines, reply lines results.

Rule: replies are matched to commands by their order, and the last request of what is sent at once
has an id, which its reply has to have as well. A surplus reply, whenever it comes, or one that is
not of this protocol, raises `Unavailable`: after it no reply on that connection can be trusted, and
the caller drops the results that came before it.
"""

from __future__ import annotations

from itertools import cycle
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    Generic,
    Iterator,
    List,
    NamedTuple,
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

_QUOTED = 64
"""The most bytes of a line that an error quotes."""

SMALL_READ = 4 * 1024
"""Bytes; parts of a line that are smaller are put together."""


class _Mark(NamedTuple):
    """An id, what ends a request line that has it, and what stands before the result in its reply,
    by itself and after another one."""

    id: int
    end: bytes
    begin: bytes
    between: bytes


_END = b"}\n"
"""The end of a request, and of a reply."""

_BEFORE = b'{"ok":true,"result":'
_BETWEEN = _END + _BEFORE


def _mark(id: int) -> _Mark:
    begin = b'{"id":%d,"ok":true,"result":' % id
    return _Mark(id, b',"id":%d}\n' % id, begin, _END + begin)


_MARKS = list(map(_mark, range(100)))
"""Prepared; a surplus reply arrives less than a hundred requests late, or not at all."""

_ROOM = WINDOW - len(_MARKS[-1].end)
"""Bytes of a window for the requests, beside the id of the last."""


class ClientSession:
    """One connection's conversation with a server. Results hold values as JSON texts, or, where
    there is a `from_text`, as what that returns; `is_plain` tells of a reply that it would return
    what msgspec does."""

    def __init__(
        self,
        max_reply_bytes: int,
        from_text: Optional[Callable[[bytes], Any]] = None,
        is_plain: Callable[[bytes], bool] = lambda reply: False,
    ) -> None:
        self._lines = _Lines(max_reply_bytes)
        self._from_text = from_text or bytes
        self._is_plain = is_plain
        self._asked: Sequence[Command[Any]] = ()
        self._marks = cycle(_MARKS)
        self._mark = _MARKS[0]
        """That of the last request of those in flight."""
        self.may_close = False
        """Whether the server may close the connection after what it has replied."""
        self._refused_last = False

    @property
    def in_flight(self) -> int:
        """How many replies are still to come to what was sent."""
        return len(self._asked)

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """The request lines, in pieces of up to `WINDOW` bytes or one line; before the next piece,
        receive all replies in flight. Raises `BadRequest` when a command cannot be put in JSON."""
        requests = request_lines(commands)
        if not commands:
            return
        if len(requests) <= _ROOM:
            yield self._marked(requests, commands)
            return
        lines = [line + b"\n" for line in requests.split(b"\n")[:-1]]
        for start, end in _windows(lines):
            yield self._marked(b"".join(lines[start:end]), commands[start:end])

    def _marked(self, requests: bytes, commands: Sequence[Command[Any]]) -> bytes:
        """The requests, which are in flight now, the last of them with an id."""
        self._asked = commands
        self._mark = mark = next(self._marks)
        return requests[: -len(_END)] + mark.end

    def receive_data(self, data: bytes) -> List[object]:
        """What `data` completes, in the order sent: for each command its result or a `KvError`."""
        lines = self._lines.feed(data)
        if not lines:
            _refuse_foreign(self._lines.beginning)
            return []
        number = 1 if _is_one_line(lines) else lines.count(b"\n")
        answered, self._asked = self._asked, ()
        if number > len(answered):
            _refuse_foreign(lines)
            raise Unavailable("the server sent an unrequested reply")
        if number < len(answered):
            answered, self._asked = answered[:number], answered[number:]
        try:
            results = None if self._asked else self._results(lines, answered)
            if results is not None:
                return results
            outcomes = self._read(lines, answered)
            if not self._asked:
                self._check_id(lines, outcomes[-1])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _refuse_foreign(lines)
            raise Unavailable(f"the reply is not of this protocol: {error}") from error
        if b'"ok":false' in lines:
            self.may_close |= any(isinstance(outcome, _CLOSING_ERRORS) for outcome in outcomes)
        if self.may_close:
            self._refused_last = isinstance(outcomes[-1], _CLOSING_ERRORS)
        return outcomes

    def receive_eof(self) -> List[object]:
        """The outcomes of the commands in flight at the end of the connection: an `Unavailable`
        each where the last reply was a refusal that a server closes connections for. Otherwise it
        raises `Unavailable` for all of them."""
        if not self._refused_last:
            raise Unavailable("the server closed the connection")
        unanswered, self._asked = len(self._asked), ()
        why = "no reply: the server closed the connection when it refused a command before this one"
        return [Unavailable(why) for _ in range(unanswered)]

    def _check_id(self, lines: bytes, outcome: object) -> None:
        """Raises `Unavailable` unless the last of the lines is the reply to the last request. A
        refusal that closes the connection may lack the id: the server could not read it."""
        mark = self._mark
        start = lines.rfind(b"\n", 0, -1) + 1
        if lines.startswith(mark.begin, start):
            return
        id = _decode_id(lines[start:]).id
        if id != mark.id and (id is not UNSET or not isinstance(outcome, _CLOSING_ERRORS)):
            raise Unavailable("the server sent an unrequested reply")

    def _read(self, lines: bytes, commands: Sequence[Command[Any]]) -> List[object]:
        if self._is_plain(lines):
            return _outcomes(_replies(lines, commands, _PLAIN))
        outcomes = _outcomes(_replies(lines, commands, _TEXTS))
        return [_opened(outcome, self._from_text) for outcome in outcomes]

    def _results(self, lines: bytes, commands: Sequence[Command[Any]]) -> Optional[List[object]]:
        """The short way for the usual replies to commands of one kind, the last of them with the
        id: each has a result. None for all others."""
        kinds = set(map(type, commands))
        texts = _joined(lines, self._mark)
        if not texts or len(kinds) > 1 or Batch in kinds:
            return None
        is_plain = self._is_plain(texts)
        results = (_PLAIN if is_plain else _TEXTS)[kinds.pop()].decode_results(texts)
        if len(results) != len(commands):
            return None
        return results if is_plain else [_opened(each, self._from_text) for each in results]


def _joined(lines: bytes, mark: _Mark) -> bytes:
    """The array of the results, the last with the id; nothing where a line has none."""
    if not lines.endswith(_END):
        return b""
    if lines.startswith(mark.begin):
        texts = b"[%b]" % lines[len(mark.begin) : -len(_END)]
    else:
        before, found, last = lines.rpartition(mark.between)
        if not found or not before.startswith(_BEFORE):
            return b""
        others = before[len(_BEFORE) :].replace(_BETWEEN, b",")
        texts = b"[%b,%b]" % (others, last[: -len(_END)])
    return b"" if b"\n" in texts else texts


class _Lines:
    """Cuts a stream of bytes into lines, at a cost linear in what is fed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: List[Union[bytes, bytearray]] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """The whole lines that there are with `data`; raises `Unavailable` when one is over the
        bound."""
        end = data.rfind(b"\n") + 1
        lines = data if end == len(data) else data[:end]
        if self._parts and lines:
            lines = b"".join([*self._parts, lines])
            self._parts, self._size = [], 0
        if len(lines) > self._max_bytes:
            self._check(max(map(len, lines.split(b"\n"))))
        if end < len(data):
            self._buffer(data[end:])
        return lines

    @property
    def beginning(self) -> bytes:
        """That of the line that is not whole yet."""
        return bytes(self._parts[0][:_QUOTED]) if self._parts else b""

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


def _refuse_foreign(lines: bytes) -> None:
    """Raises `Unavailable` for a line that begins no object: another kind of server sent it."""
    for line in lines.split(b"\n"):
        begun = line.strip()[:_QUOTED]
        if begun and not begun.startswith(b"{"):
            shown = begun.decode(errors="backslashreplace")
            raise Unavailable(f"the reply is not of this protocol: it begins with {shown!r}")


def _is_one_line(lines: bytes) -> bool:
    """Whether there is one line; found at a small part of the time of counting them."""
    return lines.find(b"\n") == len(lines) - 1


def request_lines(commands: Sequence[Command[Any]]) -> bytes:
    """The commands as requests, a line each; raises `BadRequest` for what cannot be put in JSON."""
    try:
        requests = _encode_lines(list(commands))
        if not _is_one_line(requests) and requests.count(b"\n") > len(commands):
            # a value typed in by hand may have line breaks
            compact = (msgspec.json.format(_encode(command), indent=-1) for command in commands)
            requests = b"".join([line + b"\n" for line in compact])
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise BadRequest(f"not JSON: {error}") from error
    return requests


def _windows(lines: Sequence[bytes]) -> Iterator[Tuple[int, int]]:
    """Where to cut `lines` so that each part has up to `WINDOW` bytes with its id, or one line."""
    start, size = 0, 0
    for end, line in enumerate(lines):
        size += len(line)
        if size > _ROOM and end > start:
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


class _WithId(Struct):
    """The id of a reply, whatever else it has."""

    id: Union[str, int, UnsetType] = UNSET


class _FullReply(_Reply[R]):
    """A reply to a command that always has a result."""

    has_result = True


class _Decoder:
    """Decodes the replies to one kind of command, by themselves and many at once, and results."""

    def __init__(self, result: Any, text: Any) -> None:
        """`text` is the type to decode a JSON text as, in a result or a part of it."""
        types = {MaybeText: Union[text, UnsetType], Dict[str, bytes]: Dict[str, text]}
        reply: Any = _Reply if UnsetType in get_args(result) else _FullReply
        result = types.get(result, result)
        kind = reply[result]
        self.decode_results: Callable[[bytes], List[Any]] = msgspec.json.Decoder(
            List[_present(result)]  # type: ignore[misc]
        ).decode
        self.decode: Callable[[bytes], _Reply[Any]] = msgspec.json.Decoder(kind).decode
        self.decode_many: Callable[[bytes], List[_Reply[Any]]] = msgspec.json.Decoder(
            List[kind]  # type: ignore[valid-type]
        ).decode


def _present(result: Any) -> Any:
    """The type of a result that is there."""
    kinds = get_args(result)
    if UnsetType not in kinds:
        return result
    return Union[tuple(kind for kind in kinds if kind is not UnsetType)]


Decoders = Dict[Type[Command[Any]], _Decoder]


def _decoders(text: Any) -> Decoders:
    results = {kind: get_args(kind.__orig_bases__[0])[0] for kind in COMMANDS}  # type: ignore[attr-defined]
    return {**{kind: _Decoder(result, text) for kind, result in results.items()}, Batch: _BATCHES}


def _replies(
    lines: bytes, commands: Sequence[Command[Any]], decoders: Decoders
) -> List[_Reply[Any]]:
    """The replies to commands, a line each."""
    if len(commands) == 1:
        return [_reply(commands[0], lines, decoders)]
    kinds = set(map(type, commands))
    if len(kinds) == 1 and Batch not in kinds:
        replies = decoders[kinds.pop()].decode_many(b"[%b]" % lines[:-1].replace(b"\n", b","))
        if len(replies) == len(commands):
            return replies
        raise msgspec.ValidationError("Expected one reply on each line")
    each = zip(commands, lines.split(b"\n"))
    return [_reply(command, line, decoders) for command, line in each]


def _reply(command: Command[Any], line: bytes, decoders: Decoders) -> _Reply[Any]:
    """A reply; that to a batch has the result of each command as that command has it by itself."""
    reply = decoders[type(command)].decode(line)
    if isinstance(command, Batch) and reply.ok:
        if isinstance(reply.result, UnsetType) or len(reply.result) != len(command.commands):
            raise msgspec.ValidationError("Expected one reply for each command of the batch")
        inner = zip(command.commands, reply.result)
        reply.result = [_result(_reply(each, text, decoders)) for each, text in inner]
    return reply


def _outcomes(replies: List[_Reply[Any]]) -> List[object]:
    results = [reply.result for reply in replies if reply.ok]
    if len(results) == len(replies) and UnsetType not in set(map(type, results)):
        return results
    return list(map(_outcome, replies))


def _outcome(reply: _Reply[Any]) -> object:
    return _result(reply) if reply.ok else _raised_again(reply.error)


def _result(reply: _Reply[Any]) -> object:
    if reply.result is UNSET and (reply.has_result or not reply.ok):
        raise msgspec.ValidationError("Object missing required field `result`")
    return reply.result


def _opened(result: object, from_text: Callable[[bytes], Any]) -> object:
    """A result with the values of the texts in it."""
    if type(result) is Raw:
        return from_text(bytes(result))
    if type(result) is dict:
        return {key: from_text(bytes(text)) for key, text in result.items()}
    if type(result) is list:
        return [_opened(each, from_text) for each in result]
    return result


def _raised_again(error: Union[_Error, UnsetType]) -> KvError:
    if isinstance(error, UnsetType):
        return KvError("refused without a reason")
    kind = BY_CODE.get(error.code)
    raised = kind(error.message) if kind else KvError(f"{error.code}: {error.message}")
    raised.index = error.index
    return raised


_BATCHES = _Decoder(List[Raw], Raw)
_TEXTS = _decoders(Raw)
_PLAIN = _decoders(Any)
"""For replies whose values are to be decoded as well."""

_CLOSING_ERRORS = (BadJson, TimedOut, TooLarge, TooManyClients, Unauthenticated)
"""Refusals after some of which a server closes the connection."""

_decode_id = msgspec.json.Decoder(_WithId).decode
_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
"""Takes a list: msgspec, up to 0.22 at least, never frees what it makes of any other sequence."""
