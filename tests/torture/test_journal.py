"""A data directory under load, with its server killed again and again."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Callable, Dict, Sequence

import pytest

from tests.support import SERVER, running_server
from tests.test_journal_process import REWRITING, Writers, loaded_server


@pytest.mark.parametrize("program", [SERVER, REWRITING], ids=["plain", "rewriting"])
def test_kills_under_load_lose_nothing_acknowledged(
    tmp_path: Path, program: Sequence[str], seconds: float, tell: Callable[..., None]
) -> None:
    where = str(tmp_path / "d")
    acknowledged: Dict[str, int] = {}
    chance = random.Random(1)
    end = time.monotonic() + seconds
    kills = 0
    while time.monotonic() < end:
        with running_server("--data-dir", where, program=program) as server:
            writers = Writers(server, first=max(acknowledged.values(), default=0) + 1)
            writers.wait_for(chance.randrange(1, 2000))
            server.stop(9)
            acknowledged.update(writers.join())
            kills += 1
        with loaded_server(where) as ask:
            for name, count in acknowledged.items():
                assert ask(b'{"type":"GET","key":"%s"}\n' % name.encode()) >= count
    tell(kills=kills, writes=sum(acknowledged.values()))
