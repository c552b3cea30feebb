"""Writes what an auditor asks about one version into one folder."""
