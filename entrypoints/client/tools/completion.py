"""`kv completion`: what makes bash, zsh and fish complete what is typed after `kv`.

Rule: what is inserted is read back as the word that was meant. Bash cuts words at colons, which
keys are full of, and at quotes; so its script sends the whole line, and what comes back is quoted
as the line needs it, without the part of the word that bash keeps.
"""

from __future__ import annotations

import os
import re
from typing import Callable, Dict, List, Optional, Tuple

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

SHELLS = ["bash", "zsh", "fish"]


@add_completion_class
class Bash(BashComplete):
    """Click's completion for bash, with words that hold colons or need quotes."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local completion
    while IFS= read -r completion; do
        case ${completion%%%%,*} in
            dir) COMPREPLY=() ; compopt -o dirnames ;;
            file) COMPREPLY=() ; compopt -o default ;;
            plain) COMPREPLY+=("${completion#*,}") ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$1")
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
    _typed = ""

    def get_completion_args(self) -> Tuple[List[str], str]:
        line = os.environ.get("COMP_LINE")
        if line is None:
            return super().get_completion_args()
        typed = [*_WORD.finditer(line)]
        if typed and typed[-1].end() == len(line):
            self._typed = typed.pop()[0]
        words = ["".join(split_arg_string(word[0])) for word in typed]
        return words[1:], "".join(split_arg_string(self._typed))

    def get_completions(self, args: List[str], incomplete: str) -> List[CompletionItem]:
        breaks = os.environ.get("COMP_BREAKS", "")
        return [
            CompletionItem(text, item.type) if item.type == "plain" else item
            for item in super().get_completions(args, incomplete)
            for text in [replacement(item.value, self._typed, breaks)]
            if text is not None
        ]


def replacement(word: str, typed: str, breaks: str) -> Optional[str]:
    """What bash is to put, of a word, in the place of what it takes for the word that was typed: it
    begins after an opening quote, or after the last of `breaks`. None where bash would not read
    the word back."""
    quote = typed[:1] if typed[:1] in _QUOTED else ""
    unwritable = "\n" in word or ("!" in word and quote == '"')
    ends = re.search(rf"(?<!\\)[{quote or _QUOTES}]", typed[len(quote) :])
    if unwritable or ends:
        return None
    text = _QUOTED[quote](word)
    if quote:
        return text
    kept = max((match.end() for match in _BREAK.finditer(typed) if match[0] in breaks), default=0)
    return text[kept:] if text.startswith(typed[:kept]) else None


_WORD = re.compile(
    r"""(?: [^\s"'\\] | \\. | "(?:[^"\\]|\\.)*(?:"|\Z) | '[^']*(?:'|\Z) | \\\Z )+""",
    re.VERBOSE | re.DOTALL,
)
"""A word of a command line, the last of which may not have its closing quote yet."""

_BREAK = re.compile(r"(?<!\\)[:=@]")
"""Where bash may take a word for ended, though it goes on for the program."""

_QUOTES = "\"'"

_QUOTED: Dict[str, Callable[[str], str]] = {
    "": lambda word: re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", word),
    "'": lambda word: word.replace("'", r"'\''"),
    '"': lambda word: re.sub(r'[\\$`"]', r"\\\g<0>", word),
}
"""A word as bash reads it after that opening quote, or none."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the startup script for SHELL that completes commands, options and keys of kv.

    For bash: eval "$(kv completion bash)". Up to 50 keys are offered; the beginning of a key asks
    for those that begin so.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "kv", "_KV_COMPLETE").source())
