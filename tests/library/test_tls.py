"""Clients of a server with a password and TLS, accepted and refused ones."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import gevent
import pytest
from kvjson import Client, KvError, Unauthenticated, Unavailable, Unreachable

from tests.certificates import Files
from tests.library.crowd import at_once
from tests.library.kinds import Kind
from tests.support import running_server

pytestmark = pytest.mark.filterwarnings("ignore:Python 3.8")
"""What trustme is built on warns that it will leave that one."""

PASSWORD = "pässword: 50% @ home/ключ?#"
IN_ADDRESS = "p%C3%A4ssword%3A%2050%25%20%40%20home%2Fключ%3F%23"


class Guarded(NamedTuple):
    """A server with a password and mutual TLS, and the files that it accepts."""

    port: int
    tls_ca: str
    tls_cert: str
    untrusted: str

    def address(self, password: str = IN_ADDRESS) -> str:
        return f"kvs://:{password}@127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    import trustme

    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()

    def written(name: str, certificate: Any) -> str:
        path = folder / name
        certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)

    ca = str(folder / "ca.pem")
    authority.cert_pem.write_to_path(ca)
    server_cert = written("server.pem", authority.issue_cert("127.0.0.1"))
    client_cert = written("client.pem", authority.issue_cert("client.example"))
    untrusted = written("untrusted.pem", trustme.CA().issue_cert("untrusted.example"))
    options = ("--tls-cert", server_cert, "--tls-client-ca", ca)
    with running_server(*options, KV_PASSWORD=PASSWORD) as server:
        yield Guarded(server.port, ca, client_cert, untrusted)


@pytest.fixture
def client(kind: Kind, guarded: Guarded) -> Iterator[Any]:
    files = {"tls_ca": guarded.tls_ca, "tls_cert": guarded.tls_cert}
    with kind(0, host=guarded.address(), **files) as client:
        client.flush()
        yield client


def test_tls_with_a_password_and_certificates_serves_as_plain_tcp(client: Any) -> None:
    client.set("k", {"bytes": b"x", "large": "x" * 1_000_000})
    assert client.get("k") == {"bytes": b"x", "large": "x" * 1_000_000}
    with client.pipeline() as pipeline:
        answers = [pipeline.get("k") for _ in range(20)]
    assert {len(answer.result["large"]) for answer in answers} == {1_000_000}
    client.close()
    assert client.count() == 1


def test_many_concurrent_callers_log_in_over_tls(client: Any) -> None:
    async def count(one: Any) -> None:
        for _ in range(20):
            await one.incr("n")

    at_once(client, [count] * 5)
    assert client.get("n") == 100


def refusal(kind: Kind, host: str, **options: Any) -> KvError:
    """The error of a client that is refused."""
    with kind(0, host=host, attempts=1, **options) as client:
        attempt = client.ping
        with pytest.raises(KvError) as told:
            attempt()
    return told.value


def test_a_wrong_password_is_told_as_such(kind: Kind, guarded: Guarded) -> None:
    files = {"tls_ca": guarded.tls_ca, "tls_cert": guarded.tls_cert}
    for error in (
        refusal(kind, guarded.address("wrong"), **files),
        refusal(kind, f"kvs://127.0.0.1:{guarded.port}", **files),
    ):
        assert type(error) is Unauthenticated
        assert "wrong" not in str(error)


def test_a_server_with_an_untrusted_certificate_is_unreachable(
    kind: Kind, guarded: Guarded
) -> None:
    error = refusal(kind, guarded.address())
    assert type(error) is Unreachable
    assert "certificate verify failed" in str(error).lower()


def test_a_server_of_another_name_is_unreachable(kind: Kind, guarded: Guarded) -> None:
    error = refusal(kind, f"kvs://localhost:{guarded.port}", tls_ca=guarded.tls_ca)
    assert type(error) is Unreachable
    assert "certificate" in str(error).lower()


def test_a_client_that_shows_no_certificate_that_the_server_trusts_is_not_let_in(
    kind: Kind, guarded: Guarded
) -> None:
    for shown in (None, guarded.untrusted):
        error = refusal(kind, guarded.address(), tls_ca=guarded.tls_ca, tls_cert=shown)
        assert type(error) is Unreachable


def test_a_tls_server_is_unavailable_without_tls(kind: Kind, guarded: Guarded) -> None:
    error = refusal(kind, f"kv://127.0.0.1:{guarded.port}")
    assert isinstance(error, Unavailable)


def test_a_tls_file_that_cannot_be_used_is_refused_by_name(
    kind: Kind, files: Files, tmp_path: Path
) -> None:
    no_pem = tmp_path / "text.pem"
    no_pem.write_text("no certificate")
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    missing = str(tmp_path / "none.pem")
    certificate, key = files.client
    refused: List[Tuple[Dict[str, str], str]] = [
        ({"tls_ca": missing}, f"tls_ca='{missing}' cannot be used: No such file"),
        ({"tls_ca": str(no_pem)}, f"tls_ca='{no_pem}' cannot be used: the file holds no cert"),
        ({"tls_cert": missing}, f"tls_cert='{missing}' cannot be used: No such file"),
        ({"tls_cert": certificate}, f"tls_cert='{certificate}' cannot be used"),
        ({"tls_cert": certificate, "tls_key": missing}, f"tls_key='{missing}' cannot be used"),
        ({"tls_cert": certificate, "tls_key": files.protected_key}, "protected by a password"),
        ({"tls_cert": certificate, "tls_key": certificate}, "the file holds no private key"),
        ({"tls_ca": str(broken)}, "what is between its PEM lines is broken"),
        ({"tls_cert": certificate, "tls_key": files.server.key}, "not that of the certificate"),
    ]
    for options, why in refused:
        with pytest.raises(ValueError, match=re.escape(why)):
            kind(0, host="kvs://127.0.0.1:1", **options).__enter__()
    with kind(0, host="kvs://127.0.0.1:1", tls_cert=certificate, tls_key=key):
        pass


def test_greenlets_run_while_another_waits_for_tls() -> None:
    ticks = []

    def tick() -> None:
        while True:
            gevent.sleep(0.01)
            ticks.append(1)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"kvs://127.0.0.1:{silent.getsockname()[1]}"
        client = Client(address, network="gevent", connect_timeout=0.5, attempts=1)
        ticking = gevent.spawn(tick)
        with pytest.raises(Unavailable):
            client.ping()
        ticking.kill()
    assert len(ticks) > 5
