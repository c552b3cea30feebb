"""What remembers trials and chooses the next: one file a library."""
