"""The files to deploy with: what they start must start, with options that there are."""

from __future__ import annotations

import configparser
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from entrypoints.server.__main__ import main as server_program
from tests.support import ROOT, TIMEOUT

DEPLOY = ROOT / "docs" / "deploy"
BIN = Path(sys.executable).parent


def instructions() -> List[Tuple[str, str]]:
    """The Containerfile's lines, each cut at its first space; continued ones are put together."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_starts_the_server_with_options_that_there_are() -> None:
    last = dict(instructions())
    assert json.loads(last["ENTRYPOINT"]) == ["kv-server"]
    settings = server_program.make_context("kv-server", json.loads(last["CMD"])).params
    assert settings["host"] == "0.0.0.0"
    assert last["EXPOSE"] == str(settings["port"])
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2]) == ["kv", "ping"]
    assert last["USER"] != "root"


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's page says
    parser.read(DEPLOY / "kvjson.service")
    return parser


def test_the_unit_starts_the_server_with_options_that_there_are(tmp_path: Path) -> None:
    config = tmp_path / "kvjson.toml"
    config.write_text("max_clients = 100\n")
    command = unit()["Service"]["ExecStart"].replace("/etc/kvjson/kvjson.toml", str(config))
    program, *arguments = shlex.split(command)
    assert program.endswith("/bin/kv-server")
    assert server_program.make_context("kv-server", arguments).params["max_clients"] == 100
    assert unit()["Service"]["Type"] == "notify"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "kvjson.service").read_text().replace("/opt/kvjson/bin", str(BIN))
    copy = tmp_path / "kvjson.service"
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    complaints = [line for line in done.stderr.splitlines() if "kvjson.service" in line]
    assert complaints == []
