"""The wiring: every part can be built and swapped, and building touches nothing outside."""

from __future__ import annotations

import queue
import socket
import time
from typing import Any, List

import pytest
from dependency_injector import containers, errors

from adapters.gevent_server import GreenletConnection
from application.commands import Command, Get, Ping
from entrypoints.client.container import ClientContainer
from entrypoints.server.container import ServerContainer
from tests.model import ModelStore
from tests.support import Clock, client_container, served, server_container


@pytest.fixture(params=[server_container, lambda: client_container("127.0.0.1", 1)])
def container(request: pytest.FixtureRequest) -> containers.DeclarativeContainer:
    made: containers.DeclarativeContainer = request.param()
    return made


def test_every_part_can_be_built_and_nothing_connects(
    container: containers.DeclarativeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a part opened a socket while it was built")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_server", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    built = [provider() for provider in container.providers.values()]
    assert built


def test_a_setting_that_is_not_given_is_an_error() -> None:
    server, client = ServerContainer(), ClientContainer()
    for container, part in ((server, server.server), (client, client.executor)):
        container.config.from_dict({"host": "127.0.0.1"})
        with pytest.raises(errors.Error, match="Undefined configuration option"):
            part()


def test_the_store_can_be_swapped() -> None:
    store = ModelStore(Clock())
    store.set("k", b'"from the other store"')
    container = server_container()
    container.store.override(store)
    with served(container) as client:
        assert bytes(client.execute(Get("k"))) == b'"from the other store"'  # type: ignore[arg-type]


def test_the_executor_can_be_swapped() -> None:
    seen: List[Command[Any]] = []

    class Recorder:
        def execute(self, command: Command[Any]) -> Any:
            seen.append(command)
            return "recorded"

    container = server_container()
    container.executor.override(Recorder())
    with served(container) as client:
        assert client.execute(Ping()) == "recorded"
    assert seen == [Ping()]


def test_the_transport_can_run_turns_in_greenlets() -> None:
    container = server_container()
    container.connection.override(GreenletConnection)
    with served(container) as client:
        assert client.execute(Ping()) == "PONG"


def test_the_clients_network_can_be_swapped() -> None:
    sent: List[bytes] = []

    class Loopback:
        queue = queue.SimpleQueue
        sleep = time.sleep

        def connect(self, address: object, timeout: object) -> Loopback:
            return self

        def settimeout(self, timeout: object) -> None:
            pass

        def sendall(self, data: bytes) -> None:
            sent.append(data)

        def recv(self, size: int) -> bytes:
            return b'{"ok":true,"result":"PONG"}\n'

        def close(self) -> None:
            sent.append(b"closed")

    container = client_container("nowhere.invalid", 1)
    container.network.override(Loopback())
    client = container.executor()
    assert client.execute(Ping()) == "PONG"
    client.close()
    assert sent == [b'{"type":"PING"}\n', b"closed"]


def test_a_session_is_made_for_each_connection_and_one_store_for_all() -> None:
    container = server_container()
    assert container.session() is not container.session()
    assert container.store() is container.store()
