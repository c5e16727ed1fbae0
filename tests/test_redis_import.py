"""`kv import --from redis://...`, from a server that speaks Redis's protocol: ours, or a fake."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any, Dict, Iterator, List, Sequence

import pytest
import redis

from adapters.client.address import Address
from adapters.client.network import Network
from adapters.client.redis_source import Item, Login, RedisKeys, Refusal, connected
from domain.errors import Unavailable
from entrypoints.client.tools.redis_import import redis_address
from entrypoints.engine_address import EngineAddress
from entrypoints.socket_apis import threads_api
from tests.certificates import Files
from tests.support import TIMEOUT, Server, kv, running_server


@pytest.fixture(scope="module")
def source() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def target() -> Iterator[Server]:
    with running_server() as server:
        yield server


def test_strings_are_copied_with_their_ttls(source: Server, target: Server) -> None:
    theirs = redis.Redis("127.0.0.1", source.port, db=3)
    theirs.mset({f"key:{number}": number for number in range(1200)})
    theirs.set("doc", '{"a":[1]}')
    theirs.set("bytes", b"\xff\x00", ex=1000)
    done = kv(target.port, "import", "--from", f"redis://127.0.0.1:{source.port}/3")
    assert done.returncode == 0, done.stderr
    assert "1,202 keys imported" in done.stderr
    ours = redis.Redis("127.0.0.1", target.port)
    assert ours.dbsize() == 1202
    assert ours.get("bytes") == b"\xff\x00"
    assert 900 < ours.ttl("bytes") <= 1000
    assert ours.get("doc") == b'{"a":[1]}'
    for client in (ours, theirs):
        client.close()


def test_what_is_no_string_is_left_out_by_its_type() -> None:
    kinds: Dict[bytes, object] = {b"a": b"1", b"list": None, b"\xff": b"2", b"gone": b""}

    def ask(commands: Sequence[Sequence[bytes]]) -> List[Any]:
        return [reply(*command) for command in commands]

    def reply(name: bytes, *arguments: bytes) -> Any:
        if name == b"SCAN":
            return [b"0", list(kinds)] if arguments[0] == b"7" else [b"7", []]
        (key,) = arguments
        if name == b"TYPE":
            return b"list"
        if name == b"PTTL":
            return 1500 if key == b"a" else -1
        if key == b"gone":
            return None
        return Refusal("WRONGTYPE") if kinds[key] is None else kinds[key]

    keys = RedisKeys(ask)
    assert [item for page in keys.pages() for item in page] == [Item("a", b"1", 1.5)]
    assert dict(keys.left_out) == {"of type list": 1, "whose name is not UTF-8": 1}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://h", EngineAddress("h", 6379)),
        ("valkey://h:1/5", EngineAddress("h", 1, db=5)),
        ("rediss://me@[::1]:2", EngineAddress("::1", 2, tls=True, username="me")),
    ],
)
def test_an_address_names_a_place(address: str, expected: EngineAddress) -> None:
    assert redis_address(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "http://h",
        "redis://",
        "redis://h/x",
        "redis://:secret@h",
        "redis-cluster://h",
        "redis://h?prefix=kv:",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_quoted(address: str) -> None:
    with pytest.raises(ValueError, match=r"redis|REDISCLI_AUTH") as refused:
        redis_address(address)
    assert "secret" not in str(refused.value)


def test_a_file_or_a_redis_is_given_and_not_both(target: Server) -> None:
    assert kv(target.port, "import").returncode == 2
    both = kv(target.port, "import", "-", "--from", "redis://127.0.0.1:1")
    assert both.returncode == 2


def test_a_wrong_password_is_told_and_not_shown(target: Server) -> None:
    with running_server(KV_PASSWORD="open sesame") as locked:
        address = f"redis://127.0.0.1:{locked.port}"
        done = kv(target.port, "import", "--from", address, REDISCLI_AUTH="guess")
        assert done.returncode != 0
        assert "WRONGPASS" in done.stderr
        assert "guess" not in done.stderr
        done = kv(target.port, "import", "--from", address, REDISCLI_AUTH="open sesame")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 400\r\n\r\n", b"*2\r\n$1\r\n0", b"$x\r\n"])
def test_a_peer_that_is_no_redis_is_an_error(sent: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(sent)

        thread = threading.Thread(target=serve)
        thread.start()
        place = Address("127.0.0.1", listener.getsockname()[1])
        connect = Network(threads_api(0.0)).connect
        with pytest.raises(Unavailable), connected(connect, place, Login(), 10, 10) as keys:
            list(keys.pages())
        thread.join()


def test_an_authority_of_ones_own_is_named_and_trusted(files: Files) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files.server)
    replies = [b":1\r\n", b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n", b"$1\r\n1\r\n:-1\r\n"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)

        def serve() -> None:
            for _ in range(2):
                peer = listener.accept()[0]
                with peer, contextlib.suppress(OSError):
                    secure = context.wrap_socket(peer, server_side=True)
                    for reply in replies:
                        secure.recv(1000)
                        secure.sendall(reply)
                    secure.close()

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"rediss://127.0.0.1:{listener.getsockname()[1]}"
        with running_server() as server:
            refused = kv(server.port, "import", "--from", address)
            trusting = ["--from-tls-ca", files.authority]
            done = kv(server.port, "import", "--from", address, *trusting)
        thread.join()
    assert (refused.returncode, "--from-tls-ca" in refused.stderr) == (3, True)
    assert (done.returncode, done.stderr) == (0, "1 key imported\n")
    plain = kv(1, "import", "--from", "redis://127.0.0.1", *trusting)
    assert (plain.returncode, "is for --from rediss://" in plain.stderr) == (2, True)


@pytest.mark.parametrize("sent", [b"", b"-ERR unknown command\r\n"])
def test_tls_spoken_to_a_redis_without_is_told_in_time(sent: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(ConnectionResetError):
                peer.sendall(sent)
                while peer.recv(1000):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"rediss://127.0.0.1:{listener.getsockname()[1]}"
        done = kv(1, "--connect-timeout", "0.3", "import", "--from", address)
        thread.join()
    assert done.returncode == 3
    assert "without TLS the address is redis://" in " ".join(done.stderr.split())
    assert "kv://" not in done.stderr
