"""The typed parameters of every room, one module each."""
