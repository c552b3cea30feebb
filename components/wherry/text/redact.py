"""Takes personal data and secrets out of texts and puts what they were in their place."""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Final

import polars as pl

from wherry.text.checks import Span
from wherry.text.patterns import Pattern
from wherry.text.spans import Finder, check_patterns

_ROUNDS: Final = 8
"""What stands beside a match may become one itself once that is gone; twice is rare."""
_LINE_END: Final = "\n"
"""Between the turns of a conversation, as whoever measures them puts them together."""


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


def redact_turns(
    conversations: Sequence[Sequence[str]], patterns: Sequence[Pattern]
) -> tuple[list[list[str]], Counter[str]]:
    """Redacts the turns of conversations, each by itself and as they follow each other.

    A number is a telephone number if the turn before asks for one.

    Raises:
        SettingsError: naming a pattern that does not compile.

    Example::

        redact_turns([["What is your phone number?", "212-555-0123"]], PII)
        # ([["What is your phone number?", "[PHONE]"]], Counter({"phone": 1}))
    """
    turns = [list(own) for own in conversations]
    counts, left = Counter[str](), list(range(len(turns)))
    for _ in range(_ROUNDS):
        counts += _take_out_of_each([turns[row] for row in left], patterns)
        several = [row for row in left if sum(map(bool, turns[row])) > 1]
        touched, taken = _take_out_across([turns[row] for row in several], patterns)
        counts += taken
        left = [several[place] for place in touched]
        if not left:
            break
    return turns, counts


def _take_out_of_each(turns: Sequence[list[str]], patterns: Sequence[Pattern]) -> Counter[str]:
    flat = pl.Series([text for own in turns for text in own], dtype=pl.String)
    clean, counts = redact_series(flat, patterns)
    texts = iter(clean)
    for own in turns:
        own[:] = islice(texts, len(own))
    return counts


def _take_out_across(
    turns: Sequence[list[str]], patterns: Sequence[Pattern]
) -> tuple[list[int], Counter[str]]:
    """Redacts what shows in turns put together, and gives the places of those that have some."""
    names = tuple(dict.fromkeys(pattern.name for pattern in patterns))
    touched, counts = sorted(Finder(_joined(turns), names).found(patterns)), Counter[str]()
    some = [turns[place] for place in touched]
    for name in names:
        mine = [pattern for pattern in patterns if pattern.name == name]
        for place, spans in Finder(_joined(some), names).found(mine).items():
            counts[name] += _replace_across(some[place], spans, mine[0].placeholder)
    return touched, counts


def _joined(turns: Sequence[Sequence[str]]) -> pl.Series:
    return pl.Series([_LINE_END.join(filter(None, own)) for own in turns], dtype=pl.String)


def _replace_across(texts: list[str], spans: Sequence[Span], placeholder: str) -> int:
    """Replaces spans of the texts put together; one that reaches into two is replaced in both.

    Returns:
        How many placeholders it wrote.
    """
    first = written = 0
    for number, text in enumerate(texts):
        if not text:
            continue
        last = first + len(text)
        inside = [(max(s, first) - first, min(e, last) - first) for s, e in spans]
        own = [(start, end) for start, end in inside if start < end]
        texts[number] = _replaced(text, own, placeholder)
        written += len(own)
        first = last + len(_LINE_END)
    return written


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
