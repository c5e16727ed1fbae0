"""Cuts a stream of bytes into RESP requests, each a list of arguments.

Rule: a length is checked before anything is kept for it, and what was announced is only read when
all of it has arrived. The cost is linear in the bytes, however they arrive.
"""

from __future__ import annotations

import re
from typing import List, Optional

from adapters.protocols.portions import BLOCK_BYTES, WINDOW
from adapters.protocols.resp.lengths import Lengths
from domain.errors import BadRequest, TooLarge

FEW_BYTES = 8 * 1024
"""Bytes in which a second request begins, where several are cut at once from many bytes."""

FEW = 3
"""Up to so many arguments are taken one by one."""

MAX_EMPTY = 256
"""Blank lines and empty requests that are passed over at once."""

MAX_INLINE = 64 * 1024
"""Bytes of an inline command."""

MAX_LENGTH_LINE = 32
"""Bytes of a line that tells a length."""

MAX_UNAUTHENTICATED_ARGUMENTS, MAX_UNAUTHENTICATED_BYTES = 10, 16 * 1024
"""The arguments of a request before the password, and the bytes of each."""

Arguments = List[bytes]

NEXT = b"\r\n*"
"""Where another request begins, most likely."""

_is_length = re.compile(rb"0|-?[1-9][0-9]{0,17}").fullmatch
_COUNTS = {b"*%d" % count: count for count in range(1, 1025)}
_LENGTHS = Lengths(lambda size: b"$%d" % size)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


