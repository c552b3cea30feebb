"""One file an outside library."""
