"""Commands on the bytes that values stand for, for protocols whose values are bytes.

Rule: a value is read and stored by the rule of `byte_values`, so that JSON clients see what was
stored as JSON. The commands are in a table of their own, `BYTE_COMMANDS`, not offered to JSON.

A result of type `bytes` is bytes here and no JSON text; None is the absence of a value.
"""

from __future__ import annotations

from application.commands.strings import counters, keys, keyspace, lcs, names, parts, values
from application.commands.strings.base import Condition, Lifetime
from application.commands.strings.counters import (
    MAX_INTEGER,
    MIN_INTEGER,
    IncrByFloat,
    decimal,
    is_integer,
)
from application.commands.strings.keys import (
    EXPIRE_CONDITIONS,
    Copy,
    Describe,
    Rename,
)
from application.commands.strings.keyspace import (
    ClearKeys,
    CountKeys,
    MatchingKeys,
    RandomKey,
    ScanMatching,
)
from application.commands.strings.lcs import Lcs, LcsMatches
from application.commands.strings.names import NAMED
from application.commands.strings.parts import Append, GetRange, SetRange, StrLen
from application.commands.strings.values import (
    DelIfEq,
    ExpireIfEq,
    GetEx,
    MGetEach,
    MSetBytes,
    Put,
    SetBytes,
)

FAMILIES = (values, parts, counters, keys, lcs, keyspace, names)

__all__ = [
    "EXPIRE_CONDITIONS",
    "FAMILIES",
    "MAX_INTEGER",
    "MIN_INTEGER",
    "NAMED",
    "Append",
    "ClearKeys",
    "Condition",
    "Copy",
    "CountKeys",
    "DelIfEq",
    "Describe",
    "ExpireIfEq",
    "GetEx",
    "GetRange",
    "IncrByFloat",
    "Lcs",
    "LcsMatches",
    "Lifetime",
    "MGetEach",
    "MSetBytes",
    "MatchingKeys",
    "Put",
    "RandomKey",
    "Rename",
    "ScanMatching",
    "SetBytes",
    "SetRange",
    "StrLen",
    "decimal",
    "is_integer",
]
