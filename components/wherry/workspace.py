"""Where Wherry keeps its state on this machine."""

import os
from pathlib import Path

HOME_VARIABLE = "WHERRY_HOME"
OUTER_TMPDIR_VARIABLE = "WHERRY_OUTER_TMPDIR"
"""Holds the TMPDIR around a run, for what outlives the run's own temporary folder."""


def lasting_environment() -> dict[str, str]:
    """Gives this process's environment for a process that outlives the run."""
    found = dict(os.environ)
    if (outer := found.pop(OUTER_TMPDIR_VARIABLE, None)) is not None:
        found.pop("TMPDIR", None)
        found |= {"TMPDIR": outer} if outer else {}
    return found


def workspace() -> Path:
    """Gives the folder that a project lives in: the parent of ``.wherry``."""
    return state().parent


def state() -> Path:
    """Gives ``.wherry``: ``WHERRY_HOME`` if set, else below the working folder."""
    return Path(os.environ.get(HOME_VARIABLE) or ".wherry").absolute()
