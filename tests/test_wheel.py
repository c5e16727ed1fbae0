"""The wheel: what it installs, tried away from the checkout, and how the layers get under `kvjson`.

`make test-wheel` runs the other tests against an installed wheel.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import List

import pytest

import hatch_build
from hatch_build import FACADE, LAYERS, CannotRewrite, installed_files, rewrite
from tests.support import ROOT, TIMEOUT, environment


def build(source: Path, target: str, folder: Path) -> Path:
    """The one file that hatchling makes of a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution's files."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, "sdist", folder / "dist")) as archive:
        # Early releases of 3.8 to 3.11 have no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    (source,) = folder.glob("kvjson-*")
    return source


@pytest.fixture(scope="module")
def installed(unpacked: Path) -> Path:
    """A folder with the contents of the wheel that the source distribution makes."""
    with zipfile.ZipFile(build(unpacked, "wheel", unpacked.parent / "wheel")) as archive:
        archive.extractall(unpacked.parent / "site")
    return unpacked.parent / "site"


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    (file,) = installed.glob("*.dist-info/METADATA")
    return Parser().parsestr(file.read_text(encoding="utf-8"))


def run(installed: Path, cwd: Path, *arguments: str) -> str:
    """What Python prints, with the wheel's contents installed; fails if there is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env=environment(PYTHONPATH=f"{cwd}:{installed}"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


USE = """
import sys
import kvjson
assert kvjson.__file__.startswith(INSTALLED), kvjson.__file__
with kvjson.Client.local() as client:
    client["k"] = b"x"
    print(client["k"])
