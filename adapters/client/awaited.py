"""Executors for asyncio, made of those for threads.

Rule: where a call blocks, it has a thread of the loop's own pool until it returns, so that other
tasks run.
"""

from __future__ import annotations

import asyncio
from typing import Any, List, Sequence

from application.commands import Command
from application.ports import AsyncExecutor, Pipelined


class InThreads(AsyncExecutor):
    """Awaits what `executor`, which must be safe for threads, returns."""

    def __init__(self, executor: Pipelined) -> None:
        self._executor = executor

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._executor.execute_all, commands)

    def close(self) -> None:
        self._executor.close()


class AtOnce(AsyncExecutor):
    """Returns what `executor` does within the call, since nothing of it is elsewhere."""

    def __init__(self, executor: Pipelined) -> None:
        self._executor = executor

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        return self._executor.execute_all(commands)

    def close(self) -> None:
        self._executor.close()
