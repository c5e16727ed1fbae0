"""The server's side of RESP.

Rule: a request has one reply. What cannot be read any further ends the conversation. A command that
changes what the following ones mean is the last that `decode` returns at once, so that they are
read as it has left things.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, List, Optional, Sequence

from adapters.protocols.resp.commands import CLOSERS, NAMES, Entry, entry_of, refusal, request_of
from adapters.protocols.resp.parser import BLOCK, Arguments, Parser
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
        waiting = sum(sum(map(len, each)) for each in self._waiting)
        self.buffered = self._parser.buffered + waiting + self._session.queued_bytes
        return requests

    def decode_one(self, data: bytes) -> Optional[Command[Any]]:
        session = self._session
        if session.queue is not None or self.has_more or self.buffered:
            return None
        self.longest = len(data)
        requests = _alike(data, session.prefix, VERSION_3 if session.is_version_3 else 0)
        return requests[0] if len(requests) == 1 else None

    def encode_one(self, request: Request, outcome: object) -> bytes:
        return spelled(request, outcome)

    def encode(self, requests: Sequence[Request], outcomes: Sequence[object]) -> bytes:
        if len(outcomes) > 1:
            ids = {request.id for request in requests}
            if len(ids) == 1:
                (id,) = ids
                if id in _TEXTS and set(map(type, outcomes)) == {bytes}:
                    return b"".join(map(bulk, map(to_bytes, outcomes)))  # type: ignore[arg-type]
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
_GETS = re.compile(r"\*2\r\n\$3\r\n(?:GET|get)\r\n\$([0-9]{1,3})\r\n([^\r\n]*)\r\n")
_SETS = re.compile(
    r"\*3\r\n\$3\r\n(?:SET|set)\r\n\$([0-9]{1,3})\r\n([^\r\n]*)\r\n\$([0-9]{1,3})\r\n([^\r\n]*)\r\n"
)
_DIGITS = {size: str(size) for size in range(1000)}


def _alike(data: bytes, prefix: str, version: int) -> List[Command[Any]]:
    """The requests, when `data` is whole GETs or whole SETs of short ASCII and nothing else, which
    is the usual; else none. What the lengths say is compared, and so is what lies between."""
    if not data.isascii():
        return []
    text = data.decode("ascii")
    if text.startswith(_GET_BEGINS):
        gets = _GETS.findall(text)
        if _are_all(gets, len(text), len("*2..$3..GET..$...."), 0):
            id = TEXT + version
            return [Get(prefix + key, id=id) for _, key in gets]
    elif text.startswith(_SET_BEGINS):
        sets = _SETS.findall(text)
        if _are_all(sets, len(text), len("*3..$3..SET..$....$...."), 2):
            id = DONE + version
            return [
                Set(prefix + key, to_text(value.encode()), id=id)  # type: ignore[arg-type]
                for _, key, _, value in sets
            ]
    return []


_GET_BEGINS, _SET_BEGINS = ("*2\r\n$3\r\nG", "*2\r\n$3\r\ng"), ("*3\r\n$3\r\nS", "*3\r\n$3\r\ns")


def _are_all(found: List[Any], size: int, fixed: int, last: int) -> bool:
    """Whether the matches are of the lengths that they tell, and all that there is."""
    columns = list(zip(*found))
    total = fixed * len(found)
    for index in range(0, last + 1, 2):
        if not columns:
            return False
        sizes = list(map(len, columns[index + 1]))
        if list(map(_DIGITS.get, sizes)) != list(columns[index]):
            return False
        total += sum(sizes) + sum(map(len, columns[index]))
    return total == size


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
