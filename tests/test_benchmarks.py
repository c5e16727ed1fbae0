"""The benchmarks run: a short round of each, so that they cannot rot."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

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


def test_the_page_is_what_the_report_makes_of_the_results(tmp_path: Path) -> None:
    docs, page = ROOT / "docs", tmp_path / "page.md"
    durable = "--durable", str(docs / "durable.json")
    run("benchmarks.report", str(docs / "benchmarks.json"), str(page), *durable)
    assert page.read_text() == (docs / "benchmarks.md").read_text()


@pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator needs a C compiler")
def test_settings_of_durability_are_compared(long: bool) -> None:
    if not long:
        pytest.skip("it takes half a minute")
    pytest.importorskip("psutil")
    shown = run("benchmarks.durable", "rates", "--rounds", "1", "--seconds", "0.5")
    assert shown.count("  everysec / memory: ") == 4


def test_two_checkouts_are_served_by_one_process() -> None:
    from benchmarks.against import _serving  # written for the newest Pythons

    with _serving([ROOT, ROOT]) as (pid, ports):
        assert pid > 0
        assert len(set(ports)) == 2
        replies = []
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
                sock.sendall(b'{"type":"SET","key":"%d","value":1}\n{"type":"COUNT"}\n' % port)
                with sock.makefile("rb") as lines:
                    replies.append([lines.readline() for _ in range(2)])
    assert replies == [[b'{"ok":true,"result":true}\n', b'{"ok":true,"result":1}\n']] * 2


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
