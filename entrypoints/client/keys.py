"""Keys by their prefix: all of them, or as many as can be found in the time of a key press.

Rule: a scan is followed to its end, since a page may be empty before it. Completion never fails and
never waits long: without a reply there are no keys to offer.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from typing import Callable, Iterator, List, Optional

import click
import msgspec
from click.shell_completion import CompletionItem

from application.commands import Scan
from application.ports import Executor
from domain.errors import KvError
from entrypoints.client.output import chosen_style, failure, show_lines, style_options
from entrypoints.client.target import Target
from entrypoints.client.values import Text

PAGE = 1000
MAX_COMPLETIONS, COMPLETION_TIMEOUT = 50, 0.15
"""How many keys are offered for completion, and seconds to look for them."""


def keys_with(executor: Executor, prefix: str, page: int = PAGE) -> Iterator[List[str]]:
    """The keys that begin so, page by page."""
    cursor: Optional[str] = None
    while True:
        found = executor.execute(Scan(prefix=prefix, cursor=cursor, limit=page))
        yield found.keys
        cursor = found.cursor
        if cursor is None:
            return


def some_keys(
    executor: Executor, prefix: str, clock: Callable[[], float] = time.monotonic
) -> List[str]:
    """Up to `MAX_COMPLETIONS` keys that begin so, in order, of those that are found in time; where
    there may be more, `prefix` before them: what those have in common, the others may not have."""
    end = clock() + COMPLETION_TIMEOUT
    found: List[str] = []
    try:
        for keys in keys_with(executor, prefix):
            found += keys
            if len(found) > MAX_COMPLETIONS or clock() >= end:
                break
        else:
            return sorted(found)
    except KvError:
        pass
    return [prefix, *sorted(found)[:MAX_COMPLETIONS]] if found else []


def keys_for_completion(ctx: click.Context, prefix: str) -> List[str]:
    """Keys for a system shell, which has parsed a command line up to here; those that need no
    quotes there, where it is not bash."""
    from entrypoints.client.connecting import target_of

    try:
        target = target_of(
            ctx.find_root(), connect_timeout=2 * COMPLETION_TIMEOUT, timeout=2 * COMPLETION_TIMEOUT
        )
        keys = some_keys(target.executor, prefix)
        in_bash = os.environ.get("_KV_COMPLETE") == "bash_complete"
        return [key for key in keys if in_bash or shlex.quote(key) == key]
    except (click.ClickException, OSError, KeyError, TypeError, ValueError):
        return []


class Key(Text):
    """A key; a system shell completes it by asking the server."""

    name = "key"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> List[CompletionItem]:
        return list(map(CompletionItem, keys_for_completion(ctx, incomplete)))


@click.command("keys")
@click.argument("prefix", default="", type=Key())
@click.pass_context
def keys_command(ctx: click.Context, prefix: str) -> None:
    """List all keys, or those with PREFIX, one a line.

    A key that is there from start to end is listed; one that comes or goes meanwhile may be. A key
    that has a control character, such as a line break, or begins with a quotation mark is printed
    as a JSON string; with --json every key is, with --raw none.
    """
    target: Target = ctx.obj
    style = chosen_style(ctx, target.style)
    found = 0

    def lines() -> Iterator[str]:
        nonlocal found
        for page in keys_with(target.executor, prefix):
            found += len(page)
            for key in page:
                is_text = style.raw or not (style.as_json or _UNLIKE_A_LINE.search(key))
                yield key if is_text else msgspec.json.encode(key).decode()

    try:
        show_lines(lines(), style.at_prompt)
    except KvError as error:
        raise failure(error, style.at_prompt) from error
    if not found and prefix.endswith("*"):
        hint = f"PREFIX is not a pattern, try {prefix[:-1]!r:.100}"
        click.echo(f"no key begins with {prefix!r:.100}: {hint}", err=True)


_UNLIKE_A_LINE = re.compile(r'^"|[\x00-\x1f]')
"""Found in a key that would be more than one line, or be taken for the JSON string of another."""

keys_command.params += style_options()
