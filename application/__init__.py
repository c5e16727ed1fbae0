"""The commands, the ports they are sent through, and the policies of a server."""
