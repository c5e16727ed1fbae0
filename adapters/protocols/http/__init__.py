"""HTTP/1.1: keys as resources, commands, figures and the console."""
