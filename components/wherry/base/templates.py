"""Finds the chat template that a base model is given: a family's, or a file of a team's own."""

from importlib import resources
from pathlib import Path
from typing import Final

from wherry.contracts import parse_uri
from wherry.contracts.errors import FormatError, MissingError

NONE: Final = "none"
"""The setting of a model that reads plain text alone."""
MAX_TEMPLATE_BYTES: Final = 1 << 20
_FORM: Final = ".jinja"
_JINJA: Final = ("{{", "{%")


def families() -> tuple[str, ...]:
    """Names the families whose templates are shipped, as the catalogue of `select` does.

    And ``plain``, which is no family's: it marks turns with words and ends them with the token
    that ends a text, which every model has.
    """
    places = resources.files("wherry.base").joinpath("templates").iterdir()
    return tuple(sorted(p.name.removesuffix(_FORM) for p in places if p.name.endswith(_FORM)))


def chosen(template: str, workspace: Path) -> str | None:
    """Gives the text that a setting names.

    Args:
        template: empty, ``none``, a family, a file, or Jinja itself.
        workspace: the folder that the file must lie below.

    Returns:
        None for the model's own template, and an empty text for none at all.

    Raises:
        MissingError: if it names no family and no file.
        UriError: if the file lies outside the workspace.
        FormatError: if the file is empty, too large or no text.
    """
    if not template:
        return None
    if template == NONE:
        return ""
    return _as_engines_read(_text(template, workspace))


def _text(template: str, workspace: Path) -> str:
    if any(mark in template for mark in _JINJA):
        return template
    if template in families():
        shipped = resources.files("wherry.base").joinpath("templates", template + _FORM)
        return shipped.read_text(encoding="utf-8")
    place = parse_uri(f"file:{template.removeprefix('file:')}", workspace=workspace)
    return _read(Path(place.path))


def _as_engines_read(text: str) -> str:
    """Jinja drops a last newline and the carriage returns; llama.cpp tells the text without them.

    Their digests would differ.
    """
    return text.replace("\r\n", "\n").rstrip("\n")


def _read(path: Path) -> str:
    if not path.is_file():
        raise MissingError(
            f"{path} does not exist, and no chat template is called so.",
            remedy=f"Set template in the base settings to a file below the workspace, {NONE}, or "
            f"one of {', '.join(families())}.",
        )
    try:
        with path.open("rb") as file:
            text = file.read(MAX_TEMPLATE_BYTES + 1).decode()
    except UnicodeDecodeError:
        text = ""
    if not text.strip() or len(text) > MAX_TEMPLATE_BYTES:
        raise FormatError(
            f"{path} is no chat template: expected Jinja of at most {MAX_TEMPLATE_BYTES:,} bytes, "
            "in UTF-8.",
            remedy="Name another file.",
        )
    return text
