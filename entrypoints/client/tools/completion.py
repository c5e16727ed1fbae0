"""`kv completion`: what makes bash, zsh and fish complete what is typed after `kv`.

Rule: bash cuts words at colons, which keys are full of; so its script sends the whole line, and
takes off what bash keeps of the word.
"""

from __future__ import annotations

import os
from typing import List, Tuple

import click
from click.shell_completion import (
    BashComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

SHELLS = ["bash", "zsh", "fish"]


@add_completion_class
class Bash(BashComplete):
    """Click's completion for bash, with words that hold colons."""

    name = "bash"
    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" kept="" response completion type value
    local word="${line##*[[:space:]]}"
    if [[ "$COMP_WORDBREAKS" == *:* && "$word" == *:* ]]; then
        kept="${word%%:*}:"
    fi
    response=$(env COMP_LINE="$line" %(complete_var)s=bash_complete "$1")
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=() ; compopt -o dirnames ;;
            file) COMPREPLY=() ; compopt -o default ;;
            plain) COMPREPLY+=("${value#"$kept"}") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> Tuple[List[str], str]:
        line = os.environ.get("COMP_LINE")
        if line is None:
            return super().get_completion_args()
        words = split_arg_string(line)
        incomplete = "" if line[-1:].isspace() else words.pop()
        return words[1:], incomplete


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the startup script for SHELL that completes commands, options and keys of kv.

    For bash: eval "$(kv completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "kv", "_KV_COMPLETE").source())
