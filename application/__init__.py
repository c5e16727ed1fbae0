"""What the store can be asked: the commands, and the seam they are sent through."""
