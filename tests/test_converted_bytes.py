"""What a batch may do with the bytes of large values, and how the turns of reading them go."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Dict

import pytest

from application.budget import SharedBudget
from application.commands import strings
from application.commands.base import Command
from application.limits import Limits
from application.ports import Wants
from domain.errors import TooLarge
from domain.memory import InMemoryStore
from domain.store import Store
from tests.support import answer, server_container
from tests.test_resp import conversation, request

LIMIT = 100_000
LIMITS = Limits(max_request_bytes=LIMIT, max_reply_bytes=2 * LIMIT, max_input_bytes=LIMIT)
LARGE = b'"' * (LIMIT // 2)
"""Its text has an escape for each byte, so that it is all of the budget."""

COSTLY: Dict[str, Command[Any]] = {
    "STRLEN": strings.StrLen("k"),
    "GETRANGE": strings.GetRange("k", 0, 0),
    "APPEND": strings.Append("k", b"x"),
    "SETRANGE": strings.SetRange("k", 0, b"x"),
    "SETRANGE of a missing key": strings.SetRange("new", LIMIT - 1, b"x"),
    "DELIFEQ": strings.DelIfEq("k", LARGE[:-1] + b"x"),
}


@pytest.fixture
def store() -> Store:
    store = InMemoryStore(time.monotonic)
    strings.SetBytes("k", LARGE).run(store, SharedBudget(LIMITS))
    return store


@pytest.mark.parametrize("name", COSTLY)
def test_commands_of_a_batch_open_large_values_up_to_a_bound(store: Store, name: str) -> None:
    budget = SharedBudget(LIMITS)
    COSTLY[name].run(store, budget)  # what a single command may, one in a batch may
    with pytest.raises(TooLarge, match=r"\(max_request_bytes\)"):
        deque(COSTLY[name].run(store, budget) for _ in range(3))


def test_common_subsequences_are_charged_for_each_pair_of_bytes(store: Store) -> None:
    for key in ("a", "b"):
        strings.SetBytes(key, b"x" * 400).run(store, SharedBudget(LIMITS))
    with pytest.raises(TooLarge, match=r"\(max_opened_bytes\)"):
        strings.Lcs("a", "b").run(store, SharedBudget(LIMITS))


def test_a_turn_ends_between_reads_of_parts_of_large_values() -> None:
    talk = conversation(server_container())
    answer(talk, [request(b"SET", b"k", b'"' * 1_000_000)])
    talk.receive(request(b"GETRANGE", b"k", b"0", b"0") * 50)
    assert talk.wants is Wants.TURN
