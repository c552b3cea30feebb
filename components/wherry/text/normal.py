"""Evens out what is mere form in a text: case, spaces, Unicode variants, control characters."""

import re
import unicodedata
from typing import Final

import polars as pl

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SPACES: Final = r"[\t-\r\x1c-\x1f ]+"
"""What Python's ``str.split`` takes for space, within ASCII."""
_NO_BLANKS: Final = r"[\t-\r\x1c-\x1f]"
"""Those of them that are no blanks."""


def normalised(text: str) -> str:
    """Gives a text without what is mere form: case, runs of spaces, Unicode variants.

    Unicode's NFKC and full case folding, then single blanks between words.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalise_series(texts: pl.Series) -> pl.Series:
    """Gives `normalised` of each text, to the letter; nulls stay.

    ASCII, for which lower case is all that folding does, never leaves Polars.
    """
    beyond_ascii = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    lower = texts.str.to_lowercase()
    uneven = _is_uneven(lower).arg_true()
    if len(uneven):
        evened = lower.gather(uneven).str.replace_all(_SPACES, " ").str.strip_chars(" ")
        lower = lower.scatter(uneven, evened)
    if len(beyond_ascii):
        folded = pl.Series(
            [normalised(text) for text in texts.gather(beyond_ascii)], dtype=pl.String
        )
        lower = lower.scatter(beyond_ascii, folded)
    return lower


def _is_uneven(texts: pl.Series) -> pl.Series:
    """Tells where spaces are not single blanks between words."""
    # One expression with all four would take ten times as long.
    inside = texts.str.contains("  ", literal=True) | texts.str.contains(_NO_BLANKS)
    return inside | texts.str.starts_with(" ") | texts.str.ends_with(" ")


def strip_control(text: str) -> str:
    """Gives a text without control characters but tabs and line ends."""
    return _CONTROL.sub("", text)
