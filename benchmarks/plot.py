"""Draws the ratios of a comparison as horizontal bars, one group for each case.

The rule it keeps: the axis is logarithmic and every bar starts at 1.0, so that twice as fast and
half as fast are the same distance away; the colours are told apart by colour-blind readers too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from benchmarks import results
from benchmarks.results import Comparison

matplotlib.rcParams["svg.hashsalt"] = "benchmarks"

SERIES = {
    "native": ("the faster of redis and valkey", "#0072b2"),
    "greendb": ("greendb", "#e69f00"),
    "fakeredis": ("fakeredis", "#009e73"),
}
BAR_HEIGHT = 0.27
INCHES_PER_CASE = 0.55
FRAME_INCHES = 1.8
WIDTH_INCHES = 9.0


def draw(comparison: Comparison) -> Figure:
    """The picture of a comparison."""
    height = FRAME_INCHES + INCHES_PER_CASE * len(comparison.cases)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    axes = figure.subplots()
    for place, label in enumerate(SERIES):
        _draw_series(axes, comparison, place, label)
    _dress(axes, comparison)
    return figure


def _draw_series(axes: Axes, comparison: Comparison, place: int, label: str) -> None:
    title, colour = SERIES[label]
    found = [
        (number + (place - 1) * BAR_HEIGHT, result.ratios[label])
        for number, result in enumerate(comparison.cases)
        if label in result.ratios
    ]
    heights = [height for height, _ in found]
    widths = [ratio - 1 for _, ratio in found]
    bars = axes.barh(heights, widths, BAR_HEIGHT, left=1, color=colour, label=f"over {title}")
    texts = [f"{ratio:.2f}" for _, ratio in found]
    axes.bar_label(bars, texts, padding=3, fontsize=8)


def _dress(axes: Axes, comparison: Comparison) -> None:
    axes.set_xscale("log")
    axes.margins(x=0.08, y=0.01)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(comparison.cases)), [result.name for result in comparison.cases])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("our requests per second over theirs (right of 1x: ours is faster)")
    axes.figure.legend(loc="outside upper center", ncols=len(SERIES), frameon=False)


def main() -> None:
    """Draw the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("results", type=Path, help="the JSON file of a comparison")
    parser.add_argument("picture", type=Path, help="the picture to write, by its ending: .svg")
    options = parser.parse_args()
    metadata = {"Date": None} if options.picture.suffix == ".svg" else None
    draw(results.read(options.results, Comparison)).savefig(
        options.picture, metadata=metadata, dpi=110
    )


if __name__ == "__main__":
    main()
