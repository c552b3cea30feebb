"""Where artifacts lie: one file a kind of place."""
