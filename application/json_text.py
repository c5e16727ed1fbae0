"""Which JSON texts are stored, and how commands and codecs handle texts that stay unopened.

Rule: a text that is stored can be read back by any strict JSON reader (RFC 8259), and holds no line
break, so it cannot disturb the framing that another client sees. The text itself is kept as it
came: nothing is decoded to be stored.

That it is the text of one JSON value is known from the request. What is left to check is encoding,
numbers and nesting, by searches at C speed, whose cost is linear in the bytes whatever they say.
A long text is checked in chunks, so that others can have their turns in between.
"""

from __future__ import annotations

import gc
from itertools import accumulate
from math import inf
from operator import add, itemgetter
from typing import Any, Dict, Generator, Iterator, Mapping, Sequence, TypeVar

import msgspec
from msgspec import UNSET, Raw

from application.budget import Budget
from application.exact_integers import exact
from application.limits import Limits
from application.steps import finished
from domain.errors import BadRequest

T = TypeVar("T")

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not JSON, or not of the type that is decoded."""

MAX_DEPTH = 128
"""How deep the arrays and objects of one value may nest."""

MAX_DIGITS = 4_000
"""How many digits an integer may have; Python's own reader takes 4,300."""

_WAY_ON = "; store it as a string"

NUMBER_COST = 8
"""Bytes that a number counts for as opened which only decoding it can tell to be in range."""


def validated(text: bytes, budget: Budget, where: str = "value") -> bytes:
    """The text to store for the text of one JSON value, which has no space around it.

    Raises `BadRequest`, which names `where`, when a strict reader could not take it back: bad
    UTF-8, numbers beyond double precision or `MAX_DIGITS` digits, nesting beyond `MAX_DEPTH`.
    """
    is_short = len(text) <= STEP_BYTES and (text.isascii() or _is_utf8(text))
    if is_short and (text[0] == _QUOTE or _is_plain(text)):
        return text
    return finished(validated_in_steps(text, budget, where))


def validated_in_steps(
    text: bytes, budget: Budget, where: str = "value"
) -> Generator[None, None, bytes]:
    """What `validated` returns, in short steps."""
    yield from _check(text, MAX_DEPTH, budget, where)
    return _without_breaks(text)


def validated_items(items: Mapping[str, Raw], budget: Budget) -> Dict[str, bytes]:
    """The texts to store for the values of `items`; an error names the key of the one at fault."""
    texts = list(map(bytes, items.values()))
    if are_plain(texts):
        return dict(zip(items, texts))
    return finished(validated_items_in_steps(items, budget))


def are_plain(texts: Sequence[bytes]) -> bool:
    """Whether one look at all of some JSON texts tells that each can be stored as it is."""
    together = b",".join(texts)
    if len(together) > STEP_BYTES or not (together.isascii() or _is_utf8(together)):
        return False
    return set(map(_first_byte, texts)) == _STRINGS or _is_plain(together)


def validated_items_in_steps(
    items: Mapping[str, Raw], budget: Budget
) -> Generator[None, None, Dict[str, bytes]]:
    """What `validated_items` returns, in short steps."""
    texts = list(map(bytes, items.values()))
    together = _joined(texts)
    try:
        yield from _check(together, MAX_DEPTH + 1, budget, "items")
    except BadRequest:
        at_fault = yield from _first_at_fault(texts)
        key = list(items)[at_fault]
        yield from _check(texts[at_fault], MAX_DEPTH, _UNBOUNDED, f"items.{key:.64}")
        raise
    if b"\n" in together or b"\r" in together:
        texts = list(map(_without_breaks, texts))
    return dict(zip(items, texts))


def raw(result: object) -> object:
    """A command's result as something that encodes to its JSON, with the texts in it unopened."""
    if type(result) is bytes:
        return Raw(result)
    if type(result) is dict:
        return dict(zip(result, map(Raw, result.values())))
    return result


