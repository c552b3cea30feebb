"""Brings a release to a running endpoint; the old one serves until the new one is proved."""
