from __future__ import annotations

import contextlib
from typing import Iterator

import pytest
from kvjson import Client

from entrypoints.library import runtime
from tests.library.crowd import Programs, in_greenlets, in_threads
from tests.library.kinds import Kind, greenlets, local, tasks, threads
from tests.library.proxy import Proxy
from tests.support import Server


@pytest.fixture(params=["server", "local"])
def blocking(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client whose calls wait, of an empty store: on a server, and in this process."""
    if request.param == "local":
        with local() as client:
            yield client
        return
    server: Server = request.getfixturevalue("server")
    with threads(server.port) as client:
        yield client


@pytest.fixture(params=["server", "local", "asyncio"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of an empty store, of each kind that has the same methods."""
    if request.param == "local":
        with local() as client:
            yield client
        return
    server: Server = request.getfixturevalue("server")
    kind = tasks if request.param == "asyncio" else threads
    with kind(server.port) as client:
        yield client


@pytest.fixture(params=[threads, greenlets, tasks])
def kind(request: pytest.FixtureRequest) -> Kind:
    """How to make a client of a server, for each kind of program."""
    made: Kind = request.param
    return made


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A network with faults before a server that is empty."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def direct(server: Server) -> Iterator[Client]:
    """A client of the same server, with no fault between them."""
    with threads(server.port) as client:
        yield client


@pytest.fixture(
    params=[(threads, in_threads), (greenlets, in_greenlets)], ids=lambda p: p[1].__name__
)
def programs(
    request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Programs]:
    """Three programs, which do not rest for long while they wait for one another."""
    monkeypatch.setattr(runtime, "MAX_POLL_INTERVAL", 0.004)
    kind, together = request.param
    with contextlib.ExitStack() as stack:
        yield Programs([stack.enter_context(kind(server.port)) for _ in range(3)], together)
