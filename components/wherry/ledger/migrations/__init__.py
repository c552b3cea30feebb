"""Brings a store's tables to this version's form, whichever form they have."""
