"""What the programs' settings have in common.

Rule: a setting is one option of a command line, and everything else follows from it: the
environment variable `KV_` and its name, the entry of the same name in the TOML file named by
`--config`, and its validation. The command line wins over the environment, that over the file,
that over the default.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Callable, Dict, Optional, TypeVar

import click

from entrypoints.address import settings_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

F = TypeVar("F", bound=Callable[..., object])

CONTEXT = {
    "auto_envvar_prefix": "KV",
    "show_default": True,
    "help_option_names": ["-h", "--help"],
}
"""Click's settings for a program that has settings."""

FILE = click.Path(exists=True, dir_okay=False)
"""The type of an option that names a file to read."""

_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def number_of_bytes(size: str) -> int:
    """The bytes that a size such as `512mb` or `1000000` stands for; a kb is 1,024 of them."""
    found = re.fullmatch(r"(\d+)\s*([kmg]?b?)", str(size).strip().lower())
    if not found or found.group(2) not in _UNITS:
        raise click.BadParameter(f"{size!r} is not a size such as 512mb")
    return int(found.group(1)) * _UNITS[found.group(2)]


def address(url: str) -> Dict[str, Any]:
    """The settings that an address such as `kv://127.0.0.1:7379` stands for."""
    try:
        return settings_of(url)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _read(context: click.Context, parameter: click.Parameter, path: Optional[str]) -> None:
    if path is None:
        return
    try:
        with open(path, "rb") as file:
            settings: Dict[str, Any] = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"{path}: {error}", context, parameter) from error
    known = {option.name for option in context.command.params if option.expose_value}
    for name in settings.keys() - known:
        raise click.BadParameter(f"{path}: no setting is called {name!r}", context, parameter)
    context.default_map = settings


def config_option(command: F) -> F:
    """Gives a command `--config FILE`, a TOML file of settings by their names."""
    return click.option(
        "--config",
        type=FILE,
        callback=_read,
        is_eager=True,
        expose_value=False,
        help="A TOML file of settings, by the names below with _ for -.",
    )(command)


def password_file_option(help: str) -> Callable[[F], F]:
    """Gives a command `--password-file FILE`, for `read_password`."""
    return click.option("--password-file", type=FILE, help=help)


def read_password(path: Optional[str]) -> str:
    """The first line of the file, or else what `KV_PASSWORD` is set to; empty when there is none.

    It is no option, since everybody sees the options of a process.
    """
    if path is None:
        return os.environ.get("KV_PASSWORD", "")
    try:
        with open(path, encoding="utf-8") as file:
            password = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read the password: {error}") from error
    if not password:
        raise click.UsageError(f"{path}: the first line, the password, is empty")
    return password
