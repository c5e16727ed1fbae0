"""Protocol detection by the first bytes that a client sends.

Rule: the choice is made once a connection. To serve one more protocol is one more line in the
table that this is given.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Sequence

from adapters.protocols.json_lines.requests import ONE_OBJECT
from application.ports import Codec, Protocols
from domain.errors import BadJson

MAX_FIRST_BYTES = 256
"""How many bytes may leave the protocol open, such as a name and blanks."""


class Protocol(NamedTuple):
    """`begins` tells whether bytes are the first of its clients; None when more are needed."""

    begins: Callable[[bytes], Optional[bool]]
    new_codec: Callable[[], Codec]


class FirstBytes(Protocols):
    """Asks one protocol after another. The first is the default, whose codec refuses the clients of
    any other."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        self._protocols = protocols

    def codec_for(self, first: bytes) -> Optional[Codec]:
        is_open = False
        for protocol in self._protocols:
            begins = protocol.begins(first)
            if begins:
                return protocol.new_codec()
            is_open = is_open or begins is None
        if is_open and len(first) <= MAX_FIRST_BYTES:
            return None
        raise BadJson(ONE_OBJECT)

    def default(self) -> Codec:
        return self._protocols[0].new_codec()
