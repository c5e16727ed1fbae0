"""The format of a journal's files: a header, then frames, each with the changes of one batch.

    header   magic, version, the journal's uuid, the number before the first frame's; CRC-32
    frame    marker, CRC-32, length of the payload, number, how many frames before it may be lost,
             seconds since 1970; payload: a list of records as msgpack

Rule: no bit can change unnoticed. The CRC-32 covers all of a frame behind it, numbers are
consecutive, and a frame is read only where the one before it ends.

A frame says which frames were on the disk when it was written: all up to its own number less
`unsynced`. So a good frame behind a bad place proves damage if what is bad had been on the disk,
and else only that a power cut met the system in the middle of writing.
"""

from __future__ import annotations

import struct
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union
from zlib import crc32

import msgspec
from msgspec import Raw, Struct

MAGIC = b"kvjson\r\n"
VERSION = 1
MARKER = b"\xf7KV\xfe"
"""The first bytes of a frame; no UTF-8 text has them."""

_HEADER = struct.Struct("<8sI16sQ")
_HEAD = struct.Struct("<IQId")
_CRC = struct.Struct("<I")
_CHECKED = len(MARKER) + _CRC.size
"""Where in a frame the part begins that its checksum covers."""

HEADER_SIZE = _HEADER.size + _CRC.size
FRAME_SIZE = _CHECKED + _HEAD.size
"""Of a frame without its payload."""


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

Change = Union[bytes, Tuple[bytes, float], None]
"""What became of a key: a text, one that is due at a time since 1970, or nothing."""


class Header(NamedTuple):
    """What a file begins with; the frames of one journal's files have the same `uuid`."""

    uuid: bytes
    number: int
    """The number of the frame before the file's first."""


class FrameHead(NamedTuple):
    """What precedes a frame's payload, behind the checksum."""

    length: int
    number: int
    unsynced: int
    written: float
    """When, in seconds since 1970."""

    @property
    def proven(self) -> int:
        """All frames up to this number were on the disk when this one was written."""
        return self.number - self.unsynced


_decode = msgspec.msgpack.Decoder(List[Record]).decode
_encode = msgspec.msgpack.Encoder().encode
encode_record: Callable[[Record], bytes] = _encode
"""A record as it stands in a frame."""


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


def encode_frame(
    records: Sequence[Union[Record, Raw]], number: int, unsynced: int, written: float
) -> bytes:
    """A frame, written when the `unsynced` frames before it may not be on the disk yet."""
    payload = _encode(records)
    head = _HEAD.pack(len(payload), number, unsynced, written)
    check = _CRC.pack(crc32(payload, crc32(head)))
    return b"".join((MARKER, check, head, payload))


def decode_head(data: bytes) -> Optional[FrameHead]:
    """What is said before a payload; None where no frame begins."""
    if len(data) < FRAME_SIZE or not data.startswith(MARKER):
        return None
    return FrameHead(*_HEAD.unpack_from(data, _CHECKED))


def decode_payload(data: bytes, payload: bytes) -> Optional[List[Record]]:
    """The records in a frame that begins with `data`; None when it is damaged."""
    (check,) = _CRC.unpack_from(data, len(MARKER))
    if crc32(payload, crc32(data[_CHECKED:FRAME_SIZE])) != check:
        return None
    try:
        return _decode(payload)
    except msgspec.MsgspecError:
        return None


def records_of(
    changes: Mapping[str, Change], is_cleared: bool = False, expired: Sequence[str] = ()
) -> List[Record]:
    """The changes of a batch as they are written, after every key was removed if it `is_cleared`,
    and those that had `expired`.

    Each key has one change, so the order of the records behind these does not matter.
    """
    if not (is_cleared or expired) and set(map(type, changes.values())) == {bytes}:
        return [Texts(changes)]  # type: ignore[arg-type]  # the usual case, without copies
    texts = {key: change for key, change in changes.items() if type(change) is bytes}
    timed = {key: change for key, change in changes.items() if type(change) is tuple}
    gone = [key for key, change in changes.items() if change is None]
    found: List[Tuple[object, Record]] = [(is_cleared, Emptied()), (expired, Gone([*expired]))]
    found += [(texts, Texts(texts)), (timed, TimedTexts(timed)), (gone, Gone(gone))]
    return [record for is_there, record in found if is_there]
