"""The wiring: every part can be built and swapped, and building touches nothing outside."""

from __future__ import annotations

import contextlib
import queue
import socket
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import gevent
import pytest
from dependency_injector import containers, errors

from adapters.client.loopback import LoopbackLink
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from adapters.gevent_tcp.tls import TlsConversation
from adapters.protocols.http.codec import HttpCodec
from adapters.protocols.json_lines.codec import JsonLinesCodec
from adapters.protocols.resp.codec import RespCodec
from application.commands import Command, Get, Ping
from application.conversation import Conversation
from application.ports import Executor
from domain.errors import Unauthenticated, Unavailable
from entrypoints.client_container import ClientContainer
from entrypoints.local_container import LocalContainer
from entrypoints.server.container import PROTOCOLS, ServerContainer
from tests.certificates import Files, Issued
from tests.model import ModelStore
from tests.support import (
    Clock,
    answer,
    client_container,
    served,
    server_container,
    serving,
)

SECRET = "open sesame"


def guarded(files: Files) -> ServerContainer:
    return server_container(password=SECRET)


def encrypted(files: Files, **settings: Any) -> ServerContainer:
    """A server that speaks TLS, with the certificates read, which is done when it starts."""
    certificate, key = files.server
    container = server_container(tls_cert=certificate, tls_key=key, **settings)
    container.certificates().load()
    return container


def encrypted_and_guarded(files: Files) -> ServerContainer:
    return encrypted(files, password=SECRET)


def for_known_clients(files: Files) -> ServerContainer:
    return encrypted(files, tls_client_ca=files.authority)


def client(address: Tuple[str, int] = ("127.0.0.1", 1), **settings: Any) -> ClientContainer:
    """A client as its program has it, on the sockets of the standard library."""
    container = client_container(*address, **settings)
    container.config.network.from_value("threads")
    return container


def client_in_tls(files: Files) -> ClientContainer:
    certificate, key = files.client
    settings: Dict[str, Any] = {"tls_ca": files.authority, "tls_cert": certificate, "tls_key": key}
    return client(tls=True, password=SECRET, **settings)


@pytest.fixture(
    params=[
        lambda files: server_container(),
        guarded,
        encrypted,
        encrypted_and_guarded,
        for_known_clients,
        lambda files: client_container("127.0.0.1", 1),
        lambda files: client(),
        lambda files: client(password=SECRET),
        lambda files: client(tls=True),
        client_in_tls,
        lambda files: LocalContainer(),
    ]
)
def container(request: pytest.FixtureRequest, files: Files) -> containers.DeclarativeContainer:
    made: containers.DeclarativeContainer = request.param(files)
    return made


OF_A_CONNECTION = ("conversation", "plain_conversation")
"""Parts of a server that are given the link of a connection."""


