"""The databases that can hold the store: one file each."""
