"""Checks of the options of Python's calls, which are those of the command line by the same names,
and of the files of both.

Rule: an option that cannot be meant, and a file that cannot be used, are refused with `ValueError`,
which names them, before anything is connected or started. This module imports no command line.
"""

from __future__ import annotations

import contextlib
import math
import ssl
from typing import Any, Dict, Iterator, Mapping, Optional

import msgspec

from application.json_wording import in_json_words
from entrypoints.settings.ranges import Range


def check_values(options: Mapping[str, Any], kind: Any, ranges: Mapping[str, Range]) -> None:
    """Raise `ValueError` for an option whose type is not that in `kind`, or that is out of its
    range."""
    try:
        msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        raise ValueError(in_json_words(str(error))) from None
    for name, range in ranges.items():
        if name in options and not range.holds(options[name]):
            raise ValueError(f"{name}={options[name]!r:.100} is not {range}")


def check_port(port: object, range: Range) -> None:
    """Raise `ValueError` for what is no port."""
    if type(port) is not int or not range.holds(port):
        raise ValueError(f"port={port!r:.100} is not an integer {range}")


def check_above_0(**numbers: Any) -> None:
    """Raise `ValueError` for an argument that is no finite number above 0."""
    for name, number in numbers.items():
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not (is_number and 0 < number < math.inf):
            raise ValueError(f"{name}={number!r:.100} is not a finite number above 0")


def check_tls_files(settings: Mapping[str, Any], authorities: str) -> None:
    """Raise `ValueError` for a PEM file that cannot be used: the certificate, its key, or that of
    the authorities, whose option is called `authorities`."""
    given = {name: settings[name] for name in (authorities, "tls_cert", "tls_key")}
    named = {name: f"{name}={path!r}" for name, path in given.items() if path is not None}
    for name, text in named.items():
        with _refusal(text), open(given[name], "rb"):
            pass
    if authorities in named:
        check_certificates(named[authorities], given[authorities])
    if "tls_cert" in named:
        pair = " and ".join(named[name] for name in ("tls_cert", "tls_key") if name in named)
        check_pair(pair, given["tls_cert"], given["tls_key"])


def check_certificates(named: str, path: str) -> None:
    """Raise `ValueError`, in which the file is `named`, unless it has certificates that TLS can
    use."""
    with _refusal(named):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)


def check_pair(named: str, certificate: str, key: Optional[str]) -> None:
    """Raise `ValueError`, in which the files are `named`, unless they are a certificate and its
    key; without a file for the key, it is with the certificate."""
    with _refusal(named):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")


@contextlib.contextmanager
def _refusal(named: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = getattr(error, "reason", None)
        why = _REASONS.get(reason or "", error.strerror or error)
        raise ValueError(f"{named} cannot be used: {why}") from error


_REASONS: Dict[str, str] = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file holds no certificate in PEM form",
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
}
