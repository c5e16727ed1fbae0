"""The ids by which a reply is known to be that to the last request of what was sent at once.

Rule: one request has an id, and a reply without it is not taken for its own.
"""

from __future__ import annotations

from typing import NamedTuple


class Mark(NamedTuple):
    """An id, what ends a request line that has it, and what stands before the result in its reply,
    by itself and after another one."""

    id: int
    end: bytes
    begin: bytes
    between: bytes


END = b"}\n"
"""The end of a request, and of a reply."""

_BEFORE = b'{"ok":true,"result":'
_BETWEEN = END + _BEFORE


def _mark(id: int) -> Mark:
    begin = b'{"id":%d,"ok":true,"result":' % id
    return Mark(id, b',"id":%d}\n' % id, begin, END + begin)


MARKS = list(map(_mark, range(100)))
"""Prepared; a surplus reply arrives less than a hundred requests late, or not at all."""


def joined(lines: bytes, mark: Mark) -> bytes:
    """The array of the results, the last with the id; nothing where a line has none."""
    if not lines.endswith(END):
        return b""
    if lines.startswith(mark.begin):
        texts = b"[%b]" % lines[len(mark.begin) : -len(END)]
    else:
        before, found, last = lines.rpartition(mark.between)
        if not found or not before.startswith(_BEFORE):
            return b""
        others = before[len(_BEFORE) :].replace(_BETWEEN, b",")
        texts = b"[%b,%b]" % (others, last[: -len(END)])
    return b"" if b"\n" in texts else texts
