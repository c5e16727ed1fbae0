"""The sockets that a server listens on."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Iterator, List

import pytest

from adapters.gevent_tcp.listeners import Address, Listener, bind_all


@pytest.fixture
def opened() -> Iterator[List[Listener]]:
    """Listeners to close at the end of the test."""
    listeners: List[Listener] = []
    yield listeners
    for listener in listeners:
        listener.close()


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def connects(address: Address) -> bool:
    kind, where, port = address
    family = (
        socket.AF_UNIX if kind == "unix" else socket.AF_INET6 if ":" in where else socket.AF_INET
    )
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(where if kind == "unix" else (where, port))
        except OSError:
            return False
        return True


def test_every_address_is_listened_on(opened: List[Listener], tmp_path: Path) -> None:
    opened += bind_all([("tcp", "127.0.0.1", 0), ("unix", str(tmp_path / "kv.sock"), 0o600)])
    assert [listener.address[0] for listener in opened] == ["tcp", "unix"]
    assert all(connects(listener.address) for listener in opened)
    assert not any(listener.sock.getblocking() for listener in opened)


def test_the_port_that_is_picked_is_one_for_both_families(opened: List[Listener]) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    opened += bind_all([("tcp", "127.0.0.1", 0), ("tcp", "::1", 0)])
    (_, _, port), (_, _, other) = (listener.address for listener in opened)
    assert port == other != 0
    assert all(connects(listener.address) for listener in opened)


def test_a_host_with_port_0_twice_has_two_ports_which_another_host_shares(
    opened: List[Listener],
) -> None:
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"]
    opened += bind_all([("tcp", host, 0) for host in hosts])
    first, same, second, same_again = (listener.address[2] for listener in opened)
    assert first == same != second == same_again
    assert all(connects(listener.address) for listener in opened)


def test_an_address_in_use_is_named_and_the_other_listeners_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "kv.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=r".") as refusal:
            bind_all([("unix", str(path), 0o600), ("tcp", "127.0.0.1", port)])
    assert refusal.value.errno == errno.EADDRINUSE
    assert refusal.value.filename == f"127.0.0.1 port {port}"
    assert not path.exists()


def test_a_connection_has_no_delay_and_is_probed(opened: List[Listener]) -> None:
    opened += bind_all([("tcp", "127.0.0.1", 0)], keepalive=300)
    (listener,) = opened
    with socket.create_connection(listener.address[1:]):
        listener.sock.setblocking(True)
        accepted, _ = listener.sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 300


class TestUnix:
    @pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
    def test_the_file_has_its_permissions(
        self, opened: List[Listener], tmp_path: Path, mode: int
    ) -> None:
        path = tmp_path / "kv.sock"
        opened += bind_all([("unix", str(path), mode)])
        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_the_file_is_removed_at_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "kv.sock"
        (listener,) = bind_all([("unix", str(path), 0o600)])
        listener.close()
        assert not path.exists()
        listener.close()

    def test_the_file_of_another_server_is_not_removed(
        self, opened: List[Listener], tmp_path: Path
    ) -> None:
        path = tmp_path / "kv.sock"
        (first,) = bind_all([("unix", str(path), 0o600)])
        path.unlink()
        opened += bind_all([("unix", str(path), 0o600)])
        first.close()
        assert connects(opened[0].address)

    def test_a_file_that_no_server_listens_on_is_replaced(
        self, opened: List[Listener], tmp_path: Path
    ) -> None:
        path = str(tmp_path / "kv.sock")
        (ended,) = bind_all([("unix", path, 0o600)])
        ended.sock.close()
        assert os.path.exists(path)
        opened += bind_all([("unix", path, 0o600)])
        assert connects(opened[0].address)

    def test_a_file_that_a_server_listens_on_is_in_use(
        self, opened: List[Listener], tmp_path: Path
    ) -> None:
        path = str(tmp_path / "kv.sock")
        opened += bind_all([("unix", path, 0o600)])
        with pytest.raises(OSError, match=r".") as refusal:
            bind_all([("unix", path, 0o600)])
        assert (refusal.value.errno, refusal.value.filename) == (errno.EADDRINUSE, path)
        assert connects(opened[0].address)

    def test_a_file_that_is_no_socket_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "notes"
        path.write_text("important")
        with pytest.raises(OSError, match=r"."):
            bind_all([("unix", str(path), 0o600)])
        assert path.read_text() == "important"
