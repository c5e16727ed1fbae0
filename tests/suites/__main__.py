"""Runs test suites of other projects against a server of ours, and prints what came of them.

Rule: a suite is fetched as its project publishes it, and never kept here. A test that needs a
command or a script that is not served is left out for that reason, by what the server told it; any
other that does not pass has failed.

    python -m tests.suites FOLDER [--short] [NAME ...]

FOLDER holds what is fetched, and a virtual environment of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import venv
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from xml.etree import ElementTree

from tests.support import running_server

PLUGINS = Path(__file__).parent / "plugins"
TOOLS = ("pytest", "pytest-asyncio", "pytest-mock", "pytest-timeout", "pytest-xprocess")
TEST_SECONDS = 20
SUITE_SECONDS = 900.0


class Suite(NamedTuple):
    """What is run: tests of a source distribution, with what they import."""

    package: str
    tests: Tuple[str, ...]
    needs: Tuple[str, ...] = ()
    options: Tuple[str, ...] = ()
    variables: Mapping[str, str] = {}
    is_django: bool = False


_REDIS_NEEDS = ("numpy", "xxhash", "aiohttp", "cryptography", "pybreaker", "redis-entraid")
_REDIS_FILES = (
    "commands",
    "connection_pool",
    "encoding",
    "lock",
    "pipeline",
    "pubsub",
    "scripting",
)

SUITES: Dict[str, Suite] = {
    "redis-py": Suite(
        "redis",
        tuple(f"tests/test_{name}.py" for name in _REDIS_FILES),
        _REDIS_NEEDS,
        ("--redis-url", "redis://127.0.0.1:{port}/9", "-m", "not redismod and not onlycluster"),
    ),
    "redis-py, asyncio": Suite(
        "redis",
        tuple(f"tests/test_asyncio/test_{name}.py" for name in _REDIS_FILES),
        _REDIS_NEEDS,
        ("--redis-url", "redis://127.0.0.1:{port}/9", "-m", "not redismod and not onlycluster"),
    ),
    "Django": Suite("Django", ("cache.tests.RedisCacheTests",), ("redis",), is_django=True),
    "cachelib": Suite("cachelib", ("tests/test_redis_cache.py",), ("redis",)),
    "dogpile.cache": Suite("dogpile.cache", ("tests/cache/test_redis_backend.py",), ("redis",)),
    "flask-caching": Suite(
        "flask-caching", ("tests/test_backend_cache.py",), ("redis",), ("-k", "RedisCache")
    ),
    "aiocache": Suite(
        "aiocache",
        ("tests/acceptance",),
        ("redis", "marshmallow"),
        ("-o", "asyncio_mode=auto", "-m", "not memcached", "-k", "redis"),
    ),
    "Celery's results": Suite(
        "celery",
        ("t/integration/test_redis_backend.py",),
        ("redis", "pydantic", "pytest-celery"),
        variables={"TEST_BROKER": "memory://", "TEST_BACKEND": "redis://127.0.0.1:{port}/1"},
    ),
}
DIFFERENCES = {
    "test_client_kill_filter_by_laddr": "CLIENT LIST does not tell the server's own address",
    "test_config_get_multi_params": "there are no settings of lists and hashes",
    "test_config_resetstat": "CONFIG RESETSTAT resets nothing",
    "test_command": "it wants more commands than are served",
    "test_command_count": "it wants more commands than are served",
    "test_command_getkeys": "it asks about SORT",
    "test_command_list": "it wants more commands than are served",
    "test_psync": "it wants a replica",
}
"""Tests that do not pass for a reason which the server does not tell."""

SHORT = {"cachelib": SUITES["cachelib"]._replace(options=("-k", "RedisCache-no_key_prefix"))}


class Outcome(NamedTuple):
    """How one test ended: `passed`, `failed`, or the reason why it is left out."""

    name: str
    result: str


# Where the tests come from.


def _python(folder: Path, suites: Sequence[Suite]) -> str:
    """The interpreter of an environment with what the suites need."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
    wanted = sorted({*TOOLS, *(each for s in suites for each in (s.package, *s.needs))})
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != "\n".join(wanted):
        _run([str(python), "-m", "pip", "install", "-qq", *wanted])
        mark.write_text("\n".join(wanted))
    return str(python)


