"""What a key-value store is, in plain Python: no codec, no sockets, no clock of its own."""
