"""Every example in the documentation, run as a reader would run it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Dict, List

import gevent.socket
import pytest
from dependency_injector.providers import List as List_
from dependency_injector.providers import Singleton

from adapters import protocols
from adapters.protocols.first_bytes import FirstBytes
from application.commands import NAMES
from application.commands.documents import ConditionFailed
from application.executor import LocalExecutor
from application.json_patch import PatchConflict
from domain import errors
from domain.effects import Observable
from domain.store import Maintained, Store
from entrypoints.server import container as wiring
from tests.model import ModelStore
from tests.support import (
    ROOT,
    TIMEOUT,
    Clock,
    Server,
    answer,
    environment,
    new_session,
    running_server,
    server_container,
    serving,
)

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


RUN_AS_THEY_ARE = ("python.md", "redis.md")


def blocks(language: str, pages: List[Path] = PAGES) -> List[Any]:
    """The fenced blocks of a language, each named by where it stands."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(
            rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL
        ):
            line = text.count("\n", 0, block.start()) + 1
            found.append(pytest.param(textwrap.dedent(block.group(1)), id=f"{page.name}:{line}"))
    return found


@pytest.mark.parametrize("block", blocks("jsonl"))
def test_a_protocol_example_gets_the_documented_reply(block: str) -> None:
    session = new_session()
    lines = block.splitlines()
    for asked, expected in zip(lines[::2], lines[1::2]):
        assert (asked[:2], expected[:2]) == ("> ", "< ")
        reply = answer(session, [asked[2:].encode() + b"\n"]).decode()
        if expected.endswith("..."):
            assert reply.startswith(expected[2:-3])
        else:
            assert json.loads(reply) == json.loads(expected[2:])
    assert len(lines) % 2 == 0


@pytest.mark.parametrize("block", blocks("console"))
def test_a_shell_session_prints_the_documented_output(server: Server, block: str) -> None:
    scripts = str(Path(sys.executable).parent)
    variables = environment(
        KV_PORT=str(server.port), PATH=f"{scripts}{os.pathsep}{os.environ['PATH']}"
    )
    block = block.replace("localhost:7379", f"localhost:{server.port}")
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        typed, _, expected = step.partition("\n")
        done = subprocess.run(
            typed,
            shell=True,
            capture_output=True,
            encoding="utf-8",
            env=variables,
            timeout=TIMEOUT,
        )
        assert (typed, done.stdout + done.stderr) == (typed, expected)


@pytest.mark.parametrize(
    "block",
    blocks("python", [ROOT / "README.md", *(ROOT / "docs" / name for name in RUN_AS_THEY_ARE)]),
)
def test_a_python_example_runs(server: Server, block: str) -> None:
    program = "import warnings; warnings.simplefilter('ignore', ResourceWarning)\n"
    program += block.replace("7379", str(server.port))
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=TIMEOUT)


@pytest.mark.parametrize("block", blocks("python", [ROOT / "README.md"]))
def test_an_example_of_the_readme_can_be_run_again(server: Server, block: str) -> None:
    for _ in range(2):
        program = block.replace("7379", str(server.port))
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=TIMEOUT)


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node.js")
def test_a_program_on_node_shares_keys_with_json_clients(server: Server, tmp_path: Path) -> None:
    (block,) = blocks("js", [ROOT / "docs" / "redis.md"])
    fetch = ["npm", "install", "--silent", "--no-fund", "--no-audit", "redis"]
    if subprocess.run(fetch, cwd=tmp_path, timeout=TIMEOUT).returncode:
        pytest.skip("npm cannot fetch the client")
    program = block.values[0].replace("7379", str(server.port))
    printed = subprocess.check_output(
        ["node", "-e", program], cwd=tmp_path, text=True, timeout=TIMEOUT
    )
    assert printed == "hello 41\n"
    reply = json.loads(server.ask(b'{"type":"GET","key":"user:1"}\n'))
    assert reply["result"] == {"name": "Ada", "langs": ["en"]}


def test_the_command_that_is_added_as_an_example_works() -> None:
    record, test = (block.values[0] for block in blocks("python", [ROOT / "docs/add-a-command.md"]))
    names: Dict[str, Any] = {"__name__": "example"}
    exec(test, names)
    exec(record, names)  # whose command takes the place of the one that the test imported
    names["test_existing_is_being_there"](LocalExecutor(ModelStore(Clock())))


