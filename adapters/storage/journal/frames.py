"""The format of a journal's files: a header, then frames, each with the effects of one request.

    header   magic, version, the journal's uuid, the number before the first frame's; CRC-32
    frame    marker, CRC-32, length of the payload, number, how many frames before it may be lost;
             payload: a list of effects as msgpack

Rule: no bit can change unnoticed. The CRC-32 covers all of a frame behind it, numbers are
consecutive, and a frame is read only where the one before it ends.

A frame says which frames were on the disk when it was written: all up to its own number less
`unsynced`. So a good frame behind a bad place proves damage if what is bad had been on the disk,
and else only that a power cut met the system in the middle of writing.
"""

from __future__ import annotations

import struct
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union
from zlib import crc32

import msgspec
from msgspec import Struct

from domain.effects import Cleared, Effect, Put

MAGIC = b"kvjson\r\n"
VERSION = 1
MARKER = b"\xf7KV\xfe"
"""The first bytes of a frame; no UTF-8 text has them."""

_HEADER = struct.Struct("<8sI16sQ")
_FRAME = struct.Struct("<4sIIQI")
_CRC = struct.Struct("<I")

HEADER_SIZE = _HEADER.size + _CRC.size
FRAME_SIZE = _FRAME.size
_CHECKED = len(MARKER) + _CRC.size
"""Where in a frame the part begins that its checksum covers."""


class Texts(Struct, tag="put", array_like=True, gc=False):
    """Texts were stored."""

    items: Dict[str, bytes]


class TimedTexts(Struct, tag="due", array_like=True, gc=False):
    """Texts were stored that are due at a time, in seconds since 1970."""

    items: Dict[str, Tuple[bytes, float]]


class Gone(Struct, tag="del", array_like=True, gc=False):
    """Keys were removed."""

    keys: List[str]


class Emptied(Struct, tag="clear", array_like=True, gc=False):
    """Every key was removed."""


class Complete(Struct, tag="end", array_like=True, gc=False):
    """The last of a snapshot: it is right only together with the frames up to `number`, and holds
    so many keys."""

    number: int
    keys: int


Record = Union[Texts, TimedTexts, Gone, Emptied, Complete]


class Header(NamedTuple):
    """What a file begins with; the frames of one journal's files have the same `uuid`."""

    uuid: bytes
    number: int
    """The number of the frame before the file's first."""


class FrameHead(NamedTuple):
    """What precedes a frame's payload."""

    checksum: int
    length: int
    number: int
    unsynced: int

    @property
    def proven(self) -> int:
        """All frames up to this number were on the disk when this one was written."""
        return self.number - self.unsynced


_decode = msgspec.msgpack.Decoder(List[Record]).decode
encode_records = msgspec.msgpack.Encoder().encode


def encode_header(header: Header) -> bytes:
    """The first bytes of a file."""
    packed = _HEADER.pack(MAGIC, VERSION, header.uuid, header.number)
    return packed + _CRC.pack(crc32(packed))


def decode_header(data: bytes) -> Optional[Header]:
    """The header, None when it is damaged. Raises `ValueError` when it is whole and the format is
    one that this version cannot read."""
    if len(data) < HEADER_SIZE:
        return None
    packed, check = data[: _HEADER.size], data[_HEADER.size : HEADER_SIZE]
    magic, version, uuid, number = _HEADER.unpack(packed)
    if magic != MAGIC or _CRC.unpack(check)[0] != crc32(packed):
        return None
    if version != VERSION:
        raise ValueError(f"format {version}; this version reads format {VERSION}")
    return Header(uuid, number)


def encode_frames(payloads: Iterable[bytes], before: int, durable: int) -> bytes:
    """Frames behind the one with the number `before`, written when those up to `durable` are on the
    disk."""
    pieces: List[bytes] = []
    for number, payload in enumerate(payloads, before + 1):
        frame = _FRAME.pack(MARKER, 0, len(payload), number, number - durable)
        check = crc32(payload, crc32(frame[_CHECKED:]))
        pieces += (MARKER, _CRC.pack(check), frame[_CHECKED:], payload)
    return b"".join(pieces)


def decode_head(data: bytes) -> Optional[FrameHead]:
    """What is said before a payload; None where no frame begins."""
    if len(data) < FRAME_SIZE:
        return None
    marker, checksum, length, number, unsynced = _FRAME.unpack_from(data)
    return FrameHead(checksum, length, number, unsynced) if marker == MARKER else None


def decode_payload(data: bytes, head: FrameHead, payload: bytes) -> Optional[List[Record]]:
    """The effects in a frame, whose head was `data`; None when it is damaged."""
    if len(payload) != head.length:
        return None
    if crc32(payload, crc32(data[_CHECKED:FRAME_SIZE])) != head.checksum:
        return None
    try:
        return _decode(payload)
    except msgspec.MsgspecError:
        return None


def records(effects: Sequence[Effect], offset: float) -> List[Record]:
    """Effects as they are written; `offset` is what makes a deadline a time since 1970. Of effects
    of one kind in a row one record is made."""
    made: List[Record] = []
    last: Optional[Record] = None
    for effect in effects:
        if isinstance(effect, Put):
            if effect.due is None:
                if not isinstance(last, Texts):
                    made.append(last := Texts({}))
                last.items[effect.key] = effect.text
            else:
                if not isinstance(last, TimedTexts):
                    made.append(last := TimedTexts({}))
                last.items[effect.key] = effect.text, effect.due + offset
        elif isinstance(effect, Cleared):
            made.append(last := Emptied())
        else:
            if not isinstance(last, Gone):
                made.append(last := Gone([]))
            last.keys.append(effect.key)
    return made
