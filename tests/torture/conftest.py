from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest

from tests.support import Server, running_server
from tests.torture.peers import fill

if not Path("/proc/self/status").exists():
    collect_ignore_glob = ["test_*.py"]  # what is measured is told by Linux alone


@pytest.fixture(scope="module")
def full_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One with the module's `KEYS` keys, which its tests leave there."""
    with running_server() as server:
        fill(server, request.module.KEYS)
        yield server


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Shows figures in a line with the test's name, where output is not captured."""

    def show(**figures: object) -> None:
        said = "; ".join(f"{name.replace('_', ' ')} {figure}" for name, figure in figures.items())
        print(f"\n{request.node.name}: {said}")

    return show
