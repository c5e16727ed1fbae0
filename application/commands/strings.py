"""Commands on the bytes that values stand for, for protocols whose values are bytes.

Rule: a value is read and stored by the rule of `byte_values`, so that JSON clients see what was
stored as JSON. The commands are in a table of their own, `BYTE_COMMANDS`, not offered to JSON.

A result of type `bytes` is bytes here and no JSON text; None is the absence of a value.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import partial
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Generator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from application.budget import Budget
from application.byte_values import to_bytes, to_text, to_text_in_steps, to_texts
from application.commands.base import Command, ManyKeys, OneKey, Results, Run, changed, register
from application.commands.keyspace import Scan
from application.commands.values import MGet
from application.databases import Databases, keys_of, visible
from application.glob import glob
from domain.errors import BadRequest, NotANumber, OutOfRange, TooLarge
from domain.sizes import cost
from domain.store import Entry, Store

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

is_integer = re.compile(rb"0|-?[1-9][0-9]{0,18}").fullmatch
"""Whether bytes are a whole number as one writes it; it may be beyond 64 bits still."""

_is_decimal = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
_EXACT = Context(prec=400)
_PLACES = Decimal(1).scaleb(-17)


class NoSuchKey(BadRequest):
    """The key that a command needs is missing."""


class Condition(NamedTuple):
    """What has to hold of the entry of a key for a command to change it."""

    is_present: Optional[bool] = None
    equals: Optional[bytes] = None

    def holds(self, before: Optional[Entry], budget: Budget) -> bool:
        """Whether it does."""
        if self.is_present is not None and (before is not None) != self.is_present:
            return False
        return self.equals is None or (
            before is not None and _opened(before.text, budget) == self.equals
        )


class Lifetime(NamedTuple):
    """How long a key is to live: `seconds` from now, or up to an instant of the clock of the
    `wall`."""

    seconds: float
    wall: Optional[Callable[[], float]] = None

    def left(self) -> float:
        """Seconds from now; none left, or less, for an instant that is past."""
        return self.seconds - self.wall() if self.wall else self.seconds


def _entry(text: bytes, lifetime: Optional[Lifetime]) -> Optional[Entry]:
    """The entry to store; None when its time is up already."""
    if lifetime is None:
        return Entry(text)
    left = lifetime.left()
    return Entry(text, left) if left > 0 else None


def _opened(text: bytes, budget: Budget) -> bytes:
    """The bytes that a stored text stands for."""
    budget.convert(len(text))
    return to_bytes(text)


def _checked(data: bytes, budget: Budget) -> bytes:
    """The text of a value that a command has made."""
    _check_size(len(data), budget)
    return to_text(data)


def _check_size(size: int, budget: Budget) -> None:
    most = budget.limits.max_request_bytes
    if size > most:
        raise TooLarge(f"string exceeds maximum allowed size ({most}, max_request_bytes)")


@register
class Put(OneKey[bool], tag="REDIS.PUT", gc=False):
    """Store bytes at a key, without a ttl; true."""

    data: bytes

    def run(self, store: Store, budget: Budget, text: Optional[bytes] = None) -> bool:
        store.set(self.key, text or to_text(self.data))
        return True

    def prepare(self, budget: Budget) -> Generator[None, None, Run[bool]]:
        text = yield from to_text_in_steps(self.data)
        return partial(self.run, text=text)

    @classmethod
    def run_many(cls, commands: Sequence[Put], store: Store, budget: Budget) -> Results:  # type: ignore[override]
        texts = to_texts([command.data for command in commands])
        store.set_many(dict(zip([command.key for command in commands], texts)))
        return Results([True] * len(commands), 0)


@register
class SetBytes(OneKey[Tuple[bool, Optional[bytes]]], tag="REDIS.SET", gc=False):
    """Store bytes under conditions; whether it did, and what was there before."""

    data: bytes
    lifetime: Optional[Lifetime] = None
    keep_ttl: bool = False
    condition: Condition = Condition()

    def run(self, store: Store, budget: Budget) -> Tuple[bool, Optional[bytes]]:
        text = to_text(self.data)

        def change(before: Optional[Entry]) -> Optional[Entry]:
            if not self.condition.holds(before, budget):
                return before
            if self.keep_ttl:
                return Entry(text, before.ttl if before else None)
            return _entry(text, self.lifetime)

        before, after = store.update(self.key, change)
        is_set = after is not before or (before is None and self.condition.holds(None, budget))
        return is_set, _opened(before.text, budget) if before else None


@register
class MGetEach(MGet, tag="REDIS.MGET", gc=False):
    """The same as MGET; its reply has a value for each key that is named, also for one that is
    named twice, and is refused over `max_reply_bytes`."""

    max_reply_bytes: int = 0

    def check_size(self, found: Dict[str, bytes]) -> None:
        """Raises `TooLarge` before the reply is made."""
        sizes = {key: len(text) for key, text in found.items()}
        size = sum(sizes.get(key, 0) for key in self.keys)
        if size > self.max_reply_bytes:
            most = f"at most {self.max_reply_bytes} (max_reply_bytes)"
            raise TooLarge(f"the values have {size} bytes; a reply has {most}")


@register
class GetEx(OneKey[Optional[bytes]], tag="GETEX", gc=False):
    """Return the bytes of a key, and set the time that it lives, or that it lives for ever."""

    lifetime: Optional[Lifetime] = None

    def run(self, store: Store, budget: Budget) -> Optional[bytes]:
        before, _ = store.update(
            self.key, lambda before: before and _entry(before.text, self.lifetime)
        )
        return _opened(before.text, budget) if before else None


@register
class DelIfEq(OneKey[bool], tag="DELIFEQ", gc=False):
    """Remove a key whose bytes are these."""

    data: bytes

    def run(self, store: Store, budget: Budget) -> bool:
        holds = Condition(equals=self.data).holds
        return changed(store, self.key, lambda before: None if holds(before, budget) else before)


@register
class ExpireIfEq(OneKey[bool], tag="EXPIREIFEQ", gc=False):
    """Set how many seconds a key lives whose bytes are these, and that has a ttl if it has to;
    `adds` them to that."""

    data: bytes
    seconds: float
    needs_ttl: bool = False
    adds: bool = False

    def run(self, store: Store, budget: Budget) -> bool:
        return changed(store, self.key, partial(self._change, budget))

    def _change(self, budget: Budget, before: Optional[Entry]) -> Optional[Entry]:
        if not Condition(equals=self.data).holds(before, budget):
            return before
        assert before
        if self.needs_ttl and before.ttl is None:
            return before
        left = self.seconds + (before.ttl or 0 if self.adds else 0)
        return Entry(before.text, left) if left > 0 else None


@register
class Append(OneKey[int], tag="APPEND", gc=False):
    """Add bytes to those of a key; returns how many it has then."""

    data: bytes

    def run(self, store: Store, budget: Budget) -> int:
        return _edited(store, self.key, budget, lambda before: before + self.data)


@register
class SetRange(OneKey[int], tag="SETRANGE", gc=False):
    """Replace the bytes of a key from an offset on; returns how many it has then."""

    offset: int
    data: bytes

    def run(self, store: Store, budget: Budget) -> int:
        if not self.data:
            return len(_bytes_at(store, self.key, budget))
        size = self.offset + len(self.data)
        _check_size(size, budget)
        budget.convert(size)
        return _edited(store, self.key, budget, self._replaced)

    def _replaced(self, before: bytes) -> bytes:
        begin = before[: self.offset].ljust(self.offset, b"\0")
        return begin + self.data + before[self.offset + len(self.data) :]


def _edited(store: Store, key: str, budget: Budget, edit: Callable[[bytes], bytes]) -> int:
    size = 0

    def change(before: Optional[Entry]) -> Optional[Entry]:
        nonlocal size
        data = _opened(before.text, budget) if before else b""
        edited = edit(data)
        size = len(edited)
        if before and edited == data:
            return before
        return Entry(_checked(edited, budget), before.ttl if before else None)

    store.update(key, change)
    return size


class Part(bytes):
    """Bytes for which more was opened than their length tells: a turn looks at the clock."""


@register
class GetRange(OneKey[bytes], tag="GETRANGE", gc=False):
    """Return the bytes of a key from one to another, both included; negative ones are counted from
    the end."""

    readonly = True

    start: int
    end: int

    def run(self, store: Store, budget: Budget) -> bytes:
        data = _bytes_at(store, self.key, budget)
        start = max(0, self.start + len(data) if self.start < 0 else self.start)
        end = max(0, self.end + len(data) if self.end < 0 else self.end)
        if self.start < 0 and self.end < 0 and self.start > self.end:
            return Part()
        return Part(data[start : end + 1])


@register
class StrLen(OneKey[int], tag="STRLEN", gc=False):
    """Return how many bytes a key has."""

    readonly = True

    def run(self, store: Store, budget: Budget) -> int:
        return len(_bytes_at(store, self.key, budget))


def _bytes_at(store: Store, key: str, budget: Budget) -> bytes:
    text = store.get(key)
    return _opened(text, budget) if text is not None else b""


@register
class IncrBy(OneKey[int], tag="INCRBY", gc=False):
    """Add to the whole number that the bytes of a key are, or to 0."""

    by: int

    def run(self, store: Store, budget: Budget) -> int:
        total = 0

        def change(before: Optional[Entry]) -> Entry:
            nonlocal total
            data = _opened(before.text, budget) if before else b"0"
            total = integer(data) + self.by
            if not MIN_INTEGER <= total <= MAX_INTEGER:
                raise OutOfRange("increment or decrement would overflow")
            return Entry(b"%d" % total, before.ttl if before else None)

        store.update(self.key, change)
        return total


def integer(data: bytes) -> int:
    """The whole number of 64 bits that bytes are; raises `NotANumber`."""
    number = int(data) if is_integer(data) else MAX_INTEGER + 1
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise NotANumber("value is not an integer or out of range")
    return number


@register
class IncrByFloat(OneKey[bytes], tag="INCRBYFLOAT", gc=False):
    """Add to the number that the bytes of a key are, or to 0; to 17 places."""

    by: Decimal

    def run(self, store: Store, budget: Budget) -> bytes:
        total = b""

        def change(before: Optional[Entry]) -> Entry:
            nonlocal total
            data = _opened(before.text, budget) if before else b"0"
            total = _plain(_EXACT.add(decimal(data), self.by))
            return Entry(to_text(total), before.ttl if before else None)

        store.update(self.key, change)
        return total


def decimal(data: bytes) -> Decimal:
    """The number that bytes are; raises `NotANumber`."""
    number = Decimal(data.decode()) if len(data) < 256 and _is_decimal(data) else Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 308:
        raise NotANumber("value is not a valid float")
    return number


def _plain(number: Decimal) -> bytes:
    if number.as_tuple().exponent < -17:  # type: ignore[operator]  # finite, so an int
        number = number.quantize(_PLACES, context=_EXACT)
    digits = f"{number:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return (digits if digits != "-0" else "0").encode()


@register
class ExpireBytes(OneKey[bool], tag="REDIS.EXPIRE", gc=False):
    """Set how long a key lives, if `only` holds: `nx` it has no ttl, `xx` it has one, `gt` it is
    longer than the one it has, `lt` it is shorter."""

    lifetime: Lifetime
    only: Collection[str] = ()

    def run(self, store: Store, budget: Budget) -> bool:
        left = self.lifetime.left()

        def change(before: Optional[Entry]) -> Optional[Entry]:
            if before is None or not self._may(before.ttl, left):
                return before
            return Entry(before.text, left) if left > 0 else None

        return changed(store, self.key, change)

    def _may(self, before: Optional[float], left: float) -> bool:
        for only in self.only:
            if only == "nx" and before is not None:
                return False
            if only == "xx" and before is None:
                return False
            if only == "gt" and (before is None or left <= before):
                return False
            if only == "lt" and before is not None and left >= before:
                return False
        return True


@register
class ExpireTime(OneKey[Optional[float]], tag="EXPIRETIME", gc=False):
    """Return the instant of the clock on the wall at which a key expires, -1 when it never does,
    -2 when it is missing."""

    readonly = True

    wall: Callable[[], float]

    def run(self, store: Store, budget: Budget) -> float:
        entry, _ = store.update(self.key, lambda before: before)
        if entry is None:
            return -2
        return -1 if entry.ttl is None else self.wall() + entry.ttl


@register
class CountExisting(ManyKeys[int], tag="TOUCH", gc=False):
    """Return how many of the keys are there; one that is named twice counts twice."""

    readonly = True

    def run(self, store: Store, budget: Budget) -> int:
        found = store.get_many(self.keys)
        return sum(key in found for key in self.keys)


@register
class Describe(OneKey[Any], tag="OBJECT", gc=False):
    """Return what `describe` tells of a key and its text; None when it is missing."""

    readonly = True

    describe: Callable[[str, bytes], Any]

    def run(self, store: Store, budget: Budget) -> Any:
        text = store.get(self.key)
        return None if text is None else self.describe(self.key, text)


def memory_usage(key: str, text: bytes) -> int:
    """The bytes that a key takes, without its ttl."""
    return cost(key, text)


def encoding(key: str, text: bytes) -> str:
    """What Redis would keep the bytes of a value as."""
    data = to_bytes(text)
    if is_integer(data) and MIN_INTEGER <= int(data) <= MAX_INTEGER:
        return "int"
    return "embstr" if len(data) <= _MAX_EMBEDDED else "raw"


_MAX_EMBEDDED = 44


@register
class Rename(Command[bool], tag="RENAME", kw_only=False, gc=False):
    """Move a key's value and ttl to another key; false if that must be absent, and is not."""

    source: str
    target: str
    if_absent: bool = False

    def run(self, store: Store, budget: Budget) -> bool:
        return store.atomically(self._move)

    def named_keys(self) -> Collection[str]:
        return (self.source, self.target)

    def _move(self, store: Store) -> bool:
        entry, _ = store.update(self.source, lambda before: before)
        if entry is None:
            raise NoSuchKey("no such key")
        if self.if_absent and store.get(self.target) is not None:
            return False
        if self.source != self.target:
            store.delete((self.source,))
            store.update(self.target, lambda _: entry)
        return True


