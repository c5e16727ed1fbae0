"""The client program: one command, a shell, or commands from a pipe."""
