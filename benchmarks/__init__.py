"""How fast the server and the client are, and how they scale, next to others."""