def test_the_protocol_that_is_added_as_an_example_is_served_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs/add-a-protocol.md"
    (codec,) = (block.values[0] for block in blocks("python", [page]))
    importing, entry = (block.values[0] for block in blocks("text", [page]))
    (tmp_path / "say.py").write_text(codec, encoding="utf-8")
    monkeypatch.setattr(protocols, "__path__", [*protocols.__path__, str(tmp_path)])
    container = server_container()
    names = {**vars(wiring), "limits": container.limits}
    exec(importing, names)
    del sys.modules["adapters.protocols.say"]
    added = eval(f"dict({entry})", names)
    served_protocols = [*container.protocols.args[0].kwargs.values(), *added.values()]
    container.protocols.override(Singleton(FirstBytes, List_(*served_protocols)))
    with serving(container) as address, gevent.socket.create_connection(address) as sock:
        sock.sendall(b'{"type":"SET","key":"k","value":[1]}\n')
        assert sock.recv(100) == b'{"ok":true,"result":true}\n'
        with gevent.socket.create_connection(address) as other:
            for byte in b"SAY k\r\nSING\r\nSAY none\r\n":
                other.sendall(bytes((byte,)))
            reply = b""
            while reply.count(b"\n") < 3:
                reply += other.recv(100)
            assert reply == b"[1]\r\n?\r\n.\r\n"


def test_the_program_that_swaps_a_part_runs_in_the_checkout(tmp_path: Path) -> None:
    (block,) = blocks("python", [ROOT / "docs" / "swap-a-part.md"])
    program = tmp_path / "counting.py"
    program.write_text(block.values[0], encoding="utf-8")
    with running_server(program=[sys.executable, str(program)]) as server:
        server.ask(b'{"type":"MSET","items":{"a":1,"b":2}}\n{"type":"MDELETE","keys":["a","c"]}\n')
        assert server.stop() == 0
        assert server.process.stdout
        assert server.process.stdout.read() == "1 keys were removed\n"


def test_the_engine_that_is_added_as_an_example_keeps_its_keys_in_the_checkout(
    tmp_path: Path,
) -> None:
    (block,) = blocks("python", [ROOT / "docs" / "add-an-engine.md"])
    (tmp_path / "server.py").write_text(
        block.values[0].replace('"kv.db"', repr(str(tmp_path / "kv.db"))), encoding="utf-8"
    )
    shutil.copy(ROOT / "docs" / "engines" / "sqlite_store.py", tmp_path)
    program = [sys.executable, str(tmp_path / "server.py")]
    with running_server(program=program) as server:
        server.ask(
            b'{"type":"MSET","items":{"k":[1.50],"gone":1}}\n{"type":"DELETE","key":"gone"}\n'
        )
        assert server.stop() == 0
    assert [path.name for path in tmp_path.glob("kv.db*")] == ["kv.db"]
    with running_server(program=program) as server:
        reply = server.ask(b'{"type":"MGET","keys":["k","gone"]}\n{"type":"FLUSH"}\n')
        assert reply == b'{"ok":true,"result":{"k":[1.50]}}\n{"ok":true,"result":1}\n'
        assert server.stop() == 0


def test_the_members_of_a_store_are_explained_to_those_who_add_an_engine() -> None:
    page = (ROOT / "docs" / "add-an-engine.md").read_text(encoding="utf-8")
    for port in (Store, Maintained, Observable):
        for name in (name for name in vars(port) if not name.startswith("_")):
            assert re.search(rf"`{name}\b", page), f"{port.__name__}.{name} is missing"


def test_every_command_is_explained_with_an_example_and_listed_in_the_readme() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert f"\n### {name}\n" in protocol
        assert f'> {{"type":"{name}"' in protocol
        assert f"`{name}" in readme


def test_every_code_of_an_error_is_explained() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    codes = {kind.code for kind in vars(errors).values() if hasattr(kind, "code")}
    assert "UNAVAILABLE" in codes
    assert {code for code in codes if f"| `{code}` |" not in protocol} == set()
    http = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    own = {ConditionFailed.code, PatchConflict.code, "NOT_FOUND"}
    assert {code for code in own if f"| `{code}` |" not in http} == set()


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
