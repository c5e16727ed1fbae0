"""Redis commands as JSON, in the form that Upstash's REST clients speak.

Rule: what a command is and does, RESP's codec knows: it is given the arguments as a Redis client
would send them, and its replies are sent as JSON. To make JSON of a reply takes long, so one has no
more bytes than a request. Commands on the state of a connection, which a request has none of, are
refused.
"""

from __future__ import annotations

import base64
import re
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import msgspec
from msgspec import Raw

from adapters.protocols.http.exchanges import Body, Embedded, Reply
from adapters.protocols.http.messages import (
    Head,
    Response,
    json_of,
    json_response,
    refusal,
    unquoted,
)
from adapters.protocols.http.resources import json_text
from application.limits import Limits
from application.ports import Codec, Request, Steps
from domain.errors import BadJson, BadRequest, KvError, TooLarge

Arguments = List[bytes]
Commands = List[Arguments]


class Refused(NamedTuple):
    """A reply that is an error."""

    text: str


_FRAME = 64
"""Bytes that a value has around it in a reply, at the most."""


class Form(NamedTuple):
    """How commands are read from a request, and which status and JSON value one reply becomes.
    Where it `gathers` all are sent, as an array; else the last one alone."""

    read: Callable[[Head, bytes, Limits], Commands]
    encode: Callable[[Any], Tuple[int, Any]]
    gathers: bool = False


class Rest(Embedded):
    """A request whose body holds commands, which are answered together. Each reply becomes JSON as
    it comes, so that there is little to do at the end."""

    def __init__(self, head: Head, codec: Codec, form: Form, limits: Limits) -> None:
        super().__init__(codec)
        self._head = head
        self._form = form
        self._limits = limits
        self._body = Body(head, limits.max_request_bytes)
        self._most = limits.max_request_bytes + _FRAME
        self._in_base64 = head.header(b"upstash-encoding").lower() == "base64"
        self._status = 200
        self._replies: List[bytes] = []
        self._size = 0

    @property
    def buffered(self) -> int:
        return super().buffered + len(self._body.data) + self._size

    def feed(self, data: bytes) -> None:
        self._body.feed(data)

    def finish(self) -> None:
        super().finish()
        commands = self._form.read(self._head, self._body.take(), self._limits)
        if commands:
            super().feed(b"".join(map(_request, commands)))

    def respond_in_steps(self, request: Request, result: object) -> Steps[Iterator[Reply]]:
        pieces = yield from self._codec.encode_in_steps(request, result)
        return self._joined(pieces)

    def _joined(self, pieces: Iterator[bytes]) -> Iterator[Reply]:
        """A long reply as one, unless it is too long."""
        reply = bytearray()
        for piece in pieces:
            reply += piece
            if len(reply) > self._most:
                break
            yield None
        yield self.relay(bytes(reply))

    def relay(self, reply: bytes) -> Optional[Response]:
        if len(reply) > self._most:
            most = f"at most {self._limits.max_request_bytes} bytes (max_request_bytes)"
            return refusal(TooLarge(f"a reply as JSON has {most}"))
        value, _ = _reply(reply, 0)
        self._status, answer = self._form.encode(_in_base64(value) if self._in_base64 else value)
        if self._form.gathers:
            self._replies.append(b"," if self._replies else b"[")
        else:
            self._replies.clear()
            self._size = 0
        self._replies.append(json_of(answer))
        self._size += len(self._replies[-1])
        if self._size <= self._limits.max_reply_bytes:
            return None
        most = f"at most {self._limits.max_reply_bytes} bytes (max_reply_bytes)"
        return refusal(TooLarge(f"the replies have {most}"))

    def end(self) -> Response:
        if self._form.gathers:
            self._replies.append(b"]" if self._replies else b"[]")
        return json_response(self._status, b"".join(self._replies))

    def final(self, error: KvError) -> Response:
        return self.relay(self._codec.encode_final(error)) or self.end()

    def close(self) -> None:
        super().close()
        self._replies.clear()


def _request(arguments: Arguments) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _one(head: Head, body: bytes, limits: Limits) -> Commands:
    return _read([json_text(body)], limits)


def _many(head: Head, body: bytes, limits: Limits) -> Commands:
    most = limits.max_batch_cost
    why = f"over {most:,} commands in a request (max_batch_cost)"
    return _read(_elements(json_text(body), most, why), limits)


def _transaction(head: Head, body: bytes, limits: Limits) -> Commands:
    commands = [_refusable(each, (b"AUTH",)) for each in _many(head, body, limits)]
    return [[b"MULTI"], *commands, [b"EXEC"]]  # AUTH would be answered at once


