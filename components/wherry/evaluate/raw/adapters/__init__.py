"""One file an engine; its heavy imports stand at its top."""
