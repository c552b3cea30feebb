"""Two versions side by side: what differs, where, and on which rows."""
