"""One file an outside library; its heavy imports stand at its top."""
