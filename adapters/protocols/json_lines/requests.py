"""Reads request lines.

Rule: a line is one command, or there is one `KvError` that says why it is none and what is closest
to it, and the id of the request that it may be nevertheless.

Each line is decoded on its own. Decoding a whole read in one call is no faster, and would take an
object spread over two lines, or two objects on one, for requests.
"""

from __future__ import annotations

import contextlib
from typing import Any, Callable, List, Optional, Tuple, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from application.commands import COMMANDS, NAMES, Batch, Command, Id, InBatch, closest_name, name_of
from application.exact_integers import exact, exact_commands
from application.json_text import UNREADABLE
from application.json_wording import in_json_words, wrong_with
from domain.errors import BadJson, BadRequest, KvError, UnknownCommand

decode = exact_commands(msgspec.json.Decoder(Union[COMMANDS]).decode)
"""The command on a line; raises one of `UNREADABLE`, which `diagnosis` explains."""

ONE_OBJECT = "a request is one JSON object on one line"

_LONGEST_BATCH = 256 * 1024
"""Bytes; in a longer batch that cannot be read, the command at fault is not looked for."""


def diagnosis(line: bytes, error: Exception) -> Tuple[Id, KvError]:
    """Why a line is no command, and the id of the request that it may be nevertheless."""
    try:
        if not isinstance(error, (msgspec.ValidationError, KvError)):
            raise error
        envelope = _decode_envelope(line)
    except UNREADABLE as not_json:
        return UNSET, BadJson(f"{ONE_OBJECT}: {wrong_with(line, not_json)}")
    id: Id = _read(_decode_id, envelope.id)
    if isinstance(error, KvError):
        return id, error
    name = _read(_decode_name, envelope.type)
    return id, _unknown(name) or _in_batch(name, envelope) or _invalid(error)


def command_on(line: bytes) -> Union[Command[Any], KvError]:
    """The command on a line, or why it is none."""
    try:
        command: Command[Any] = decode(line)
    except UNREADABLE as error:
        return diagnosis(line, error)[1]
    return command


def _invalid(error: Exception) -> BadRequest:
    return BadRequest(in_json_words(str(error)))


def _unknown(name: object) -> Optional[UnknownCommand]:
    if not isinstance(name, str) or name in NAMES:
        return None
    return UnknownCommand(f"unknown command `{name:.100}`; the closest is `{closest_name(name)}`")


def _in_batch(name: object, envelope: _Envelope) -> Optional[KvError]:
    """The error of the first invalid command of a batch; None when all are valid, or the batch is
    too long to decode each command for it."""
    if name != name_of(Batch) or isinstance(envelope.commands, UnsetType):
        return None
    if memoryview(envelope.commands).nbytes > _LONGEST_BATCH:
        return None
    try:
        commands = _decode_each(envelope.commands)
    except UNREADABLE:
        return None
    for index, command in enumerate(commands):
        try:
            _decode_in_batch(command)
        except UNREADABLE as error:
            refused = _unknown(_name(command)) or _invalid(error)
            refused.index = index
            return refused
    return None


def _name(command: Raw) -> object:
    try:
        return _read(_decode_name, _decode_envelope(command).type)
    except UNREADABLE:
        return None


def _read(decode: Callable[[Raw], Any], member: Union[Raw, UnsetType]) -> Any:
    """The value of a member; `UNSET` when it is missing or of another type."""
    with contextlib.suppress(*UNREADABLE):
        return UNSET if isinstance(member, UnsetType) else decode(member)
    return UNSET


class _Envelope(Struct):
    """The readable members of a request that is no command: any of them may be missing or of
    another type."""

    type: Union[Raw, UnsetType] = UNSET
    id: Union[Raw, UnsetType] = UNSET
    commands: Union[Raw, UnsetType] = UNSET


_decode_in_batch = msgspec.json.Decoder(InBatch).decode
_decode_each = msgspec.json.Decoder(List[Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_id = exact(msgspec.json.Decoder(Union[str, int]).decode)
_decode_name = msgspec.json.Decoder(str).decode
