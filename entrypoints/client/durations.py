"""How long something lasts, as people type it: `90`, `1.5`, `30s`, `5m`, `1h30m`, `2d`."""

from __future__ import annotations

import math
from typing import Any, Optional

import click

from entrypoints.param_type import ParamType
from entrypoints.settings.units import TIMES, number_of


class Duration(ParamType):
    """A number of seconds, or numbers with units."""

    name = "duration"

    def convert(
        self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]
    ) -> float:
        seconds = number_of(str(value), TIMES)
        if seconds is None or not math.isfinite(seconds):
            what = "a duration such as 90, 30s, 5m, 1h30m or 2d"
            return self.fail(f"{value!r:.100} is not {what}", param, ctx)
        return float(seconds)
