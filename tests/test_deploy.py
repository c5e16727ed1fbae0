"""The files to deploy with: what they start must start, with options that there are."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from entrypoints.server.__main__ import main as server_program
from tests.certificates import Files
from tests.support import ROOT, TIMEOUT, Server, environment, kv, running_server

DEPLOY = ROOT / "docs" / "deploy"
BIN = Path(sys.executable).parent


def instructions() -> List[Tuple[str, str]]:
    """The Containerfile's lines, each cut at its first space; continued ones are put together."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_containerfile_uses_existing_options() -> None:
    last = dict(instructions())
    assert json.loads(last["ENTRYPOINT"]) == ["kv-server"]
    settings = server_program.make_context("kv-server", json.loads(last["CMD"])).params
    assert settings["host"] == "0.0.0.0"
    assert last["EXPOSE"] == str(settings["port"])
    health = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    assert health == ["python", "/opt/kvjson/healthcheck.py"]
    assert last["USER"] != "root"


def test_the_containerfile_copies_files_that_are_in_the_checkout() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    taken = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    assert [name for name in taken if not (ROOT / name).exists()] == []
    assert {"hatch_build.py", "pyproject.toml", "domain", "entrypoints"} <= {*taken}


def health_of(server: Server, **variables: str) -> int:
    """The exit code of the container's health check."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(DEPLOY / "healthcheck.py")],
        env=environment(KV_PORT=str(server.port), **variables),
        timeout=TIMEOUT,
    ).returncode


class TestHealth:
    def test_a_server_is_healthy_with_and_without_a_password(self, server: Server) -> None:
        assert health_of(server) == 0
        with running_server(KV_PASSWORD="secret") as guarded:
            assert health_of(guarded) == 0

    def test_a_server_that_speaks_tls_is_well(self, files: Files) -> None:
        certificate, key = files.server
        settings = ("--tls-cert", certificate, "--tls-key", key)
        with running_server(*settings) as server:
            assert health_of(server) == 0
            assert health_of(server, KV_TLS_CERT=certificate) == 0
        with running_server(*settings, "--tls-client-ca", files.authority) as server:
            assert health_of(server, KV_TLS_CERT=certificate) == 0

    def test_a_server_that_ended_or_does_not_answer_is_unhealthy(self) -> None:
        with running_server() as server:
            server.stop()
            assert health_of(server) == 1
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            assert health_of(server._replace(port=port)) == 1


def unit(name: str = "kvjson.service") -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's page says
    parser.read(DEPLOY / name)
    return parser


def settings_of(config: Path) -> Dict[str, object]:
    return server_program.make_context("kv-server", ["--config", str(config)]).params


def test_the_sample_settings_are_settings(tmp_path: Path, files: Files) -> None:
    sample = DEPLOY / "kv-server.toml"
    settings = settings_of(sample)
    assert (settings["max_memory"], settings["max_clients"]) == (512 << 20, 10_000)
    everything = tmp_path / "everything.toml"
    lines = [line for line in sample.read_text().splitlines() if not line.startswith("host")]
    text = re.sub(r"^# (?=\w+ = )", "", "\n".join(lines), flags=re.MULTILINE)
    everything.write_text(text.replace("/etc/kvjson/", f"{tmp_path}/"))
    (tmp_path / "password").write_text("secret\n")
    for name, source in (
        ("cert.pem", files.server.certificate),
        ("key.pem", files.server.key),
        ("clients.pem", files.authority),
    ):
        shutil.copy(source, tmp_path / name)
    settings = settings_of(everything)
    assert settings["tls_client_ca"] == str(tmp_path / "clients.pem")
    assert (settings["host"], settings["idle_timeout"]) == ("0.0.0.0", 600.0)


def test_the_systemd_unit_uses_existing_options() -> None:
    config = str(DEPLOY / "kv-server.toml")
    command = unit()["Service"]["ExecStart"].replace("/etc/kvjson/kv-server.toml", config)
    program, *arguments = shlex.split(command)
    assert program.endswith("/bin/kv-server")
    settings = server_program.make_context("kv-server", arguments).params
    assert (settings["max_memory"], settings["log_format"]) == (512 << 20, "json")
    assert unit()["Service"]["Type"] == "notify"


@pytest.mark.parametrize("name", ["kvjson.service", "kvjson-tls.conf"])
def test_the_units_variables_are_settings(name: str) -> None:
    options = {option.name for option in server_program.params}
    for line in (DEPLOY / name).read_text().splitlines():
        if line.startswith("Environment=KV_"):
            assert line.partition("KV_")[2].partition("=")[0].lower() in options


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
@pytest.mark.parametrize("tls", [False, True])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, tls: bool) -> None:
    text = (DEPLOY / "kvjson.service").read_text().replace("/opt/kvjson/bin", str(BIN))
    copy = tmp_path / "kvjson.service"
    copy.write_text(text)
    if tls:
        (tmp_path / "kvjson.service.d").mkdir()
        shutil.copy(str(DEPLOY / "kvjson-tls.conf"), str(tmp_path / "kvjson.service.d"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    complaints = [line for line in done.stderr.splitlines() if "kvjson" in line]
    assert complaints == []


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not here")
def test_the_recipe_for_a_certificate_makes_one_that_the_programs_take(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^(openssl req .*?)^kv-server", text, re.MULTILINE | re.DOTALL)
    subprocess.run(recipe, shell=True, check=True, cwd=tmp_path, capture_output=True)
    certificate = str(tmp_path / "cert.pem")
    settings = ("--tls-cert", certificate, "--tls-key", str(tmp_path / "key.pem"))
    with running_server(*settings) as server:
        done = kv(server.port, "--tls", "--tls-ca", certificate, "PING")
        assert (done.stdout, done.stderr) == ('"PONG"\n', "")
