"""What `pip install` gives, tried away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT, TIMEOUT, environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents and nothing else of ours."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=TIMEOUT)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_programs_run_from_the_wheel_alone(installed: Path) -> None:
    program = (
        "import runpy, sys; import domain; "
        f"assert domain.__file__.startswith({str(installed)!r}), domain.__file__; "
        "sys.argv[1:] = ['--version']; runpy.run_module(sys.argv[0], run_name='__main__')"
    )
    for module in ("entrypoints.server", "entrypoints.client"):
        done = subprocess.run(
            [sys.executable, "-c", program.replace("sys.argv[0]", repr(module))],
            cwd=installed,
            env=environment(PYTHONPATH=str(installed)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "version" in done.stdout


def test_the_wheel_has_the_scripts_and_says_that_it_is_typed(installed: Path) -> None:
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    scripts = entry_points.read_text()
    assert "kv = entrypoints.client.__main__:main" in scripts
    assert "kv-server = entrypoints.server.__main__:main" in scripts
    packages = {path.name for path in installed.iterdir() if path.is_dir()}
    for layer in ("domain", "application", "adapters", "entrypoints", "kvjson"):
        assert layer in packages
        assert (installed / layer / "py.typed").exists()
    assert "tests" not in packages


def test_the_library_is_imported_by_its_short_name_from_the_wheel_alone(installed: Path) -> None:
    program = (
        "import kvjson, entrypoints; "
        f"assert kvjson.__file__.startswith({str(installed)!r}), kvjson.__file__; "
        f"assert entrypoints.__file__.startswith({str(installed)!r}), entrypoints.__file__; "
        "client = kvjson.Client.local(); client['k'] = b'x'; print(client['k'])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=installed,
        env=environment(PYTHONPATH=str(installed)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert (done.stdout, done.stderr) == ("b'x'\n", "")
    assert (installed / "kvjson" / "__init__.py").exists()
