"""Finds where a pattern stands in texts: Rust's expressions pick, Python's checks look closer.

Polars gives no positions of matches, but it replaces; so each match of a candidate text is
wrapped in marks that no text holds, and the positions are read off. Every expression thus runs
in one engine, in time linear in the text.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

import polars as pl
from polars.exceptions import ComputeError

from wherry.contracts.errors import SettingsError
from wherry.text.checks import CHECKS, Span
from wherry.text.patterns import PII, SECRETS, Pattern

# Noncharacters, which Unicode keeps for internal use; one that a text holds is masked before.
_OPEN: Final = "\ufdd0"
_VALUE: Final = "\ufdd1"
_CLOSE: Final = "\ufdd2"
_MASK: Final = "\ufdd3"

_PROBE: Final = "a 1-é_\n"
_PLACEHOLDERS: Final = {pattern.placeholder for pattern in (*PII, *SECRETS)}


def check_patterns(patterns: Iterable[Pattern]) -> None:
    """Refuses expressions that Rust cannot compile or that match nothing at all.

    Raises:
        SettingsError: naming the pattern, the expression and what is wrong with it.
    """
    for pattern in patterns:
        for regex in filter(None, (pattern.regex, pattern.context, pattern.hint)):
            _check(pattern.name, regex)


@cache
def _check(name: str, regex: str) -> None:
    probe = pl.Series(["", _PROBE])
    try:
        marked = probe.str.replace_all(regex, f"{_OPEN}${{0}}{_CLOSE}")
        probe.str.contains(regex)
    except ComputeError as error:
        cause = str(error).split("\n\n")[0].removeprefix("regex error: ")
        raise SettingsError(
            f"pattern {name!r} has the expression {regex!r}, which does not compile: {cause}.",
            remedy="Write it in Rust's dialect: no look-around and no back-reference; see "
            "https://docs.rs/regex/latest/regex/#syntax.",
        ) from error
    if any(_OPEN + _CLOSE in text for text in marked):
        raise SettingsError(
            f"pattern {name!r} has the expression {regex!r}, which matches the empty text; "
            "expected one that matches a character at least.",
            remedy="Write + for *, or {1,} for {0,}.",
        )


class Finder:
    """Finds patterns in one series of texts; what several of them ask is computed once.

    Args:
        texts: without nulls.
        names: of patterns besides the built-in ones whose placeholders the texts may hold.
    """

    def __init__(self, texts: pl.Series, names: Collection[str] = ()) -> None:
        self._texts = texts.rename("text")
        self._hinted: dict[str, pl.DataFrame] = {}
        self._masks = _masks(names)

    def found(self, patterns: Iterable[Pattern]) -> dict[int, list[Span]]:
        """Gives the spans of some patterns by the row they stand in; rows without are left out.

        The spans of a row stand in order and do not overlap.
        """
        spans: dict[int, list[Span]] = {}
        for pattern in patterns:
            for row, more in self._found(pattern):
                spans[row] = merged([*spans.get(row, []), *more])
        return spans

    def _found(self, pattern: Pattern) -> Iterator[tuple[int, list[Span]]]:
        candidates = self._candidates(pattern)
        if candidates.is_empty():  # even then an expression would be compiled, for a millisecond
            return
        masked = candidates["text"].str.replace_many(self._masks)
        for row, spans in zip(candidates["row"], _spans(masked, pattern), strict=True):
            if spans:
                yield row, spans

    def _candidates(self, pattern: Pattern) -> pl.DataFrame:
        rows = self._with(pattern.hint or pattern.regex)
        for regex in (pattern.context, pattern.regex if pattern.hint else ""):
            if regex and not rows.is_empty():
                rows = rows.filter(rows["text"].str.contains(regex))
        return rows

    def _with(self, hint: str) -> pl.DataFrame:
        if hint not in self._hinted:
            rows = self._texts.str.contains(hint).arg_true()
            self._hinted[hint] = pl.DataFrame({"row": rows, "text": self._texts.gather(rows)})
        return self._hinted[hint]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Gives spans in order, those that overlap as one."""
    whole: list[Span] = []
    for start, end in sorted(spans):
        if whole and start < whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return whole


def _masks(names: Collection[str]) -> Mapping[str, str]:
    """What must not take part in a match: placeholders of earlier redactions, and our marks."""
    placeholders = sorted(_PLACEHOLDERS | {f"[{name.upper()}]" for name in names})
    marks = (_OPEN, _VALUE, _CLOSE, _MASK)
    return {word: _MASK * len(word) for word in (*placeholders, *marks)}


def _spans(texts: pl.Series, pattern: Pattern) -> Iterator[list[Span]]:
    matches = _matches(texts, pattern.regex)
    contexts = _matches(texts, pattern.context) if pattern.context else [None] * len(texts)
    for text, spans, near in zip(texts, matches, contexts, strict=True):
        if near is not None:
            spans = _near(spans, near, pattern.reach)
        yield [span for span in _checked(text, spans, pattern) if _MASK not in text[slice(*span)]]


def _checked(text: str, spans: Sequence[Span], pattern: Pattern) -> Iterator[Span]:
    if not pattern.check:
        yield from spans
        return
    check = CHECKS[pattern.check]
    for start, end in spans:
        yield from check(text, start, end)


def _near(spans: Sequence[Span], contexts: Sequence[Span], reach: int) -> list[Span]:
    """Gives the spans that a context stands near; both come in order, so none is tried in vain."""
    ends = [end for _, end in contexts]
    found = []
    for start, end in spans:
        first = bisect_left(ends, start - reach)
        if first < len(contexts) and contexts[first][0] - end <= reach:
            found.append((start, end))
    return found


def _matches(texts: pl.Series, regex: str) -> list[list[Span]]:
    value = f"{_VALUE}${{value}}" if "P<value>" in regex or "(?<value>" in regex else ""
    marked = texts.str.replace_all(regex, f"{_OPEN}${{0}}{value}{_CLOSE}")
    return [list(_positions(text)) for text in marked]


def _positions(marked: str) -> Iterator[Span]:
    """Reads the spans off a text whose matches stand between marks."""
    before, *parts = marked.split(_OPEN)
    at = len(before)
    for part in parts:
        match, _, rest = part.partition(_CLOSE)
        whole, _, value = match.partition(_VALUE)
        end = at + len(whole)
        start = end - len(value) if value and whole.endswith(value) else at
        if start < end:
            yield start, end
        at = end + len(rest)
