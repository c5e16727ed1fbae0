"""What the client program does beyond single commands."""

from __future__ import annotations

from typing import List

import click

from entrypoints.client.keys import keys_command
from entrypoints.client.tools.bench import bench_command
from entrypoints.client.tools.completion import completion_command
from entrypoints.client.tools.monitor import monitor_command
from entrypoints.client.tools.transfer import export_command, import_command

TOOLS: List[click.Command] = [
    keys_command,
    export_command,
    import_command,
    bench_command,
    monitor_command,
    completion_command,
]
