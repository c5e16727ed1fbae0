"""Where a scan of the engine's keys is, and the cursor that stands for it.

Rule: a cursor is of one layout of a cluster, and is refused in another.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Optional, Tuple

from domain.errors import BadRequest

_CURSOR = re.compile(
    r"([0-9]{1,20})7(?:-([0-9]{1,4})-([0-9a-f]{8}))?((?:\.[0-9a-f]{32})*)", re.ASCII
)
"""The engine's cursor, then a 7, so that most numbers that no page returned are refused; in a
cluster the server and the layout; then digests of keys. Mostly it is a number, which clients of
RESP need."""

_MAX_POSITION = 1 << 64


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
        if not found or int(found.group(1)) >= _MAX_POSITION:
            raise BadRequest("`cursor` is not one that a scan returned")
        if (found.group(3) or "") != layout:
            raise BadRequest("`cursor` is of another layout of the cluster: start the scan again")
        shown = tuple(found.group(4).split(".")[1:])
        return cls(int(found.group(1)), int(found.group(2) or 0), shown, layout)

    def after(self, position: int) -> Optional[Position]:
        """What follows, given the engine's next cursor; None at the end."""
        if position:
            return self._replace(position=position, shown=())
        if self.layout:  # the next server, which may be one behind the last
            return self._replace(position=0, server=self.server + 1, shown=())
        return None

    def __str__(self) -> str:
        """The cursor."""
        server = f"-{self.server}-{self.layout}" if self.layout else ""
        return f"{self.position}7{server}" + "".join(f".{digest}" for digest in self.shown)
