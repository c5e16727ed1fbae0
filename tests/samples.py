"""JSON values that must come back as they went in, and JSON that must not get in."""

from __future__ import annotations

import json
from typing import Any, List, Tuple

VALUES: List[Any] = [
    None,
    False,
    True,
    0,
    -1,
    1.5,
    -0.0,
    1e-300,
    1.7976931348623157e308,
    2**63 - 1,
    -(2**63),
    2**64,
    10**3999,
    "",
    "hello",
    'quotes " and \\ backslashes',
    "\x00\x1f\x7f",
    "line\nbreaks\r\nand\ttabs",
    "Ünïcödé ключ 漢字 🗝️ \u2028\u2029\ufeff",
    "x" * (1 << 20),
    [],
    {},
    [[], {}, [{}]],
    {"name": "Ada", "langs": ["en", "fr"], "nested": {"": None, "a": [1, 2.5, True]}},
    {"[{": "]}", '"': "[[[["},
]

DEEPEST: str = "[" * 128 + "]" * 128
BRACKETS_IN_STRINGS: str = json.dumps(["[" * 500, {"{" * 500: "]"}])

REFUSED: List[Tuple[str, bytes, str]] = [
    ("bad UTF-8", b'"\xff"', "BAD_REQUEST"),
    ("bad UTF-8 in a document", b'{"a":["\xed\xa0\x80"]}', "BAD_REQUEST"),
    ("half a surrogate pair", b'"\\ud800"', "BAD_JSON"),
    ("half a surrogate pair in a name", b'{"\\udc00":1}', "BAD_JSON"),
    ("a number beyond double precision", b"1e400", "BAD_REQUEST"),
    ("one inside a document", b'{"a":[-1e999]}', "BAD_REQUEST"),
    ("a fraction beyond double precision", b"1" * 400 + b".5", "BAD_REQUEST"),
    ("an integer of too many digits", b"1" * 4001, "BAD_REQUEST"),
    ("one inside a document", b'{"a":[-' + b"1" * 4001 + b"]}", "BAD_REQUEST"),
    ("an integer of far too many digits", b"[" + b"1" * 5000 + b"]", "BAD_REQUEST"),
    ("nesting one too deep", b"[" * 129 + b"]" * 129, "BAD_REQUEST"),
    ("nesting of objects", b'{"a":' * 129 + b"1" + b"}" * 129, "BAD_REQUEST"),
    ("nesting beyond any parser", b"[" * 90_000 + b"]" * 90_000, "BAD_JSON"),
    ("not a number", b"NaN", "BAD_JSON"),
    ("infinity", b"-Infinity", "BAD_JSON"),
    ("a leading zero", b"01", "BAD_JSON"),
    ("a raw control character", b'"\x01"', "BAD_JSON"),
    ("single quotes", b"'a'", "BAD_JSON"),
    ("a trailing comma", b"[1,]", "BAD_JSON"),
    ("a comment", b"1/**/", "BAD_JSON"),
]
"""What it is, its text, and the code it is refused with."""
