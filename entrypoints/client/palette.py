"""The colours of the client, the same for what is typed and for what is printed.

Rule: colours are names of the terminal's own palette, on its own background, so that each theme
shows them as it can be read, light or dark. Blue and yellow are left out: the one is too dark on
black, the other too light on white. Keys and commands are told apart by weight alone.
"""

from __future__ import annotations

import sys
from typing import IO, Dict, List, Optional, Tuple

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.style import Style
from rich.text import Text
from rich.theme import Theme

STYLES: Dict[str, str] = {
    "json.key": "bold default",
    "json.str": "green",
    "json.number": "magenta",
    "json.bool_true": "magenta",
    "json.bool_false": "magenta",
    "json.null": "magenta",
    "json.brace": "none",
    "bar.back": "dim",
    "bar.complete": "green",
    "bar.finished": "green",
    "progress.remaining": "none",
    "kv.command": "bold",
    "kv.option": "cyan",
    "kv.quoted": "green",
    "kv.broken": "red",
    "kv.error": "bold red",
    "kv.note": "dim",
    "kv.heading": "bold underline",
}

LONGEST_HIGHLIGHTED = 64 * 1024
"""Characters; colouring takes a second for a few megabytes."""


def console(stderr: bool = False, file: Optional[IO[str]] = None) -> Console:
    """A console with our styles that folds and marks up nothing by itself."""
    out = file or (sys.stderr if stderr else sys.stdout)
    return Console(
        file=out,
        theme=Theme(STYLES, inherit=True),
        soft_wrap=True,
        highlight=False,
        markup=False,
        emoji=False,
        safe_box=True,
        legacy_windows=False,
    )


def json_text(text: str) -> Text:
    """JSON in colour, when it is not too long."""
    shown = Text(text)
    if len(text) <= LONGEST_HIGHLIGHTED:
        JSONHighlighter().highlight(shown)
    return shown


def fragments(text: Text, shown_by: Console) -> List[Tuple[str, str]]:
    """A text as prompt_toolkit takes it."""
    return [
        (_prompt_style(segment.style), segment.text) for segment in text.render(shown_by, end="")
    ]


def _prompt_style(style: Optional[Style]) -> str:
    if style is None:
        return ""
    names = [name for name in ("bold", "dim", "underline") if getattr(style, name)]
    if style.color is not None and not style.color.is_default:
        names.append(f"ansi{style.color.name}")
    return " ".join(names)