def _in_path(head: Head, body: bytes, limits: Limits) -> Commands:
    """A command in the path, with the body and the query as its last arguments."""
    arguments = [unquoted(each).encode() for each in head.path[1:].split("/")]
    if body:
        arguments.append(body)
    for each in filter(None, head.query.split("&")):
        arguments += [unquoted(word).encode() for word in each.split("=", 1) if word]
    return [_refusable(arguments, _OF_A_CONNECTION)]


def _read(texts: Sequence[bytes], limits: Limits) -> Commands:
    """Commands as JSON has them: strings are themselves, anything else is its text. There are as
    many arguments in all as a MSET of the most keys has."""
    commands: Commands = []
    left = most = 2 * limits.max_keys_per_request + 1
    why = f"over {most:,} words in a request (max_keys_per_request)"
    for text in texts:
        arguments = list(map(_argument, _elements(text, left, why)))
        if not arguments:
            raise BadRequest("a command is an array of at least its name")
        left -= len(arguments)
        commands.append(_refusable(arguments, _OF_A_CONNECTION))
    return commands


def _elements(text: bytes, most: int, why: str) -> List[bytes]:
    """The texts of an array's elements; raises `TooLarge` where there are more than `most`."""
    try:
        elements = _decode_elements(text)
    except msgspec.DecodeError as error:
        raise BadJson("the body is an array of a command and its arguments") from error
    if len(elements) > most:
        raise TooLarge(why)
    return list(map(bytes, elements))


_OF_A_CONNECTION = frozenset(
    (
        *(b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE"),
        *(b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH"),
        *(b"HELLO", b"SELECT", b"RESET", b"CLIENT REPLY", b"CLIENT SETNAME", b"QUIT"),
    )
)
"""What changes how the commands after it on the connection are executed or answered. AUTH is
not here, so that each attempt is delayed and counted."""


def _refusable(arguments: Arguments, refused: Collection[bytes]) -> Arguments:
    """The command, under a name that is refused in its place if it is one of those."""
    for name in (arguments[0], b" ".join(arguments[:2])):
        if name.upper() in refused:
            return [name + b" over HTTP"]
    return arguments


def _argument(text: bytes) -> bytes:
    return _decode_string(text).encode("utf-8") if text[:1] == b'"' else text


_decode_elements = msgspec.json.Decoder(List[Raw]).decode
_decode_string = msgspec.json.Decoder(str).decode


# How replies are read from RESP, and encoded.


def _reply(data: bytes, at: int) -> Tuple[Any, int]:
    """One reply that our own codec wrote, and where it ends."""
    end = data.index(b"\r\n", at)
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind in _SIMPLE:
        return _SIMPLE[kind](line), after
    size = int(line)
    if kind == b"$":
        return (None, after) if size < 0 else (data[after : after + size], after + size + 2)
    if size < 0:
        return None, after
    values = []
    for _ in range(size):
        value, after = _reply(data, after)
        values.append(value)
    return values, after


def _refused(line: bytes) -> Refused:
    text = line.decode("utf-8", "replace")
    return Refused(_UNKNOWN_OVER_HTTP.sub(_NO_CONNECTION, text, 1))


_UNKNOWN_OVER_HTTP = re.compile("unknown command ('.{1,20}) over HTTP'.*")
_NO_CONNECTION = (
    r"\1' is not possible over HTTP, where requests share no connection; send it to the same port "
    "as a client of Redis does"
)

_SIMPLE: Dict[bytes, Callable[[bytes], Any]] = {
    b"+": bytes.decode,
    b"-": _refused,
    b":": int,
}


def _in_base64(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_in_base64, value))
    if isinstance(value, Refused) or value == "OK":
        return value
    if isinstance(value, str):
        value = value.encode()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _as_json(value: Any) -> Any:
    """A reply as JSON has it; bytes that are no UTF-8 need base64 to come back as they are."""
    if isinstance(value, list):
        return list(map(_as_json, value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _as_member(value: Any) -> Dict[str, Any]:
    return {"error": value.text} if isinstance(value, Refused) else {"result": _as_json(value)}


def _encode_one(reply: Any) -> Tuple[int, Any]:
    return 400 if isinstance(reply, Refused) else 200, _as_member(reply)


def _encode_each(reply: Any) -> Tuple[int, Any]:
    return 200, _as_member(reply)


def _encode_transaction(reply: Any) -> Tuple[int, Any]:
    return (200, list(map(_as_member, reply))) if isinstance(reply, list) else _encode_one(reply)


ONE = Form(_one, _encode_one)
MANY = Form(_many, _encode_each, gathers=True)
TRANSACTION = Form(_transaction, _encode_transaction)
IN_PATH = Form(_in_path, _encode_one)
