"""What one setting can be: a number in a range, a host, an address, a file.

Rule: a value out of range is refused here, whatever its source: nan, infinity, a negative
time-out, true for a number, a file that begins with a byte order mark, a key file without a key.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, List, Optional, Sequence, Type, Union

import click

from application.limits import MAX_KEEPALIVE
from entrypoints.address import ListenAddress, parse_host
from entrypoints.engine_address import EngineAddress, parts_of
from entrypoints.param_type import ParamType, Parsed
from entrypoints.settings import ranges
from entrypoints.settings.pem import check_certificates, check_key
from entrypoints.settings.ranges import Range
from entrypoints.settings.units import NONE, SIZES, TIMES, Units, number_of


class Number(ParamType):
    """A number in a range; text may have a unit."""

    def __init__(
        self,
        name: str,
        range: Range,
        kind: Type[Union[int, float]] = int,
        units: Units = NONE,
        like: str = "",
    ) -> None:
        self.name = name
        self._range, self._kind, self._units, self._like = range, kind, units, like

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Union[int, float]:
        """The number that a text, or a number of a settings file, stands for."""
        number = self._number(value)
        if number is None or (isinstance(number, float) and self._kind is int):
            what = "a whole number" if self._kind is int else "a number"
            self.fail(
                f"{value!r:.100} is not {what}{self._like and f' such as {self._like}'}", param, ctx
            )
        if not self._range.holds(number):
            self.fail(f"{value!r:.100} is not {self._range}", param, ctx)
        return self._kind(number)

    def _number(self, value: Any) -> Optional[Union[int, float]]:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            return value
        return number_of(str(value), self._units)


def seconds(range: Range = ranges.SECONDS) -> Number:
    """A number of seconds, which may have a unit."""
    return Number("seconds", range, float, TIMES, like="30, 0.5 or 5m")


SECONDS = seconds()
REPLICAS = Number("n", Range(0, 100))
KEEPALIVE = Number("seconds", Range(1, MAX_KEEPALIVE, zero=True), int, TIMES, like="300 or 5m")
COUNT = Number("n", ranges.COUNT)
SIZE = Number("size", ranges.SIZE, int, SIZES, like="1000000 or 512mb")
SIZE_OR_NONE = Number("size", ranges.SIZE._replace(zero=True), int, SIZES, like="512mb")
PORT = Number("port", ranges.PORT)
PORT_OR_ANY = Number("port", ranges.PORT._replace(zero=True))


def size(number: int) -> str:
    """A number of bytes as short as `SIZE` takes it back."""
    for unit, factor in (("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


HOST = Parsed("host", parse_host, "{value!r:.100} is not a host's name or address: {error}")

URL = Parsed("url", parts_of)
"""A client's address, such as `kv://127.0.0.1:7379`, as the settings that it stands for."""

ENGINE = Parsed("url", EngineAddress.parse)


class _Listen(Parsed):
    """An address to listen on; several in a variable have blanks or commas in between."""

    def split_envvar_value(self, rv: str) -> List[str]:
        """The addresses in a variable."""
        return re.findall(r"[^\s,]+", rv)


LISTEN = _Listen("address", ListenAddress.parse, "{value!r:.100}: {error}")


class TrueOrFalse(click.types.BoolParamType):
    """What click takes for a boolean; its own error lists that, an empty text first."""

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> bool:
        """Whether a text stands for true."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r:.100} is not true or false", param, ctx)


class Names(ParamType):
    """Names separated by commas, each one of those that are `known`, or of a pattern."""

    def __init__(
        self, name: str, known: Sequence[str] = (), pattern: str = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
    ) -> None:
        self.name = name
        self._known = known
        self._is_one = re.compile(pattern).fullmatch

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Sequence[str]:
        """The names."""
        if not isinstance(value, str):
            return tuple(value)
        names = tuple(re.findall(r"[^\s,]+", value))
        for name in names:
            if name not in self._known if self._known else not self._is_one(name):
                one = f"one of {', '.join(self._known)}" if self._known else f"legal in {self.name}"
                self.fail(f"{name!r:.100} is not {one}", param, ctx)
        return names


ORIGIN = r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
"""An origin as browsers tell it: without a path."""

FILE = click.Path(exists=True, dir_okay=False, readable=True)
"""A file to read."""


class PemFile(click.Path):
    """A PEM file; `check` raises `ValueError`, in which it is named, when TLS cannot use it."""

    def __init__(self, check: Callable[[str, str], None]) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True)
        self._check = check

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        """The path, once the file holds what it should."""
        path = os.fsdecode(super().convert(value, param, ctx))
        try:
            self._check(path, path)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return path


CERTIFICATE, KEY = PemFile(check_certificates), PemFile(check_key)
