"""The command line of a command with members of types that no command has yet."""

from __future__ import annotations

from typing import Any, Dict, List, Literal, Optional, Union

import click
import pytest
from msgspec import UNSET, Raw, Struct, UnsetType

from application.budget import Budget
from application.commands import Command
from domain.store import Store
from entrypoints.client.arguments import command_line


class Point(Struct):
    x: int
    y: int


class Odd(Command[bool], tag="ODD", kw_only=False, gc=False):
    """Do nothing with members of all types."""

    place: Union[Point, int]
    side: Literal["left", "right"]
    tags: Union[List[str], UnsetType] = UNSET
    numbers: Optional[List[int]] = None
    names: List[str] = []  # noqa: RUF012 - msgspec copies it
    where: Union[Point, UnsetType] = UNSET
    items: Union[Dict[str, Raw], UnsetType] = UNSET
    either: Union[int, str, UnsetType] = UNSET
    mode: Literal["a", "b"] = "a"
    ratio: float = 0.5
    many: int = 1
    flag: bool = False
    value: Union[Raw, UnsetType] = UNSET

    def run(self, store: Store, budget: Budget) -> bool:
        return True


class Taker:
    """A target that keeps the commands that were typed."""

    def __init__(self) -> None:
        self.taken: List[Any] = []

    def run(self, command: Any, context: click.Context) -> None:
        self.taken.append(command)


def typed(*words: str) -> Odd:
    """The command that is made of some words."""
    target = Taker()
    command_line(Odd).main(["5", "left", *words], obj=target, standalone_mode=False)
    (command,) = target.taken
    assert isinstance(command, Odd)
    return command


def test_a_command_whose_optional_members_are_left_out_has_their_defaults() -> None:
    assert typed() == Odd(5, "left")


@pytest.mark.parametrize(
    ("words", "members"),
    [
        (["--tags", "a", "--tags", "b c"], {"tags": ["a", "b c"]}),
        (["--numbers", "[1,2]"], {"numbers": [1, 2]}),
        (["--names", "a"], {"names": ["a"]}),
        (["--where", '{"x":1,"y":2}'], {"where": Point(1, 2)}),
        (["--either", '"text"'], {"either": "text"}),
        (["--either", "7"], {"either": 7}),
        (["--mode", "b"], {"mode": "b"}),
        (["--ratio", "2"], {"ratio": 2.0}),
        (["--many", "-3"], {"many": -3}),
        (["--flag"], {"flag": True}),
    ],
    ids=str,
)
def test_an_optional_member_of_any_type_can_be_typed(
    words: List[str], members: Dict[str, Any]
) -> None:
    assert typed(*words) == Odd(5, "left", **members)


def test_json_texts_in_optional_members_stay_unopened() -> None:
    command = typed("--items", '{"a": [1, 2]}', "--value", "[ 1 ]")
    assert not isinstance(command.items, UnsetType)
    assert not isinstance(command.value, UnsetType)
    assert bytes(command.items["a"]) == b"[1, 2]"
    assert bytes(command.value) == b"[ 1 ]"
