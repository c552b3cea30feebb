"""Searches a tuning recipe: a data set, a base and a space in, the best recipe out."""
