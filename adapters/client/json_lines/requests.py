"""Commands as request lines.

Rule: whatever is in a command, it is one line.
"""

from __future__ import annotations

from typing import Any, Sequence

import msgspec

from adapters.client.json_lines.lines import is_one_line
from adapters.client.subclasses import as_builtin
from application.commands import Command
from domain.errors import BadRequest


def request_lines(commands: Sequence[Command[Any]]) -> bytes:
    """The commands as requests, a line each; raises `BadRequest` for what cannot be put in JSON."""
    try:
        requests = _encode_lines(list(commands))
        if not is_one_line(requests) and requests.count(b"\n") > len(commands):
            # a value typed in by hand may have line breaks
            compact = (msgspec.json.format(_encode(command), indent=-1) for command in commands)
            requests = b"".join([line + b"\n" for line in compact])
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise BadRequest(f"not JSON: {error}") from error
    return requests


_encoder = msgspec.json.Encoder(enc_hook=as_builtin)
_encode = _encoder.encode
_encode_lines = _encoder.encode_lines
"""Takes a list: msgspec, up to 0.22 at least, never frees what it makes of any other sequence."""
