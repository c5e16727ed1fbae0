"""Commands by columns are the commands that they stand for."""

from __future__ import annotations

from application.commands import Get, MGet
from application.commands.columns import Columns, keys_named_by, keys_of, kind_of
from application.commands.strings import Put

ROWS = [Put("a", b"1", id=7), Put("b", b"2", id=7), Put("c", b"3", id=7)]
COLUMNS = Columns(Put, {"id": 7}, ["a", "b", "c"], [b"1", b"2", b"3"])


def test_they_are_a_sequence_of_commands() -> None:
    assert list(COLUMNS) == ROWS
    assert len(COLUMNS) == 3
    assert [COLUMNS[at] for at in (0, 1, -1)] == ROWS
    assert [*COLUMNS[1:]] == ROWS[1:]
    assert isinstance(COLUMNS[1:], Columns)
    assert COLUMNS.id == 7


def test_what_is_asked_of_columns_is_what_is_asked_of_rows() -> None:
    for commands in (COLUMNS, ROWS):
        assert kind_of(commands) is Put
        assert keys_of(commands) == keys_named_by(commands) == ["a", "b", "c"]
    assert kind_of([*ROWS, Get("a")]) is None


def test_commands_name_all_their_keys() -> None:
    assert keys_named_by([MGet(keys=["a", "b"]), MGet(keys=["c"])]) == ["a", "b", "c"]
