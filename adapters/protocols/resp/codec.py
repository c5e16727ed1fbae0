"""The server's side of RESP.

Rule: a request has one reply. What cannot be read any further ends the conversation. A command that
changes what the following ones mean is the last that `decode` returns at once, so that they are
read as it has left things.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any, Callable, Dict, Generator, Iterator, List, Optional, Sequence, Tuple, Union

from msgspec import UNSET

from adapters.protocols.portions import BLOCK_BYTES
from adapters.protocols.resp.channels import pushed, pushed_in_pieces
from adapters.protocols.resp.commands import CLOSERS, NAMES, entry_of, refusal, request_of
from adapters.protocols.resp.entries import Entry
from adapters.protocols.resp.parser import FEW_BYTES, NEXT, Arguments, Parser, only_request
from adapters.protocols.resp.replies import (
    AROUND,
    BACKSLASH,
    BEYOND_STRINGS,
    DONE,
    INNER,
    NULL_2,
    NULL_3,
    OK,
    REPLY,
    TEXT,
    VERSION_3,
    bulk,
    bulks_of,
    each_bulk,
    each_bulk_or_null,
    error_line,
    key_pieces,
    spelled,
    value_pieces,
)
from adapters.protocols.resp.runs import (
    GETS,
    MAX_ONE,
    MAX_RUN_BYTES,
    NO_SET,
    ONE_DIGIT,
    SETS,
    TWO_DIGITS,
    VALUES,
    read_each,
    read_run,
)
from adapters.protocols.resp.session import Reader, Shared
from adapters.protocols.resp.transactions import Exec, exec_refused
from application.byte_values import to_bytes
from application.commands import Command, Get, Id
from application.commands.columns import Columns, in_parts
from application.commands.strings import MatchingKeys, MGetEach, Put
from application.ports import Closing, Codec, Link, Request, Settled, Steps
from application.steps import at_once
from domain.errors import BadRequest, KvError, TooLarge


class RespCodec(Reader, Codec):
    """The requests of one connection, and their replies. Those of one that `is_trusted` are from a
    client whose password was checked elsewhere."""

    __slots__ = (
        "_error",
        "_few",
        "_is_trusted",
        "_limits",
        "_parser",
        "_session",
        "_shared",
        "_waiting",
        "buffered",
        "has_more",
        "longest",
    )

    protocol = "resp"

    def __init__(self, shared: Shared, is_trusted: bool = False) -> None:
        super().__init__()
        self._is_trusted = is_trusted
        self._limits = limits = shared.limits
        self._shared = shared
        most = 2 * limits.max_keys_per_request + 16
        self._parser = Parser(limits.max_request_bytes, most)
        self._few = MAX_RUN_BYTES if limits.max_request_bytes >= BLOCK_BYTES else 0
        self._waiting: List[Arguments] = []
        """Requests that were cut and wait for one before them to be executed."""
        self._error: Optional[KvError] = None
        self.has_more = False
        self.buffered = 0
        self.longest = 0

    def open(self, link: Link) -> None:
        self._session = self._shared.open(link, self)
        self._session.is_authenticated |= self._is_trusted

    @property
    def is_listening(self) -> bool:  # type: ignore[override]  # read-only here
        return self._session.subscriber.count > 0

    @property
    def has_pushed(self) -> bool:  # type: ignore[override]  # read-only here
        return self._session.subscriber.has_messages

    def take_pushed(self, max_bytes: int) -> Union[bytes, Generator[bytes, None, None]]:
        first = self._session.subscriber.next
        if len(first.message.data) > max_bytes:
            return pushed_in_pieces(self._session, first, max_bytes)
        return pushed(self._session, max_bytes)

    @property
    def partial_request_id(self) -> int:
        if self.has_more or not self._parser.buffered:
            return 0
        return self._parser.partial_number

    def decode(self, data: bytes) -> Sequence[Request]:
        self.longest = BLOCK_BYTES
        if len(data) <= self._few and not self.buffered and self._session.is_plain:
            run = read_run(self._session, data)
            if run is not None:
                self.command = run.name
                return run.commands
        cut = self._cut(data)
        if len(cut) == 1:
            self.longest = sum(map(len, cut[0])) + 16
        requests = self._read_each(cut)
        if self._error and not self._waiting:
            requests.append(Settled(0, self._error, is_fatal=True))
        self.has_more = bool(self._waiting) or self._parser.has_more
        waiting = sum(sum(map(len, each)) + len(each) for each in self._waiting)
        queued = self._session.queue.size if self._session.queue else 0
        self.buffered = self._parser.buffered + waiting + queued + self._session.watch.size
        return requests

    def decode_one(self, data: bytes) -> Optional[Command[Any]]:
        length = len(data)
        if self.buffered or (length >= MAX_ONE and (length > FEW_BYTES or data.find(NEXT) >= 0)):
            return None
        self.longest = length
        version = self.usual
        if version is None:
            return self._only_command(data)
        try:
            if data < b"*3":
                upper, lower, place = GETS[length]
                key = data[place]
                if key.join(upper) == data or key.join(lower) == data:
                    self.command = "get"
                    return Get(key.decode(), id=TEXT + version)
            else:
                place, behind = SETS.get(data[TWO_DIGITS]) or SETS.get(data[ONE_DIGIT], NO_SET)
                rest = data[behind]
                around, value_place = VALUES[len(rest)]
                value = rest[value_place]
                if value.join(around) == rest:
                    self.command = "set"
                    return Put(data[place].decode(), value, id=DONE + version)
        except (LookupError, ValueError):
            pass
        return self._only_command(data)

    def _only_command(self, data: bytes) -> Optional[Command[Any]]:
        """Any usual command that leaves the session as it is. What is to be refused is left to
        `decode`."""
        if not self._session.is_plain:
            return None
        arguments = only_request(data)
        if arguments is None:
            return None
        entry = entry_of(arguments)
        if entry is None or entry.changes_state:
            return None
        try:
            request = request_of(self._session, entry, arguments)
        except (KvError, UnicodeDecodeError):
            return None
        return None if isinstance(request, Settled) else request

    def decode_each(
        self, codecs: Sequence[Any], inputs: Sequence[bytes]
    ) -> Tuple[Sequence[Command[Any]], Sequence[int]]:
        """Requests of one command are read as a run."""
        if set(map(_usual_of, codecs)) == {self._session.version}:
            run, counts = read_each(self._session, inputs)
            if run is not None:
                longest = max(map(len, inputs))
                for codec in codecs:
                    codec.command = run.name
                    codec.longest = longest
                return run.commands, counts
        return super().decode_each(codecs, inputs)

    def encode_one(self, request: Request, outcome: object) -> bytes:
        id = request.id
        if id in _NULLS and type(outcome) is bytes:
            if outcome < BEYOND_STRINGS and BACKSLASH not in outcome:
                try:
                    return outcome[INNER].join(AROUND[len(outcome)])
                except IndexError:
                    return bulk(memoryview(outcome)[INNER])
            return bulk(to_bytes(outcome))
        return OK if outcome is True and id in _DONE else spelled(request, outcome)

    def encode_each(
        self, commands: Sequence[Command[Any]], outcomes: Sequence[Any], counts: Sequence[int]
    ) -> Sequence[bytes]:
        id = _id_of_all(commands)
        if len(counts) < len(outcomes):
            spell = _SPELL_MANY.get(id)
            replies = [*map(spell, in_parts(outcomes, counts))] if spell else []
            if replies and all(replies):
                return replies
            return super().encode_each(commands, outcomes, counts)
        if id in _DONE and outcomes.count(True) == len(outcomes):
            return [OK] * len(outcomes)
        if id in _NULLS:
            try:
                return each_bulk(outcomes)
            except TypeError:  # a key is missing
                replies = each_bulk_or_null(outcomes, _NULLS[id])
                if replies:
                    return replies
        return [*map(self.encode_one, commands, outcomes)]

    def encode(self, requests: Sequence[Request], outcomes: Sequence[Any]) -> bytes:
        if len(outcomes) > 1:
            spell = _SPELL_MANY.get(_id_of_all(requests))
            together = spell(outcomes) if spell else b""
            if together:
                return together
        last = outcomes[-1] if outcomes else None
        if isinstance(last, KvError) and isinstance(requests[len(outcomes) - 1], Exec):
            # What follows is not decoded yet.
            outcomes = [*outcomes[:-1], exec_refused(self._session, last)]
        reply = b"".join(map(spelled, requests, outcomes))
        if len(outcomes) == 1 and len(reply) > self._limits.max_reply_bytes:
            most = self._limits.max_reply_bytes
            raise TooLarge(f"the reply is over {most} bytes (max_reply_bytes)")
        return reply

    def encode_in_steps(self, request: Request, result: object) -> Steps[Iterator[bytes]]:
        if isinstance(request, MGetEach) and isinstance(result, dict):
            request.check_size(result)
            return at_once(value_pieces(result, request))
        if isinstance(request, MatchingKeys) and isinstance(result, list):
            return at_once(key_pieces(result))
        return at_once(iter((self.encode([request], [result]),)))

    def encode_final(self, error: KvError) -> bytes:
        return OK if isinstance(error, Closing) else error_line(error)

    def close(self) -> None:
        self._parser.close()
        self._waiting = []
        self.has_more = False
        self.buffered = 0
        self._session.close()

    def _cut(self, data: bytes) -> List[Arguments]:
        """The next requests, those first that waited."""
        self._parser.is_restricted = not self._session.is_authenticated
        cut, self._waiting = self._waiting, []
        try:
            if self._error is None and (data or not cut):
                cut += self._parser.take(data)
        except (BadRequest, TooLarge) as error:
            self._error = error
            self._parser.close()
        return cut

    def _read_each(self, cut: List[Arguments]) -> List[Request]:
        """The commands, up to one that changes what those after it mean: they wait."""
        requests: List[Request] = []
        for index, arguments in enumerate(cut):
            entry = entry_of(arguments)
            if entry is None and arguments[0].upper() in CLOSERS:
                self._error = BadRequest("Protocol error: this is no HTTP server")
                break
            requests.append(self._request(entry, arguments))
            if entry and entry.changes_state:
                self._waiting = cut[index + 1 :]
                break
        return requests

    def _request(self, entry: Optional[Entry], arguments: Arguments) -> Request:
        session = self._session
        try:
            return request_of(session, entry, arguments)
        except (KvError, UnicodeDecodeError) as error:
            return Settled(session.spelling(REPLY), refusal(error))


def _id_of_all(requests: Sequence[Request]) -> Id:
    """The id that all have; that of none when they differ."""
    if type(requests) is Columns:
        return requests.id
    ids = set(map(_id_of, requests))
    return ids.pop() if len(ids) == 1 else UNSET


def _spell_texts(null: bytes, texts: Sequence[Any]) -> bytes:
    """Nothing when an error is among them."""
    try:
        return bulks_of(texts)
    except TypeError:  # a key is missing
        return b"".join(each_bulk_or_null(texts, null))


def _spell_done(outcomes: Sequence[object]) -> bytes:
    """Nothing unless all are `True`."""
    return OK * len(outcomes) if outcomes.count(True) == len(outcomes) else b""


_DONE = {DONE, DONE + VERSION_3}
_NULLS: Dict[Id, bytes] = {TEXT: NULL_2, TEXT + VERSION_3: NULL_3}
"""What a missing text is spelled, by the id of its request."""

_SPELL_MANY: Dict[Id, Callable[[Sequence[Any]], bytes]] = {
    **{id: partial(_spell_texts, null) for id, null in _NULLS.items()},
    **dict.fromkeys(_DONE, _spell_done),
}
"""What makes the replies to requests with these ids; nothing when an outcome is unusual."""

_id_of, _usual_of = attrgetter("id"), attrgetter("usual")


def begins_resp(first: bytes) -> Optional[bool]:
    """Whether a client of the protocol begins so: with `*` and a digit, or a command's name."""
    if first.startswith(b"*"):
        return first[1:2].isdigit() if len(first) > 1 else None
    word, *_ = first.upper().split(None, 1) or [b""]
    if len(word) == len(first):
        return None if any(name.startswith(word) for name in NAMES) else False
    return word in NAMES
