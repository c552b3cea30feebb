"""Fits a first suite to a team's data: reads a sample, proposes limits, explains each."""
