"""What a key-value store is, in plain Python: no JSON, no sockets, no clock of its own."""
