"""The figures as Prometheus reads them, by its own tool where there is one, and the dashboard."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator, Set

import httpx
import pytest

from adapters.protocols.http.metrics import FIGURES, value_at
from application.limits import Limits
from application.stats import EngineReport, Histogram, JournalReport, Report, ServerStats, Times
from domain.store import Stats
from tests.support import ROOT, TIMEOUT, Clock, Server, running_server
from tests.torture.peers import eventually

PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server all of whose figures are there, and some of whose are not 0."""
    folder = tmp_path_factory.mktemp("data")
    with running_server("--data-dir", str(folder), "--max-memory", "100mb") as server:
        server.ask(b'{"type":"SET","key":"k","value":1}\n{"type":"GET","key":"k"}\n{"type":"X"}\n')
        yield server


def exposition(server: Server) -> str:
    answer = httpx.get(f"http://127.0.0.1:{server.port}/metrics", timeout=TIMEOUT)
    assert answer.status_code == 200
    return answer.text


def families(text: str) -> Set[str]:
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}


def test_every_figure_is_there(measured: Server) -> None:
    text = exposition(measured)
    assert 'kvjson_commands_total{command="GET",protocol="json"} 1.0' in text
    assert 'kvjson_errors_total{code="UNKNOWN_COMMAND"} 1.0' in text
    assert 'kvjson_loop_lag_seconds_bucket{le="+Inf"}' in text
    assert 'kvjson_turn_seconds_bucket{le="+Inf"}' in text
    assert 'kvjson_journal_fsync_seconds_bucket{le="0.001"}' in text
    assert 'kvjson_journal_fsync_seconds_bucket{le="3.0"}' in text
    assert {"kvjson_journal_frames_total", "kvjson_memory_used_bytes"} <= families(text)


def test_syncs_of_the_journal_are_counted_with_their_seconds(measured: Server) -> None:
    found = dict(
        re.findall("^kvjson_journal_fsync_seconds_(count|sum) (.+)", exposition(measured), re.M)
    )
    assert float(found["count"]) >= 1
    assert 0 < float(found["sum"]) < TIMEOUT


def test_the_path_of_each_figure_leads_somewhere_in_a_report_with_all_parts() -> None:
    journal = JournalReport(
        fsync="always",
        loading=False,
        rewriting=False,
        full=False,
        size=1,
        snapshot=1,
        frames=1,
        durable_frames=1,
        waiting=1,
        since_durable=1.0,
        since_rewrite=None,
        fsyncs=Times().histogram(),
    )
    engine = EngineReport("valkey", "9.0.0", "master", 1)
    stats = ServerStats("1.0", Limits(), Clock(), lambda: 1, lambda: journal, lambda: engine)
    report = stats.report(Stats(1, memory=1, max_memory=1))
    assert [figure for figure in FIGURES if value_at(figure.path, report) is None] == []


def test_a_figure_of_a_part_that_a_report_lacks_is_left_out() -> None:
    report = Report(Stats(1))
    assert value_at("keyspace.keys", report) == 1
    assert value_at("keyspace.memory", report) is None
    assert value_at("journal.fsyncs", report) is None


def test_times_are_counted_up_to_their_bounds() -> None:
    times = Times((0.5, 2.0))
    for seconds in (0.25, 0.5, 0.75, 2.0, 3.0):
        times.note(seconds)
    assert times.histogram() == Histogram({"0.5": 2, "2": 2, "more": 1}, 6.5)


def test_bytes_that_are_kept_for_clients_are_counted(measured: Server) -> None:
    def kept() -> float:
        return float(re.findall("^kvjson_client_buffers_bytes (.+)", exposition(measured), re.M)[0])

    with measured.connect() as client:
        client.sendall(b'{"type":"SET","key":"k","value":"' + b"x" * 5000)
        eventually(lambda: 5000 < kept() < 10_000)
    eventually(lambda: kept() == 0)


def test_commands_are_counted_by_protocol(measured: Server) -> None:
    def counted(protocol: str) -> float:
        pattern = rf'kvjson_commands_total\{{command="(?!INFO)[^"]+",protocol="{protocol}"\}} (.+)'
        return sum(map(float, re.findall(pattern, exposition(measured))))

    protocols = ("json", "resp", "http")
    before = list(map(counted, protocols))
    measured.ask(b'{"type":"INCR","key":"k"}\n')
    measured.ask(b"INCR k\r\nINCR k\r\n")
    for path, body in (("/v1/commands", '{"type":"INCR","key":"k"}'), ("/", '["INCR","k"]')) * 2:
        url = f"http://127.0.0.1:{measured.port}{path}"
        headers = {"Content-Type": "application/json"}
        assert httpx.post(url, content=body, headers=headers, timeout=TIMEOUT).status_code == 200
    after = list(map(counted, protocols))
    assert [now - then for now, then in zip(after, before)] == [1, 2, 4]


def test_the_dashboard_shows_figures_that_there_are(measured: Server) -> None:
    known = families(exposition(measured))
    dashboard = json.loads((ROOT / "docs" / "deploy" / "grafana.json").read_text())
    shown = re.findall(r"kvjson_\w+", json.dumps(dashboard["panels"]))
    assert shown
    assert {*shown} - known == set()
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len({*ids}) == len(ids)


@pytest.mark.skipif(not PROMTOOL, reason="there is no promtool here")
def test_promtool_finds_no_fault(measured: Server) -> None:
    assert PROMTOOL
    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"],
        input=exposition(measured),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@pytest.mark.skipif(not PROMETHEUS, reason="there is no Prometheus here")
def test_prometheus_scrapes_the_server(measured: Server, tmp_path: Path) -> None:
    assert PROMETHEUS
    (tmp_path / "prometheus.yml").write_text(
        "scrape_configs:\n"
        "  - job_name: kvjson\n"
        "    scrape_interval: 200ms\n"
        "    scrape_timeout: 200ms\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{measured.port}']}}]\n"
    )
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    program = [PROMETHEUS, f"--config.file={tmp_path}/prometheus.yml"]
    program += [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address={address}"]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with process:
        try:
            assert _value_of(address, "kvjson_keys") == "1"
        finally:
            process.terminate()


def _value_of(address: str, metric: str) -> str:
    """What Prometheus knows of a metric, as soon as it does."""
    for _ in range(int(TIMEOUT / 0.1)):
        time.sleep(0.1)
        try:
            url = f"http://{address}/api/v1/query"
            found = httpx.get(url, params={"query": metric}, timeout=TIMEOUT).json()
        except (httpx.TransportError, ValueError):
            continue
        if found["data"]["result"]:
            return str(found["data"]["result"][0]["value"][1])
    raise AssertionError(f"Prometheus knows no {metric}")
