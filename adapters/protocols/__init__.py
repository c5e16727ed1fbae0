"""The protocols that clients speak, each a codec of its own.

Rule: no IO. Bytes go in and bytes come out, in whatever pieces a transport happens to read them.
"""
