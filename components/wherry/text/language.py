"""Tells the language of texts, offline, by py3langid's small model of byte sequences."""

from collections.abc import Callable, Collection
from copy import copy
from functools import lru_cache
from typing import Any, Final

import polars as pl

from wherry.contracts.errors import ExtraMissingError, SettingsError

UNDETERMINED: Final = "und"
"""The code that ISO 639-2 keeps for a language that nobody can tell."""

_FEWEST_LETTERS: Final = 12
"""Letters that a text needs; a character of a script without spaces counts threefold."""
_LONGEST: Final = 240
"""Characters that are looked at: more change no verdict and cost time."""
_LETTERS: Final = r"\p{L}"
_DENSE: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"


def language(texts: pl.Series, languages: Collection[str] = ()) -> pl.Series:
    """Gives the ISO 639 code of each text's language, or ``und`` for a text too short to tell.

    Too short is a text of fewer than 12 letters, where a Chinese, Japanese, Korean, Thai, Lao,
    Khmer or Burmese one counts as three. Only the first 240 characters are looked at, and equal
    texts only once.

    Args:
        texts: without nulls.
        languages: the codes to choose among; empty for all that the model knows.

    Raises:
        ExtraMissingError: if py3langid is not installed.
        SettingsError: naming a code that the model does not know.
    """
    classify = _classifier(frozenset(languages))
    heads = texts.str.slice(0, _LONGEST)
    letters = heads.str.count_matches(_LETTERS) + 2 * heads.str.count_matches(_DENSE)
    rows = (letters >= _FEWEST_LETTERS).arg_true()
    distinct = heads.gather(rows).unique()
    codes = pl.DataFrame(
        {"text": distinct, "code": pl.Series(map(classify, distinct), dtype=pl.String)}
    )
    known = (
        heads.gather(rows)
        .to_frame("text")
        .join(codes, on="text", how="left", maintain_order="left")
    )
    return pl.repeat(UNDETERMINED, len(texts), eager=True).scatter(rows, known["code"])


@lru_cache(maxsize=4)
def _classifier(languages: frozenset[str]) -> Callable[[str], str]:
    identifier = copy(_identifier())
    if unknown := sorted(languages - set(identifier.labels)):
        raise SettingsError(
            f"language {unknown[0]!r} is not one of {', '.join(sorted(identifier.labels))}.",
            remedy="Use ISO 639-1 codes.",
        )
    identifier.set_languages(languages or None)
    return lambda text: str(identifier.classify(text)[0])


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """Loads the model of all languages, which takes a second."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise ExtraMissingError(
            "py3langid, which tells languages, is not installed.",
            remedy='Run: pip install "wherry[validate]"',
        ) from error
    return LanguageIdentifier.from_model_file(MODEL_FILE)
