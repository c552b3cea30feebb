"""Makes a blessed file a numbered version and points the champion at it."""
