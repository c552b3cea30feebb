"""The outside libraries of diff, one file each."""
