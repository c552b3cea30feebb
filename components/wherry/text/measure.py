"""Turns a column of texts into columns of what they show, of which none holds any text."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import polars as pl

from wherry.contracts.errors import SettingsError
from wherry.text.garbled import is_garbled
from wherry.text.language import language
from wherry.text.manipulation import has_control_tokens, has_injection
from wherry.text.patterns import PII, SECRETS, Pattern
from wherry.text.repetition import repetition
from wherry.text.spans import Finder, check_patterns


def _columns(patterns: Iterable[Pattern]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pattern.column for pattern in patterns))


MEASURES: Final[tuple[str, ...]] = (
    *_columns(PII),
    "pii",
    *_columns(SECRETS),
    "secret",
    "language",
    "control_tokens",
    "injection",
    "garbled",
    "repetition",
)
"""Every column that `measure` can give by itself; a team's own patterns add theirs."""


def measures(extra: Sequence[Pattern] = ()) -> tuple[str, ...]:
    """Gives every column that `measure` can give with a team's own patterns."""
    return tuple(dict.fromkeys((*MEASURES, *_columns(extra))))


def measure(
    texts: pl.Series,
    names: Collection[str],
    extra: Sequence[Pattern] = (),
    *,
    tokens: Collection[str] = (),
    languages: Collection[str] = (),
) -> pl.DataFrame:
    """Measures a column of texts; what is not asked for is not computed.

    Args:
        texts: strings; a null counts as an empty text.
        names: columns of `measures`; the result has them in this order.
        extra: a team's own patterns. Each gives a column ``pii_NAME`` and counts in ``pii``, or
            ``secret_NAME`` and ``secret``; one with the name of a built-in pattern adds to it.
        tokens: more control tokens, such as the base model's own special tokens.
        languages: the codes that ``language`` chooses among; empty for all.

    Returns:
        A row a text: ``language`` is a code, ``repetition`` a share in [0, 1], all else is true
        where the text holds what the column names.

    Raises:
        SettingsError: on an unknown name, or a pattern that does not compile.

    Example::

        measure(pl.Series(["Write to ann@example.org."]), ["pii_email", "secret"])
    """
    _check_names(names, extra)
    check_patterns(extra)
    texts = texts.cast(pl.String).fill_null("").rename("text")
    whole: Mapping[str, Callable[[], pl.Series]] = {
        "language": lambda: language(texts, languages),
        "control_tokens": lambda: has_control_tokens(texts, tokens),
        "injection": lambda: has_injection(texts),
        "garbled": lambda: is_garbled(texts),
        "repetition": lambda: repetition(texts),
    }
    found = _Found(texts, extra)
    return pl.DataFrame(
        {name: whole[name]() if name in whole else found.column(name) for name in names}
    )


def looks_private(names: Sequence[str]) -> pl.Series:
    """Tells which names must not be shown: they look like personal data or a secret.

    For labels and other values that a report would name. Whoever leaves one out counts it among
    the others.

    Example::

        looks_private(["heart", "ann@example.org"]).to_list() == [False, True]
    """
    found = measure(pl.Series(names, dtype=pl.String), ["pii", "secret"])
    return found["pii"] | found["secret"]


def _check_names(names: Collection[str], extra: Sequence[Pattern]) -> None:
    known = measures(extra)
    for name in names:
        if name not in known:
            raise SettingsError(
                f"measure {name!r} is unknown, expected one of {', '.join(known)}.",
                remedy="Correct the name, or add a pattern of that name.",
            )


class _Found:
    """Columns of which texts hold a pattern; each is found once."""

    def __init__(self, texts: pl.Series, extra: Sequence[Pattern]) -> None:
        self._size = len(texts)
        self._finder = Finder(texts, [pattern.name for pattern in extra])
        self._patterns: dict[str, list[Pattern]] = {}
        for pattern in (*PII, *SECRETS, *extra):
            self._patterns.setdefault(pattern.column, []).append(pattern)
        self._rows: dict[str, set[int]] = {}

    def column(self, name: str) -> pl.Series:
        if name in self._patterns:
            rows = self._of(name)
        else:
            parts = [part for part in self._patterns if part.startswith(f"{name}_")]
            rows = set().union(*map(self._of, parts))
        verdicts = pl.repeat(False, self._size, eager=True)
        return verdicts.scatter(pl.Series(sorted(rows), dtype=pl.UInt32), True)

    def _of(self, name: str) -> set[int]:
        if name not in self._rows:
            self._rows[name] = set(self._finder.found(self._patterns[name]))
        return self._rows[name]
