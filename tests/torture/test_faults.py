"""A bug in the server, and a reply that comes too late."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from msgspec import Raw

from adapters.client.tcp import TcpClient
from application.commands import Get, Set
from domain.errors import TimedOut
from entrypoints.client_container import ClientContainer
from tests.support import CLIENT_SETTINGS, Server, running_server
from tests.torture.peers import client_of, info, with_changes

BUG = """
import time
from dependency_injector import providers
from domain.memory import InMemoryStore
from entrypoints.server.container import ServerContainer

class Broken(InMemoryStore):
    def get(self, key):
        raise RuntimeError("secret " + key)

ServerContainer.store.override(providers.Object(Broken(time.monotonic)))
"""


def test_a_bug_is_told_to_one_client_and_to_the_log_without_values(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr, running_server(
        program=with_changes(BUG), stderr=stderr
    ) as server:
        with client_of(server) as client, client_of(server) as other:
            client.ask("SET", key="k", value=1)
            reply = client.ask("GET", key="hidden", id=7)
            assert (reply["id"], reply["error"]["code"]) == (7, "INTERNAL")
            assert "secret" not in str(reply)
            assert client.ask("PING")["ok"]
            batch = [{"type": "SET", "key": "new", "value": 1}, {"type": "GET", "key": "k"}]
            assert client.ask("BATCH", commands=batch)["error"]["code"] == "INTERNAL"
            assert other.ask("MGET", keys=["k", "new"])["result"] == {"k": 1}
        assert info(server)["errors"] == {"INTERNAL": 2}
        assert server.stop() == 0
    text = log.read_text()
    assert "a command failed" in text
    assert "RuntimeError" in text
    assert "in get" in text
    for value in ("secret", "hidden", "Traceback"):
        assert value not in text


@pytest.fixture
def hasty(server: Server) -> TcpClient:
    """A client that does not wait for long."""
    container = ClientContainer()
    address = {"host": "127.0.0.1", "port": server.port}
    settings = {**CLIENT_SETTINGS, **address, "timeout": 0.3, "network": "threads"}
    container.config.from_dict(settings)
    return container.tcp_connection()


def test_a_late_reply_is_not_taken_for_another(server: Server, hasty: TcpClient) -> None:
    hasty.execute(Set("one", Raw(b'"first"')))
    hasty.execute(Set("two", Raw(b'"second"')))
    pid = server.process.pid
    for _ in range(3):
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(TimedOut, match="in time"):
                hasty.execute(Get("one"))
        finally:
            os.kill(pid, signal.SIGCONT)
        hasty._timeout = 30.0  # on the next connection: the machine may be busy
        assert hasty.execute(Get("two")) == b'"second"'
        hasty.close()
        hasty._timeout = 0.3
    hasty.close()
