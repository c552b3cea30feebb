"""Runs a pipeline on this machine with KFP's local runner, its traps closed."""
