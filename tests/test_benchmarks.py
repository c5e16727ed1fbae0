"""The benchmarks run: a short round of each, so that they cannot rot."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT, TIMEOUT, environment

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the benchmarks are for the newest Pythons"
)


def run(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_are_timed_in_process() -> None:
    shown = run("benchmarks.in_process", "--repeats", "1", "--keys", "2000")
    for name in ("GET", "SET", "MGET", "MSET"):
        assert f"\n{name} " in shown


def test_eviction_is_compared() -> None:
    shown = run("benchmarks.eviction", "--requests", "5000")
    assert "Zipf(1.0) with scans" in shown


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")
def test_servers_are_compared_and_absent_ones_named() -> None:
    short = ["--quick", "--rounds", "1", "--seconds", "0.1"]
    shown = run("benchmarks.compare", *short, "--only", "^GET 20 B c50 p1$")
    assert "GET 20 B c50 p1" in shown
    assert "ours" in shown
