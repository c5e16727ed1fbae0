"""The log, when clients cause many records, and when it is not read."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.support import running_server
from tests.torture.peers import TELLER, client_of, eventually, request, strictly, with_changes

SOON = with_changes("import adapters.logs; adapters.logs.RATE_PERIOD = 0.5")
"""Tells what it left out after half a second in place of ten, so that this takes no longer."""


@pytest.mark.timing
def test_a_thousand_bad_clients_make_a_few_records_that_count_the_others(
    tmp_path: Path, tell: TELLER
) -> None:
    log = tmp_path / "log"
    settings = ("--log-format", "json", "--log-level", "debug")
    with log.open("w") as stderr, running_server(*settings, program=SOON, stderr=stderr) as server:
        for number in range(1000):
            server.ask(b"[hello %d\n" % number)
        time.sleep(0.5)
        server.ask(b"one more\n")
        eventually(lambda: "left_out" in log.read_text())
        assert server.stop() == 0
    records = [strictly(line) for line in log.read_bytes().splitlines()]
    left_out = sum(record.get("left_out", 0) for record in records)
    refused = [record for record in records if record["event"] == "refused a client"]
    tell(records=len(records), left_out=left_out)
    for record in records:
        assert record.keys() >= {"time", "level", "event"}
    assert len(records) < 60
    assert left_out + len(refused) == 1001
    assert "hello" not in log.read_text()


def test_a_log_that_is_not_read_does_not_stop_the_server_from_serving(tell: TELLER) -> None:
    reader, writer = os.pipe()
    talkative = with_changes("import adapters.logs; adapters.logs.RATE_LIMIT = 10**9")
    try:
        with running_server(program=talkative, stderr=writer) as server:
            started = time.monotonic()
            for _ in range(5000):
                with client_of(server) as client:
                    client.send(b"[hello\n")
                    assert client.code() == "BAD_JSON"
            took = time.monotonic() - started
            assert server.ask(request("PING")) == b'{"ok":true,"result":"PONG"}\n'
        tell(refused=5000, seconds=f"{took:.1f}", unread=f"{len(os.read(reader, 1 << 20))} bytes")
    finally:
        os.close(reader)
        os.close(writer)
