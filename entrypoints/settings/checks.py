"""Checks of the options of Python's calls, which are those of the command line by the same names.

Rule: an option that cannot be meant is refused with `ValueError`, which names it, before anything
is connected or started. This module imports no command line.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Dict, Iterator, Mapping

import msgspec

from entrypoints.settings.ranges import Range


def check_values(options: Mapping[str, Any], kind: Any, ranges: Mapping[str, Range]) -> None:
    """Raise `ValueError` for an option whose type is not that in `kind`, or that is out of its
    range."""
    try:
        msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for name, range in ranges.items():
        if name in options and not range.holds(options[name]):
            raise ValueError(f"{name}={options[name]!r} is not {range}")


def check_tls_files(settings: Mapping[str, Any], authorities: str) -> None:
    """Raise `ValueError` for a PEM file that cannot be used: the certificate, its key, or that of
    the authorities, whose option is called `authorities`."""
    paths = {name: settings[name] for name in (authorities, "tls_cert", "tls_key")}
    for name, path in paths.items():
        if path is not None:
            with _refusal({name: path}), open(path, "rb"):
                pass
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted, certificate, key = paths.values()
    if trusted is not None:
        with _refusal({authorities: trusted}):
            context.load_verify_locations(trusted)
    if certificate is not None:
        pair = {"tls_cert": certificate, **({} if key is None else {"tls_key": key})}
        with _refusal(pair):
            context.load_cert_chain(certificate, key, password="")


@contextlib.contextmanager
def _refusal(files: Mapping[str, str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = " and ".join(f"{name}={path!r}" for name, path in files.items())
        reason = getattr(error, "reason", None)
        why = _REASONS.get(reason or "", error.strerror or error)
        raise ValueError(f"{named} cannot be used: {why}") from error


_REASONS: Dict[str, str] = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file holds no certificate in PEM form",
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
}
