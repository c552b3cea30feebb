"""One file a platform; heavy imports stand here alone."""
