"""JSON lines: one JSON object a line each way, UTF-8, ended by a line feed (docs/protocol.md).

Rule: no IO. Bytes go in and bytes come out, in whatever pieces a transport happens to read them.
"""
