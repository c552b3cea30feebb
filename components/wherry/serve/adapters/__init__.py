"""One file an outside library; heavy imports stand here alone."""
