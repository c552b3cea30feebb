"""Reads where data lies: its kind of address, what of it may be shown, what a name may be."""

import os
import re
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from wherry.contracts.errors import FormatError, MissingError, UriError

SourceKind = Literal["dvc", "hf", "s3", "gs", "file"]

_GIT_SCHEMES: Final = ("https", "ssh")
_SCP_FORM: Final = re.compile(r"^[\w.-]+@[\w.-]+:")
"""Git's short form of an SSH address, such as ``git@github.com:org/data.git``."""
_BUCKET: Final = re.compile(r"^(s3|gs)://(?P<bucket>[a-z0-9][a-z0-9._-]{1,221}[a-z0-9])(/|$)")
_HUB: Final = re.compile(r"^hf://datasets/\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?$", re.ASCII)
_USER: Final = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.-]*://)[^\s/?#'\"]*@")
_QUERY: Final = re.compile(r"(?P<address>\b[a-zA-Z][\w+.-]*://[^\s?#'\"]*)\?[^\s'\")>]*")
_NAME_BYTES: Final = 255
"""The longest name that Linux file systems take."""


def kind_of(address: str) -> SourceKind:
    """Says which kind of source an address names.

    Args:
        address: a checkout's folder or the address of a git repository (``https://``,
            ``ssh://``, ``user@host:path``, ``file://`` with an absolute path);
            ``hf://datasets/ORG/NAME``; ``s3://BUCKET/PREFIX``; ``gs://BUCKET/PREFIX``; or
            ``file:FOLDER``, a plain folder or file below the workspace.

    Raises:
        UriError: on any other scheme, or one of these in a wrong form.
    """
    if address.startswith("hf:"):
        return _matching("hf", _HUB, address, "hf://datasets/ORG/NAME@REVISION")
    if address.startswith("s3:"):
        return _matching("s3", _BUCKET, address, "s3://BUCKET/PREFIX")
    if address.startswith("gs:"):
        return _matching("gs", _BUCKET, address, "gs://BUCKET/PREFIX")
    if address.startswith("file:") and not address.startswith("file://"):
        return "file"
    return "dvc"


def repository(text: str) -> str:
    """Checks where a git repository lies.

    Args:
        text: a local folder, ``https://…``, ``ssh://…``, ``user@host:path`` or ``file://`` with
            the absolute path of a repository.

    Returns:
        The same text.

    Raises:
        UriError: on any other scheme, or a ``file://`` that is no repository.
        MissingError: if the local folder is not there.
    """
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme in _GIT_SCHEMES or _SCP_FORM.match(text):
        return text
    if scheme == "file" and is_repository(Path(text.removeprefix("file://"))):
        return text
    if scheme or "::" in text:
        raise UriError(
            f"{redacted(text)!r} is not an allowed repository: expected a folder, https://, "
            "ssh:// or file:// with a git repository.",
            remedy="Write the repository in one of these forms.",
        )
    if not Path(text).is_dir():
        raise MissingError(
            f"There is no folder {text!r} with a repository.",
            remedy="Name a checkout of the repository, or its https:// address.",
        )
    return text


def is_repository(folder: Path) -> bool:
    """Says whether a folder is a checkout or a bare git repository."""
    return folder.is_absolute() and ((folder / ".git").exists() or is_bare(folder))


def is_bare(folder: Path) -> bool:
    """Says whether a folder is a git repository without a checkout, as servers keep it."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def redacted(text: str) -> str:
    """Gives a text without the passwords, tokens and signatures that its addresses carry.

    Example::

        redacted("https://me:secret@host/x.git?sig=abc")  # https://host/x.git
    """
    return _QUERY.sub(r"\g<address>", _USER.sub(r"\g<scheme>", text))


def below(prefix: str, path: str) -> str:
    """Joins a prefix of a bucket or a repository and a path in it, without slashes at the ends.

    Raises:
        UriError: if either climbs out with ``..``.
    """
    parts = [part for part in f"{prefix}/{path}".split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UriError(
            f"{'/'.join(parts)!r} leaves its source.", remedy="Write the path without '..'."
        )
    return "/".join(parts)


def refuse_odd_name(name: str, reserved: frozenset[str]) -> None:
    """Refuses a file name that could land outside a folder, or that a terminal would act on.

    Args:
        name: relative to the output, with forward slashes.
        reserved: the names of our own records.

    Raises:
        FormatError: on an absolute name, ``..``, a backslash, a control character, an empty part,
            a part longer than 255 bytes, or a reserved name.
    """
    parts = name.split("/")
    odd = (
        name in reserved
        or "\\" in name
        or not name.isprintable()
        or any(part in ("", ".", "..") for part in parts)
        or any(len(os.fsencode(part)) > _NAME_BYTES for part in parts)
    )
    if odd:
        raise FormatError(
            f"The data holds a file {name[:200]!a}, a name that no data file may have.",
            remedy="Rename it at the source and run again.",
        )


def _matching(kind: SourceKind, form: re.Pattern[str], address: str, expected: str) -> SourceKind:
    if not form.match(address) or not address.isprintable():
        raise UriError(
            f"{redacted(address)!r} is malformed: expected {expected}.",
            remedy="Write the address in this form.",
        )
    return kind
