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


def test_protocols_are_compared() -> None:
    shown = run("benchmarks.protocols", "--rounds", "1", "--only", "20 B p1$")
    for command in ("GET", "SET", "MGET", "MSET"):
        assert f"\n{command} 20 B p1 " in shown


def test_eviction_is_compared() -> None:
    shown = run("benchmarks.eviction", "--requests", "5000")
    assert "Zipf(1.0) with scans" in shown


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")
def test_servers_are_compared_and_absent_ones_named() -> None:
    short = ["--quick", "--rounds", "1", "--seconds", "0.1"]
    shown = run("benchmarks.compare", *short, "--only", "^GET 20 B c50 p1$")
    assert "GET 20 B c50 p1" in shown
    assert "ours" in shown


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="Redis is the engine")
def test_programs_with_an_engine_are_compared() -> None:
    shown = run("benchmarks.engines", "direct", "--rounds", "1", "--seconds", "0.02")
    assert "\nMGET of 100: " in shown


@pytest.mark.skipif(
    None in map(shutil.which, ("redis-server", "redis-cli", "cc")), reason="it makes a cluster"
)
def test_servers_before_an_engine_are_compared_and_a_cluster_grows(long: bool) -> None:
    if not long:
        pytest.skip("it takes half a minute")
    shown = run("benchmarks.engines", "servers", "--rounds", "1", "--seconds", "0.3", "--most", "1")
    assert "\nSET, 48 connections: one server before an engine 1.00, " in shown
    shown = run("benchmarks.engines", "growth", "--seconds", "0.3", "--slots", "30")
    assert "to add a primary and move 30 slots" in shown
