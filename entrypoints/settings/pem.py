"""PEM files of certificates and keys, looked at before TLS needs them.

Rule: a file that TLS cannot use is refused with `ValueError`, which names it as it was given and
says why, before anything is connected or started. This module imports no command line.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from typing import Any, Iterator, Mapping, Optional

from entrypoints.settings.checks import refuse_byte_order_mark


def check_tls_files(settings: Mapping[str, Any], authorities: str) -> None:
    """Check the options of Python's calls: `tls_cert`, `tls_key`, and the one for the certificates
    of the authorities, which is called `authorities`."""
    given = {name: settings[name] for name in (authorities, "tls_cert", "tls_key")}
    named = {name: f"{name}={path!r}" for name, path in given.items() if path is not None}
    if "tls_key" in named and "tls_cert" not in named:
        raise ValueError("tls_key needs tls_cert")
    for name in (authorities, "tls_cert"):
        if name in named:
            check_certificates(named[name], given[name])
    if "tls_cert" in named:
        holder = "tls_key" if "tls_key" in named else "tls_cert"
        check_key(named[holder], given[holder])
        pair = " and ".join(dict.fromkeys((named["tls_cert"], named[holder])))
        check_pair(pair, given["tls_cert"], given["tls_key"])


def check_certificates(named: str, path: str) -> None:
    """Raise `ValueError` unless a file, `named` so, has certificates that TLS can use."""
    with _refusal(named):
        _check_label(path, "certificate", b"CERTIFICATE")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)


def check_key(named: str, path: str) -> None:
    """Raise `ValueError` unless a file, `named` so, has a key that needs no password, for which TLS
    would ask the terminal."""
    with _refusal(named):
        _check_label(path, "private key", b"PRIVATE KEY")


def check_pair(named: str, certificate: str, key: Optional[str]) -> None:
    """Raise `ValueError` unless files, `named` so, are a certificate and its key; without a file
    for the key, it is with the certificate."""
    with _refusal(named):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")


def _check_label(path: str, what: str, label: bytes) -> None:
    """Raise `ValueError` unless a part of the file has a first line that ends so."""
    with open(path, "rb") as file:
        data = file.read()
    refuse_byte_order_mark(data)
    if b"ENCRYPTED" in data and b"PRIVATE KEY" in data:
        raise ValueError("its key is protected by a password; give a key that is not")
    if not re.search(rb"^-----BEGIN (?:[A-Z0-9 ]+ )?%b-----\s*$" % label, data, re.MULTILINE):
        raise ValueError(f"the file holds no {what} in PEM form")


@contextlib.contextmanager
def _refusal(named: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(f"{named} cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> object:
    if not isinstance(error, ssl.SSLError):
        return getattr(error, "strerror", None) or error
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    return error.strerror if error.reason else "what is between its PEM lines is broken"
