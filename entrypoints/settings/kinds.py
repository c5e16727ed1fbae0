"""What one setting can be: a number in a range, a host, an address, a file.

Rule: a value out of range is refused here, whatever its source: nan, infinity, a negative
time-out, true for a number, a file that begins with a byte order mark, a key file without a key.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Type, Union

import click

from entrypoints.address import ListenAddress, parse_place
from entrypoints.engine_address import EngineAddress, parts_of

if TYPE_CHECKING:
    Kind = click.ParamType[Any]
else:
    Kind = click.ParamType  # not generic in every version of click

_NUMBER = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([a-z]*)", re.IGNORECASE
)
_MAX_DIGITS = 30

_TIMES: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES: Mapping[str, float] = {
    "b": 1,
    "k": 1 << 10,
    "kb": 1 << 10,
    "m": 1 << 20,
    "mb": 1 << 20,
    "g": 1 << 30,
    "gb": 1 << 30,
}


class Number(Kind):
    """A finite number from `lowest` to `highest`, or 0 if `zero`; text may have a unit."""

    def __init__(
        self,
        name: str,
        lowest: float,
        highest: float,
        kind: Type[Union[int, float]] = int,
        units: Mapping[str, float] = {},
        zero: bool = False,
        like: str = "",
    ) -> None:
        self.name = name
        self.lowest, self.highest, self.zero = lowest, highest, zero
        self._kind, self._units, self._like = kind, units, like

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Union[int, float]:
        """The number that a text, or a number of a settings file, stands for."""
        number = self._number(value)
        if number is None or (isinstance(number, float) and self._kind is int):
            what = "a whole number" if self._kind is int else "a number"
            self.fail(
                f"{value!r} is not {what}{self._like and f' such as {self._like}'}", param, ctx
            )
        if not (self.lowest <= number <= self.highest or (self.zero and number == 0)):
            self.fail(f"{value!r} is not {self.range}", param, ctx)
        return self._kind(number)

    @property
    def range(self) -> str:
        """In words, which numbers it takes."""
        return f"{'0, or ' if self.zero else ''}from {self.lowest} to {self.highest}"

    def _number(self, value: Any) -> Optional[Union[int, float]]:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            return value
        found = _NUMBER.fullmatch(str(value).strip())
        if not found or len(found.group(1)) > _MAX_DIGITS:
            return None
        unit = found.group(2).lower()
        factor = self._units.get(unit) if unit else 1
        if factor is None:
            return None
        digits = found.group(1)
        return factor * (int(digits) if digits.lstrip("+-").isdigit() else float(digits))


MAX_SECONDS = 2_000_000
"""23 days; the system's own time-outs end a little later."""

SECONDS = Number("seconds", 0, MAX_SECONDS, float, _TIMES, like="30, 0.5 or 5m")
KEEPALIVE = Number("seconds", 1, 32767, int, _TIMES, zero=True, like="300 or 5m")
REPLICAS = Number("n", 0, 100)
COUNT = Number("n", 1, 2**31)
SIZE = Number("size", 1, 2**50, int, _SIZES, like="1000000 or 512mb")
SIZE_OR_NONE = Number("size", 1, 2**50, int, _SIZES, zero=True, like="512mb")
PORT = Number("port", 1, 65535)
PORT_OR_ANY = Number("port", 0, 65535)


def size(number: int) -> str:
    """A number of bytes as short as `SIZE` takes it back."""
    for unit, factor in (("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)):
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


class Host(Kind):
    """A host's name or address, without a port."""

    name = "host"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> str:
        """The host, the brackets of an IPv6 address removed."""
        try:
            host, port = parse_place(value)
        except ValueError:
            self.fail(f"{value!r} is not a host's name or address", param, ctx)
        if port is not None:
            self.fail(f"{value!r} has a port; give it by itself", param, ctx)
        return host


class Url(Kind):
    """A client's address, such as `kv://127.0.0.1:7379`; no message quotes it."""

    name = "url"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Dict[str, Any]:
        """The settings that it stands for, as `parts_of` returns them."""
        if isinstance(value, dict):
            return value
        try:
            return parts_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Engine(Kind):
    """The address of an engine, such as `redis://127.0.0.1:6379`; no message quotes it."""

    name = "url"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> EngineAddress:
        """The address as a value."""
        if isinstance(value, EngineAddress):
            return value
        try:
            return EngineAddress.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Listen(Kind):
    """An address to listen on; several in a variable have blanks or commas in between."""

    name = "address"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> ListenAddress:
        """The address as a value."""
        if isinstance(value, ListenAddress):
            return value
        try:
            return ListenAddress.parse(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)

    def split_envvar_value(self, rv: str) -> List[str]:
        """The addresses in a variable."""
        return re.findall(r"[^\s,]+", rv)


FILE = click.Path(exists=True, dir_okay=False, readable=True)
"""A file to read."""

_BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def refuse_byte_order_mark(start: bytes) -> None:
    """Raise `ValueError` if what a file begins with is a byte order mark."""
    if start.startswith(_BYTE_ORDER_MARKS):
        raise ValueError("it begins with a byte order mark; save it without one")


class PemFile(click.Path):
    """A PEM file that holds one of some things, each named by the end of its first line."""

    def __init__(self, what: str, labels: Sequence[bytes]) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True)
        self._what, self._labels = what, tuple(labels)

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> Any:
        """The path, once the file holds what it should."""
        path = os.fsdecode(super().convert(value, param, ctx))
        try:
            found = pem_labels(path)
        except (OSError, ValueError) as error:
            self.fail(f"{path}: {getattr(error, 'strerror', None) or error}", param, ctx)
        if not any(label.endswith(self._labels) for label in found):
            self.fail(f"{path} holds no {self._what} in PEM form", param, ctx)
        return path


def pem_labels(path: str) -> List[bytes]:
    """What a PEM file holds, such as `PRIVATE KEY`. Raises `OSError`, and `ValueError` for a byte
    order mark or a key that is protected by a password, which TLS would ask the terminal for."""
    with open(path, "rb") as file:
        data = file.read()
    refuse_byte_order_mark(data)
    if b"ENCRYPTED" in data and b"PRIVATE KEY" in data:
        raise ValueError("its key is protected by a password; give a key that is not")
    return re.findall(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", data, re.MULTILINE)


CERTIFICATE = PemFile("certificate", [b"CERTIFICATE"])
KEY = PemFile("private key", [b"PRIVATE KEY"])
