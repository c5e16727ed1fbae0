"""Tells what a comparison found: as a table in plain text and as a page in Markdown.

The rule it keeps: both show the same cells, and a server without a number shows why it has none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.results import CaseResult, Comparison, Durability, Summary
from benchmarks.servers import SERVERS

NAMES = [server.name for server in SERVERS]

PAGE = """# Benchmarks

Made on {date} by

    {command}

on a machine with {cores} cores ({cpu}, {system}). Versions: {versions}.

## How it is measured

Each of {rounds} rounds starts new servers on the same machine for each size of values, fills them
with the same keys and lets them take turns: every case is run for {seconds:g} s on one server after
the other. A number is the median over the rounds. The load comes from `benchmarks/load.c`, one
thread that keeps every connection busy with requests for random keys and checks each reply; our
server is spoken to in JSON, and once more in RESP (`ours-resp`), greendb in its own form of
RESP, the others in RESP. redis and valkey save nothing; greendb, by its design, keeps its data in a
mapped file, which is not synced.

A case is named by its command (`x100`: one request holds 100 keys), the size of a value, the
connections (`c`) and the requests that a connection sends before it waits for their replies (`p`).
`/native` is our rate over that of the faster of redis and valkey, `/greendb` and `/fakeredis` are
our rate over theirs: above 1 our server is the faster one. `/resp` is its rate in JSON over that in
RESP.

![Ratios of the rates]({picture})

## Requests per second

{rates}

{remarks}

## Latency

The median and the 99th percentile, in microseconds, of the time from sending a connection's
pipeline to its last reply.

{latencies}
"""

DURABILITY = """
## Durability

SETs a second of values of 20 bytes, in memory alone and with each setting of `--fsync`
([durability.md](durability.md)), beside Redis with its append-only file, on {date} by

    {command}

in {rounds} rounds, each with new servers that take turns; a number is the median over the rounds.

{rates}

The medians of the ratios of these rates:

{ratios}

How long a start, a rewrite and a reader beside a slow disk take is in
[performance.md](performance.md#durability).
"""


def _rate(summary: Summary) -> str:
    return f"{summary.requests_per_second:,.0f}"


def _latency(summary: Summary) -> str:
    return f"{summary.p50_us:,.0f} / {summary.p99_us:,.0f}"


def _missing(result: CaseResult, name: str) -> str:
    return "failed" if name in result.failed else "absent"


def _rate_rows(comparison: Comparison) -> list[list[str]]:
    heads = ["case", *NAMES, *(f"/{label}" for label in results.RIVALS)]
    return [heads, *(_rate_row(result) for result in comparison.cases)]


def _rate_row(result: CaseResult) -> list[str]:
    rates = [
        _rate(result.servers[name]) if name in result.servers else _missing(result, name)
        for name in NAMES
    ]
    quotients = [
        f"{result.ratios[label]:.2f}" if label in result.ratios else "-" for label in results.RIVALS
    ]
    return [result.name, *rates, *quotients]


def _latency_rows(comparison: Comparison) -> list[list[str]]:
    return [["case", *NAMES], *(_latency_row(result) for result in comparison.cases)]


def _latency_row(result: CaseResult) -> list[str]:
    cells = [
        _latency(result.servers[name]) if name in result.servers else _missing(result, name)
        for name in NAMES
    ]
    return [result.name, *cells]


def remarks(comparison: Comparison) -> list[str]:
    """Sentences on what the table cannot show."""
    absent = [f"{name} is absent: {reason}." for name, reason in comparison.absent.items()]
    failed = [
        f"{name} failed at {result.name}: {reason}."
        for result in comparison.cases
        for name, reason in result.failed.items()
    ]
    return [*absent, *failed, _generator_remark(comparison)]


def _generator_remark(comparison: Comparison) -> str:
    shares = [
        summary.generator_cpu for result in comparison.cases for summary in result.servers.values()
    ]
    return f"The load generator used at most {max(shares, default=0):.0%} of one core."


def plain_table(comparison: Comparison) -> str:
    """The rates and ratios for a terminal."""
    return aligned(_rate_rows(comparison))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a table for a terminal, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(_padded(row, widths)) for row in rows)


def _padded(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    yield row[0].ljust(widths[0])
    for cell, width in zip(row[1:], widths[1:], strict=True):
        yield cell.rjust(width)


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    heads, *body = rows
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *body))


def page(comparison: Comparison, picture: str) -> str:
    """The page in Markdown, with a link to `picture`."""
    return PAGE.format(
        date=comparison.date,
        command=comparison.command,
        **comparison.machine,
        versions=", ".join(f"{name} {text}" for name, text in comparison.versions.items()),
        rounds=comparison.rounds,
        seconds=comparison.seconds,
        picture=picture,
        rates=_markdown_table(_rate_rows(comparison)),
        remarks="\n".join(f"- {remark}" for remark in remarks(comparison)),
        latencies=_markdown_table(_latency_rows(comparison)),
    )


def durability(found: Durability) -> str:
    """The section of what durability costs."""
    names = list(dict.fromkeys(name for case in found.cases for name in case.rates))
    ratios = list(dict.fromkeys(name for case in found.cases for name in case.ratios))
    rows = [(case.name, case.rates, case.ratios) for case in found.cases]
    rates = [[name, *(f"{each[of]:,.0f}" for of in names)] for name, each, _ in rows]
    quotients = [[name, *(f"{each[of]:.2f}" for of in ratios)] for name, _, each in rows]
    return DURABILITY.format(
        date=found.date,
        command=found.command,
        rounds=found.rounds,
        rates=_markdown_table([["", *names], *rates]),
        ratios=_markdown_table([["", *ratios], *quotients]),
    )


def main() -> None:
    """Write the page that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path, help="the JSON file of a comparison")
    parser.add_argument("page", type=Path, help="the Markdown file to write")
    parser.add_argument("--picture", default="benchmarks.svg", help="its picture, as linked")
    parser.add_argument("--durable", type=Path, help="the JSON file of `benchmarks.durable rates`")
    options = parser.parse_args()
    text = page(results.read(options.results, Comparison), options.picture)
    if options.durable:
        text += durability(results.read(options.durable, Durability))
    options.page.write_text(text)


if __name__ == "__main__":
    main()