def json_size(result: object) -> int:
    """How many bytes the result of a single command takes as JSON, escapes included."""
    kind = type(result)
    if kind is bytes:
        return len(result)  # type: ignore[arg-type]
    if kind is dict:
        texts: Dict[str, bytes] = result  # type: ignore[assignment]
        return sum(map(len, texts.values())) + len(_encode(list(texts))) + len(texts)
    return 0 if result is UNSET else len(_encode(result))


def decoded(text: bytes) -> Any:
    """What a text says. Without the collector, which would go through a large document over and
    over while it grows; and without msgspec's own reading of floats, which takes some microseconds
    for a number like 1e300."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _decode(text)
    finally:
        if collecting:
            gc.enable()


_decode = exact(msgspec.json.Decoder(float_hook=float).decode)
_encode = msgspec.json.Encoder().encode

STEP_BYTES = 128 * 1024
"""Bytes that are checked in a step, a millisecond's worth as a rule."""

_SHORT = 200
"""Bytes of a text that can neither nest too deep nor have a number of too many digits."""

_UNBOUNDED = Budget(Limits())
"""For what was charged for before."""

_QUOTE = ord('"')
_STRINGS = {_QUOTE}
_first_byte = itemgetter(0)

# Numbers that may be beyond double precision, or too long: in `_NUMBERS` digits are zeros.
_NUMBERS = bytes.maketrans(b"123456789E+\r", b"000000000ee\n")
_EXPONENT, _PLUS_EXPONENT, _LONG_NUMBER = b"0e000", b"0ee000", b"0" * _SHORT
_NUMBERS_ALONE = bytes.maketrans(
    bytes(set(range(256)) - set(b"0123456789+-.eE")) + b"E", b" " * (256 - 15) + b"e"
)

_OPENING_AS_ONE = bytes.maketrans(b"[{]}", b"1100")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_BITS = [f"{byte:08b}" for byte in range(256)]
_PREFIXES = [list(accumulate(1 if bit == "1" else -1 for bit in bits)) for bits in _BITS]
_DEPTH_CHANGE, _MAX_DEPTH_IN = [p[-1] for p in _PREFIXES], [max(p) for p in _PREFIXES]
"""How much deeper it is after eight brackets than before, and at the deepest of them."""


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_plain(text: bytes) -> bool:
    """Whether one look tells that a text can be stored as it is: nothing in it may nest too deep,
    may be a number beyond its bounds, or is a line break."""
    if text.isdigit() and len(text) <= MAX_DIGITS:
        return True
    numbers = text.translate(_NUMBERS)
    if b"\n" in numbers or _may_be_out_of_range(numbers):
        return False
    return len(text) < _SHORT or text.count(b"[") + text.count(b"{") <= MAX_DEPTH


def _may_be_out_of_range(numbers: bytes) -> bool:
    """Whether a text in `_NUMBERS` may have a number beyond double precision, or too long."""
    if b"e" in numbers and (_EXPONENT in numbers or _PLUS_EXPONENT in numbers):
        return True
    return len(numbers) >= _SHORT and _LONG_NUMBER in numbers


def _without_breaks(text: bytes) -> bytes:
    """A JSON text has line breaks between its tokens alone, where they can be left out."""
    if b"\n" in text or b"\r" in text:
        return text.translate(None, b"\r\n")
    return text


