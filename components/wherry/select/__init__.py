"""Suggests a base model: what a task needs in, what fits and why the others do not out."""