def _source(folder: Path, python: str, package: str) -> Path:
    """The unpacked source distribution of the version that is installed."""
    shown = subprocess.check_output([python, "-m", "pip", "show", package], text=True)
    found = re.search(r"(?m)^Version: (.*)$", shown)
    assert found, f"{package} is not installed"
    target = folder / f"{package}-{found.group(1)}"
    if not target.exists():
        archives = folder / "archives" / package
        fetch = ["download", "-qq", "--no-deps", "--no-binary", ":all:"]
        wanted = f"{package}=={found.group(1)}"
        _run([python, "-m", "pip", *fetch, "-d", str(archives), wanted])
        (archive,) = archives.glob(f"*{found.group(1)}.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(target)
    (source,) = target.iterdir()
    return source


def _run(command: List[str]) -> None:
    subprocess.run(command, check=True, timeout=SUITE_SECONDS)


# How they are run.


def run(folder: Path, python: str, suite: Suite) -> List[Outcome]:
    """Runs a suite against a server of its own."""
    source = _source(folder, python, suite.package)
    with running_server() as server:
        path = f"{PLUGINS}:{source}" if suite.is_django else str(PLUGINS)
        variables = {
            "PYTHONPATH": path,
            "KV_SUITE_PORT": str(server.port),
            "DOGPILE_REDIS_PORT": str(server.port),
            "CI": "true",
            **{name: value.format(port=server.port) for name, value in suite.variables.items()},
        }
        environment = {**os.environ, **variables}
        if suite.is_django:
            return _run_django(source, python, suite, environment)
        options = [each.format(port=server.port) for each in suite.options]
        return _run_pytest(source, python, [*suite.tests, *options], environment)


def _run_pytest(
    source: Path, python: str, arguments: List[str], environment: Dict[str, str]
) -> List[Outcome]:
    report = source / "kv-report.xml"
    command = [
        *(python, "-m", "pytest", "-q", "--tb=native", "-p", "kv_redirect"),
        *("-o", "addopts=", "-o", "filterwarnings="),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
        *(f"--timeout={TEST_SECONDS}", f"--junitxml={report}", *arguments),
    ]
    with (source / "kv-output.txt").open("w") as output:
        subprocess.run(
            command,
            cwd=source,
            env=environment,
            stdout=output,
            stderr=output,
            timeout=SUITE_SECONDS,
        )
    return list(_read(report))


def _read(report: Path) -> Iterator[Outcome]:
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skipped = case.find("skipped")
        if skipped is not None:
            yield Outcome(name, f"skips itself: {skipped.get('message')}")
            continue
        wrong = [*case.findall("failure"), *case.findall("error")]
        text = "".join((each.get("message") or "") + (each.text or "") for each in wrong)
        test = str(case.get("name")).partition("[")[0]
        reason = _reason(text) or DIFFERENCES.get(test, "failed")
        yield Outcome(name, reason if wrong else "passed")


def _run_django(
    source: Path, python: str, suite: Suite, environment: Dict[str, str]
) -> List[Outcome]:
    arguments = ["--settings=kv_django", "--parallel=1", "-v", "2", *suite.tests]
    done = subprocess.run(
        [python, "runtests.py", *arguments],
        cwd=source / "tests",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_SECONDS,
    )
    (source / "kv-output.txt").write_text(done.stdout)
    results = re.findall(r"(?m) \.\.\. (ok|FAIL|ERROR|skipped .*)$", done.stdout)
    words = {"ok": "passed", "FAIL": "failed", "ERROR": "failed"}
    return [Outcome("", words.get(each, f"skips itself: {each}")) for each in results]


def _reason(text: str) -> Optional[str]:
    """Why a test that did not pass is left out, by what the server told it; None when it failed."""
    unknown = re.search(r"unknown (?:sub)?command '([^']*)'", text)
    if unknown:
        return f"{unknown.group(1).upper()} is not served"
    for words, reason in _REASONS.items():
        if words in text:
            return reason
    return None


_REASONS = {
    "there is no Lua here": "there is no Lua",
    "CONFIG SET is not here": "CONFIG SET is not served",
}


# What is told.


def table(results: Dict[str, List[Outcome]]) -> str:
    """What came of the suites, as a table."""
    lines = ["| suite | passed | failed | left out |", "|---|---|---|---|"]
    for name, outcomes in results.items():
        counts = Counter(outcome.result for outcome in outcomes)
        passed, failed = counts.pop("passed", 0), counts.pop("failed", 0)
        lines.append(f"| {name} | {passed} | {failed} | {sum(counts.values())} |")
    return "\n".join(lines)


def main() -> int:
    """The exit code is the number of tests that failed, 99 at most."""
    parser = argparse.ArgumentParser(prog="python -m tests.suites", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", action="store_true", help="a few tests that take seconds")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SUITES)}")
    options = parser.parse_args()
    suites = SHORT if options.short else SUITES
    suites = {name: suites[name] for name in options.names or suites}
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    python = _python(folder, list(suites.values()))
    results = {}
    for name, suite in suites.items():
        results[name] = outcomes = run(folder, python, suite)
        for outcome in outcomes:
            if outcome.result == "failed":
                print(f"{name}: {outcome.name} failed", flush=True)
        for reason, count in Counter(o.result for o in outcomes).most_common():
            if reason not in ("passed", "failed"):
                print(f"{name}: {count} left out: {reason}", flush=True)
    print(table(results))
    n_failed = sum(o.result == "failed" for outcomes in results.values() for o in outcomes)
    return min(n_failed, 99)


if __name__ == "__main__":
    sys.exit(main())