def test_every_part_can_be_built_and_nothing_connects(
    container: containers.DeclarativeContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a part opened a socket while it was built")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_server", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    of_a_connection = OF_A_CONNECTION if "server" in container.providers else ()
    for name, provider in container.providers.items():
        assert provider(LoopbackLink()) if name in of_a_connection else provider
        assert name in of_a_connection or provider() is not container


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

    class Recorder(Executor):
        def execute(self, command: Command[Any]) -> Any:
            seen.append(command)
            return "recorded"

    container = server_container()
    container.executor.override(Recorder())
    with served(container) as client:
        assert client.execute(Ping()) == "recorded"
    assert seen == [Ping(id=0)]


def test_the_transport_can_run_turns_in_greenlets() -> None:
    container = server_container()
    container.connection.override(GreenletConnection)
    with served(container) as client:
        assert client.execute(Ping()) == "PONG"


def test_the_clients_network_can_be_swapped() -> None:
    sent: List[bytes] = []

    class Loopback:
        sockets = socket
        queue = queue.SimpleQueue
        sleep = time.sleep

        def connect(self, address: object, timeout: object) -> Loopback:
            return self

        def fileno(self) -> int:
            return ours.fileno()

        def settimeout(self, timeout: object) -> None:
            pass

        def send(self, data: bytes) -> int:
            sent.append(data)
            return len(data)

        def recv(self, size: int) -> bytes:
            return b'{"id":0,"ok":true,"result":"PONG"}\n'

        def close(self) -> None:
            sent.append(b"closed")

    container = client_container("nowhere.invalid", 1)
    container.network.override(Loopback())
    client = container.executor()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert client.execute(Ping()) == "PONG"
        client.close()
    assert sent[:2] == [b'{"type":"PING","id":0}\n', b"closed"]


@contextlib.contextmanager
def executing(container: ClientContainer) -> Iterator[Callable[[Command[Any]], Any]]:
    """Runs commands on the container's client in a thread of its own, where it may block while the
    server has this one."""
    executor = container.executor()
    threads = gevent.get_hub().threadpool
    try:
        yield lambda command: threads.apply(executor.execute, (command,))
    finally:
        executor.close()


@pytest.mark.parametrize("serve", [guarded, encrypted_and_guarded])
def test_who_has_the_password_is_let_in_and_no_one_else(
    serve: Callable[[Files], ServerContainer], files: Files
) -> None:
    with serving(serve(files)) as address:
        tls = {"tls": serve is encrypted_and_guarded, "tls_ca": files.authority}
        for password, error in ((SECRET, None), ("", Unauthenticated), ("no", Unauthenticated)):
            with executing(client(address, password=password, **tls)) as execute:
                if error is None:
                    assert execute(Ping()) == "PONG"
                else:
                    with pytest.raises(error):
                        execute(Ping())


def test_a_server_with_tls_serves_clients_with_tls_that_trust_it_alone(files: Files) -> None:
    with serving(encrypted(files)) as address:
        with executing(client(address, tls=True, tls_ca=files.authority)) as execute:
            assert execute(Ping()) == "PONG"
        for untrusted in (client(address), client(address, tls=True)):
            with executing(untrusted) as execute, pytest.raises(Unavailable):
                execute(Ping())


def test_where_clients_show_certificates_one_without_is_not_served(files: Files) -> None:
    with serving(for_known_clients(files)) as address:
        known = client(address, tls=True, tls_ca=files.authority, **_shown(files.client))
        with executing(known) as execute:
            assert execute(Ping()) == "PONG"
        for shown in ({}, _shown(files.untrusted)):
            unknown = client(address, tls=True, tls_ca=files.authority, **shown)
            with executing(unknown) as execute, pytest.raises(Unavailable):
                execute(Ping())


def _shown(issued: Issued) -> Dict[str, str]:
    return {"tls_cert": issued.certificate, "tls_key": issued.key}


def test_the_password_and_the_certificates_are_the_same_for_all_connections(files: Files) -> None:
    container = encrypted_and_guarded(files)
    assert container.password() is container.password()
    assert container.certificates() is container.certificates()
    assert isinstance(container.conversation(LoopbackLink()), TlsConversation)
    assert is_gated(container)


def test_a_container_without_password_and_certificates_builds_neither(files: Files) -> None:
    assert type(server_container().conversation(LoopbackLink())) is Conversation
    assert not is_gated(server_container())
    assert type(guarded(files).conversation(LoopbackLink())) is Conversation
    assert is_gated(guarded(files))
    assert type(encrypted(files).conversation(LoopbackLink())) is TlsConversation
    assert not is_gated(encrypted(files))


def is_gated(container: ServerContainer) -> bool:
    """Whether the conversations want the password first."""
    said = answer(container.plain_conversation(LoopbackLink()), [b'{"type":"PING"}\n'])
    return b"UNAUTHENTICATED" in said


def test_a_conversation_is_made_for_each_connection_and_one_store_for_all() -> None:
    container = server_container()
    one, other = (container.conversation(LoopbackLink()) for _ in range(2))
    assert one is not other
    assert container.store() is container.store()
    assert container.service() is container.service()
    assert container.ledger() is container.ledger()


def test_protocols_are_counted_by_the_names_that_their_option_has() -> None:
    names = [JsonLinesCodec.protocol, HttpCodec.protocol, RespCodec.protocol]
    assert names == [*PROTOCOLS]