@register
class Copy(Command[bool], tag="COPY", kw_only=False, gc=False):
    """Copy a key's value and ttl to another key, which must be absent unless it is replaced."""

    source: str
    target: str
    replace: bool = False

    def run(self, store: Store, budget: Budget) -> bool:
        return store.atomically(self._copy)

    def named_keys(self) -> Collection[str]:
        return (self.source, self.target)

    def _copy(self, store: Store) -> bool:
        entry, _ = store.update(self.source, lambda before: before)
        if entry is None or (not self.replace and store.get(self.target) is not None):
            return False
        store.update(self.target, lambda _: entry)
        return True


class Commons(NamedTuple):
    """A longest common subsequence: its bytes, and where its parts are in both, from the last on:
    start and end in the one, start and end in the other."""

    data: bytes
    matches: List[Tuple[int, int, int, int]]
    sizes: Tuple[int, int]


@register
class Lcs(Command[Commons], tag="LCS", kw_only=False, gc=False):
    """Find the longest common subsequence of the bytes of two keys."""

    readonly = True
    cost = 1000

    one: str
    other: str

    def run(self, store: Store, budget: Budget) -> Commons:
        one, other = _bytes_at(store, self.one, budget), _bytes_at(store, self.other, budget)
        budget.open(_CELL_COST * len(one) * len(other))
        return _common(one, other)

    def named_keys(self) -> Collection[str]:
        return (self.one, self.other)


