"""The server's side of JSON lines.

Rule: a line is one request and has one reply; a blank line is nothing. A first line that is no
request ends the conversation, since its sender speaks another protocol.
"""

from __future__ import annotations

from itertools import compress, dropwhile
from operator import attrgetter, itemgetter
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from msgspec import UNSET

from adapters.protocols.json_lines.elements import LONG_LINE, check_elements
from adapters.protocols.json_lines.lines import Lines
from adapters.protocols.json_lines.replies import (
    AROUND,
    BEGINNINGS,
    TRUE,
    batch_in_pieces,
    each_usual,
    refusal,
    success,
    success_in_pieces,
    usual,
)
from adapters.protocols.json_lines.requests import decode, diagnosis
from adapters.protocols.portions import BLOCK_BYTES, WINDOW
from application.commands import Batch, Command, Id
from application.commands.columns import in_parts
from application.json_text import UNREADABLE
from application.limits import Limits
from application.ports import Codec, Request, Settled, Steps
from domain.errors import BadJson, KvError, TooLarge


class JsonLinesCodec(Codec):
    """The requests of one connection, and their replies, of the sizes that `limits` allow."""

    __slots__ = ("_has_begun", "_limits", "_lines", "buffered", "has_more", "longest")

    protocol = "json"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines = Lines(limits.max_request_bytes)
        self._has_begun = False
        self.has_more = False
        self.buffered = 0
        self.longest = 0

    @property
    def partial_request_id(self) -> int:
        return self._lines.partial_number if self.buffered and not self.has_more else 0

    def decode(self, data: bytes) -> List[Request]:
        lines = self._lines.cut(data)
        self.longest = len(lines[0]) if len(lines) == 1 else BLOCK_BYTES
        requests: List[Request] = []
        try:
            if self.longest > LONG_LINE:
                check_elements(lines[0], self._limits)
            requests.extend(map(decode, lines))
        except (*UNREADABLE, TooLarge) as error:
            self._explain(lines, requests, error)
        self._lines.settle()
        if self._lines.is_over:
            most = f"at most {self._limits.max_request_bytes} bytes (max_request_bytes)"
            requests.append(Settled(UNSET, TooLarge(f"a request has {most}"), True))
        self._has_begun = self._has_begun or bool(requests)
        self.has_more = self._lines.has_more
        self.buffered = self._lines.buffered
        return requests

    def decode_one(self, data: bytes) -> Optional[Command[Any]]:
        if self.buffered or data.find(b"\n") != len(data) - 1:
            return None
        try:
            command: Command[Any] = decode(data)
        except UNREADABLE:
            return None
        self._has_begun = True
        self.longest = len(data)
        return command

    def decode_each(
        self, codecs: Sequence[Any], inputs: Sequence[bytes]
    ) -> Tuple[Sequence[Command[Any]], Sequence[int]]:
        """All lines are decoded in one loop, unless one of them is no command. A client with more
        than `decode` cuts at once is left to its turns."""
        lines = b"".join(inputs).split(b"\n")[:-1]
        counts: Sequence[int] = [1] * len(inputs)
        if len(lines) != len(inputs) or set(map(_last_of, inputs)) != _LINE_FEED:
            counts = [_lines_in(data) for data in inputs]
            lines = b"".join(compress(inputs, counts)).split(b"\n")[:-1]
        try:
            commands = [*map(decode, lines)]
        except UNREADABLE:
            return super().decode_each(codecs, inputs)
        longest = max(map(len, inputs))
        for codec in compress(codecs, counts):
            codec._has_begun = True
            codec.longest = longest
        return commands, counts

    def encode_one(self, request: Request, outcome: object) -> bytes:
        id = request.id
        if id in AROUND:
            if type(outcome) is bytes:
                return outcome.join(AROUND[id])
            if outcome is True:
                return TRUE[id]
        return self._encode(request, outcome)

    def encode_each(
        self, commands: Sequence[Command[Any]], outcomes: Sequence[Any], counts: Sequence[int]
    ) -> Sequence[bytes]:
        is_one_each = len(counts) == len(outcomes)
        if set(map(_id_of, commands)) == _NO_IDS:
            if is_one_each:
                replies = each_usual(outcomes)
            else:
                replies = [*map(usual, in_parts(outcomes, counts))]
            if replies and all(replies):
                return replies
        if is_one_each:
            return [*map(self.encode_one, commands, outcomes)]
        return super().encode_each(commands, outcomes, counts)

    def encode(self, requests: Sequence[Request], outcomes: Sequence[Any]) -> bytes:
        if len(outcomes) < 2:
            return self.encode_one(requests[0], outcomes[0]) if outcomes else b""
        *ids, last = map(_id_of, requests)
        if len(outcomes) - 1 == len(ids) == ids.count(UNSET):
            replies = usual(outcomes)
            if replies and last is not UNSET:
                replies = _last_with(last, replies)
            if replies:
                return replies
        return b"".join(map(self.encode_one, requests, outcomes))

    def encode_in_steps(self, request: Request, result: object) -> Steps[Iterator[bytes]]:
        if isinstance(request, Batch) and isinstance(result, list):
            ids = [each.id for each in request.commands]
            return batch_in_pieces(request.id, result, ids)
        if not isinstance(result, dict):
            return iter((self._encode(request, result),))
        return (yield from success_in_pieces(request.id, result, self._limits.max_reply_bytes))

    def encode_final(self, error: KvError) -> bytes:
        return refusal(UNSET, error)

    def close(self) -> None:
        self._lines.close()
        self.has_more = False
        self.buffered = 0

    def _encode(self, request: Request, outcome: object) -> bytes:
        if isinstance(outcome, KvError):
            return refusal(request.id, outcome)
        ids = [each.id for each in request.commands] if isinstance(request, Batch) else ()
        return success(request.id, outcome, self._limits.max_reply_bytes, ids)

    def _explain(self, lines: List[bytes], requests: List[Request], error: Exception) -> None:
        """Says what is wrong with the first line that is no request; the lines after it are cut
        once more."""
        line, *after = lines[len(requests) :]
        line = line.rstrip(b"\n")
        if _is_blank(line):
            after = list(dropwhile(_is_blank, after))
        else:
            id, why = diagnosis(line, error)
            is_first = not (self._has_begun or requests) and isinstance(why, BadJson)
            requests.append(Settled(id, why, is_first))
        self._lines.step_back(after)


_id_of, _last_of = attrgetter("id"), itemgetter(-1)

_LINE_FEED = {ord("\n")}
_NO_IDS = {UNSET}


def _last_with(id: Id, replies: bytes) -> bytes:
    """The replies with an id in the last of them, if it is one of the usual ids."""
    begin = BEGINNINGS.get(id)
    if begin is None:
        return b""
    last = replies.rfind(b"\n", 0, -1) + 1
    return replies[:last] + begin + replies[last + 1 :]


def _lines_in(data: bytes) -> int:
    """How many lines there are, if they are whole and few; else 0."""
    count = data.count(b"\n")
    return count if count <= WINDOW and data.endswith(b"\n") else 0


def _is_blank(line: bytes) -> bool:
    return not line.strip(b" \t\r")


def begins_json_lines(first: bytes) -> bool:
    """Whether `first` is the beginning of this protocol."""
    return first.startswith(b"{")
