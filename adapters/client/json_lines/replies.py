"""Reply lines as results and errors.

Rule: what a reply has is checked against the command that it is the reply to; what is none raises
`msgspec.DecodeError`, `UnicodeDecodeError` or `RecursionError`.
"""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    Generic,
    List,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    get_args,
)

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from application.commands import COMMANDS, Batch, Command, MaybeText
from domain.errors import BY_CODE, KvError

R = TypeVar("R")


class ReplyReader:
    """Reads replies. Results hold values as what `from_text` returns of JSON texts; `is_plain`
    tells of replies that it would return what msgspec does."""

    def __init__(
        self, from_text: Callable[[bytes], Any], is_plain: Callable[[bytes], bool]
    ) -> None:
        self._from_text = from_text
        self._is_plain = is_plain

    def outcomes(self, lines: bytes, commands: Sequence[Command[Any]]) -> List[object]:
        """What became of the commands, to each of which one line is the reply."""
        if self._is_plain(lines):
            return _outcomes(_replies(lines, commands, _PLAIN))
        outcomes = _outcomes(_replies(lines, commands, _TEXTS))
        return [_opened(outcome, self._from_text) for outcome in outcomes]

    def results(self, texts: bytes, commands: Sequence[Command[Any]]) -> Optional[List[object]]:
        """The short way for the array of the results of commands of one kind. None for others."""
        kinds = set(map(type, commands))
        if not texts or len(kinds) > 1 or Batch in kinds:
            return None
        is_plain = self._is_plain(texts)
        results = (_PLAIN if is_plain else _TEXTS)[kinds.pop()].decode_results(texts)
        if len(results) != len(commands):
            return None
        return results if is_plain else [_opened(each, self._from_text) for each in results]


def id_of(line: bytes) -> Union[str, int, UnsetType]:
    """The id of a reply."""
    return _decode_id(line).id


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

_decode_id = msgspec.json.Decoder(_WithId).decode
