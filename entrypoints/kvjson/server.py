"""The server program `kv-server`: `python -m kvjson.server`."""

from __future__ import annotations

from entrypoints.server.__main__ import main

if __name__ == "__main__":
    main(prog_name="kv-server")
