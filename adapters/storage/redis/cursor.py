"""Where a scan of the engine's keys is, and the cursor that stands for it.

Rule: a cursor is of one layout of a cluster, and is refused in another.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Optional, Tuple

from domain.errors import BadRequest

_CURSOR = re.compile(r"([0-9]{1,30})7((?:\.[0-9a-f]{32})*)", re.ASCII)
"""A number, then a 7, so that most numbers that no page returned are refused; then digests of keys,
which seldom are there. The number is the engine's cursor, and in a cluster the server and the
layout in its last bits: it has 64 bits, which clients of RESP need, for tables of up to 2**30."""

_MAX_POSITION, _SERVERS, _LAYOUTS = 1 << 64, 1 << 14, 1 << 16

_UNKNOWN = "`cursor` is not one that a scan returned"
_OF_ANOTHER_LAYOUT = "`cursor` is of another layout of the cluster: start the scan again"


def digest(name: bytes) -> str:
    """What stands for a key in a cursor."""
    return hashlib.blake2b(name, digest_size=16).hexdigest()


class Position(NamedTuple):
    """Where a scan is: on which server, at which cursor of it, which keys from there on have been
    shown, as digests; and the layout of the cluster that this is about."""

    position: int
    server: int
    shown: Tuple[str, ...]
    layout: str

    @classmethod
    def of(cls, cursor: Optional[str], layout: str) -> Position:
        """The position that a cursor stands for; raises `BadRequest`."""
        if cursor is None:
            return cls(0, 0, (), layout)
        found = _CURSOR.fullmatch(cursor)
        if not found:
            raise BadRequest(_UNKNOWN)
        position, server = int(found.group(1)), 0
        if layout:
            position, mark = divmod(position, _LAYOUTS)
            position, server = divmod(position, _SERVERS)
            if mark != int(layout, 16):
                raise BadRequest(_OF_ANOTHER_LAYOUT)
        if position >= _MAX_POSITION:
            raise BadRequest(_UNKNOWN)
        return cls(position, server, tuple(found.group(2).split(".")[1:]), layout)

    def after(self, position: int) -> Optional[Position]:
        """What follows, given the engine's next cursor; None at the end."""
        if position:
            return self._replace(position=position, shown=())
        if self.layout:  # the next server, which may be one behind the last
            return self._replace(position=0, server=self.server + 1, shown=())
        return None

    def __str__(self) -> str:
        """The cursor."""
        number = self.position
        if self.layout:
            number = (number * _SERVERS + self.server) * _LAYOUTS + int(self.layout, 16)
        return f"{number}7" + "".join(f".{digest}" for digest in self.shown)
