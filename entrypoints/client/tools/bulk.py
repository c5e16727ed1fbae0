"""All keys out of a store, and into one, as JSON lines: `{"key":K,"value":V,"ttl":S}`.

Rule: no more is held than one chunk, and no value is opened on the way. Every line that could not
be stored is reported by its number, and how far an import came can be read off it at any time: what
the server has confirmed, and what was sent and not confirmed.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import msgspec
from msgspec import UNSET, Raw, Struct

from application.commands import Command, Get, GetTtl, MGet, MSet, Set
from application.json_text import UNREADABLE
from application.json_wording import wrong_with
from application.ports import Pipelined
from domain.errors import KvError, TooLarge, Unreachable, raise_first
from entrypoints.client.keys import keys_with
from entrypoints.client.values import without_mark
from entrypoints.wording import counted

CHUNK_LINES, CHUNK_BYTES = 1000, 1 << 20
"""How much is stored in one go."""


class Line(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A key, its value, and its `ttl` in seconds; without one it does not expire."""

    key: str
    value: Raw
    ttl: Optional[float] = None


Numbered = Tuple[int, Line]


def exported(executor: Pipelined, prefix: str = "") -> Iterator[List[bytes]]:
    """The lines of all keys that begin with `prefix`, page by page.

    A key that is there from start to end is among them; one that comes or goes meanwhile may be.
    """
    for keys in keys_with(executor, prefix):
        yield [_encode(line) + b"\n" for line in _lines(executor, keys)]


class Import:
    """Stores lines and counts them. `report` is called with each bad line's number, from 1 on, and
    what is wrong with it."""

    def __init__(self, executor: Pipelined, report: Callable[[int, str], None]) -> None:
        self._executor = executor
        self._report = report
        self.dealt_with = 0
        """How many lines have been stored or refused."""
        self.stored = 0
        self.refused = 0
        self.unconfirmed = 0
        """How many keys were sent last, and may be stored though there is no reply yet."""

    def tally(self, what: str = "line") -> str:
        """What became of the lines, in words; `what` is refused."""
        refused = f", {counted(self.refused, what)} refused" if self.refused else ""
        return f"{counted(self.stored)} imported{refused}"

    def tally_when_stopped(self, what: str = "line") -> str:
        """The same, with what may be stored as well."""
        more = f"; up to {self.unconfirmed:,} more may be stored" if self.unconfirmed else ""
        return self.tally(what) + more

    def run(self, lines: Iterable[bytes]) -> Iterator[None]:
        """Store all lines; yields after each chunk."""
        for chunk in _chunks(lines):
            good: Dict[str, Numbered] = {}
            for number, text in chunk:
                try:
                    line = _decode(text) if text.strip() else None
                except UNREADABLE as error:
                    self._store(good, number - 1)
                    good = {}
                    self._refuse(number, wrong_with(text, error))
                else:
                    if line and line.key in good:
                        self._store(good, number - 1)
                        good = {}
                    if line:
                        good[line.key] = number, line
            self._store(good, chunk[-1][0])
            yield

    def _store(self, lines: Mapping[str, Numbered], last: int) -> None:
        """Store those without ttl together, or one by one when that is refused, to see which is at
        fault; then those with a ttl. `last` is the number of the last line that is done."""
        lasting = {key: line.value for key, (_, line) in lines.items() if line.ttl is None}
        each = list(lines.values())
        if lasting:
            (outcome,) = self._sent([MSet(lasting)], len(lasting))
            if not isinstance(outcome, KvError):
                self.stored += len(lasting)
                each = [(number, line) for number, line in each if line.ttl is not None]
            self.unconfirmed = 0
        self._store_each(each)
        self.dealt_with = last

    def _store_each(self, lines: Sequence[Numbered]) -> None:
        sets = [Set(line.key, line.value, ttl=_or_unset(line.ttl)) for _, line in lines]
        outcomes = zip(lines, self._sent(sets, len(sets)))
        refused = [(line[0], why) for line, why in outcomes if isinstance(why, KvError)]
        self.stored += len(lines) - len(refused)
        self.unconfirmed = 0
        for number, why in refused:
            self._refuse(number, str(why))

    def _sent(self, commands: Sequence[Command[Any]], keys: int) -> List[object]:
        """The outcomes of commands that store so many keys."""
        self.unconfirmed = keys
        try:
            return self._executor.execute_all(commands)
        except Unreachable:
            self.unconfirmed = 0
            raise

    def _refuse(self, number: int, why: str) -> None:
        self.refused += 1
        self._report(number, why)


def _chunks(lines: Iterable[bytes]) -> Iterator[List[Tuple[int, bytes]]]:
    """The lines with their numbers, some at a time."""
    chunk: List[Tuple[int, bytes]] = []
    size = 0
    for number, text in enumerate(lines, 1):
        if number == 1:
            text = without_mark(text, "the file")
        chunk.append((number, text))
        size += len(text)
        if len(chunk) == CHUNK_LINES or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _lines(executor: Pipelined, keys: List[str]) -> Iterator[Line]:
    """What is at the keys, of those that are still there."""
    if not keys:
        return
    outcomes: List[Any] = executor.execute_all([MGet(keys), *map(GetTtl, keys)])
    if isinstance(outcomes[0], TooLarge):
        outcomes[0] = _by_one(executor, keys)
    raise_first(outcomes)
    values, *ttls = outcomes
    for key, ttl in zip(keys, ttls):
        if key in values and ttl is not UNSET:
            yield Line(key, Raw(values[key]), ttl)


def _by_one(executor: Pipelined, keys: List[str]) -> Dict[str, bytes]:
    texts = [executor.execute(Get(key)) for key in keys]
    return {key: text for key, text in zip(keys, texts) if isinstance(text, bytes)}


def _or_unset(ttl: Optional[float]) -> Any:
    return UNSET if ttl is None else ttl


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode
