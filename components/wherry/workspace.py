"""Where Wherry keeps its state on this machine."""

import os
from pathlib import Path

HOME_VARIABLE = "WHERRY_HOME"


def workspace() -> Path:
    """Gives the folder that a project lives in: the parent of ``.wherry``."""
    return state().parent


def state() -> Path:
    """Gives ``.wherry``: ``WHERRY_HOME`` if set, else below the working folder."""
    return Path(os.environ.get(HOME_VARIABLE) or ".wherry").absolute()
