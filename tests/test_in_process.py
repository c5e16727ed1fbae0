"""The executor without a server."""

from __future__ import annotations

import time
from typing import Collection

import pytest

from application.commands import Delete
from application.executor import LocalExecutor
from application.in_process import InProcess
from application.limits import Limits
from domain.memory import InMemoryStore


class Failing(InMemoryStore):
    """A store with a bug."""

    def delete(self, keys: Collection[str]) -> int:
        raise RuntimeError("a bug")


@pytest.mark.parametrize("count", [1, 3])
def test_a_bug_is_raised_also_by_a_pipeline(count: int) -> None:
    executor = InProcess(LocalExecutor(Failing(time.monotonic)), Limits(), lambda: None)
    with pytest.raises(RuntimeError, match="a bug"):
        executor.execute_all([Delete("a"), Delete("b"), Delete("c")][:count])
