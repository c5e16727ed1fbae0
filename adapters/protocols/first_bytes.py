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
    is_served: bool = True


class FirstBytes(Protocols):
    """Asks one protocol after another: the first that does not say no is waited for, as long as
    there are few bytes; then one that says yes goes first. The first of all is the default, whose
    codec refuses the clients of none."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        self._protocols = protocols

    def codec_for(self, first: bytes) -> Optional[Codec]:
        told = [(each.begins(first[:MAX_FIRST_BYTES]), each) for each in self._protocols]
        possible = [(begins, protocol) for begins, protocol in told if begins is not False]
        if not possible:
            raise BadJson(ONE_OBJECT)
        if len(first) > MAX_FIRST_BYTES:
            possible.sort(key=lambda each: each[0] is None)
        elif possible[0][0] is None:
            return None
        _, protocol = possible[0]
        codec = protocol.new_codec()
        if not protocol.is_served:
            raise BadJson(f"this server does not speak {codec.protocol} (--protocols)")
        return codec

    def default(self) -> Codec:
        return self._protocols[0].new_codec()
