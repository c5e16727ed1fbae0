"""An executor whose calls block, for asyncio.

Rule: each call has a thread of the loop's own pool until it returns, so that other tasks run.
"""

from __future__ import annotations

import asyncio
from typing import Any, List, Sequence, TypeVar

from application.commands import Command
from application.ports import Pipelined

R = TypeVar("R")


class InThreads:
    """Awaits what `executor`, which must be safe for threads, returns."""

    def __init__(self, executor: Pipelined) -> None:
        self._executor = executor
        self.close = executor.close

    async def execute(self, command: Command[R]) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._executor.execute, command)

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._executor.execute_all, commands)
