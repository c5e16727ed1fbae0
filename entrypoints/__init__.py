"""The programs, each put together in its container from a parts list."""
