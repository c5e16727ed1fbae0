"""Certificates for tests, on files as an operator has them.

Rule: nothing here is trusted by the system, and all of it is made anew for a run of the tests.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cryptography says at import that 3.8 is old
    import trustme
    from cryptography.hazmat.primitives import serialization

HOST = "127.0.0.1"


class Issued(NamedTuple):
    """A certificate chain and its key, as PEM files."""

    certificate: str
    key: str


class Files(NamedTuple):
    """An authority, whom it vouches for, and one certified by another authority."""

    authority: str
    server: Issued
    renewed: Issued
    client: Issued
    untrusted: Issued
    protected_key: str
    """The server's key, behind a password."""


def make(directory: Path) -> Files:
    """Everything, in a directory of its own."""
    authority = trustme.CA()
    path = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    server = _issued(directory / "server", authority)
    return Files(
        authority=str(path),
        server=server,
        renewed=_issued(directory / "renewed", authority),
        client=_issued(directory / "client", authority),
        untrusted=_issued(directory / "untrusted", trustme.CA()),
        protected_key=_protected(Path(server.key), directory / "protected.pem"),
    )


def _issued(stem: Path, authority: trustme.CA) -> Issued:
    leaf = authority.issue_cert(HOST)
    issued = Issued(f"{stem}.pem", f"{stem}.key")
    leaf.private_key_pem.write_to_path(issued.key)
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(issued.certificate, append=True)
    return issued


def _protected(key: Path, path: Path) -> str:
    bare = serialization.load_pem_private_key(key.read_bytes(), password=None)
    path.write_bytes(
        bare.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    return str(path)
