"""How long something lasts, as people type it: `90`, `1.5`, `30s`, `5m`, `1h30m`, `2d`."""

from __future__ import annotations

import math
import re
from typing import Any, Optional

import click

from entrypoints.client.param_type import ParamType

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_NUMBER = re.compile(r"[-+.e0-9]+")


def seconds_of(text: str) -> float:
    """The seconds that a text stands for; raises `ValueError` when it is not a duration."""
    compact = re.sub(r"\s+", "", text.lower())
    parts = _PART.findall(compact)
    if parts and "".join(map("".join, parts)) == compact:
        return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    seconds = float(compact)
    if not math.isfinite(seconds) or not _NUMBER.fullmatch(compact):
        raise ValueError(text)
    return seconds


class Duration(ParamType):
    """A number of seconds, or numbers with units."""

    name = "duration"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> float:
        try:
            return seconds_of(str(value))
        except ValueError:
            return self.fail(
                f"{value!r:.100} is not a duration such as 90, 30s, 5m, 1h30m or 2d", param, ctx
            )
