"""Fetches a base model: a URI in, a folder that every later room can load out."""
