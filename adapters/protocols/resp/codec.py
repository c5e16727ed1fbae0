"""The server's side of RESP.

Rule: a request has one reply. What cannot be read any further ends the conversation. A command that
changes what the following ones mean is the last that `decode` returns at once, so that they are
read as it has left things.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from adapters.protocols.resp.commands import CLOSERS, NAMES, Entry, entry_of, refusal, request_of
from adapters.protocols.resp.parser import BLOCK, LENGTHS, Arguments, Parser
from adapters.protocols.resp.replies import (
    DONE,
    OK,
    REPLY,
    TEXT,
    VERSION_3,
    bulk,
    error_line,
    spelled,
)
from adapters.protocols.resp.session import Shared
from application.byte_values import to_bytes, to_text
from application.commands import Command, Get, Set
from application.ports import Closing, Codec, Request, Settled, Steps
from domain.errors import BadRequest, KvError, TooLarge

FEW = 4 * 1024
"""Bytes of a read that may be a few dozen usual requests."""


class RespCodec(Codec):
    """The requests of one connection, and their replies."""

    def __init__(self, shared: Shared) -> None:
        self._limits = limits = shared.limits
        self._session = shared.open()
        most = 2 * limits.max_keys_per_request + 16
        self._parser = Parser(limits.max_request_bytes, most)
        self._few = FEW if limits.max_request_bytes >= FEW else 0
        self._waiting: List[Arguments] = []
        """Requests that were cut and wait for one before them to be executed."""
        self._error: Optional[KvError] = None
        self.has_more = False
        self.buffered = 0
        self.longest = 0

    @property
    def partial_request_id(self) -> int:
        if self.has_more or not self._parser.buffered:
            return 0
        return self._parser.partial_number

    def decode(self, data: bytes) -> List[Request]:
        if not self.buffered and self._error is None and len(data) <= self._few:
            session = self._session
            if session.queue is None and not self.has_more:
                version = VERSION_3 if session.is_version_3 else 0
                alike: List[Request] = list(_alike(data, session.prefix, version))
                if alike:
                    self.longest = BLOCK
                    return alike
        cut, self._waiting = self._waiting, []
        try:
            if self._error is None and (data or not cut):
                cut += self._parser.take(data)
        except (BadRequest, TooLarge) as error:
            self._error = error
            self._parser.close()
        requests: List[Request] = []
        self.longest = BLOCK
        for index, arguments in enumerate(cut):
            entry = entry_of(arguments)
            if entry is None and arguments[0].upper() in CLOSERS:
                self._error, cut = BadRequest("Protocol error: this is no HTTP server"), []
                break
            requests.append(self._request(entry, arguments))
            if len(cut) == 1:
                self.longest = sum(map(len, arguments)) + 16
            if entry and entry.changes_state:
                self._waiting = cut[index + 1 :]
                break
        if self._error and not self._waiting:
            requests.append(Settled(0, self._error, is_fatal=True))
        self.has_more = bool(self._waiting) or self._parser.has_more
        waiting = sum(sum(map(len, each)) + len(each) for each in self._waiting)
        self.buffered = self._parser.buffered + waiting + self._session.queued_bytes
        return requests

    def decode_one(self, data: bytes) -> Optional[Command[Any]]:
        session = self._session
        if self.buffered or session.queue is not None:
            return None
        pieces = data.split(b"\r\n", 8)
        size = len(pieces)
        if size not in _NAMES or pieces[2] not in _NAMES[size] or pieces[-1]:
            return None
        if pieces[1] != b"$3" or LENGTHS.get(len(pieces[4])) != pieces[3]:
            return None
        version = VERSION_3 if session.is_version_3 else 0
        self.longest = len(data)
        try:
            key = session.prefix + pieces[4].decode()
        except UnicodeDecodeError:
            return None
        if size == _GET_PIECES:
            return Get(key, id=TEXT + version) if pieces[0] == b"*2" else None
        if pieces[0] != b"*3" or LENGTHS.get(len(pieces[6])) != pieces[5]:
            return None
        text: Any = to_text(pieces[6])
        return Set(key, text, id=DONE + version)

    def encode_one(self, request: Request, outcome: object) -> bytes:
        if type(outcome) is bytes and request.id in _TEXTS:
            return _bulks((outcome,))
        if outcome is True and request.id in _DONE:
            return OK
        return spelled(request, outcome)

    def encode(self, requests: Sequence[Request], outcomes: Sequence[object]) -> bytes:
        if len(outcomes) > 1:
            ids = {request.id for request in requests}
            if len(ids) == 1:
                (id,) = ids
                if id in _TEXTS and set(map(type, outcomes)) == {bytes}:
                    return _bulks(outcomes)  # type: ignore[arg-type]
                if id in _DONE and all(outcome is True for outcome in outcomes):
                    return OK * len(outcomes)
        reply = b"".join(map(spelled, requests, outcomes))
        if len(outcomes) == 1 and len(reply) > self._limits.max_reply_bytes:
            most = self._limits.max_reply_bytes
            raise TooLarge(f"the reply is over {most} bytes (max_reply_bytes)")
        return reply

    def encode_in_steps(self, request: Request, result: object) -> Steps[Iterator[bytes]]:
        return iter((self.encode([request], [result]),))
        yield

    def encode_final(self, error: KvError) -> bytes:
        return OK if isinstance(error, Closing) else error_line(error)

    def close(self) -> None:
        self._parser.close()
        self._waiting = []
        self.has_more = False
        self.buffered = 0
        self._session.close()

    def _request(self, entry: Optional[Entry], arguments: Arguments) -> Request:
        session = self._session
        try:
            return request_of(session, entry, arguments)
        except (KvError, UnicodeDecodeError) as error:
            return Settled(REPLY, refusal(error))


_TEXTS, _DONE = {TEXT, TEXT + VERSION_3}, {DONE, DONE + VERSION_3}
_GET_PIECES = 6
_NAMES = {_GET_PIECES: (b"GET", b"get"), 8: (b"SET", b"set")}
"""The usual requests by how many pieces between line breaks they are, with what follows them."""

_LENGTHS = {size: f"${size}" for size in range(1000)}
_HEADS: Dict[Tuple[str, ...], int] = {
    ("*2", "$3", "GET"): 5,
    ("*2", "$3", "get"): 5,
    ("*3", "$3", "SET"): 7,
    ("*3", "$3", "set"): 7,
}
"""What the usual requests begin with, and how many pieces between line breaks they are."""


def _alike(data: bytes, prefix: str, version: int) -> List[Command[Any]]:
    """The requests, when `data` is whole GETs or whole SETs of short ASCII without line breaks and
    nothing else, which is the usual; else none."""
    if not data.isascii():
        return []
    pieces = data.decode("ascii").split("\r\n")
    head: Tuple[str, ...] = tuple(pieces[:3])
    width = _HEADS.get(head)
    n_requests, rest = divmod(len(pieces), width or 1)
    if not width or rest != 1 or pieces.pop():
        return []
    if n_requests > 1 and any(pieces[at::width].count(head[at]) != n_requests for at in range(3)):
        return []
    keys = pieces[4::width]
    if list(map(_LENGTHS.get, map(len, keys))) != pieces[3::width]:
        return []
    keys = [prefix + key for key in keys] if prefix else keys
    if width == _HEADS["*2", "$3", "GET"]:
        id = TEXT + version
        return [Get(key, id=id) for key in keys]
    values = pieces[6::width]
    if list(map(_LENGTHS.get, map(len, values))) != pieces[5::width]:
        return []
    id = DONE + version
    texts: List[Any] = [to_text(value.encode()) for value in values]
    return [Set(key, text, id=id) for key, text in zip(keys, texts)]


def _bulks(texts: Sequence[bytes]) -> bytes:
    """The replies that texts are; the usual one is a string with nothing to unescape."""
    return b"".join(
        [
            b"$%d\r\n%b\r\n" % (len(text) - 2, text[1:-1])
            if text[0] == _QUOTE and b"\\" not in text
            else bulk(to_bytes(text))
            for text in texts
        ]
    )


_QUOTE = ord('"')


def begins_resp(first: bytes) -> Optional[bool]:
    """Whether a client of the protocol begins so: with `*` and a digit, or the name of a command.
    What begins with the method and the target of HTTP does not."""
    if first.startswith(b"*"):
        return first[1:2].isdigit() if len(first) > 1 else None
    word = first.split(None, 1)[0].upper()
    if len(word) == len(first):
        return None if any(name.startswith(word) for name in NAMES) else False
    if word not in NAMES:
        return False
    rest = first[len(word) :].lstrip(b" ")
    if word == b"GET" and first[len(word) :][:1] == b" ":
        return None if not rest else not rest.startswith((b"/", b"http:", b"https:"))
    return True
