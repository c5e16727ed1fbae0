"""Integers of 65 bits, which some versions of msgspec decode as others."""

from __future__ import annotations

import json
from typing import Any, List, Union

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.commands import COMMANDS, Batch, Incr, Set
from application.exact_integers import MISREADS, exact, exact_commands

decode = exact(msgspec.json.Decoder().decode)

ODD = [19446744073709551617, 19933688932870350000, 19999999999999999999]
INTEGERS = st.integers() | st.integers(10**19, 2 * 10**19) | st.sampled_from(ODD)
INTEGERS = INTEGERS | INTEGERS.map(lambda number: -number)


@given(st.lists(INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | st.text("019")))
def test_every_integer_is_decoded_exactly(values: List[Any]) -> None:
    assert repr(decode(json.dumps(values).encode())) == repr(values)


def misread(text: bytes) -> Any:
    """As msgspec before 0.19 does."""
    return json.loads(text, parse_int=lambda digits: int(digits) % 2**64)


@given(st.lists(INTEGERS))
def test_every_integer_is_decoded_exactly_where_msgspec_does_not(values: List[int]) -> None:
    text = json.dumps([abs(value) for value in values if abs(value) < 2**64 or value in ODD])
    assert exact(misread, misreads=True)(text.encode()) == json.loads(text)


def misread_command(line: bytes) -> Any:
    command = msgspec.json.decode(line, type=Union[COMMANDS])
    _misread(command)
    return command


def _misread(command: Any) -> None:
    for name in ("id", "by"):
        if type(getattr(command, name, None)) is int:
            setattr(command, name, getattr(command, name) % 2**64)
    for inner in getattr(command, "commands", ()):
        _misread(inner)


@pytest.mark.parametrize("number", ODD)
def test_the_numbers_of_a_request_are_decoded_exactly(number: int) -> None:
    incr = b'{"type":"INCR","key":"n","by":%d,"id":%d}' % (number, number)
    store = b'{"type":"SET","key":"k","value":%d}' % number
    batch = b'{"type":"BATCH","commands":[%b,%b],"id":%d}' % (store, incr, number)
    for line_decoder in (
        exact_commands(misread_command, misreads=True),
        exact_commands(msgspec.json.Decoder(Union[COMMANDS]).decode),
    ):
        command = line_decoder(batch)
        assert isinstance(command, Batch)
        assert command.id == number
        first, second = command.commands
        assert isinstance(first, Set)
        assert bytes(first.value) == b"%d" % number
        assert isinstance(second, Incr)
        assert (second.by, second.id) == (number, number)


def test_a_right_msgspec_is_left_alone() -> None:
    assert MISREADS or exact(misread) is misread
