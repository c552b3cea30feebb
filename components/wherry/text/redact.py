"""Takes personal data and secrets out of texts and puts what they were in their place."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import polars as pl

from wherry.text.checks import Span
from wherry.text.patterns import Pattern
from wherry.text.spans import Finder, check_patterns

_ROUNDS: Final = 8
"""What stands beside a match may become one itself once that is gone; twice is rare."""


def redact(text: str, patterns: Sequence[Pattern]) -> tuple[str, Counter[str]]:
    """Replaces each match by its pattern's name.

    Afterwards `wherry.text.measure` finds none of the patterns in the text, and redacting again
    changes nothing.

    Args:
        text: any text.
        patterns: in the order in which they take; `PII` and `SECRETS` are the built-in ones.

    Returns:
        The text, and how many spans each pattern took.

    Example::

        redact("Write to ann@example.org.", PII)
        # ("Write to [EMAIL].", Counter({"email": 1}))
    """
    clean, counts = redact_series(pl.Series([text]), patterns)
    return clean[0], counts


def redact_series(texts: pl.Series, patterns: Sequence[Pattern]) -> tuple[pl.Series, Counter[str]]:
    """Redacts a column of texts; only rows with a match cost more than a look. Nulls stay.

    Raises:
        SettingsError: naming a pattern that does not compile.
    """
    check_patterns(patterns)
    names = tuple(dict.fromkeys(pattern.name for pattern in patterns))
    rows = pl.Series(sorted(Finder(texts.fill_null(""), names).found(patterns)), dtype=pl.UInt32)
    part, counts = texts.gather(rows).to_list(), Counter[str]()
    for _ in range(_ROUNDS):
        taken = Counter[str]()
        for name in names:
            mine = [pattern for pattern in patterns if pattern.name == name]
            taken[name] = _take_out(part, mine, names)
        if not taken.total():
            break
        counts += taken
    return texts.clone().scatter(rows, pl.Series(part, dtype=pl.String)), counts


def _take_out(texts: list[str], patterns: Sequence[Pattern], names: Collection[str]) -> int:
    """Redacts patterns of one name where they stand, in place, and gives how many spans it took."""
    found = Finder(pl.Series(texts, dtype=pl.String), names).found(patterns)
    for row, spans in found.items():
        texts[row] = _replaced(texts[row], spans, patterns[0].placeholder)
    return sum(map(len, found.values()))


def _replaced(text: str, spans: Sequence[Span], placeholder: str) -> str:
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], placeholder]
        at = end
    return "".join([*parts, text[at:]])