"""


def use(installed: Path) -> str:
    return USE.replace("INSTALLED", repr(str(installed)))


class TestInstalled:
    def test_the_wheel_holds_one_name(self, installed: Path) -> None:
        names = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
        assert names == {"kvjson"}
        inside = {path.name for path in (installed / "kvjson").iterdir()}
        assert inside == {"__init__.py", "__main__.py", "server.py", "py.typed", *LAYERS}

    def test_no_module_needs_a_layer_under_its_name_in_the_checkout(self, installed: Path) -> None:
        program = (
            "import pkgutil, sys\n"
            f"sys.modules.update(dict.fromkeys({LAYERS!r}))\n"  # importing these raises
            "import kvjson\n"
            "for module in pkgutil.walk_packages(kvjson.__path__, 'kvjson.'):\n"
            "    __import__(module.name)\n"
            "    print(module.name)\n"
        )
        names = run(installed, installed, "-c", program).split()
        assert {"kvjson.server", "kvjson.domain.memory", "kvjson.entrypoints.library"} <= {*names}

    @pytest.mark.parametrize("module", ["kvjson", "kvjson.server", "kvjson.entrypoints.server"])
    def test_the_programs_run(self, installed: Path, module: str) -> None:
        assert "version" in run(installed, installed, "-m", module, "--version")

    def test_the_scripts_point_into_the_wheel(self, installed: Path) -> None:
        (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
        for line in entry_points.read_text().splitlines()[1:]:
            module, _, function = line.partition(" = ")[2].partition(":")
            program = f"import sys, {module}; sys.argv[1:] = ['--version']; {module}.{function}()"
            assert "version" in run(installed, installed, "-c", program)

    @pytest.mark.parametrize("name", LAYERS)
    def test_a_program_with_a_package_named_as_a_layer_imports_kvjson(
        self, installed: Path, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
        (tmp_path / name / "model.py").write_text(use(installed))
        (tmp_path / "main.py").write_text(f"from {name} import MINE, model\nassert MINE\n")
        assert run(installed, tmp_path, "main.py") == "b'x'\n"
        assert "version" in run(installed, tmp_path, "-m", "kvjson.server", "--version")

    @pytest.mark.parametrize("name", LAYERS)
    def test_a_program_named_as_a_layer_imports_kvjson(
        self, installed: Path, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / f"{name}.py").write_text(use(installed))
        assert run(installed, tmp_path, f"{name}.py") == "b'x'\n"

    def test_the_programs_start_without_the_library(self, installed: Path) -> None:
        program = "import sys, kvjson.__main__; print('kvjson.entrypoints.library' in sys.modules)"
        assert run(installed, installed, "-c", program) == "False\n"

    def test_the_public_names_of_the_wheel_are_those_of_the_library(self, installed: Path) -> None:
        program = (
            "import kvjson; from kvjson import *\n"
            "assert {*kvjson.__all__, '__version__'} == {*dir(kvjson)}\n"
            "assert all(getattr(kvjson, name) is globals()[name] for name in kvjson.__all__)\n"
            "assert not hasattr(kvjson, 'no_such_name')\n"
            "print(kvjson.__version__)"
        )
        assert run(installed, installed, "-c", program).strip() == importlib.metadata.version(
            "kvjson"
        )


class TestMetadata:
    def test_the_wheel_has_the_licence(self, metadata: Message, installed: Path) -> None:
        (licence,) = installed.glob("*.dist-info/licenses/LICENSE")
        assert licence.read_text() == (ROOT / "LICENSE").read_text()
        assert metadata["License-Expression"] == "MIT"

    def test_the_metadata_names_python_versions_and_typing(self, metadata: Message) -> None:
        classifiers = metadata.get_all("Classifier", [])
        assert metadata["Requires-Python"] == ">=3.8"
        for minor in range(8, 14):
            assert f"Programming Language :: Python :: 3.{minor}" in classifiers
        assert "Typing :: Typed" in classifiers

    def test_the_metadata_has_the_urls(self, metadata: Message) -> None:
        named = {line.partition(", ")[0] for line in metadata.get_all("Project-URL", [])}
        assert named == {"Homepage", "Documentation", "Changelog", "Issues"}


def test_the_source_distribution_has_what_the_checks_need(unpacked: Path) -> None:
    for name in ("hatch_build.py", "Makefile", ".ci/run", "LICENSE", "docs", "tests"):
        assert (unpacked / name).exists(), name


def test_an_editable_install_has_the_checkout_on_its_path(tmp_path: Path) -> None:
    wheel = build(ROOT, "wheel:editable", tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (path,) = tmp_path.glob("*.pth")
    assert path.read_text().splitlines() == [str(ROOT)]
    for file in (ROOT / FACADE).glob("*.*"):
        assert (tmp_path / "kvjson" / file.name).read_bytes() == file.read_bytes()


class TestRewrite:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("from domain.errors import KvError", "from kvjson.domain.errors import KvError"),
            ("from adapters import logs as l", "from kvjson.adapters import logs as l"),
            ("def f():\n    from  domain.a import (\n  b\n)", None),
            ("é = 'é'; from domain.errors import KvError", None),
            ("from application_of_mine import domain", ""),
            ("import json.decoder\nfrom os import path", ""),
            ("run('-m', 'entrypoints.server')", "run('-m', 'kvjson.entrypoints.server')"),
            ("patch('domain.memory.STEP', 1)", "patch('kvjson.domain.memory.STEP', 1)"),
            ("f'{x} entrypoints.server'", "f'{x} kvjson.entrypoints.server'"),
            ("'é' 'from domain import errors'", "'é' 'from kvjson.domain import errors'"),
            ("'see domain/memory.py'", ""),
            ("'application.yaml', 'my.domain.memory', 'domain'", ""),
            ("domain.errors(1)  # domain.errors", ""),
        ],
    )
    def test_the_rewrite_prefixes_imports_of_layers_and_module_paths_in_strings(
        self, source: str, expected: str
    ) -> None:
        if expected is None:
            expected = source.replace("domain", "kvjson.domain")
        assert rewrite(source, "x.py") == (expected or source)

    @pytest.mark.parametrize(
        "source",
        [
            "import domain",
            "import os, adapters.logs",
            "import application.limits as limits",
            "from . import errors",
            "from \\\n domain.errors import KvError",
            "__import__('domain')",
            "importlib.import_module(name)",
            "run('import domain; domain.x')",
        ],
    )
    def test_the_rewrite_refuses_uncertain_imports_and_names_the_line(self, source: str) -> None:
        with pytest.raises(CannotRewrite, match=r"^x\.py:2: "):
            rewrite(f"pass\n{source}\n", "x.py")

    def test_a_build_fails_on_what_cannot_be_rewritten(self, unpacked: Path) -> None:
        module = unpacked / "domain" / "bad.py"
        module.write_text("import domain.errors\n")
        try:
            with pytest.raises(AssertionError, match=r"CannotRewrite: domain/bad.py:1: "):
                build(unpacked, "wheel", unpacked.parent / "none")
        finally:
            module.unlink()


def python_files() -> List[Path]:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.name != Path(__file__).name]
    return [path for path, _ in installed_files() if path.suffix == ".py"] + sorted(tests)


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_can_be_rewritten(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    lines = rewrite(source, path.name).splitlines()
    assert [line.replace("kvjson.", "") for line in lines] == [
        line.replace("kvjson.", "") for line in source.splitlines()
    ]


def test_the_tests_go_through_the_same_function(tmp_path: Path) -> None:
    hatch_build.main(str(tmp_path), "tests/support.py", "tests/fuzz/samples", "README.md")
    support = (tmp_path / "tests" / "support.py").read_text(encoding="utf-8")
    assert "from kvjson.domain.memory import InMemoryStore\n" in support
    assert '"-m", "kvjson.entrypoints.server"' in support
    assert (tmp_path / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    assert any((tmp_path / "tests" / "fuzz" / "samples" / "server").iterdir())
