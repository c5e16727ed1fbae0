"""RESP, the protocol of Redis: versions 2 and 3, and inline commands (docs/redis.md).

Rule: the table in `commands` is all that says which Redis command is which of ours; what is not in
it is an unknown command.
"""
