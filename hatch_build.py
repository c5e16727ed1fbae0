"""Puts the layers under `kvjson` on their way into the wheel.

Rule: the wheel installs one top-level name. In the checkout the layers import one another by the
names they have there (`from domain.errors import KvError`); what is installed says
`from kvjson.domain.errors import KvError` and is otherwise the same, line by line. What cannot be
rewritten with certainty fails the build. The tests that run against an installed wheel go through
the same function: `python hatch_build.py FOLDER tests` writes them to a folder.
"""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, NoReturn, Tuple, Union

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "kvjson"
LAYERS = ("domain", "application", "adapters", "entrypoints")
FACADE = Path("entrypoints", PACKAGE)
"""The files that are the top of the installed package."""

_ROOT = Path(__file__).parent
_ANY = "|".join(LAYERS).encode()
_PATH = re.compile(rb"(?<![\w./])(?:(?:%b)(\.\w+)+|(?<=from )(?:%b)(?= import ))" % (_ANY, _ANY))
_BARE = re.compile(rb"\bimport (?:%b)\b(?!\.)" % _ANY)
_FROM = re.compile(rb"from[ \t]+(?=\w)")
_DYNAMIC = ("__import__", "import_module", "run_module", "find_spec", "resolve_name")


class CannotRewrite(Exception):
    """The installed form of a statement is not certain; the message says where it is."""


def rewrite(source: str, name: str) -> str:
    """The installed form of a module's source; `name` is the file that errors name.

    Imports are found in the syntax tree; module paths in strings (`-m entrypoints.server`, the
    target of a patch) by their spelling, where the checkout has such a module.
    """
    module = _Module(source, name)
    data = module.data
    for position in sorted(module.positions(), reverse=True):
        data = data[:position] + f"{PACKAGE}.".encode() + data[position:]
    return data.decode()


class _Module:
    """A module's source, and where in it the package's name has to be put in."""

    def __init__(self, source: str, name: str) -> None:
        self.data = source.encode()
        self._name = name
        self._tree = ast.parse(source, name)
        lines = self.data.splitlines(keepends=True)
        self._starts = list(itertools.accumulate(map(len, lines), initial=0))

    def positions(self) -> Iterator[int]:
        """Offsets into `data`, in no order."""
        for node in _nodes(self._tree):
            if isinstance(node, ast.Import):
                self._check_import(node)
            elif isinstance(node, ast.ImportFrom):
                yield from self._in_import(node)
            elif isinstance(node, ast.Call):
                self._check_call(node)
            elif isinstance(node, (ast.JoinedStr, ast.Constant)) and _is_text(node):
                yield from self._in_text(node)

    def _check_import(self, node: ast.Import) -> None:
        for alias in node.names:
            if _root(alias.name) in LAYERS:
                self._refuse(node, f"`import {alias.name}` binds a layer; use `from ... import`")

    def _check_call(self, node: ast.Call) -> None:
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if called in _DYNAMIC:
            self._refuse(node, f"`{called}` imports a module whose name is not known here")

    def _in_import(self, node: ast.ImportFrom) -> Iterator[int]:
        if node.level:
            self._refuse(node, "a relative import; imports begin with the layer")
        if _root(node.module or "") in LAYERS:
            found = _FROM.match(self.data, self._offset(node.lineno, node.col_offset))
            if not found:
                self._refuse(node, "the module's name is not on the line of its `from`")
            yield found.end()

    def _in_text(self, node: ast.expr) -> Iterator[int]:
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno or 0, node.end_col_offset or 0)
        text = self.data[start:end]
        if _BARE.search(text):
            self._refuse(node, "a string imports a layer by its name")
        for found in _PATH.finditer(text):
            if found.group(1) is None or _exists(found.group().decode()):
                yield start + found.start()

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _refuse(self, node: Union[ast.stmt, ast.expr], why: str) -> NoReturn:
        raise CannotRewrite(f"{self._name}:{node.lineno}: {why}")


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node outside of f-strings; inside of them Python 3.11 and older know no positions."""
    yield tree
    if not isinstance(tree, ast.JoinedStr):
        for child in ast.iter_child_nodes(tree):
            yield from _nodes(child)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), (str, bytes))


def _root(module: str) -> str:
    return module.partition(".")[0]


def _exists(path: str) -> bool:
    """Whether a dotted path begins with the path of a module."""
    folder = _ROOT.joinpath(*path.split(".")[:2])
    return folder.is_dir() or folder.with_suffix(".py").exists()


def installed_files() -> Iterator[Tuple[Path, Path]]:
    """The files of the wheel's package: where each is, and where it goes."""
    for layer in LAYERS:
        for path in _files(_ROOT / layer):
            relative = path.relative_to(_ROOT)
            if FACADE in relative.parents:
                yield path, Path(PACKAGE, relative.relative_to(FACADE))
            elif path.name != "py.typed":  # one at the top speaks for all below it
                yield path, PACKAGE / relative


def _files(folder: Path) -> List[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def put(path: Path, target: Path) -> None:
    """Write the installed form of a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".py":
        text = rewrite(path.read_text(encoding="utf-8"), str(path.relative_to(_ROOT)))
        target.write_text(text, encoding="utf-8")
    else:
        shutil.copyfile(str(path), str(target))


class CustomBuildHook(BuildHookInterface[Any]):
    """What hatchling runs before and after it packs a wheel."""

    def initialize(self, version: str, build_data: Dict[str, Any]) -> None:
        """Name the files to pack; an editable install has the layers' folder on its path."""
        self._folder = tempfile.TemporaryDirectory()
        if version == "editable":
            build_data["force_include_editable"][str(_ROOT / FACADE)] = PACKAGE
            return
        for path, place in installed_files():
            target = Path(self._folder.name, place)
            put(path, target)
            build_data["force_include"][str(target)] = place.as_posix()

    def finalize(self, version: str, build_data: Dict[str, Any], artifact_path: str) -> None:
        """Remove the rewritten files."""
        self._folder.cleanup()


def main(folder: str, *sources: str) -> None:
    """Write the installed form of files and folders of the checkout under `folder`."""
    for source in sources:
        start = _ROOT / source
        for path in [start] if start.is_file() else _files(start):
            put(path, Path(folder, path.relative_to(_ROOT)))


if __name__ == "__main__":
    main(*sys.argv[1:])
