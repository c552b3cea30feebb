"""What pages show of data: checks, distributions, rows that failed, cleaning, changes."""