def _joined(texts: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(texts)


def _first_at_fault(texts: Sequence[bytes]) -> Generator[None, None, int]:
    """Which of the texts is the first that cannot be stored, by halving."""
    start, end = 0, len(texts)
    while end - start > 1:
        half = (start + end) // 2
        try:
            yield from _check(_joined(texts[start:half]), MAX_DEPTH + 1, _UNBOUNDED, "items")
        except BadRequest:
            end = half
        else:
            start = half
    return start


def _check(text: bytes, max_depth: int, budget: Budget, where: str) -> Generator[None, None, None]:
    """Raise `BadRequest` for what a strict reader could not take."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"`{where}` cannot be stored: {error}") from error
    if text[0] == _QUOTE:
        return
    may_nest = text.count(b"[") + text.count(b"{") > max_depth
    inside, depth = False, 0
    for chunk in _chunks(text):
        unescaped = _without_escapes(chunk)
        numbers = chunk.translate(_NUMBERS)
        if _may_be_out_of_range(numbers):
            _check_numbers(_outside_strings(unescaped, inside), budget, where)
        if may_nest:
            structure = unescaped.translate(None, _NO_STRUCTURE).replace(b'""', b"")
            depth = _nested(_outside_strings(structure, inside), depth, max_depth, where)
        inside ^= unescaped.count(b'"') % 2 == 1
        if len(text) > STEP_BYTES:
            yield


def _chunks(text: bytes) -> Iterator[bytes]:
    """The text in pieces, cut behind commas, so that neither a number nor an escape is cut."""
    start = 0
    while len(text) - start > STEP_BYTES:
        end = text.find(b",", start + STEP_BYTES) + 1
        if not end:
            break
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def _without_escapes(chunk: bytes) -> bytes:
    """The chunk without the escapes of quotes and backslashes, so that each quote in it begins or
    ends a string."""
    if b"\\" in chunk:
        return chunk.replace(b"\\\\", b"").replace(b'\\"', b"")
    return chunk


def _outside_strings(unescaped: bytes, inside: bool) -> bytes:
    """What stands outside of strings in a chunk, which may begin `inside` one."""
    if not inside and b'"' not in unescaped:
        return unescaped
    return b" ".join(unescaped.split(b'"')[inside::2])


def _check_numbers(text: bytes, budget: Budget, where: str) -> None:
    """Raise for a number in a text without strings that is beyond its bounds."""
    numbers = set(text.translate(_NUMBERS_ALONE).split())
    floats = {each for each in numbers if b"e" in each or (len(each) >= _SHORT and b"." in each)}
    floats.discard(b"e")  # what is left of `true` and `false`
    if floats:
        budget.open(NUMBER_COST * len(floats))
    if inf in map(abs, map(float, floats)):
        raise BadRequest(f"`{where}` holds a number beyond 1.8e308 (double precision){_WAY_ON}")
    long = [each.lstrip(b"-") for each in numbers if len(each) > MAX_DIGITS]
    if any(len(each) > MAX_DIGITS and each.isdigit() for each in long):
        raise BadRequest(f"`{where}` holds an integer of more than {MAX_DIGITS} digits{_WAY_ON}")


def _nested(structure: bytes, depth: int, max_depth: int, where: str) -> int:
    """How deep it is after the brackets of a chunk; raises when it is too deep in between."""
    brackets = structure.translate(_OPENING_AS_ONE, b' "')
    without_innermost = brackets.replace(b"10", b"")
    if _is_deeper(without_innermost, depth, max_depth - 1) and _is_deeper(
        brackets, depth, max_depth
    ):
        raise BadRequest(f"`{where}` nests deeper than {MAX_DEPTH}")
    return depth + 2 * without_innermost.count(b"1") - len(without_innermost)


def _is_deeper(brackets: bytes, depth: int, than: int) -> bool:
    """Whether it gets deeper somewhere in the brackets, where it is `depth` deep before them: eight
    at a time are counted, as the bits of a byte."""
    bits = brackets + b"0" * (-len(brackets) % 8) or b"0"
    eights = int(bits, 2).to_bytes(-(-len(bits) // 8), "big")
    before = list(accumulate(map(_DEPTH_CHANGE.__getitem__, eights), initial=depth))
    if max(before) + 8 <= than:
        return False
    deepest: int = max(map(add, before, map(_MAX_DEPTH_IN.__getitem__, eights)))
    return max(depth, deepest) > than