_CELL_COST = 8
"""Bytes that a pair of bytes counts for as opened, each of one value: comparing them takes about as
long."""


@register
class LcsMatches(Lcs, tag="LCSIDX", gc=False):
    """Find where the longest common subsequence is in both, from the last part on; parts that are
    shorter than `shortest` are left out."""

    shortest: int = 0
    with_lengths: bool = False

    def run(self, store: Store, budget: Budget) -> Any:
        found = super().run(store, budget)
        matches = [
            [[start, end], [its_start, its_end], *([end - start + 1] if self.with_lengths else [])]
            for start, end, its_start, its_end in found.matches
            if end - start + 1 >= self.shortest
        ]
        return Matches(matches=matches, len=len(found.data))


class Matches(Dict[str, Any]):
    """The parts, by name."""


def _common(one: bytes, other: bytes) -> Commons:
    rows: List[List[int]] = [[0] * (len(other) + 1)]
    for byte in one:
        above, row = rows[-1], [0]
        for index, its in enumerate(other):
            row.append(above[index] + 1 if byte == its else max(above[index + 1], row[index]))
        rows.append(row)
    i, j = len(one), len(other)
    data = bytearray()
    matches: List[Tuple[int, int, int, int]] = []
    while i and j:
        if one[i - 1] == other[j - 1]:
            i, j = i - 1, j - 1
            data.append(one[i])
            if matches and matches[-1][0] == i + 1 and matches[-1][2] == j + 1:
                matches[-1] = (i, matches[-1][1], j, matches[-1][3])
            else:
                matches.append((i, i, j, j))
        elif rows[i - 1][j] > rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return Commons(bytes(data[::-1]), matches, (len(one), len(other)))


class InDatabase(Command[int], kw_only=False, gc=False):
    """A command on all the keys of the database whose keys begin with `prefix`."""

    cost = 1000

    prefix: str
    databases: Databases

    def touches_keyspace(self) -> bool:
        return True


@register
class CountKeys(InDatabase, tag="DBSIZE", gc=False):
    """Return how many keys a database has."""

    readonly = True

    def run(self, store: Store, budget: Budget) -> int:
        return self.databases.count(store, self.prefix)


@register
class ClearKeys(InDatabase, tag="FLUSHDB", gc=False):
    """Remove every key of a database."""

    def run(self, store: Store, budget: Budget) -> int:
        return self.databases.clear(store, self.prefix)


@register
class MatchingKeys(Command[List[str]], tag="KEYS", kw_only=False, gc=False):
    """Return the keys of a database that match a pattern, all at once; refused when the store has
    more keys than a request may name."""

    readonly = True
    cost = 1000

    prefix: str
    pattern: str

    def run(self, store: Store, budget: Budget) -> List[str]:
        n_keys, most = store.stats().keys, budget.limits.max_keys_per_request
        if n_keys > most:
            raise TooLarge(f"KEYS looks at {n_keys} keys; at most {most} (max_keys_per_request)")
        pattern, skip = glob(self.pattern), len(self.prefix)
        keys = keys_of(store, self.prefix, pattern.literal_prefix)
        found = [key[skip:] for key in keys if pattern.matches(key[skip:])]
        budget.reply(sum(map(len, found)))
        return found

    def touches_keyspace(self) -> bool:
        return True


