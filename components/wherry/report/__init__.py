"""Report: everything that a run found, on one page to look at."""