class Parser:
    """Requests of up to `max_bytes` bytes and `max_arguments` arguments."""

    def __init__(self, max_bytes: int, max_arguments: int) -> None:
        self._max_bytes = max_bytes
        self._max_arguments = max_arguments
        self.is_restricted = False
        """Whether requests have to be as small as AUTH is; each is taken alone then."""
        self._data = b""
        self._at = 0
        self._pending = bytearray()
        """What arrived after `_data`, while a long argument is incomplete."""
        self._need = 0
        """How long both together have to be for the argument to be whole."""
        self._arguments: Arguments = []
        self._left = 0
        """How many arguments are still missing of the request that has arrived in part."""
        self._length = -1
        """The length of the next of them, once it is known."""
        self._size = 0
        """The bytes of this request so far, with what was announced."""
        self._one_by_one = 0
        """Up to where in `_data` its arguments are taken one by one."""
        self.has_more = False
        """Whether `take` may find more without being given anything."""
        self.partial_number = 0
        """How many requests have arrived in part first."""
        self._is_partial = False

    @property
    def buffered(self) -> int:
        """How many bytes are kept."""
        return len(self._data) - self._at + len(self._pending) + self._kept()

    def take(self, data: bytes) -> List[Arguments]:
        """The next requests, of some kilobytes together; a longer one alone. Raises `BadRequest`
        and `TooLarge`, after which nothing can be read any more."""
        if self._pending or self._need > len(self._data):
            self._pending += data
            if len(self._data) + len(self._pending) < self._need:
                return []
            data = bytes(self._pending)
            self._pending = bytearray()
        if data:
            rest = self._data[self._at :] if self._at else self._data
            self._data, self._at = rest + data if rest else data, 0
        self._need = self._one_by_one = 0
        requests = [] if self._left or self.is_restricted else self._take_block()
        if not requests:
            request = self._take_one()
            for _ in range(MAX_EMPTY):
                if request != []:
                    break
                request = self._take_one()
            requests = [request] if request else []
            self.has_more = request is not None and self._at < len(self._data)
        if not self.has_more:
            self._settle()
        return requests

    def close(self) -> None:
        """Frees what is kept."""
        self._data, self._at, self._need = b"", 0, 0
        self._pending = bytearray()
        self._arguments = []
        self._left = 0
        self.has_more = False

    def _kept(self) -> int:
        """Something, once a request has begun."""
        return self._size if self._arguments else int(self._left > 0)

    def _settle(self) -> None:
        self._data, self._need = self._data[self._at :], self._need - self._at
        self._at = 0
        is_partial = bool(self._data or self._left)
        if is_partial and not self._is_partial:
            self.partial_number += 1
        self._is_partial = is_partial

    def _take_block(self) -> List[Arguments]:
        """The usual requests: short ones that have arrived whole, and have no line break in them.
        Where an argument has one the pieces do not fit their lengths, and `_take_one` is asked."""
        data, at = self._data, self._at
        is_long = len(data) - at > BLOCK_BYTES and data.find(NEXT, at, at + FEW_BYTES) < 0
        if is_long or self._max_bytes < BLOCK_BYTES:
            return []
        block = data[at : at + BLOCK_BYTES] if at or len(data) > BLOCK_BYTES else data
        pieces = block.split(b"\r\n")
        last = len(pieces) - 1
        requests: List[Arguments] = []
        index = 0
        while index < last and len(requests) < WINDOW:
            count = _COUNTS.get(pieces[index])
            if count is None or count > self._max_arguments:
                break
            end = index + 1 + 2 * count
            if end > last:
                break
            arguments = pieces[index + 2 : end : 2]
            if list(map(_LENGTHS.__getitem__, map(len, arguments))) != pieces[index + 1 : end : 2]:
                break
            requests.append(arguments)
            index = end
        if requests:
            self._at = at + (
                len(block) - len(pieces[last])
                if index == last
                else sum(map(len, pieces[:index])) + 2 * index
            )
            self._is_partial = False
            self.has_more = self._at < len(data)
        return requests

    def _take_one(self) -> Optional[Arguments]:
        """The next request; None when it is not whole; an empty one is nothing."""
        if not self._left:
            self._size = 0
            if self._data[self._at : self._at + 1] != b"*":
                return self._take_inline()
            count = self._take_length(b"*", "invalid multibulk length")
            if count is None or count <= 0:
                return None if count is None else []
            if self.is_restricted and count > MAX_UNAUTHENTICATED_ARGUMENTS:
                raise BadRequest("Protocol error: unauthenticated multibulk length")
            if count > self._max_arguments:
                most = f"at most {self._max_arguments} (max_keys_per_request)"
                raise TooLarge(
                    f"Protocol error: invalid multibulk length: {count} arguments, {most}"
                )
            self._left = count
        while self._left:
            if self._take_some():
                continue
            argument = self._take_argument()
            if argument is None:
                return None
            self._arguments.append(argument)
            self._left -= 1
        arguments, self._arguments = self._arguments, []
        self._is_partial = False
        return arguments

    def _take_some(self) -> bool:
        """Takes the usual arguments of a block together, as `_take_block` does requests; false
        where the next one has to be taken alone, as few are and those of over four digits."""
        if self._length >= 0 or self._at < self._one_by_one or self.is_restricted:
            return False
        if (
            self._left <= FEW
            or self._data.find(b"\r\n", self._at, self._at + len(b"$9999\r\n")) < 0
        ):
            return False
        block = self._data[self._at : self._at + BLOCK_BYTES]
        pieces = block.split(b"\r\n")
        count = min(self._left, (len(pieces) - 1) // 2)
        lengths, arguments = pieces[: 2 * count : 2], pieces[1 : 2 * count : 2]
        if not count or list(map(_LENGTHS.__getitem__, map(len, arguments))) != lengths:
            self._one_by_one = self._at + len(block)
            return False
        size = (
            len(block) - len(pieces[-1])
            if 2 * count == len(pieces) - 1
            else sum(map(len, pieces[: 2 * count])) + len(b"\r\n\r\n") * count
        )
        self._announce(size)
        self._arguments += arguments
        self._left -= count
        self._at += size
        return True

    def _announce(self, size: int) -> None:
        """The request has so many bytes more; raises `TooLarge` when they are too many."""
        self._size += size
        if self._size > self._max_bytes:
            most = f"a request has at most {self._max_bytes} bytes (max_request_bytes)"
            raise TooLarge(f"Protocol error: invalid bulk length: {most}")

    def _take_argument(self) -> Optional[bytes]:
        if self._length < 0:
            begins = self._data[self._at : self._at + 1]
            if begins not in (b"$", b""):
                raise BadRequest(f"Protocol error: expected '$', got '{_shown(begins)}'")
            length = self._take_length(b"$", "invalid bulk length")
            if length is None:
                return None
            if length < 0:
                raise BadRequest("Protocol error: invalid bulk length")
            if self.is_restricted and length > MAX_UNAUTHENTICATED_BYTES:
                raise BadRequest("Protocol error: unauthenticated bulk length")
            self._announce(length + len(b"$0\r\n\r\n"))
            self._length = length
        end = self._at + self._length
        if len(self._data) < end + 2:
            self._need = end + 2
            return None
        if self._data[end : end + 2] != b"\r\n":
            raise BadRequest("Protocol error: an argument is longer than its length")
        argument = self._data[self._at : end]
        self._at = end + 2
        self._length = -1
        return argument

    def _take_length(self, mark: bytes, wrong: str) -> Optional[int]:
        end = self._data.find(b"\r\n", self._at, self._at + MAX_LENGTH_LINE)
        if end < 0:
            if len(self._data) - self._at >= MAX_LENGTH_LINE:
                raise BadRequest(f"Protocol error: {wrong}")
            return None
        digits = self._data[self._at + len(mark) : end]
        if not _is_length(digits):
            raise BadRequest(f"Protocol error: {wrong}")
        self._at = end + 2
        return int(digits)

    def _take_inline(self) -> Optional[Arguments]:
        end = self._data.find(b"\n", self._at, self._at + MAX_INLINE)
        if end < 0:
            if len(self._data) - self._at >= MAX_INLINE:
                raise TooLarge(f"Protocol error: too big inline request: over {MAX_INLINE} bytes")
            return None
        line = self._data[self._at : end]
        self._at = end + 1
        self._size = len(line)
        arguments = inline_arguments(line)
        if len(arguments) > self._max_arguments or len(line) > self._max_bytes:
            raise TooLarge("Protocol error: too big inline request")
        self._is_partial = False
        return arguments


def only_request(data: bytes) -> Optional[Arguments]:
    """The arguments of a usual request, when `data` is exactly one: few, short ones that have no
    line break in them."""
    if NEXT in data:
        return None
    pieces = data.split(b"\r\n")
    lengths, arguments = pieces[1:-1:2], pieces[2:-1:2]
    if _COUNTS.get(pieces[0]) != len(lengths) or pieces[-1]:
        return None
    return arguments if list(map(_LENGTHS.__getitem__, map(len, arguments))) == lengths else None


def inline_arguments(line: bytes) -> Arguments:
    """The words of an inline command; those in quotes may hold blanks, and escapes in double ones.
    Raises `BadRequest` when a quote is not closed as it should be."""
    words = line.split()
    if b'"' not in line and b"'" not in line:
        return words
    arguments: Arguments = []
    at, rest = 0, line.strip() + b" "
    while at < len(rest):
        quote = rest[at : at + 1]
        if quote.isspace() or quote == b"\0":
            at += 1
            continue
        argument = bytearray()
        while not rest[at : at + 1].isspace():
            quote = rest[at : at + 1]
            at += 1
            if quote not in (b'"', b"'"):
                argument += quote
                continue
            at = _unquoted(rest, at, quote, argument)
            if not rest[at : at + 1].isspace():
                raise BadRequest("Protocol error: unbalanced quotes in request")
        arguments.append(bytes(argument))
    return arguments


def _unquoted(line: bytes, at: int, quote: bytes, argument: bytearray) -> int:
    """Adds what stands in quotes to the argument; returns where it goes on behind them."""
    while at < len(line):
        byte = line[at : at + 1]
        at += 1
        if byte == quote:
            return at
        if byte == b"\\":
            escape = line[at : at + 1]
            digits = line[at + 1 : at + 3]
            if quote == b'"' and escape == b"x" and re.fullmatch(rb"[0-9a-fA-F]{2}", digits):
                byte = bytes([int(digits, 16)])
                at += 3
            elif quote == b'"' or escape == quote:
                byte = _ESCAPES.get(escape, escape) if quote == b'"' else escape
                at += 1
        argument += byte
    raise BadRequest("Protocol error: unbalanced quotes in request")


def _shown(byte: bytes) -> str:
    return byte.decode("ascii", "replace") if byte.isalnum() else f"\\x{byte[0]:02x}"
