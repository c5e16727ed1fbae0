"""The examples for the type checker do what they say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kvjson import AsyncClient, Client

from tests.library import typed_examples
from tests.support import Server

EXAMPLES = [
    typed_examples.what_a_value_is,
    typed_examples.what_a_command_returns,
    typed_examples.what_comes_of_a_pipeline,
    typed_examples.what_is_built_from_commands,
    typed_examples.what_is_refused,
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_typed_examples_run(example: Any, blocking: Client) -> None:
    example(blocking)


def test_the_typed_examples_for_asyncio_run(server: Server) -> None:
    async def run() -> None:
        async with AsyncClient(port=server.port) as client:
            await typed_examples.what_is_awaited(client)
            await typed_examples.what_is_built_for_asyncio(client)

    asyncio.run(run())