class MatchingPage(NamedTuple):
    """Some keys, and the number to go on from; 0 at the end."""

    cursor: int
    keys: List[str]


@register
class ScanMatching(Command[MatchingPage], tag="REDIS.SCAN", kw_only=False, gc=False):
    """Return some of the keys of a database that match a pattern."""

    readonly = True
    cost = 1000

    prefix: str
    pattern: str
    cursor: int

    def shown_keys(self) -> None:
        return None

    def run(self, store: Store, budget: Budget) -> MatchingPage:
        pattern, skip = glob(self.pattern), len(self.prefix)
        prefix = self.prefix + pattern.literal_prefix
        page = Scan(prefix=prefix, cursor=_cursor(self.cursor), limit=SCANNED).run(store, budget)
        keys = page.keys if self.prefix else visible(page.keys)
        found = [key[skip:] for key in keys if pattern.matches(key[skip:])]
        return MatchingPage(_number(page.cursor), found)


SCANNED = 100_000
"""So many keys are on a page at the most: the store ends it before, with a short cursor."""


def _number(cursor: Optional[str]) -> int:
    """The number that stands for a cursor: itself when it is one, or that which its characters are
    in bytes, with a bit before them."""
    if cursor is None:
        return 0
    if cursor.isdigit() and cursor[0] != "0" and len(cursor) < 10:
        return int(cursor)
    return int.from_bytes(b"\1\0\0\0" + cursor.encode(), "big")


def _cursor(number: int) -> Optional[str]:
    if not number:
        return None
    if number < 10**9:
        return str(number)
    data = number.to_bytes(-(-number.bit_length() // 8), "big")
    try:
        return data[4:].decode()
    except UnicodeDecodeError:
        raise BadRequest("invalid cursor") from None


@register
class RandomKey(Command[Optional[str]], tag="RANDOMKEY", kw_only=False, gc=False):
    """Return one of the keys of a database, which `choose` chooses among the first of them."""

    readonly = True
    cost = 100

    prefix: str
    choose: Callable[[List[str]], str]

    def shown_keys(self) -> None:
        return None

    def run(self, store: Store, budget: Budget) -> Optional[str]:
        keys = keys_of(store, self.prefix)
        some = [key[len(self.prefix) :] for key, _ in zip(keys, range(1000))]
        return self.choose(some) if some else None
