"""One page for people."""
