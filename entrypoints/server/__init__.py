"""The server program."""
