"""Counts the keys and commands of a long request line before they become objects.

Rule: a list of tiny keys takes forty times its length in memory once it is decoded, and long to
build, so a line with more than a request may have is refused by a count that stops at the bound.
"""

from __future__ import annotations

from typing import Dict, List, Type, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from application.json_text import UNREADABLE
from application.limits import Limits
from application.service import LONG_BYTES
from domain.errors import TooLarge

LONG_LINE = LONG_BYTES
"""Bytes up to which a line is decoded without a count, which takes a nanosecond for each: what
becomes of it is some megabytes at the most, and is freed before anything else is decoded. No longer
one is read by itself."""


def check_elements(line: bytes, limits: Limits) -> None:
    """Raise `TooLarge` for a line with more keys, or commands of a batch, than a request may have.

    A line that is no command passes: decoding it tells what is wrong with it.
    """
    too_many = min(
        len(_SHORTEST_KEY) * limits.max_keys_per_request,
        len(_SHORTEST_COMMAND) * limits.max_batch_cost,
    )
    if len(line) <= max(LONG_LINE, too_many):
        return
    fewest = min(limits.max_keys_per_request, limits.max_batch_cost)
    if line.count(b",") < fewest or not any(name in line for name in _NAMES):
        return
    left = {
        _Key: limits.max_keys_per_request,
        _Type: limits.max_batch_cost,
    }

    def count(kind: Type[object], value: object) -> object:
        left[kind] -= 1
        if left[kind] < 0:
            raise TooLarge(_MESSAGES[kind].format(limits=limits))
        return _COUNTED[kind]

    try:
        msgspec.json.Decoder(_Request, dec_hook=count).decode(line)
    except UNREADABLE:
        return


class _Key:
    """A key, which is counted and not kept."""


class _Type:
    """The type of a command in a batch, likewise."""


class _Members(Struct):
    """The members that hold keys in any command; each key is counted."""

    keys: Union[List[_Key], UnsetType] = UNSET
    items: Union[Dict[_Key, Raw], UnsetType] = UNSET


class _Command(_Members, kw_only=True):
    type: _Type


class _Request(_Members):
    commands: Union[List[_Command], UnsetType] = UNSET


_SHORTEST_KEY, _SHORTEST_COMMAND = '"",', '{"type":"PING"},'

_NAMES = (b'"keys"', b'"items"', b'"commands"', b"\\u")
"""What a line has that needs to be counted; letters of a name may be written as escapes."""

_COUNTED: Dict[Type[object], object] = {_Key: _Key(), _Type: _Type()}
_MESSAGES: Dict[Type[object], str] = {
    _Key: "over {limits.max_keys_per_request:,} keys in a request (max_keys_per_request)",
    _Type: "over {limits.max_batch_cost:,} commands in a batch (max_batch_cost)",
}
