"""Names that are looked up, and what ends a look-up or a start that takes long."""

from __future__ import annotations

import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, Iterator

import pytest

from adapters.client.address import Address
from adapters.client.network import Network, SocketApi
from tests.support import ROOT, TIMEOUT, environment


class Interrupted(BaseException):
    """As `KeyboardInterrupt`, which would end the tests."""


@pytest.fixture
def asked() -> threading.Event:
    return threading.Event()


@pytest.fixture
def answer() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def network(asked: threading.Event, answer: threading.Event) -> Network:
    """One on which look-ups take until there is an `answer`."""

    def look_up(host: str, port: int, family: int, kind: int, protocol: int, flags: int) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return socket.getaddrinfo(host, port, family, kind, protocol, flags)
        asked.set()
        answer.wait(TIMEOUT)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    module = SimpleNamespace(**{**vars(socket), "getaddrinfo": look_up})
    return Network(
        SocketApi(
            module,
            ssl,
            queue.SimpleQueue,
            time.sleep,
            lambda work: threading.Thread(target=work, daemon=True).start(),
        )
    )


def test_looking_up_a_name_counts_towards_the_time_to_connect(network: Network) -> None:
    with pytest.raises(socket.timeout):
        network.connect(Address("some.invalid", 1), timeout=0.05)


def test_a_signal_ends_looking_up_a_name(network: Network, asked: threading.Event) -> None:
    def handle(*_: object) -> None:
        raise Interrupted

    def interrupt() -> None:
        asked.wait(TIMEOUT)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    helper = threading.Thread(target=interrupt)
    helper.start()
    try:
        with pytest.raises(Interrupted):
            network.connect(Address("some.invalid", 1), timeout=TIMEOUT)
    finally:
        helper.join(TIMEOUT)
        signal.signal(signal.SIGUSR1, before)


def test_a_name_that_there_is_not_is_told_as_the_system_says(
    network: Network, answer: threading.Event
) -> None:
    answer.set()
    with pytest.raises(socket.gaierror, match="no such name"):
        network.connect(Address("some.invalid", 1), timeout=TIMEOUT)


def test_an_address_is_not_looked_up(network: Network, asked: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network.connect(Address("127.0.0.1", listener.getsockname()[1]), TIMEOUT).close()
    assert not asked.is_set()


@pytest.mark.parametrize("program", ["kvjson.__main__", "kvjson.server"])
def test_ctrl_c_while_a_program_is_imported_ends_it_without_a_traceback(program: str) -> None:
    script = f"""
import os, signal, sys
class Slow:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            type("Owner", (), dict(slow=Slow()))
sys.meta_path.insert(0, Interrupting())
import {program}
{program}.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
