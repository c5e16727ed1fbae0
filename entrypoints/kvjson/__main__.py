"""The client program `kv`: `python -m kvjson`."""

from __future__ import annotations

from entrypoints.client.__main__ import main

if __name__ == "__main__":
    main(prog_name="kv")
