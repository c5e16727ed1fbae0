"""Output that a client has not taken yet.

Rule: of what is kept, at most twice as many bytes stay in memory as are still to be sent.
"""

from __future__ import annotations

from typing import Union, cast

NO_BYTES = memoryview(b"")


def rest_of(data: Union[bytes, memoryview], at: int) -> memoryview:
    """What begins there; it keeps at most twice as many bytes alive. Of a buffer that is sent
    little by little each byte is copied once, on average."""
    rest = memoryview(data)[at:]
    return rest if 2 * len(rest) > kept_by(rest) else memoryview(bytes(rest))


def kept_by(view: memoryview) -> int:
    """The bytes of what it is a part of, which are kept with it."""
    return len(cast(bytes, view.obj))
