"""Passwords, and the files that hold secrets.

Rule: a secret is the first line of what was given, without its line end, whether that is a file, a
variable or standard input; it is no option, since other users see the options of a process. A
secret that no client could send is refused; a file that others can read is warned of.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Any, Callable, List, Mapping, NamedTuple, Optional

import click

from entrypoints.settings import pem
from entrypoints.settings.checks import check_password, refuse_byte_order_mark
from entrypoints.settings.sources import ENVIRONMENT_RANK, F, Given, setting

VARIABLE = "KV_PASSWORD"

_STANDARD_INPUT = "-"


def password_file_option(help: str) -> Callable[[F], F]:
    """Give a command `--password-file FILE`; `-` is standard input."""
    kind = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)
    return setting("--password-file", type=kind, help=help)


class Secret(NamedTuple):
    """A password, empty for none, and what to warn of."""

    text: str
    warnings: List[str]


class _Source(NamedTuple):
    rank: int
    origin: str
    read: Callable[[], bytes]


def find_password(
    settings: Mapping[str, Given], url: Optional[Given] = None, url_password: Optional[str] = None
) -> Secret:
    """The password of the highest source that has one: the file, `KV_PASSWORD`, or an address.
    Raises `click.UsageError` when there are two in one source that differ."""
    sources = list(_sources(settings, url, url_password))
    if not sources:
        return Secret("", [])
    highest = max(source.rank for source in sources)
    first, *others = [source for source in sources if source.rank == highest]
    secret = _secret(first)
    for other in others:
        if _secret(other) != secret:
            raise click.UsageError(
                f"{first.origin} and {other.origin} give different passwords; leave one out"
            )
    return Secret(secret, list(_warnings(settings, first, secret)))


def _sources(
    settings: Mapping[str, Given], url: Optional[Given], url_password: Optional[str]
) -> List[_Source]:
    sources = []
    path = settings["password_file"]
    if path.value is not None:
        sources.append(_Source(path.rank, path.origin, lambda: _first_line(path.value)))
    variable = os.environ.get(VARIABLE, "")
    if variable:
        data = os.fsencode(variable)
        sources.append(_Source(ENVIRONMENT_RANK, VARIABLE, lambda: data))
    if url is not None and url_password:
        text = url_password.encode()
        sources.append(_Source(url.rank, url.origin, lambda: text))
    return sources


def _first_line(path: str) -> bytes:
    if path == _STANDARD_INPUT:
        return sys.stdin.readline().encode("utf-8", "surrogateescape") if sys.stdin else b""
    with open(path, "rb") as file:
        return file.readline()


def _secret(source: _Source) -> str:
    try:
        data = source.read()
        refuse_byte_order_mark(data)
        secret = data.partition(b"\n")[0].rstrip(b"\r").decode()
        check_password(secret)
    except OSError as error:
        raise click.UsageError(
            f"cannot read the password, {source.origin}: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError:
        raise click.UsageError(f"the password, {source.origin}, is not UTF-8") from None
    except ValueError as error:
        raise click.UsageError(f"the password, {source.origin}: {error}") from None
    if not secret:
        raise click.UsageError(f"the password, the first line of {source.origin}, is empty")
    return secret


def _warnings(settings: Mapping[str, Given], source: _Source, secret: str) -> List[str]:
    found = []
    if secret != secret.strip():
        found.append(f"the password, {source.origin}, begins or ends with blanks")
    path = settings["password_file"]
    if source.origin == path.origin and others_can_read(path.value):
        found.append(f"other users can read the password file {path.value}; chmod 600 it")
    return found


def check_key(
    settings: Mapping[str, Given],
    result: Mapping[str, Any],
    certificate_name: str = "tls_cert",
    key_name: str = "tls_key",
) -> List[str]:
    """What to warn of about the key of the certificate in `result`. Raises `click.UsageError` when
    there is none, or another one's."""
    certificate, key = result[certificate_name], result[key_name]
    if certificate is None:
        return []
    origins = [settings[certificate_name].origin]
    try:
        if key is None:
            pem.check_key(f"{origins[0]}, {certificate},", certificate)
        else:
            origins.append(settings[key_name].origin)
        pem.check_pair(" and ".join(origins), certificate, key)
    except ValueError as error:
        hint = f"; give --{key_name.replace('_', '-')}" if key is None else ""
        raise click.UsageError(f"{error}{hint}") from None
    path = key or certificate
    return [f"other users can read the key in {path}; chmod 600 it"] * others_can_read(path)


def others_can_read(path: str) -> bool:
    """Whether users that are neither the owner of a file nor of its group can read it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)
