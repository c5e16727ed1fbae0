"""Certificates made on the spot, in files, where a server and its clients find them."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Tuple

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports warns that Python 3.8 is old
    import trustme

HOST = "127.0.0.1"


class Files:
    """A server's certificate and key, where it reads them, and the authority that signed them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.log = folder / "log"
        self.renew()

    def renew(self) -> None:
        """Put a new certificate in place of the old one."""
        issued = self.authority.issue_cert(HOST)
        self.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
        self.key.write_bytes(issued.private_key_pem.bytes())

    @property
    def settings(self) -> Tuple[str, ...]:
        return "--tls-cert", str(self.certificate), "--tls-key", str(self.key)

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client goes by that trusts the authority."""
        return ssl.create_default_context(cafile=self.ca)

    def identity(self, folder: Path) -> str:
        """A file with a certificate for a client, and its key."""
        path = folder / "client.pem"
        self.authority.issue_cert(
            "client@kvjson.test"
        ).private_key_and_cert_chain_pem.write_to_path(path)
        return str(path)


def a_certificate() -> bytes:
    """A certificate whose private key is unknown."""
    return trustme.CA().issue_cert(HOST).cert_chain_pems[0].bytes()
