"""Wherry takes a small language model from versioned data to a gated, served release."""

__version__ = "0.1.0"
